"""A target beside all that it is checked against."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from coordspec.contracts import MaskPolicy, Owner, TargetText, mask_policies, payload_contract
from coordspec.guard.reading import Reading, TextPiece, read_target
from coordspec.rollout.grammar import MAX_KEY_DIGITS

if TYPE_CHECKING:
    from coordspec.record import DetObject
    from coordspec.rollout.tokens import TokenTable
    from coordspec.target.types import Target

_KEY: Final = re.compile(f"{payload_contract().prefix}([1-9][0-9]*)")


class CaseEntry(NamedTuple):
    """An entry of a target, whose it is by the report, and the ground-truth object that it stands for, if any."""

    piece: TextPiece
    owner: Owner
    gt: int | None


@dataclass(frozen=True, slots=True)
class Case:
    """A target, the ground truth, and the target's text read back.

    ``retained`` are the entries that the model wrote, ``written`` those that we wrote: the last ones, and of a target
    that holds the ground truth alone all of them. ``valid`` and ``dropped`` are the retained ones that are predictions
    and those that are none. ``rollout_ids`` is None where nobody kept them.
    """

    target: Target
    objects: Sequence[DetObject]
    table: TokenTable
    rollout_ids: Sequence[int] | None
    policy: MaskPolicy
    reading: Reading
    retained: list[CaseEntry]
    written: list[CaseEntry]
    valid: list[TextPiece]
    dropped: list[TextPiece]

    @property
    def keeps_rollout(self) -> bool:
        return self.policy.target is TargetText.ROLLOUT

    @property
    def entries(self) -> list[CaseEntry]:
        return self.retained + self.written

    def token(self, position: int) -> dict[str, Any]:
        """A token, for messages."""
        return {"position": position, "text": repr(self.table.text(self.target.ids[position : position + 1]))}


def policy_named(name: str) -> MaskPolicy | None:
    """The row set of that name, of a policy or for the ground truth alone."""
    policies = mask_policies()
    return policies.by_name.get(name) or policies.ground_truth.get(name)


def make_case(
    target: Target,
    objects: Sequence[DetObject],
    table: TokenTable,
    rollout_ids: Sequence[int] | None,
    policy: MaskPolicy,
) -> Case:
    """Read a target back, and give every entry to whom the report gives it.

    Raises:
        Unreadable: the ids spell no object of entries.
    """
    reading = read_target(target.ids, table)
    report = target.report
    order: list[tuple[Owner, int]] = [(Owner.FN, g) for g in report.fn]
    if policy.target is TargetText.GROUND_TRUTH:
        order = [(Owner.MATCHED, g) for _, g in report.matches] + order
    kept = max(0, len(reading.pieces) - len(order))
    written = [CaseEntry(piece, *whose) for piece, whose in zip(reading.pieces[kept:], order, strict=False)]
    retained, valid, dropped = _retained(reading.pieces[:kept], dict(report.matches))
    return Case(target, objects, table, rollout_ids, policy, reading, retained, written, valid, dropped)


def _retained(
    pieces: Sequence[TextPiece], matches: dict[int, int]
) -> tuple[list[CaseEntry], list[TextPiece], list[TextPiece]]:
    """All entries, the predictions among them, and the others."""
    entries: list[CaseEntry] = []
    valid: list[TextPiece] = []
    dropped: list[TextPiece] = []
    seen: set[int] = set()
    for piece in pieces:
        number = key_number(piece.key)
        gt = None
        if number is None or number in seen or piece.item is None:
            dropped.append(piece)
        else:
            gt = matches.get(len(valid))
            valid.append(piece)
        if number is not None:
            seen.add(number)
        entries.append(CaseEntry(piece, Owner.FP if gt is None else Owner.MATCHED, gt))
    return entries, valid, dropped


def key_number(key: str | None) -> int | None:
    """The N of ``object_N``, None for every other key."""
    match = _KEY.fullmatch(key or "")
    return int(match[1]) if match and len(match[1]) <= MAX_KEY_DIGITS else None
