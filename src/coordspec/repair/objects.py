"""Repairs of one object. A repair is one function, named after the rule it serves; the tables at the end wire them.

Each one takes an object and gives the repaired one, or None where it has nothing to do. What it takes stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from coordspec.boxes import ordered_corners
from coordspec.checks.geometry import flat_poly, poly_arity_fault
from coordspec.contracts import record_contract, rule
from coordspec.coords import BIN_OF_TOKEN

Object: TypeAlias = Mapping[str, Any]
Repair: TypeAlias = Callable[[Object], dict[str, Any] | None]

_CONTRACT = record_contract()


def legacy_key(item: Object) -> dict[str, Any] | None:
    """One key of an older format becomes the key of the contract, where its value has the form for it.

    Nothing is renamed beside another geometry or another such key: it could not be said which of the two counts. A box
    that is inverted as corners keeps its key, since it is probably x, y, width, height.
    """
    replacements = rule("legacy-key").params["replacements"]
    found = [key for key in item if key in replacements]
    if len(found) != 1 or any(key in item for key in _CONTRACT.geometries):
        return None
    old, new = found[0], replacements[found[0]]["rename"]
    if new is None or not _FORMS[new](item[old]):
        return None
    return {new if key == old else key: value for key, value in item.items()}


def nested_poly(item: Object) -> dict[str, Any] | None:
    """A poly written as [x, y] pairs becomes one flat list."""
    poly = _poly(item)
    if poly is None or not isinstance(poly[0], list):
        return None
    return {**item, "poly": flat_poly(poly)[0]}


def closing_vertex(item: Object) -> dict[str, Any] | None:
    """A flat poly that ends with its first point loses the repetition, as long as enough points are left.

    poly_points goes along if it counted the points as they were.
    """
    poly = _poly(item)
    if poly is None or isinstance(poly[0], list):
        return None
    end = len(poly)
    while end - 2 >= _CONTRACT.poly_min and poly[end - 2 : end] == poly[:2]:
        end -= 2
    if end == len(poly):
        return None
    points = {"poly_points": end // 2} if _counts(item, len(poly) // 2) else {}
    return {**item, "poly": poly[:end], **points}


def poly_points_mismatch(item: Object) -> dict[str, Any] | None:
    """poly_points becomes the number of points of the poly beside it."""
    poly = _poly(item)
    if poly is None or type(item.get("poly_points")) is not int:
        return None
    points = len(flat_poly(poly)[0]) // 2
    return None if _counts(item, points) else {**item, "poly_points": points}


def inverted_box(item: Object) -> dict[str, Any] | None:
    """The corners of a bbox_2d are put in order: the upper left one first."""
    box = item.get("bbox_2d")
    numbers = _box_numbers(box)
    if numbers is None or _is_upright_box(box):
        return None
    low_x, low_y, _, _ = ordered_corners(numbers)
    x1, x2 = (0, 2) if numbers[0] == low_x else (2, 0)
    y1, y2 = (1, 3) if numbers[1] == low_y else (3, 1)
    return {**item, "bbox_2d": [item["bbox_2d"][i] for i in (x1, y1, x2, y2)]}


def _counts(item: Object, points: int) -> bool:
    return type(item.get("poly_points")) is int and item["poly_points"] == points


def _poly(item: Object) -> list[Any] | None:
    poly = item.get("poly")
    return poly if _is_poly(poly) else None


def _is_poly(value: object) -> bool:
    """True for a list with the arity of a poly, flat or in pairs, of nothing but coordinates."""
    if not isinstance(value, list) or poly_arity_fault(value) is not None:
        return False
    return None not in map(_number, flat_poly(value)[0])


def _is_upright_box(value: object) -> bool:
    numbers = _box_numbers(value)
    return numbers is not None and ordered_corners(numbers) == tuple(numbers)


def _box_numbers(value: object) -> Sequence[float] | None:
    """The coordinates of a list with the arity of a box as numbers, tokens as their bins; None for anything else."""
    if not isinstance(value, list) or len(value) != _CONTRACT.bbox_arity:
        return None
    numbers = [number for number in map(_number, value) if number is not None]
    return numbers if len(numbers) == len(value) else None


def _number(value: object) -> float | None:
    """Like ``checks.geometry.coord_number``, and also for floats that keep their text (``raw.RawFloat``)."""
    if isinstance(value, str):
        return BIN_OF_TOKEN.get(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


_FORMS: Final[Mapping[str, Callable[[object], bool]]] = {"bbox_2d": _is_upright_box, "poly": _is_poly}

SAFE_REPAIRS: Final[Mapping[str, Repair]] = MappingProxyType({
    "legacy-key": legacy_key,
    "nested-poly": nested_poly,
    "closing-vertex": closing_vertex,
    "poly-points-mismatch": poly_points_mismatch,
})  # fmt: skip
"""What is always done to an object, in this order, by the name it is counted under: the rule's where there is one."""

UNSAFE_REPAIRS: Final[Mapping[str, Repair]] = MappingProxyType({"inverted-box": inverted_box})
"""What is done only if asked for: it may hide that the values mean something else."""
