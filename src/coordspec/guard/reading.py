"""A target's ids read back, without anything that built them: entries, what they say, and whose text is whose."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from coordspec.checks.geometry import NORM1000
from coordspec.checks.objects import check_entry
from coordspec.contracts import record_contract, rule
from coordspec.coords import BIN_OF_TOKEN
from coordspec.errors import Severity
from coordspec.jsonl.parse import WHITE_SPACE, parse_line
from coordspec.record import DetObject

if TYPE_CHECKING:
    from coordspec.rollout.tokens import TokenTable

_MARK: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\],]', re.DOTALL)
_KEY: Final = re.compile(rb'[ \t\r\n]*,?[ \t\r\n]*("(?:[^"\\]|\\.)*+")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_GEOMETRIES: Final = record_contract().geometries
_TEXT_RULES: Final = {"control-char-desc", "special-token-desc"}
"""Rules on a record's desc that a prediction need not follow: what a model wrote is never encoded anew."""


class Unreadable(Exception):  # noqa: N818 (it says what a target is, and never leaves the guard)
    """The text of a target is no object of entries."""


class Member(NamedTuple):
    """A key and a value between two commas of one object, with the bytes of the value."""

    key: str | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Where tokens start, and the bin of each; -1 where it is no coord token."""

    starts: list[int]
    bins: list[int]

    def coords(self, start: int, end: int) -> list[tuple[int, int]]:
        """Position and bin of the coord tokens that start in ``start..end``, ``end`` excluded."""
        positions = range(bisect_left(self.starts, start), bisect_left(self.starts, end))
        return [(position, self.bins[position]) for position in positions if self.bins[position] >= 0]


@dataclass(slots=True)
class TextPiece:
    """One entry of a target, with the comma and white space before it: bytes ``start..end``.

    ``item`` is the object that it says, None if it is no sound entry. ``desc`` are the bytes of its desc's text,
    ``coords`` the positions of the coord tokens of its geometry.
    """

    start: int
    end: int
    value: bytes
    key: str | None
    item: DetObject | None = None
    desc: tuple[int, int] | None = None
    coords: tuple[int, ...] = ()


@dataclass(slots=True)
class Reading:
    """The bytes of a target, where its tokens start, and its entries.

    The brace of the frame stands at ``close``; the text before it begins with the opening brace, which ends at
    ``opened``.
    """

    data: bytes
    starts: list[int]
    opened: int
    close: int
    pieces: list[TextPiece]


def read_target(ids: Sequence[int], table: TokenTable) -> Reading:
    """The entries of a target.

    Raises:
        Unreadable: it does not end with ``<|im_end|>``, or what is before that is no object of keys and values.
    """
    if not ids or ids[-1] != table.end_id:
        raise Unreadable("its last token is not <|im_end|>")
    if table.end_id in ids[:-1]:
        raise Unreadable("<|im_end|> stands in the middle of it")
    data = table.join(ids)
    starts = [0, *accumulate(len(table.bytes_of[token_id]) for token_id in ids)]
    text = data[: starts[-2]]
    opened = len(text) - len(text.lstrip(WHITE_SPACE)) + 1
    if text[opened - 1 : opened] != b"{":
        raise Unreadable("it does not start with {")
    close, commas = outermost_close(text, opened)
    if close is None:
        raise Unreadable("its outermost { is not closed")
    if close != len(text) - 1:
        raise Unreadable("there is more text behind its outermost }")
    tokens = _Tokens(starts[:-1], [table.coords.bin_of_id.get(token_id, -1) for token_id in ids])
    pieces = [_piece(text, start, end, tokens) for start, end in _segments(text, opened, close, commas)]
    return Reading(data, starts, opened, close, pieces)


def outermost_close(text: bytes, opened: int) -> tuple[int | None, list[int]]:
    """Where the brace closes that was opened before ``opened``, strings skipped; and the commas on its own level."""
    depth = 1
    commas: list[int] = []
    for mark in _MARK.finditer(text, opened):
        if mark[0] in (b"{", b"["):
            depth += 1
        elif mark[0] in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                return mark.start(), commas
        elif mark[0] == b"," and depth == 1:
            commas.append(mark.start())
    return None, commas


def _segments(text: bytes, opened: int, close: int, commas: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Entries: the comma between two of them and the white space around it belong to the second."""
    if not commas and not text[opened:close].strip(WHITE_SPACE):
        return
    start = opened
    for border in (*commas, close):
        end = start + len(text[start:border].rstrip(WHITE_SPACE))
        yield start, end
        start = end


def members(text: bytes, start: int, end: int) -> list[Member]:
    """Keys and values of the object whose braces are the first and last byte of ``start..end``.

    Raises:
        Unreadable: something between two commas has no key.
    """
    close, commas = outermost_close(text[:end], start + 1)
    if close != end - 1:
        raise Unreadable("a value is no object")
    return [_member(text, *segment) for segment in _segments(text, start + 1, close, commas)]


def _member(text: bytes, start: int, end: int) -> Member:
    key = _KEY.match(text, start, end)
    if key is None:
        raise Unreadable(f"an entry has no key: {text[start:end].decode('utf-8', 'backslashreplace')!r}")
    return Member(_string(key[1]), key.end(), end)


def _string(raw: bytes) -> str | None:
    """What a JSON string says, None if it says nothing."""
    try:
        return str(json.loads(raw.decode()))
    except ValueError:  # of bytes that are no text, and of text that is no string
        return None


def _piece(text: bytes, start: int, end: int, tokens: _Tokens) -> TextPiece:
    """The entry of these bytes."""
    member = _member(text, start, end)
    piece = TextPiece(start, end, text[member.start : member.end], member.key)
    if not piece.value.startswith(b"{"):
        return piece
    fields: dict[str | None, Member] = {}
    for inner in members(text, member.start, member.end):
        fields.setdefault(inner.key, inner)
    desc = fields.get("desc")
    if desc is not None and text[desc.start : desc.start + 1] == b'"':
        piece.desc = desc.start + 1, desc.end - 1
    item = sound_object(piece.value)
    geometry = item and fields.get("bbox_2d" if item.bbox_2d is not None else "poly")
    if item is not None and geometry:
        coords = tokens.coords(geometry.start, geometry.end)
        if tuple(k for _, k in coords) == (item.bbox_2d or item.poly):
            piece.item, piece.coords = item, tuple(position for position, _ in coords)
    return piece


def sound_object(value: bytes) -> DetObject | None:
    """The object that the text of a value says by the rules of the record, None if it breaks one.

    As a payload has it and no other form of a record: nothing beside desc and one geometry, coordinates as tokens.
    """
    parsed = parse_line(value, len(value), len(value))
    item = parsed.value if parsed.usable and not parsed.faults else None
    if not isinstance(item, dict) or not item.keys() <= {"desc", *_GEOMETRIES}:
        return None
    found = {finding.rule for finding in check_entry(item, (), NORM1000)} - _TEXT_RULES
    if any(rule(name).severity is Severity.ERROR for name in found):
        return None
    (geometry,) = (name for name in _GEOMETRIES if name in item)
    if not all(isinstance(coord, str) for coord in item[geometry]):
        return None
    bins: dict[str, Any] = {geometry: tuple(BIN_OF_TOKEN[coord] for coord in item[geometry])}
    return DetObject(item["desc"], **bins)
