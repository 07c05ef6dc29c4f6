"""One image sample as typed values: read from lines, and the two texts made of it, JSONL line and assistant payload."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from coordspec.checks.finding import CoordSpace, Finding
from coordspec.checks.geometry import NORM1000, coord_number, flat_poly
from coordspec.checks.objects import check_entry
from coordspec.checks.record import check_record
from coordspec.contracts import SchemaLimits, payload_contract, record_contract, rule
from coordspec.coords import TOKENS
from coordspec.errors import ContractError, Issue, Place, Pointer, Severity
from coordspec.jsonl.parse import parse_line
from coordspec.jsonl.read import read_lines

_CONTRACT: Final = record_contract()
_PAYLOAD: Final = payload_contract()
_GEOMETRIES: Final = _CONTRACT.geometries
_SEPARATORS: Final = (_PAYLOAD.item_separator, _PAYLOAD.key_separator)

NOWHERE: Final = Place("")
"""The place of a record that was built in memory."""


class CoordForm(StrEnum):
    """How bins are written: as integers or as coord tokens."""

    INT = "int"
    TOKEN = "token"  # noqa: S105 (a coord token is no secret)


@dataclass(frozen=True, slots=True)
class DetObject:
    """One object: what it is and where, coordinates as tuples of bins.

    ``bbox_2d`` is ``(x1, y1, x2, y2)``, ``poly`` is ``(x1, y1, x2, y2, x3, y3, …)``. ``more`` are fields that the
    contract has beyond these: they are carried along and never trained on. Building one checks nothing; whatever writes
    it out does.
    """

    desc: str
    bbox_2d: tuple[int, ...] | None = None
    poly: tuple[int, ...] | None = None
    more: Mapping[str, Any] | None = field(default=None, compare=False)

    def fields(self, form: CoordForm) -> dict[str, Any]:
        """The object as it stands in JSON: desc, then the geometries that it has."""
        fields: dict[str, Any] = {"desc": self.desc}
        for name in _GEOMETRIES:
            bins = getattr(self, name)
            if bins is not None:
                fields[name] = list(bins) if form is CoordForm.INT else [TOKENS[k] for k in bins]
        return fields


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a contract file. ``place`` says where it came from and takes no part in comparisons."""

    images: tuple[str, ...]
    width: int
    height: int
    objects: tuple[DetObject, ...] = ()
    summary: str | None = None
    metadata: Mapping[str, Any] | None = None
    place: Place = field(default=NOWHERE, compare=False)
    more: Mapping[str, Any] | None = field(default=None, compare=False)

    @classmethod
    def from_value(cls, value: object, place: Place = NOWHERE, schema: SchemaLimits | None = None) -> Record:
        """The record that a parsed JSON line holds, in integers or in tokens; ``schema`` asks more than the contract.

        Raises:
            ContractError: the value breaks a rule at error level; every such finding is in it.
        """
        _refuse(check_record(value, CoordSpace.NORM1000, schema), place)
        assert isinstance(value, dict)
        return cls(
            images=tuple(value["images"]),
            width=value["width"],
            height=value["height"],
            objects=tuple(map(_object, value["objects"])),
            summary=value.get("summary"),
            metadata=value.get("metadata"),
            place=place,
            more=_named(value, _CONTRACT.more),
        )

    def payload(self, start: int = 1) -> str:
        """What the model is taught to write for this record; see ``render_payload``."""
        return render_payload(self.objects, start, self.place)

    def line(self, form: CoordForm) -> str:
        """The record as one JSONL line, without line end.

        Raises:
            ContractError: the record breaks a rule at error level.
        """
        value: dict[str, Any] = {"images": list(self.images), "width": self.width, "height": self.height}
        value["objects"] = [{**item.fields(CoordForm.INT), **(item.more or {})} for item in self.objects]
        value |= {k: v for k, v in (("summary", self.summary), ("metadata", self.metadata)) if v is not None}
        value |= self.more or {}
        _refuse(check_record(value), self.place)
        value["objects"] = [{**item.fields(form), **(item.more or {})} for item in self.objects]
        return json.dumps(value, ensure_ascii=False, allow_nan=False)


class RefusedLine(NamedTuple):
    """A line that holds no record, and why: every finding at error level, in the order of their places."""

    place: Place
    issues: tuple[Issue, ...]


