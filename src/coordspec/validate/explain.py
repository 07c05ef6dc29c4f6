"""The slow path: every finding on a line, and what a run is told to look for.

The reference is the definition of truth; the explainer says the same about lines that are nearly sound, in less time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from coordspec.checks.finding import CoordSpace, Finding
from coordspec.checks.geometry import NORM1000
from coordspec.checks.objects import check_object, object_signature
from coordspec.checks.record import check_field, check_record, missing_fields
from coordspec.contracts import SchemaLimits, record_contract, rule, rule_book
from coordspec.coords import BIN_OF_TOKEN, MAX_BIN
from coordspec.errors import Issue, Place, Severity
from coordspec.findings.outcome import MAX_LISTED
from coordspec.jsonl.inputs import MAX_LINE_BYTES, STDIN
from coordspec.jsonl.parse import TextFault, ValuePlace, locate, parse_line
from coordspec.validate.accept import is_plain_desc, plain_images
from coordspec.validate.tally import Box, Boxes, numeric_box, numeric_boxes, sides


@dataclass(frozen=True, slots=True)
class ImageCheck:
    """Look at image files: with ``decode`` at every pixel of them, else at their headers.

    They stand below ``root``; None is the folder of each JSONL file.
    """

    root: Path | None = None
    decode: bool = False


@dataclass(frozen=True, slots=True)
class ValidateOptions:
    """How lines are checked. Every worker gets the same object.

    ``rules`` are the names of the rules that count; ``strict`` makes warnings errors; at most ``max_listed``
    findings of one rule are kept of one file. ``schema`` is what somebody asks beyond the contract.
    """

    space: CoordSpace = CoordSpace.NORM1000
    strict: bool = False
    rules: frozenset[str] = field(default_factory=lambda: frozenset(rule_book().about("data").by_name))
    max_line_bytes: int = MAX_LINE_BYTES
    max_listed: int = MAX_LISTED
    images: ImageCheck | None = None
    schema: SchemaLimits | None = None

    def for_file(self, path: str) -> ValidateOptions:
        """The options for one file: where no image root was given, it is the file's folder."""
        if self.images is None or self.images.root is not None:
            return self
        root = Path() if path == STDIN else Path(path).parent
        return replace(self, images=replace(self.images, root=root))

    def severity(self, name: str) -> Severity:
        """The severity of a rule in this run."""
        severity = rule(name).severity
        return Severity.ERROR if self.strict and severity is Severity.WARNING else severity


class Explained(NamedTuple):
    """What is wrong with one line, the findings that the run asks for alone, in no order.

    ``faults`` are about its text and know their place; ``findings`` are about the value and get theirs from ``locate``.
    ``boxes`` are counted for the whole-file checks; ``repeats`` says that some key of the line is repeated.
    """

    faults: list[TextFault]
    findings: list[Finding]
    boxes: Boxes
    repeats: bool = False

    def first(self, count: int) -> Explained:
        """The same line with at most ``count`` findings of each rule, in the order in which they were found."""
        room = dict.fromkeys(self.rules(), count)

        def has_room(name: str) -> bool:
            room[name] -= 1
            return room[name] >= 0

        faults = [fault for fault in self.faults if has_room(fault.finding.rule)]
        return self._replace(faults=faults, findings=[finding for finding in self.findings if has_room(finding.rule)])

    def rules(self) -> list[str]:
        """The name of the rule of every finding."""
        return [fault.finding.rule for fault in self.faults] + [finding.rule for finding in self.findings]


class Located(NamedTuple):
    """A finding in a file: ``line`` counts from 1, ``column`` from 1 in code points, ``byte_offset`` from 0.

    All three are None for a finding on the whole file.
    """

    finding: Finding
    line: int | None = None
    column: int | None = None
    byte_offset: int | None = None

    def issue(self, path: str, options: ValidateOptions) -> Issue:
        """The finding as it is shown, with the path of its file."""
        name, at, values, _ = self.finding
        place = Place(path, self.line, self.column, self.byte_offset, None if self.line is None else at)
        return rule(name).issue(place, values, options.severity(name))


