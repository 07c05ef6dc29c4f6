"""What a target is: ids with a weight, an owner and a kind each, coordinate slots, and a report of its making."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from coordspec.contracts import Kind, Owner
from coordspec.rollout.reasons import DropReason, Fallback

Box: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Slot:
    """The coordinates of one object in a target.

    ``group`` is the owner, ``matched`` or ``fn``, and ``gt`` the index of the ground-truth object. ``written_as`` is
    the geometry that stands in the target, ``positions`` are the places of its coord tokens in the ids (the logits that
    predict the token at position t stand at t - 1). ``bins`` are the ground-truth bins of these positions, one each;
    where a box was predicted for a polygon, those of the box around it; empty where a polygon was predicted, since its
    points have no counterparts. ``box`` is the box around the ground-truth object in bins.

    ``geometry`` is the group of the box loss that the object enters, ``coord_loss`` what its slots get beside it, both
    from the policy; ``none`` for none.
    """

    group: Owner
    gt: int
    written_as: str
    positions: tuple[int, ...]
    bins: tuple[int, ...]
    box: Box
    geometry: str
    coord_loss: str


@dataclass(frozen=True, slots=True)
class Report:
    """How a target came about.

    ``start_id`` is the number of the first key that was written by us. Predictions are counted in the order in which
    valid entries stand in the rollout, ground-truth objects in their own order: ``matches`` are pairs (prediction,
    ground truth), ``fp`` predictions, ``fn`` ground-truth objects. ``dropped`` are keys and reasons of the other
    entries. ``truncated`` says that the rollout ended or broke before its outermost closing brace, ``fallback`` why
    nothing of it was read.
    """

    start_id: int
    matches: tuple[tuple[int, int], ...] = ()
    fp: tuple[int, ...] = ()
    fn: tuple[int, ...] = ()
    dropped: tuple[tuple[str, DropReason], ...] = ()
    truncated: bool = False
    fallback: Fallback | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """What one sample is trained on: the answer's token ids, and of each its CE weight, owner and kind.

    All four have the same length. Where a token has characters of several owners or kinds, those are named that belong
    to the first character which decides its weight. ``policy`` is the row set of ``contracts/masks.yaml``.
    """

    policy: str
    ids: tuple[int, ...]
    ce_weight: tuple[float, ...]
    owner: tuple[Owner, ...]
    kind: tuple[Kind, ...]
    slots: tuple[Slot, ...]
    report: Report
