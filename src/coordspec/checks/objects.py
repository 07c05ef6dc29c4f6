"""Rules on one object and on the list of objects."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Final

from coordspec.checks.finding import SHOWN_CHARS, Finding, cut, wrong_type
from coordspec.checks.geometry import GEOMETRY_CHECKS, Frame, coord_number, flat_poly, poly_points
from coordspec.checks.limits import check_limits
from coordspec.checks.text import check_desc
from coordspec.contracts import did_you_mean, record_contract, rule
from coordspec.errors import Pointer

_CONTRACT = record_contract()


def check_object(item: object, at: Pointer, frame: Frame) -> Iterator[Finding]:
    """Every rule on one object of a record, and what the contract asks of it beyond them."""
    yield from check_entry(item, at, frame)
    if isinstance(item, dict):
        for field in _CONTRACT.object_required:
            if field not in (*ENTRY_REQUIRED, *item):
                yield Finding("missing-field", at, {"field": field})
        yield from check_limits(_CONTRACT.object_limits, item, at)


ENTRY_REQUIRED: Final = ("desc",)
"""What an entry has beside its geometry."""


def check_entry(item: object, at: Pointer, frame: Frame) -> Iterator[Finding]:
    """The rules on an object that hold for what a model writes too: it has a desc, one geometry, and no more."""
    if not isinstance(item, dict):
        yield wrong_type(at, item, "an object with desc and one geometry")
        return
    yield from _check_keys(item, at)
    for field in ENTRY_REQUIRED:
        if field not in item:
            yield Finding("missing-field", at, {"field": field})
    if "desc" in item:
        yield from check_desc(item["desc"], (*at, "desc"))
    for field in _CONTRACT.geometries:
        if field in item:
            yield from GEOMETRY_CHECKS[field](item[field], (*at, field), frame)
    if "poly_points" in item:
        yield from poly_points(item["poly_points"], item, (*at, "poly_points"))


def _check_keys(item: Mapping[str, object], at: Pointer) -> Iterator[Finding]:
    strange = [key for key in item if key not in _CONTRACT.object_fields]
    for key in strange:
        yield _legacy_key(key, at) if key in _CONTRACT.legacy else unknown_field(key, at, _CONTRACT.object_fields)
    present = [field for field in _CONTRACT.geometries if field in item]
    if len(present) != 1:
        yield from geometry_count(present, at, excused=not _CONTRACT.legacy.isdisjoint(strange))


def _legacy_key(key: str, at: Pointer) -> Finding:
    replacement = rule("legacy-key").params["replacements"][key]["text"]
    return Finding("legacy-key", (*at, key), {"field": key, "replacement": replacement}, on_key=True)


def geometry_count(present: Sequence[str], at: Pointer, excused: bool = False) -> Iterator[Finding]:
    """Exactly one geometry; ``excused`` where a legacy key already says why there is none."""
    if len(present) > 1:
        yield Finding("multiple-geometry", at, {"fields": " and ".join(present)})
    elif not present and not excused:
        yield Finding("missing-geometry", at, {"fields": " and ".join(_CONTRACT.geometries)})


def unknown_field(key: str, at: Pointer, known: frozenset[str]) -> Finding:
    """The finding that ``key`` is none of the ``known`` fields, with the one that was probably meant."""
    values = {"field": cut(key), "suggestion": did_you_mean(key[:SHOWN_CHARS], known)}
    return Finding("unknown-field", (*at, key), values, on_key=True)


def duplicate_object(objects: Sequence[object], at: Pointer) -> Iterator[Finding]:
    """The same desc with the same geometry, once in tokens and once in integers included."""
    first: dict[Hashable, int] = {}
    for index, item in enumerate(objects):
        signature = object_signature(item)
        if signature is not None and first.setdefault(signature, index) != index:
            yield Finding("duplicate-object", (*at, index), {"first": first[signature]})


def object_signature(item: object) -> Hashable | None:
    """What makes two objects the same, or None where the object is too broken to say."""
    if not isinstance(item, dict) or not isinstance(item.get("desc"), str):
        return None
    parts: list[Hashable] = [item["desc"]]
    for field in _CONTRACT.geometries:
        value = item.get(field)
        flat = flat_poly(value)[0] if isinstance(value, list) else []
        numbers = tuple(map(coord_number, flat))
        if None in numbers:
            return None
        parts.append(numbers)
    return tuple(parts) if any(parts[1:]) else None
