"""A target as it is looked at: tokens in entries, entries linked with objects, objects with places in an image."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from coordspec.contracts import NO_LOSS, MaskPolicy, Owner
from coordspec.errors import InputError, Issue, Place
from coordspec.findings.visible import visible
from coordspec.guard import check_target
from coordspec.guard.case import Case, make_case, policy_named
from coordspec.guard.reading import Unreadable
from coordspec.match import pairwise_iou
from coordspec.pages.thumbnail import Picture
from coordspec.record import DetObject
from coordspec.rollout.parse import Rollout, parse_rollout
from coordspec.rollout.reasons import DropReason

if TYPE_CHECKING:
    from coordspec.rollout.tokens import TokenTable
    from coordspec.target import Dump, Slot, Target

_LOOK: Final = "`coordspec guard` says what is wrong with it"


class TargetSource(NamedTuple):
    """A target to look at, where it comes from, its image where that is known, and its rollout where that was read."""

    place: Place
    dump: Dump
    picture: Picture | None
    rollout: Rollout | None = None


@dataclass(frozen=True, slots=True)
class EntryView:
    """One entry of the text, with the comma and white space before it: tokens ``start..end``, ``end`` excluded.

    A token belongs to the entry in which it begins. ``prediction`` and ``gt`` are indices of what it stands for, None
    where it stands for none. A dropped entry has a ``reason`` and the owner ``fp``. ``iou`` is that of the prediction
    with its object, and of a false positive with the object that it overlaps most; None without prediction or objects.
    """

    key: str | None
    owner: Owner
    prediction: int | None
    gt: int | None
    reason: DropReason | None
    iou: float | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TargetView:
    """All that is shown of one target.

    ``texts`` are the tokens as people can see them: control characters, and bytes that are no character, as escapes.
    ``bins`` has the bin of each coord token, None for the others. ``predictions`` are the valid entries of the rollout,
    in their order. ``left_out`` is what the rollout says behind the cut; empty where nothing does, None where that is
    not known. ``issues`` are the findings of the guard.
    """

    name: str
    place: Place
    picture: Picture | None
    policy: MaskPolicy
    target: Target
    texts: tuple[str, ...]
    bins: tuple[int | None, ...]
    entries: tuple[EntryView, ...]
    objects: tuple[DetObject, ...]
    predictions: tuple[DetObject, ...]
    left_out: str | None
    issues: tuple[Issue, ...]

    @property
    def supervised(self) -> int:
        """How many tokens have a weight in the cross entropy."""
        return sum(weight > 0 for weight in self.target.ce_weight)

    @property
    def slotted(self) -> frozenset[int]:
        """The positions of coord tokens that have a loss of their own, be it of boxes or of bins."""
        return frozenset(position for slot in self.target.slots if slot_losses(slot) for position in slot.positions)


def slot_losses(slot: Slot) -> list[str]:
    """The losses that the coordinates of an object have beside the cross entropy, by their names in ``masks.yaml``."""
    return [name for name in (slot.geometry, slot.coord_loss) if name != NO_LOSS]


def make_sample(source: TargetSource, table: TokenTable) -> TargetView:
    """Lay a target out for people.

    The target is read back from its ids as the guard does, so a target whose labels are wrong is shown as it is, with
    the findings beside it.

    Raises:
        InputError: it was built with another tokenizer, or is too broken to be laid out; the message names its place.
    """
    place, dump, picture, rollout = source
    where = str(place)
    if dump.tokenizer != table.fingerprint:
        reason = (
            f"was built with the tokenizer {dump.tokenizer:.40}, and this one has the fingerprint {table.fingerprint}"
        )
        raise InputError(where, reason)
    _refuse_broken(dump, table, where)
    target, policy = dump.target, policy_named(dump.target.policy)
    assert policy is not None, "a target without a policy was refused"
    try:
        case = make_case(target, dump.gt, table, dump.rollout_ids, policy)
    except Unreadable as error:
        raise InputError(where, f"cannot be shown: {error}; {_LOOK}") from error
    if rollout is None and dump.rollout_ids is not None:
        rollout = parse_rollout(dump.rollout_ids, table)
    predictions = _predictions(case, rollout)
    return TargetView(
        name=dump.sample,
        place=place,
        picture=picture,
        policy=policy,
        target=target,
        texts=tuple(visible(table.text([token_id])) for token_id in target.ids),
        bins=tuple(table.coords.bin_of_id.get(token_id) for token_id in target.ids),
        entries=tuple(_entries(case, predictions)),
        objects=dump.gt,
        predictions=predictions,
        left_out=_left_out(rollout) if case.keeps_rollout else None,
        issues=tuple(check_target(target, dump.gt, table, dump.rollout_ids, place=place)),
    )


def _refuse_broken(dump: Dump, table: TokenTable, where: str) -> None:
    """Refuse what no reader of a target can follow: labels without tokens, indices of nothing."""
    target, report, count = dump.target, dump.target.report, len(dump.gt)
    lengths = {len(target.ids), len(target.ce_weight), len(target.owner), len(target.kind)}
    objects = [*(slot.gt for slot in target.slots), *(g for _, g in report.matches), *report.fn]
    positions = [position for slot in target.slots for position in slot.positions]
    faults = {
        f"there is no policy {target.policy!r}": policy_named(target.policy) is None,
        "ids, ce_weight, owner and kind differ in length": len(lengths) > 1,
        "an index is that of no ground-truth object": not all(0 <= g < count for g in objects),
        "a slot has a position outside of the ids": not all(0 <= at < len(target.ids) for at in positions),
    }
    for fault, holds in faults.items():
        if holds:
            raise InputError(where, f"cannot be shown: {fault}; {_LOOK}")
    for ids in (target.ids, dump.rollout_ids or ()):
        try:
            table.check(ids)
        except (InputError, ValueError) as error:
            raise InputError(where, f"cannot be shown: {error}") from error


def _predictions(case: Case, rollout: Rollout | None) -> tuple[DetObject, ...]:
    """The valid entries: of the rollout where it was kept, else of the text that was taken over from it."""
    if rollout is None:
        found = [piece.item for piece in case.valid]
    else:
        found = [entry.item for entry in rollout.predictions]
    return tuple(item for item in found if item is not None)


def _entries(case: Case, predictions: Sequence[DetObject]) -> Iterator[EntryView]:
    starts, report = case.reading.starts, case.target.report
    reasons = iter([reason for _, reason in report.dropped])
    prediction_of = {g: p for p, g in report.matches}
    overlaps = pairwise_iou(predictions, case.objects)
    valid = {id(piece): number for number, piece in enumerate(case.valid)}
    kept = len(case.retained)
    for index, (piece, owner, gt) in enumerate(case.entries):
        prediction = valid.get(id(piece)) if index < kept else prediction_of.get(gt) if gt is not None else None
        reason = next(reasons, None) if index < kept and prediction is None else None
        iou = None
        if prediction is not None and prediction < len(predictions) and len(case.objects):
            iou = float(overlaps[prediction, gt] if gt is not None else overlaps[prediction].max())
        start, end = bisect_left(starts, piece.start), bisect_left(starts, piece.end)
        yield EntryView(piece.key, owner, prediction, gt, reason, iou, start, end)


def _left_out(rollout: Rollout | None) -> str | None:
    """The text behind the cut, without the closing brace that stands at it, which is written anew."""
    if rollout is None:
        return None
    closed = not rollout.truncated and rollout.fallback is None
    return visible(rollout.aligned.data[rollout.cut + closed :].decode("utf-8", "backslashreplace"))
