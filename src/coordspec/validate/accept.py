"""The fast path. It may only say yes: a line that it accepts breaks no rule, error or warning.

Whatever it does not accept goes to ``explain``, which decides. So everything here may be stricter than the contract,
and nothing may be laxer; the fuzz tests compare the two. A laxer type or test would not fail loudly: a bad line would
pass every command that validates. msgspec decodes the contract's types at C speed; it keeps the last of repeated keys
without a word, which is why colons are counted.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from coordspec.boxes import enclosing_box
from coordspec.checks.finding import CoordSpace
from coordspec.checks.text import check_summary, is_plain
from coordspec.contracts import SchemaLimits, record_contract
from coordspec.coords import BIN_OF_TOKEN, MAX_BIN, TOKENS
from coordspec.validate.tally import LARGE_SIDE, PIXEL_SIDE, Boxes, BoxTally, sides

_CONTRACT = record_contract()

Width: TypeAlias = Annotated[int, Meta(ge=_CONTRACT.min_width)]
Height: TypeAlias = Annotated[int, Meta(ge=_CONTRACT.min_height)]
Bin: TypeAlias = Annotated[int, Meta(ge=_CONTRACT.min_bin, le=MAX_BIN)]


def _token_type() -> Any:
    """A type that msgspec reads from a coord token and gives out as its bin, at C speed.

    msgspec reads an enum by looking the string up in ``_value2member_map_``. With bins in the place of members, the
    decoder itself turns tokens into integers. A test holds msgspec to it.
    """
    members: Any = {f"BIN_{k}": text for k, text in enumerate(TOKENS)}
    make: Any = enum.Enum
    token = make("CoordToken", members)
    token._value2member_map_ = dict(BIN_OF_TOKEN)
    return token


def _struct(name: str, fields: list[Any]) -> Any:
    return msgspec.defstruct(name, fields, forbid_unknown_fields=True, gc=False)


def _record_type(item: Any, more_fields: list[Any]) -> Any:
    fields = [("images", list[str]), ("width", Width), ("height", Height), ("objects", list[item])]
    return _struct("Record", [*fields, *more_fields])


def _plain_type(coord: Any) -> Any:
    """Records of nothing but the four required fields, whose objects have a desc and a box."""
    item = _struct("Object", [("desc", str), ("bbox_2d", _box(coord))])
    return _record_type(item, [])


def _full_type(coord: Any) -> Any:
    """Records with every field the contract knows."""
    poly = Annotated[list[coord], Meta(min_length=_CONTRACT.poly_min)]
    geometry = [("bbox_2d", _box(coord) | UnsetType, UNSET), ("poly", poly | UnsetType, UNSET)]
    item = _struct("Object", [("desc", str), *geometry, ("poly_points", int | UnsetType, UNSET)])
    more = [("summary", str | UnsetType, UNSET), ("metadata", dict[str, Any] | UnsetType, UNSET)]
    return _record_type(item, more)


def _box(coord: Any) -> Any:
    return tuple[(coord,) * _CONTRACT.bbox_arity]  # type: ignore[misc]


Decode: TypeAlias = Callable[[bytes], Any]


@cache
def decoders(space: CoordSpace) -> tuple[tuple[Decode, ...], tuple[Decode, ...]]:
    """Decoders of plain and of full records, each for integers and for tokens; for pixels there are only numbers.

    Making the types takes milliseconds, so they are made once in a process.
    """
    coords = (float,) if space is CoordSpace.PIXEL else (Bin, _token_type())
    plain = tuple(msgspec.json.Decoder(_plain_type(coord)).decode for coord in coords)
    return plain, tuple(msgspec.json.Decoder(_full_type(coord)).decode for coord in coords)


_DOUBTFUL_STARTS: Final = ("", " ", "/")
_GOOD_DESCS: Final = 20_000  # how many are remembered


class _Doubt(Exception):  # noqa: N818 (it never leaves the loop that raises it)
    """The record at hand is not of the most common kind."""


class Acceptor:
    """Accepts lines of one coordinate space.

    Remembers descriptions that it found good, the form (integers or tokens) of the last line, and whether colons were
    seen inside of strings; none of it changes an answer.
    """

    def __init__(self, space: CoordSpace, max_line_bytes: int, schema: SchemaLimits | None = None) -> None:
        self._blind = schema is not None or not _CONTRACT.plain  # to what a schema asks beyond the rules
        self._pixel = space is CoordSpace.PIXEL
        self._max_line_bytes = max_line_bytes
        self._plain, self._full = decoders(space)
        self._form = 0
        self._colons_in_strings = False
        self._good_descs: set[str] = set()

    def accept(self, lines: Sequence[bytes], tally: BoxTally, data: bytes | None = None) -> list[int]:
        """Indices of the lines that were not accepted; the boxes of the others are counted in ``tally``.

        ``data`` is the block that the lines, and nothing else, were split from. With it, and as long as no string holds
        a colon or an escape, colons are counted once for all lines instead of line by line.
        """
        if self._blind:
            return list(range(len(lines)))
        if self._pixel:
            return [index for index, line in enumerate(lines) if not self._accept_other(line, tally)]
        if data is not None and not self._colons_in_strings and b"\\" not in data:
            counted = BoxTally()
            refused, keys, others = self._accept_plain(lines, counted, careful=False)
            if data.count(b":") == keys + others:
                tally += counted
                return refused
            self._colons_in_strings = True
        return self._accept_plain(lines, tally, careful=True)[0]

    def _accept_plain(  # noqa: C901, PLR0912 (one loop, since calls cost too much)
        self, lines: Sequence[bytes], tally: BoxTally, *, careful: bool
    ) -> tuple[list[int], int, int]:
        """The loop for the common record: four fields, boxes alone, in reading order. Others take a turn of their own.

        Returns the indices of refused lines, how many keys the lines that this loop accepted have, and how many colons
        stand in the others. Without ``careful`` the caller compares these with the colons of all lines, which then also
        tells that no path holds a colon.
        """
        refused: list[int] = []
        decode, good_descs, max_line_bytes = self._plain[self._form], self._good_descs, self._max_line_bytes
        records = boxes = telling = outside = colons = 0
        for index, line in enumerate(lines):
            try:
                record = decode(line)
                objects, width, height = record.objects, record.width, record.height
                inside, last_x, last_y = True, -1, -1
                for item in objects:
                    x1, y1, x2, y2 = item.bbox_2d
                    if x1 >= x2 or y1 >= y2:
                        raise _Doubt
                    if item.desc not in good_descs and not is_plain_desc(item.desc, good_descs):
                        raise _Doubt
                    if y1 <= last_y and (y1 < last_y or x1 <= last_x):
                        raise _Doubt
                    last_x, last_y = x1, y1
                    if inside and (x2 > width or y2 > height):
                        inside = False
                count = len(objects)
                for path in record.images:
                    if not path.isprintable() or path[:1] in _DOUBTFUL_STARTS or ".." in path:
                        raise _Doubt
                if not record.images or width >= LARGE_SIDE or len(line) > max_line_bytes:
                    raise _Doubt
                if careful and (line.count(b":") != 4 + 2 * count or not plain_images(record.images)):
                    raise _Doubt
            except (_Doubt, msgspec.DecodeError, UnicodeDecodeError):
                colons += line.count(b":")
                if not self._accept_other(line, tally):
                    refused.append(index)
                decode = self._plain[self._form]
                continue
            records += 1
            boxes += count
            if count and width <= PIXEL_SIDE and height <= PIXEL_SIDE:
                telling += 1
                outside += not inside
        tally.boxes += boxes
        tally.telling += telling
        tally.outside += outside
        return refused, 4 * records + 2 * boxes, colons

    def _accept_other(self, line: bytes, tally: BoxTally) -> bool:
        """Accept a record with any field of the contract, in the form that it seems to be in."""
        form = int(not self._pixel and b"<|coord_" in line)
        self._form = form
        try:
            record = self._full[form](line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return len(line) <= self._max_line_bytes and self._check_full(line, record, tally)

    def _check_full(self, line: bytes, record: Any, tally: BoxTally) -> bool:
        keys = 4 + 2 * len(record.objects) + sum(item.poly_points is not UNSET for item in record.objects)
        if record.summary is not UNSET:
            keys += 1
            if any(check_summary(record.summary, ())):
                return False
        if record.metadata is not UNSET:
            keys += 1 + len(record.metadata)
            if any(isinstance(value, dict | list) for value in record.metadata.values()):
                return False
        bounds = (record.width, record.height) if self._pixel else (MAX_BIN, MAX_BIN)
        if not all(
            is_plain_desc(item.desc, self._good_descs) and _plain_object(item, *bounds) for item in record.objects
        ):
            return False
        shapes = {
            (item.desc, item.bbox_2d, item.poly if item.poly is UNSET else tuple(item.poly)) for item in record.objects
        }
        if len(shapes) != len(record.objects) or not plain_images(record.images):
            return False
        if not _keys_are_single(line, record, keys):
            return False
        boxes = [item.bbox_2d for item in record.objects if item.bbox_2d is not UNSET]
        tally.add(Boxes(boxes, (), *sides(record.width, record.height)))
        return True


def is_plain_desc(desc: str, good: set[str]) -> bool:
    """``is_plain``, remembered in ``good``."""
    if desc in good:
        return True
    if not is_plain(desc):
        return False
    if len(good) >= _GOOD_DESCS:
        good.clear()
    good.add(desc)
    return True


def _plain_object(item: Any, max_x: float, max_y: float) -> bool:
    if (item.bbox_2d is UNSET) == (item.poly is UNSET):
        return False
    if item.poly is UNSET:
        x1, y1, x2, y2 = item.bbox_2d
        return item.poly_points is UNSET and 0 <= x1 < x2 <= max_x and 0 <= y1 < y2 <= max_y
    x1, y1, x2, y2 = enclosing_box(item.poly)
    points, odd = divmod(len(item.poly), 2)
    counted = item.poly_points is UNSET or item.poly_points == points
    return not odd and counted and 0 <= x1 < x2 <= max_x and 0 <= y1 < y2 <= max_y


def plain_images(images: list[str]) -> bool:
    """True for at least one path, each without any doubt about it."""
    for path in images:
        if not path.isprintable() or path[:1] in _DOUBTFUL_STARTS or ".." in path or ":" in path or "\\" in path:
            return False
    return bool(images)


def _keys_are_single(line: bytes, record: Any, keys: int) -> bool:
    """True only if no object of the line repeats a key.

    Every key in the text brings one colon, so there are at least as many colons as keys, and exactly as many only if no
    key was lost to a repetition. Colons inside of strings are counted apart, which takes that none is written as an
    escape.
    """
    colons = line.count(b":")
    if colons == keys:
        return True
    if b"\\" in line:
        return False
    strings = [*record.images, *(item.desc for item in record.objects)]
    if getattr(record, "summary", UNSET) is not UNSET:
        strings.append(record.summary)
    if getattr(record, "metadata", UNSET) is not UNSET:
        strings += record.metadata
        strings += (value for value in record.metadata.values() if isinstance(value, str))
    return bool(colons == keys + sum(text.count(":") for text in strings))
