"""``masks.yaml`` as typed values: which text of a target is supervised, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final

from coordspec.contracts.files import did_you_mean, schema, table
from coordspec.contracts.limits import SchemaLimits
from coordspec.contracts.node import SchemaNode


class Owner(StrEnum):
    """Whose text a piece of a target is."""

    MATCHED = "matched"
    FP = "fp"
    FN = "fn"
    FRAME = "frame"


class Kind(StrEnum):
    """What a piece of a target is: of an object the first three, of the frame the others."""

    STRUCT = "struct"
    DESC = "desc"
    COORD = "coord"
    OPEN = "open"
    CLOSE = "close"
    END = "end"


class TargetText(StrEnum):
    """What the text of a target is made of."""

    ROLLOUT = "rollout"
    GROUND_TRUTH = "ground_truth"


FILE: Final = "masks.yaml"
NO_LOSS: Final = "none"
"""What ``geometry`` and ``coord_loss`` say where there is no such loss."""


@dataclass(frozen=True, slots=True)
class MaskRow:
    """What holds for the texts of one owner.

    ``weights`` are those of the cross entropy. ``geometry`` is the group of the box loss that the owner's objects enter
    (``matched``, ``fn`` or ``none``), ``coord_loss`` what their coordinate slots get beside it (``soft_ce_w1`` or
    ``none``).
    """

    weights: Mapping[Kind, float]
    geometry: str = NO_LOSS
    coord_loss: str = NO_LOSS


@dataclass(frozen=True, slots=True)
class MaskPolicy:
    """One row set of ``masks.yaml``. ``rows`` has the owners that targets under it can have."""

    name: str
    about: str
    target: TargetText
    rows: Mapping[Owner, MaskRow]

    def weight(self, owner: Owner, kind: Kind) -> float:
        """Weight of the cross entropy; KeyError where no target has such a text."""
        return self.rows[owner].weights[kind]


@dataclass(frozen=True, slots=True)
class MaskPolicies:
    """The policies of Channel-B by name, and the row sets of targets that are the ground truth and nothing else."""

    default: str
    by_name: Mapping[str, MaskPolicy]
    ground_truth: Mapping[str, MaskPolicy]

    def find(self, name: str) -> MaskPolicy:
        """The policy of that name.

        Raises:
            ValueError: there is none; the message lists the policies and says what was probably meant.
        """
        return _row_set(name, self.by_name, "mask policy")

    def find_ground_truth(self, name: str) -> MaskPolicy:
        """The row set of that name for targets without a rollout.

        Raises:
            ValueError: there is none; the message lists them and says what was probably meant.
        """
        return _row_set(name, self.ground_truth, "row set for the ground truth")


def _row_set(name: str, known: Mapping[str, MaskPolicy], what: str) -> MaskPolicy:
    if name not in known:
        raise ValueError(f"no {what} is called {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}")
    return known[name]


@cache
def mask_policies() -> MaskPolicies:
    """The supervision policies of ``contracts/masks.yaml``.

    Raises:
        ContractFileError: the file breaks its schema, or its default is none of its policies.
    """
    document = table("masks")
    _check(document)
    return MaskPolicies(
        default=document["default"],
        by_name={name: _policy(name, entry) for name, entry in document["policies"].items()},
        ground_truth={
            name: _policy(name, {"target": TargetText.GROUND_TRUTH, **entry})
            for name, entry in document["ground_truth"].items()
        },
    )


def _check(document: Any) -> None:
    """Hold the file to ``masks.schema.json``: what no loss could follow is refused before anything is built on it."""
    node = SchemaNode({}, FILE)
    breach = next(SchemaLimits(schema("masks"), FILE).breaches(document), None)
    if breach is not None:
        raise SchemaNode({}, FILE, breach.at).fault("", breach.reason)
    known = document["policies"]
    if document["default"] not in known:
        reason = f"no mask policy is called {document['default']!r}{did_you_mean(document['default'], known)}"
        raise node.fault("default", reason)


def _policy(name: str, entry: Mapping[str, Any]) -> MaskPolicy:
    rows = {owner: _mask_row(entry[owner]) for owner in Owner if owner in entry}
    return MaskPolicy(name, entry["about"], TargetText(entry["target"]), rows)


def _mask_row(entry: Mapping[str, Any]) -> MaskRow:
    losses = {name: entry[name] for name in ("geometry", "coord_loss") if name in entry}
    return MaskRow({kind: float(entry[kind]) for kind in Kind if kind in entry}, **losses)
