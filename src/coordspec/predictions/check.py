"""The rules on one prediction: a JSON value in, findings out. What it shares with a record is checked as in one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

from coordspec.checks.finding import Finding, shown, type_name, wrong_type
from coordspec.checks.geometry import GEOMETRY_CHECKS, NORM1000, Frame
from coordspec.checks.objects import geometry_count, unknown_field
from coordspec.checks.record import FIELD_CHECKS
from coordspec.checks.text import blank_desc
from coordspec.contracts import record_contract, rule, schema
from coordspec.coords import MAX_BIN
from coordspec.errors import Issue, Place, Pointer, Severity

_SCHEMA: Final = schema("prediction")
_DEFS: Final[Mapping[str, Any]] = _SCHEMA["$defs"]
GEOMETRIES: Final = record_contract().geometries
QUANTILE_LEVELS: Final[tuple[float, ...]] = tuple(_DEFS["coords"]["properties"]["quantiles"]["levels"])
"""The levels of the quantiles that a prediction holds for each coordinate."""
_BIN: Final = f"an integer from {record_contract().min_bin} to {MAX_BIN}"


def check_prediction(value: object) -> Iterator[Finding]:
    """Every rule on one line of a prediction file that needs nothing but the line."""
    if not isinstance(value, dict):
        yield Finding("not-an-object", (), {"type": type_name(value)})
        return
    yield from _check_fields(value, (), _SCHEMA, _LINE_CHECKS)


def check_run(value: object) -> Iterator[Finding]:
    """Every rule on the file beside a prediction file, but for the id, which ``Run`` compares."""
    if not isinstance(value, dict):
        yield Finding("not-an-object", (), {"type": type_name(value)})
        return
    yield from _check_fields(value, (), _DEFS["run"], _RUN_CHECKS)


def issues_of(findings: Iterable[Finding], place: Place) -> list[Issue]:
    """The findings that refuse a line, at ``place``. An unknown field is one of them: nothing here is free-form."""
    strict = ((rule(f.rule), f) for f in findings)
    return [
        found.issue(Place(place.path, place.line, place.column, place.byte_offset, f.at), f.values, Severity.ERROR)
        for found, f in strict
        if found.severity is Severity.ERROR or found.name == "unknown-field"
    ]


Check = Callable[[Any, Pointer], Iterator[Finding]]


def _check_fields(
    value: Mapping[str, object], at: Pointer, node: Mapping[str, Any], checks: Mapping[str, Check]
) -> Iterator[Finding]:
    """Required fields, unknown fields, and the check of each known one."""
    yield from (Finding("missing-field", at, {"field": name}) for name in node["required"] if name not in value)
    for name, item in value.items():
        if name in checks:
            yield from checks[name](item, (*at, name))
        else:
            yield unknown_field(name, at, frozenset(node["properties"]))


def _object(item: object, at: Pointer) -> Iterator[Finding]:
    if not isinstance(item, dict):
        yield wrong_type(at, item, "an object with desc, one geometry and score")
        return
    yield from _check_fields(item, at, _DEFS["object"], _OBJECT_CHECKS)
    present = [name for name in GEOMETRIES if name in item]
    if len(present) != 1:
        yield from geometry_count(present, at)
    elif isinstance(item.get("coords"), dict) and not any(_OBJECT_CHECKS[present[0]](item[present[0]], at)):
        yield from _coord_lengths(item["coords"], len(item[present[0]]), (*at, "coords"))


def _dropped(item: object, at: Pointer) -> Iterator[Finding]:
    if isinstance(item, dict):
        yield from _check_fields(item, at, _DEFS["dropped"], _DROPPED_CHECKS)
    else:
        yield wrong_type(at, item, "an object with key and reason")


def _coords(item: object, at: Pointer) -> Iterator[Finding]:
    if isinstance(item, dict):
        yield from _check_fields(item, at, _DEFS["coords"], _COORDS_CHECKS)
    else:
        yield wrong_type(at, item, "an object with expected, std and quantiles")


def _coord_lengths(coords: Mapping[str, object], count: int, at: Pointer) -> Iterator[Finding]:
    for name, values in coords.items():
        if isinstance(values, list) and len(values) != count:
            values_of = {"value": len(values), "expected": f"{count}, one for each coordinate"}
            yield Finding("prediction-coords", (*at, name), values_of)


def _quantiles(value: object, at: Pointer) -> Iterator[Finding]:
    if not isinstance(value, list):
        yield wrong_type(at, value, "a list of bins")
    elif len(value) != len(QUANTILE_LEVELS):
        expected = f"{len(QUANTILE_LEVELS)}, one for each level"
        yield Finding("prediction-coords", at, {"value": len(value), "expected": expected})
    elif not (faults := [f for i, k in enumerate(value) for f in _bin(k, (*at, i))]):
        if any(low > high for low, high in pairwise(value)):
            yield Finding("prediction-quantiles", at, {"value": shown(value)})
    else:
        yield from faults


def _bins(
    value: object, at: Pointer, check: Callable[[object, Pointer, Frame], Iterator[Finding]]
) -> Iterator[Finding]:
    """A geometry whose coordinates are integers, neither tokens nor pairs."""
    if isinstance(value, list):
        odd = next((i for i, k in enumerate(value) if isinstance(k, str | list)), None)
        if odd is not None:
            yield wrong_type((*at, odd), value[odd], _BIN)
            return
    yield from check(value, at, NORM1000)


def _bin(value: object, at: Pointer) -> Iterator[Finding]:
    if type(value) is not int:
        yield wrong_type(at, value, _BIN)
    elif not record_contract().min_bin <= value <= MAX_BIN:
        yield Finding("prediction-number", at, {"value": shown(value), "expected": _BIN})


def _desc(value: object, at: Pointer) -> Iterator[Finding]:
    """Not blank; otherwise a model may write what an annotation may not."""
    if isinstance(value, str):
        yield from blank_desc(value, at)
    else:
        yield wrong_type(at, value, "a string")


def _number(value: object, at: Pointer, high: int) -> Iterator[Finding]:
    expected = f"a number from 0 to {high}"
    if type(value) not in (int, float):
        yield wrong_type(at, value, expected)
    elif not 0 <= value <= high:  # type: ignore[operator]
        yield Finding("prediction-number", at, {"value": shown(value), "expected": expected})


def _score(value: object, at: Pointer) -> Iterator[Finding]:
    return _number(value, at, 1) if value is not None else iter(())


def _in_bins(value: object, at: Pointer) -> Iterator[Finding]:
    return _number(value, at, MAX_BIN)


def _count(value: object, at: Pointer) -> Iterator[Finding]:
    if type(value) is not int:
        yield wrong_type(at, value, "an integer from 0")
    elif value < 0:
        yield Finding("prediction-number", at, {"value": shown(value), "expected": "an integer from 0"})


def _integer(value: object, at: Pointer) -> Iterator[Finding]:
    if type(value) is not int:
        yield wrong_type(at, value, "an integer")


def _flag(value: object, at: Pointer) -> Iterator[Finding]:
    if type(value) is not bool:
        yield wrong_type(at, value, "true or false")


def _text(value: object, at: Pointer) -> Iterator[Finding]:
    if type(value) is not str:
        yield wrong_type(at, value, "a string")


def _name(value: object, at: Pointer) -> Iterator[Finding]:
    if type(value) is not str or not value:
        yield wrong_type(at, value, "a string that is not empty")


def _mapping(value: object, at: Pointer) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield wrong_type(at, value, "an object")


def _or_null(check: Check) -> Check:
    return lambda value, at: iter(()) if value is None else check(value, at)


def _list_of(check: Check) -> Check:
    def checked(value: object, at: Pointer) -> Iterator[Finding]:
        if isinstance(value, list):
            yield from (f for i, item in enumerate(value) for f in check(item, (*at, i)))
        else:
            yield wrong_type(at, value, "a list")

    return checked


def _of_a_record(name: str) -> Check:
    return lambda value, at: FIELD_CHECKS[name](value, at, NORM1000)


def _geometry(name: str) -> Check:
    return lambda value, at: _bins(value, at, GEOMETRY_CHECKS[name])


_COORDS_CHECKS: Final[Mapping[str, Check]] = {
    "expected": _list_of(_in_bins),
    "std": _list_of(_in_bins),
    "quantiles": _list_of(_quantiles),
}
_OBJECT_CHECKS: Final[Mapping[str, Check]] = {
    "desc": _desc,
    **{name: _geometry(name) for name in GEOMETRIES},
    "score": _score,
    "score_coord": _score,
    "score_desc": _score,
    "coords": _coords,
}
_DROPPED_CHECKS: Final[Mapping[str, Check]] = {"key": _text, "reason": _name}
_LINE_CHECKS: Final[Mapping[str, Check]] = {
    "index": _count,
    **{name: _of_a_record(name) for name in ("images", "width", "height")},
    "objects": _list_of(_object),
    "dropped": _list_of(_dropped),
    "truncated": _flag,
    "fallback": _or_null(_name),
    "text": _or_null(_text),
    "tokens": _or_null(_count),
    "run": _or_null(_name),
}
_RUN_CHECKS: Final[Mapping[str, Check]] = {
    "run": _name,
    "checkpoint": _name,
    "fingerprint": _name,
    "seed": _integer,
    "settings": _mapping,
}
