"""The reference, faster where most of a line is sound: only what is in doubt is looked at closely.

``Explainer.explain`` gives exactly what ``explain_reference`` gives; the fuzz tests compare the two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from coordspec.checks.finding import CoordSpace, Finding
from coordspec.checks.geometry import NORM1000
from coordspec.checks.objects import check_object, object_signature
from coordspec.checks.record import check_field, missing_fields
from coordspec.contracts import record_contract
from coordspec.coords import BIN_OF_TOKEN, MAX_BIN
from coordspec.validate.accept import is_plain_desc, plain_images
from coordspec.validate.options import Options
from coordspec.validate.reference import Explained, explain_reference
from coordspec.validate.tally import Box, Boxes, numeric_box, sides

_REQUIRED = frozenset(record_contract().required)
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

    def __init__(self, options: Options) -> None:
        self._options = options
        self._good_descs: set[str] = set()
        self._quick = options.space is CoordSpace.NORM1000 and options.images is None

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
        if not (type(width) is int and width > 0 and type(height) is int and height > 0):
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
    for field in item.values():
        if type(field) is list and not _SCALARS.issuperset(map(type, field)):
            raise _Unsure
    return len(item)
