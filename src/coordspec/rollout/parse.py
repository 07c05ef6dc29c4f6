"""The one reader of what a model wrote: strict, without repair, aligned with the ids."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from coordspec.checks.text import is_blank, is_plain
from coordspec.contracts import payload_contract
from coordspec.record import DetObject
from coordspec.rollout.align import Aligned, align
from coordspec.rollout.grammar import CLOSE, COMMA, ENTRY, MAX_KEY_DIGITS, OPEN
from coordspec.rollout.lexer import next_lexeme, read_value
from coordspec.rollout.reasons import DropReason, Fallback
from coordspec.rollout.sound import candidate, is_inverted, prediction, reason_to_drop, right_arity
from coordspec.rollout.tokens import token_table

if TYPE_CHECKING:
    import re

    from coordspec.rollout.tokens import TokenTable
    from coordspec.tokenizer import AnyTokenizer


class Entry(NamedTuple):
    """One complete entry of a rollout, valid or dropped.

    It begins behind the entry before it, so that white space and comma belong to it: bytes ``start..end``. ``number``
    is the N of its key ``object_N``, None for a malformed key. ``desc`` are the bytes between the quotes of its desc,
    None where it has no such string. ``item`` is what a valid entry predicts, and ``positions`` are the places of its
    coord tokens in the ids; a dropped one has a ``reason`` instead.
    """

    start: int
    end: int
    key: str
    number: int | None
    desc: tuple[int, int] | None
    item: DetObject | None
    positions: tuple[int, ...]
    reason: DropReason | None


@dataclass(frozen=True, slots=True)
class Rollout:
    """A rollout as it was read.

    ``aligned`` are the ids before ``<|im_end|>`` and their bytes. The retained prefix is ``data[:cut]``: it ends before
    the outermost ``}``, or behind the last complete entry where the rollout ended or broke before that brace
    (``truncated``). The opening brace is the last of its first ``opened`` bytes. With a ``fallback``, nothing is
    retained and ``cut`` is 0.
    """

    aligned: Aligned
    entries: tuple[Entry, ...]
    opened: int
    cut: int
    truncated: bool
    fallback: Fallback | None

    @property
    def retained(self) -> bytes:
        """The text of the retained prefix; of a fallback, the brace that stands for it."""
        return self.aligned.data[: self.cut] if self.fallback is None else b"{"

    @property
    def predictions(self) -> list[Entry]:
        """The valid entries, in the order in which they stand."""
        return [entry for entry in self.entries if entry.reason is None]

    @property
    def objects(self) -> list[DetObject]:
        """What the valid entries predict, in the same order."""
        return [entry.item for entry in self.entries if entry.item is not None]

    @property
    def dropped(self) -> tuple[tuple[str, DropReason], ...]:
        """Key and reason of every dropped entry, in the order in which they stand."""
        return tuple((entry.key, entry.reason) for entry in self.entries if entry.reason is not None)

    @property
    def start_id(self) -> int:
        """1 plus the largest N of all retained keys ``object_N``, dropped entries included; 1 if there is none."""
        return 1 + max((entry.number for entry in self.entries if entry.number is not None), default=0)


def parse_rollout(ids: Sequence[int], tokenizer: AnyTokenizer | TokenTable) -> Rollout:
    """Read the ids that a model generated for one sample.

    Entries in the form of the payload, in any white space, are recognised by one expression; every other one goes
    through the slow reader, which can say what is wrong with it. Both give the same (``parse_reference``). Time is
    linear in the number of bytes.

    Raises:
        InputError: an id is not one of the tokenizer.
        ValueError: ``ids`` is no flat sequence of integers, or the tokenizer cannot be used.
    """
    return _parse(align(ids, token_table(tokenizer)), fast=True)


def parse_reference(ids: Sequence[int], tokenizer: AnyTokenizer | TokenTable) -> Rollout:
    """The same without the expression: the definition of what ``parse_rollout`` gives."""
    return _parse(align(ids, token_table(tokenizer)), fast=False)


def _parse(aligned: Aligned, *, fast: bool) -> Rollout:
    data = aligned.data
    brace = OPEN.match(data)
    if brace is None:
        return Rollout(aligned, (), 0, 0, False, Fallback.NO_OPENING_BRACE)
    entries: list[Entry] = []
    seen: set[int] = set()
    at = brace.end()
    while (close := CLOSE.match(data, at)) is None:
        match = ENTRY.match(data, at) if fast else None
        entry = None if match is None else _recognised(aligned, match, seen, first=not entries)
        entry = entry or _read(aligned, at, seen, first=not entries)
        if entry is None:
            return Rollout(aligned, tuple(entries), brace.end(), at, True, None)
        entries.append(entry)
        if entry.number is not None:
            seen.add(entry.number)
        at = entry.end
    return Rollout(aligned, tuple(entries), brace.end(), close.end() - 1, False, None)


def _recognised(aligned: Aligned, match: re.Match[bytes], seen: Collection[int], *, first: bool) -> Entry | None:
    """The valid entry that the expression matched; None where it takes the slow reader to say what it is."""
    comma, digits, name, raw = match.group("comma", "number", "geometry", "desc")
    geometry, (start, end) = name.decode(), match.span("coords")
    coords = aligned.coords.between(start, end)
    bins = aligned.coords.bins[coords]
    if (
        first is (comma is not None)
        or len(digits) > MAX_KEY_DIGITS
        or int(digits) in seen
        or len(bins) != aligned.data.count(b'"', start, end) // 2
        or not right_arity(geometry, len(bins))
        or is_inverted(geometry, bins)
        or b"\\" in raw
    ):
        return None
    try:
        desc = raw.decode()
    except UnicodeDecodeError:
        return None
    if not is_plain(desc) and is_blank(desc):
        return None
    return Entry(
        start=match.start(),
        end=match.end(),
        key=payload_contract().key(int(digits)),
        number=int(digits),
        desc=match.span("desc"),
        item=_object(desc, geometry, bins),
        positions=tuple(aligned.coords.positions[coords]),
        reason=None,
    )


def _object(desc: str, geometry: str, bins: Sequence[int]) -> DetObject:
    fields: dict[str, Any] = {geometry: tuple(bins)}
    return DetObject(desc, **fields)


def _read(aligned: Aligned, start: int, seen: Collection[int], *, first: bool) -> Entry | None:
    """The entry at ``start``, valid or dropped; None if the text ends or breaks inside of it."""
    data = aligned.data
    at = start
    if not first:
        comma = COMMA.match(data, at)
        if comma is None:
            return None
        at = comma.end()
    key = read_value(data, at)
    colon = next_lexeme(data, key.end) if key is not None and key.shape == b'"' else None
    value = read_value(data, colon.end) if colon is not None and colon.shape == b":" else None
    if key is None or value is None:
        return None
    entry = candidate(aligned, key, value, seen)
    reason = reason_to_drop(entry)
    desc = entry.fields.get("desc")
    coords = slice(0, 0)
    if reason is None:
        geometry = entry.fields[entry.geometry]
        coords = aligned.coords.between(geometry.start, geometry.end)
    return Entry(
        start=start,
        end=value.end,
        key=entry.key.shown,
        number=entry.number,
        desc=(desc.start + 1, desc.end - 1) if desc is not None and desc.shape == b'"' else None,
        item=prediction(entry) if reason is None else None,
        positions=tuple(aligned.coords.positions[coords]),
        reason=reason,
    )