def explain_reference(data: bytes, length: int, options: ValidateOptions) -> Explained:
    """Every finding on one line that the options ask for. Never raises, whatever the bytes are.

    ``length`` is the line's real length, above ``len(data)`` where the reader cut it.
    """
    parsed = parse_line(data, length, options.max_line_bytes)
    findings = _check_value(parsed.value, options) if parsed.usable else ()
    return Explained(
        [fault for fault in parsed.faults if fault.finding.rule in options.rules],
        [finding for finding in findings if finding.rule in options.rules],
        numeric_boxes(parsed.value),
        any(fault.finding.rule == "duplicate-key" for fault in parsed.faults),
    )


def _check_value(value: Any, options: ValidateOptions) -> Iterator[Finding]:
    yield from check_record(value, options.space, options.schema)
    if options.images is not None:
        from coordspec.validate.images import check_images  # noqa: PLC0415 (Pillow only where images are looked at)

        yield from check_images(value, options.images)


def locate_all(explained: Explained, data: bytes, number: int, offset: int) -> list[Located]:
    """The findings of one line in the order of their places; ``offset`` is that of the line in its file."""
    targets = [ValuePlace(finding.at, finding.on_key) for finding in explained.findings]
    starts = locate(data, targets, repeats=explained.repeats)
    places = [(fault.start, fault.finding) for fault in explained.faults]
    places += [(starts[target], finding) for target, finding in zip(targets, explained.findings, strict=True)]
    places.sort(key=lambda place: (place[0], place[1].rule))
    located: list[Located] = []
    column, done = 1, 0
    for start, finding in places:
        column += len(data[done:start].decode("utf-8", "replace"))
        done = start
        located.append(Located(finding, number, column, offset + start))
    return located


_REQUIRED = frozenset(record_contract().required)
_MIN_WIDTH, _MIN_HEIGHT = record_contract().min_width, record_contract().min_height
_SCALARS = frozenset((str, int, float, bool, type(None)))
_decode = msgspec.json.Decoder().decode


class _Unsure(Exception):  # noqa: N818 (it never leaves this module)
    """The line is not of the kind that can be explained this way."""


class _Sorted(NamedTuple):
    """Boxes of the objects without any doubt about them, and the other objects with their indices."""

    plain: list[Box]
    odd: list[tuple[int, Any]]