MAX_ISSUES: Final = 20
"""Findings after which ``all_records`` reads no further; `coordspec validate` lists more."""


def record_of_line(data: bytes, length: int, max_line_bytes: int, place: Place) -> Record | RefusedLine:
    """What one line holds: the one way from bytes to a record. An unreadable line is a value, and no exception.

    ``length`` is the line's real length, above ``len(data)`` where the reader cut it. A line is refused for what
    ``coordspec validate`` calls an error; warnings refuse nothing.
    """
    parsed = parse_line(data, length, max_line_bytes)
    faults = (rule(fault.finding.rule).issue(place, fault.finding.values) for fault in parsed.faults)
    issues = [issue for issue in faults if issue.severity is Severity.ERROR]
    if parsed.usable:
        try:
            record = Record.from_value(parsed.value, place)
        except ContractError as error:
            issues += error.issues
    return RefusedLine(place, tuple(issues)) if issues else record


def read_records(
    path: str, max_line_bytes: int, on_read: Callable[[int], object] = lambda _: None
) -> Iterator[Record | RefusedLine]:
    """The lines of a contract file (.jsonl, .gz, .zst, ``-``) in their order. ``on_read`` is told the bytes of each.

    Raises:
        InputError: the file cannot be read.
    """
    for line in read_lines(path, max_line_bytes):
        on_read(line.length + 1)
        yield record_of_line(line.data, line.length, max_line_bytes, Place(path, line.number, byte_offset=line.offset))


def all_records(path: str, max_line_bytes: int, on_read: Callable[[int], object] = lambda _: None) -> list[Record]:
    """All records of a contract file, which is refused for a single line that holds none.

    Raises:
        ContractError: lines break a rule at error level; the first ``MAX_ISSUES`` such findings, with file and line.
        InputError: the file cannot be read.
    """
    records: list[Record] = []
    issues: list[Issue] = []
    for item in read_records(path, max_line_bytes, on_read):
        if isinstance(item, Record):
            records.append(item)
        else:
            issues += item.issues
        if len(issues) >= MAX_ISSUES:
            break
    if issues:
        raise ContractError(issues[:MAX_ISSUES])
    return records


def _named(value: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any] | None:
    """The fields of these names; None where there are none."""
    return {name: value[name] for name in names if name in value} or None


def _object(item: Mapping[str, Any]) -> DetObject:
    bins: dict[str, Any] = {
        name: tuple(map(coord_number, flat_poly(item[name])[0])) for name in _GEOMETRIES if name in item
    }
    return DetObject(item["desc"], **bins, more=_named(item, _CONTRACT.object_more))


def render_payload(objects: Iterable[DetObject], start: int = 1, place: Place = NOWHERE) -> str:
    """The assistant payload of contract section 2.

    One JSON object with keys ``object_<start>``, ``object_<start + 1>``, …, each value a desc and one geometry of
    quoted coord tokens; the separators are those of ``payload.schema.json``, non-ASCII text stays as it is.

    Raises:
        ContractError: an object has no geometry or two, a wrong arity, a bin outside of 0..999, a blank desc, or breaks
            any other rule at error level. Nothing partial is returned. ``place`` is the record's, for the message.
        ValueError: ``start`` is below 1.
    """
    if start < 1:
        raise ValueError(f"payload keys count from 1, not from {start}")
    listed = list(objects)
    values = [item.fields(CoordForm.INT) for item in listed]
    _refuse((f for i, value in enumerate(values) for f in check_entry(value, ("objects", i), NORM1000)), place)
    entries = {_PAYLOAD.key(number): item.fields(CoordForm.TOKEN) for number, item in enumerate(listed, start)}
    return json.dumps(entries, ensure_ascii=False, separators=_SEPARATORS)


def _refuse(findings: Iterable[Finding], place: Place) -> None:
    """Raise ContractError if any finding is at error level."""
    found = [f for f in findings if rule(f.rule).severity is Severity.ERROR]
    if found:
        raise ContractError(rule(f.rule).issue(_at(place, f.at), f.values) for f in found)


def _at(place: Place, at: Pointer) -> Place:
    return Place(place.path, place.line, place.column, place.byte_offset, at)
