"""Rules on one record: a JSON value in, findings out. Files, lines and positions are not known here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from coordspec.checks.finding import CoordSpace, Finding, shown, type_name, wrong_type
from coordspec.checks.geometry import Frame
from coordspec.checks.limits import check_limits
from coordspec.checks.objects import check_object, duplicate_object, unknown_field
from coordspec.checks.paths import check_image_path
from coordspec.checks.text import check_summary
from coordspec.contracts import SchemaLimits, record_contract
from coordspec.errors import Pointer

_CONTRACT = record_contract()


def check_record(
    value: object, space: CoordSpace = CoordSpace.NORM1000, schema: SchemaLimits | None = None
) -> Iterator[Finding]:
    """Every rule on a record that needs nothing but the record itself, and what a ``schema`` asks beyond them."""
    if not isinstance(value, dict):
        yield Finding("not-an-object", (), {"type": type_name(value)})
        return
    yield from missing_fields(value)
    sides = (_side(value.get("width"), _CONTRACT.min_width), _side(value.get("height"), _CONTRACT.min_height))
    frame = Frame(space, *sides)
    for key, field_value in value.items():
        yield from check_field(key, field_value, frame)
    yield from check_limits(_CONTRACT.limits, value)
    yield from check_limits(schema, value)


def missing_fields(value: Collection[str]) -> Iterator[Finding]:
    """Required fields that are none of a record's keys."""
    for field in _CONTRACT.required:
        if field not in value:
            yield Finding("missing-field", (), {"field": field})


def check_field(key: str, value: object, frame: Frame) -> Iterator[Finding]:
    """Every rule on one field of a record, known or not."""
    if key in FIELD_CHECKS:
        yield from FIELD_CHECKS[key](value, (key,), frame)
    elif key not in _CONTRACT.more:
        yield unknown_field(key, (), _CONTRACT.fields)


def _side(value: object, least: int) -> int | None:
    return value if type(value) is int and value >= least else None


def images(value: object, at: Pointer, _frame: Frame) -> Iterator[Finding]:
    if not isinstance(value, list):
        yield wrong_type(at, value, "a list of relative paths")
        return
    if not value:
        yield Finding("no-images", at, {})
    for index, path in enumerate(value):
        yield from check_image_path(path, (*at, index))


def _image_side(value: object, at: Pointer, least: int) -> Iterator[Finding]:
    if type(value) is not int:
        yield wrong_type(at, value, "an integer")
    elif value < least:
        yield Finding("bad-size", at, {"value": shown(value), "minimum": least})


def width(value: object, at: Pointer, _frame: Frame) -> Iterator[Finding]:
    yield from _image_side(value, at, _CONTRACT.min_width)


def height(value: object, at: Pointer, _frame: Frame) -> Iterator[Finding]:
    yield from _image_side(value, at, _CONTRACT.min_height)


def objects(value: object, at: Pointer, frame: Frame) -> Iterator[Finding]:
    if not isinstance(value, list):
        yield wrong_type(at, value, "a list of objects")
        return
    for index, item in enumerate(value):
        yield from check_object(item, (*at, index), frame)
    yield from duplicate_object(value, at)


def summary(value: object, at: Pointer, _frame: Frame) -> Iterator[Finding]:
    yield from check_summary(value, at)


def metadata(value: object, at: Pointer, _frame: Frame) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield wrong_type(at, value, "an object")


FIELD_CHECKS: Mapping[str, Callable[[object, Pointer, Frame], Iterator[Finding]]] = {
    "images": images,
    "width": width,
    "height": height,
    "objects": objects,
    "summary": summary,
    "metadata": metadata,
}
