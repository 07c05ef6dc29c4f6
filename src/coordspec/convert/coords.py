"""A contract file from one form of coordinates to another; whatever else stands in a line is carried over."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeAlias

from coordspec.checks.finding import CoordSpace, Finding
from coordspec.checks.record import check_record
from coordspec.contracts import record_contract, rule
from coordspec.convert.pixels import SourceError, side_fault
from coordspec.coords import BIN_OF_TOKEN, TOKENS, bin_from_pixel, pixel_from_bin
from coordspec.errors import ContractError, Place, Severity, dotted_path
from coordspec.jsonl.parse import parse_line
from coordspec.jsonl.read import Line, read_lines

_GEOMETRIES = record_contract().geometries
Coord: TypeAlias = int | float | str


class CoordKind(StrEnum):
    """How a coordinate is written: as a pixel, as a bin, or as a coord token."""

    PIXEL = "pixel"
    INT = "int"
    TOKEN = "token"  # noqa: S105 (a coord token is no secret)


def recode_lines(
    path: str,
    source: CoordKind | None,
    target: CoordKind,
    max_line_bytes: int,
    on_read: Callable[[int], object] = lambda _: None,
) -> Iterator[str]:
    """The lines of a contract file with their coordinates as ``target``, without line ends.

    ``source`` None takes integers and coord tokens, whichever a geometry has. Pixels are what ``source`` has to say:
    no look at a file can tell them from bins. ``on_read`` is told the bytes of each line.

    Raises:
        ContractError: a line breaks the contract at error level, or the file holds no line at all.
        SourceError: a geometry is in another form than ``source``.
        InputError: the file cannot be read.
    """
    empty = True
    for line in read_lines(path, max_line_bytes):
        empty = False
        on_read(line.length + 1)
        place = Place(path, line.number)
        value = _checked(line, place, source, max_line_bytes)
        if CoordKind.PIXEL in (source, target):
            _refuse_sides(value, place)
        yield json.dumps(recode(value, source, target, place), ensure_ascii=False, allow_nan=False)
    if empty:
        raise _contract_error([Finding("no-records", (), {})], Place(path))


def _checked(line: Line, place: Place, source: CoordKind | None, max_line_bytes: int) -> Mapping[str, Any]:
    """The line's value, which obeys the contract in the space of ``source``."""
    parsed = parse_line(line.data, line.length, max_line_bytes)
    if parsed.faults:
        raise _contract_error([fault.finding for fault in parsed.faults], place)
    space = CoordSpace.PIXEL if source is CoordKind.PIXEL else CoordSpace.NORM1000
    findings = [f for f in check_record(parsed.value, space) if rule(f.rule).severity is Severity.ERROR]
    if findings:
        raise _contract_error(findings, place)
    value: Mapping[str, Any] = parsed.value
    return value


def _contract_error(findings: Sequence[Finding], place: Place) -> ContractError:
    first = findings[0]
    return ContractError([rule(first.rule).issue(Place(place.path, place.line, at=first.at), first.values)])


def _refuse_sides(value: Mapping[str, Any], place: Place) -> None:
    for name in ("width", "height"):
        fault = side_fault(name, value[name])
        if fault is not None:
            raise SourceError(str(place), fault)


def recode(value: Mapping[str, Any], source: CoordKind | None, target: CoordKind, place: Place) -> dict[str, Any]:
    """A record that obeys the contract, with its coordinates as ``target``; nothing else and no order changes.

    ``place`` is the record's, for the message.

    Raises:
        SourceError: a geometry is in another form than ``source``.
    """
    sides = value["width"], value["height"]
    objects = []
    for i, item in enumerate(value["objects"]):
        changed = dict(item)
        for name in _GEOMETRIES:
            if name in item:
                _refuse_form(item[name], source, place, dotted_path(("objects", i, name)))
                changed[name] = _recode_list(item[name], source, target, sides)
        objects.append(changed)
    return {**value, "objects": objects}


def _refuse_form(coords: Sequence[Any], source: CoordKind | None, place: Place, at: str) -> None:
    """Raise SourceError where the coordinates are tokens and ``source`` says integers, or the other way round."""
    first = coords[0][0] if isinstance(coords[0], list) else coords[0]
    found = CoordKind.TOKEN if isinstance(first, str) else CoordKind.INT
    if source in (CoordKind.INT, CoordKind.TOKEN) and found is not source:
        advice = f"pass --from {found}, or leave --from out to take both forms"
        raise SourceError(f"{place}: {at}", f"is in {found} form, not in {source} form as said; {advice}")


def _recode_list(coords: Sequence[Any], source: CoordKind | None, target: CoordKind, sides: Sequence[int]) -> list[Any]:
    """A flat list, or a list of pairs, in the same shape."""
    if isinstance(coords[0], list):
        return [_recode_list(point, source, target, sides) for point in coords]
    return [_recode_coord(coord, source, target, sides[i % 2]) for i, coord in enumerate(coords)]


def _recode_coord(coord: Coord, source: CoordKind | None, target: CoordKind, side: int) -> Coord:
    if source is target is CoordKind.PIXEL:
        return coord
    k = _bin(coord, source, side)
    if target is CoordKind.PIXEL:
        return pixel_from_bin(k, side)
    return TOKENS[k] if target is CoordKind.TOKEN else k


def _bin(coord: Coord, source: CoordKind | None, side: int) -> int:
    if isinstance(coord, str):
        return BIN_OF_TOKEN[coord]
    return bin_from_pixel(coord, side) if source is CoordKind.PIXEL else int(coord)