class Explainer:
    """Explains lines; remembers descriptions that it found good, which changes no answer."""

    def __init__(self, options: ValidateOptions) -> None:
        self._options = options
        self._good_descs: set[str] = set()
        plain = record_contract().plain and options.schema is None
        self._quick = plain and options.space is CoordSpace.NORM1000 and options.images is None

    def explain(self, data: bytes, length: int) -> Explained:
        """Every finding on one line; see ``explain_reference``."""
        if self._quick and length <= self._options.max_line_bytes:
            try:
                return self._explain(data, _decode(data))
            except (_Unsure, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
        return explain_reference(data, length, self._options)

    def _explain(self, data: bytes, value: Any) -> Explained:
        """The findings on a line whose keys are single and whose nesting is that of a record; else _Unsure."""
        objects = value.get("objects") if type(value) is dict else None
        if type(objects) is not list:
            raise _Unsure
        plain, odd = self._sort_bins(objects)
        if len(odd) > 1:
            tokens = self._sort_tokens(objects)
            plain, odd = tokens if len(tokens.odd) < len(odd) else (plain, odd)
        seen: set[Any] = set(plain)
        if len(seen) != len(plain):
            raise _Unsure  # a repeated object, or two that share their box
        width, height = value.get("width"), value.get("height")
        keys, findings = self._check_fields(value, width, height)
        keys += 2 * len(plain)
        boxes: list[Box] = []
        for index, item in odd:
            keys += _single_keys(item)
            findings += check_object(item, ("objects", index), NORM1000)
            box = numeric_box(item)
            if box is not None:
                boxes.append(box)
            signature = object_signature(item) if len(odd) > 1 else None
            if box in seen or signature in seen:
                raise _Unsure  # perhaps a repeated object
            if signature is not None:
                seen.add(signature)
        if data.count(b":") != keys:
            raise _Unsure  # a repeated key, or a colon inside of a string
        rules = self._options.rules
        return Explained([], [f for f in findings if f.rule in rules], Boxes(plain, boxes, *sides(width, height)))

    def _check_fields(self, value: dict[str, Any], width: Any, height: Any) -> tuple[int, list[Finding]]:
        """How many keys the record and its metadata have, and the findings on all fields but the objects."""
        keys, findings, strange = len(value), list[Finding](), set[str]()
        if value.keys() != _REQUIRED:
            strange = value.keys() - _REQUIRED
            findings += missing_fields(value)
        if not (type(width) is int and width >= _MIN_WIDTH and type(height) is int and height >= _MIN_HEIGHT):
            strange |= value.keys() & {"width", "height"}
        images = value.get("images")
        if not (type(images) is list and {type(path) for path in images} == {str} and plain_images(images)):
            strange |= value.keys() & {"images"}
        for key in strange:
            field = value[key]
            if _nests(field) or (type(field) is dict and key != "metadata"):
                raise _Unsure
            keys += len(field) if type(field) is dict else 0
            findings += check_field(key, field, NORM1000)
        return keys, findings

    def _sort_bins(self, objects: list[Any]) -> _Sorted:
        good_descs = self._good_descs
        plain: list[Box] = []
        odd: list[tuple[int, Any]] = []
        for index, item in enumerate(objects):
            try:
                x1, y1, x2, y2 = item["bbox_2d"]
                if (
                    type(x1) is type(y1) is type(x2) is type(y2) is int
                    and 0 <= x1 < x2 <= MAX_BIN
                    and 0 <= y1 < y2 <= MAX_BIN
                    and len(item) == 2  # noqa: PLR2004 (desc and bbox_2d)
                    and (item["desc"] in good_descs or is_plain_desc(item["desc"], good_descs))
                ):
                    plain.append((x1, y1, x2, y2))
                    continue
            except (TypeError, KeyError, ValueError, AttributeError):
                pass
            odd.append((index, item))
        return _Sorted(plain, odd)

    def _sort_tokens(self, objects: list[Any]) -> _Sorted:
        good_descs = self._good_descs
        plain: list[Box] = []
        odd: list[tuple[int, Any]] = []
        for index, item in enumerate(objects):
            try:
                x1, y1, x2, y2 = item["bbox_2d"]
                box = BIN_OF_TOKEN[x1], BIN_OF_TOKEN[y1], BIN_OF_TOKEN[x2], BIN_OF_TOKEN[y2]
                if box[0] < box[2] and box[1] < box[3] and len(item) == 2 and is_plain_desc(item["desc"], good_descs):  # noqa: PLR2004
                    plain.append(box)
                    continue
            except (TypeError, KeyError, ValueError, AttributeError):
                pass
            odd.append((index, item))
        return _Sorted(plain, odd)


def _nests(value: Any) -> bool:
    """True if a list or an object stands inside of the value."""
    inner = value.values() if type(value) is dict else value if type(value) is list else ()
    return any(type(item) in (dict, list) for item in inner)


def _single_keys(item: Any) -> int:
    """How many keys an object of the record has; _Unsure if something stands in a list inside of it.

    Keys of an object further inside are not counted, so the colons tell that there are some.
    """
    if type(item) is not dict:
        if type(item) is list:
            raise _Unsure
        return 0
    for part in item.values():
        if type(part) is list and not _SCALARS.issuperset(map(type, part)):
            raise _Unsure
    return len(item)
