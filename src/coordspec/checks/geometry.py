"""Rules on one geometry: arity, coordinates, corner order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from coordspec.boxes import enclosing_box
from coordspec.checks.finding import CoordSpace, Finding, shown, type_name, wrong_type
from coordspec.contracts import record_contract
from coordspec.coords import BIN_OF_TOKEN, MAX_BIN
from coordspec.errors import Pointer

Number: TypeAlias = int | float
_CONTRACT = record_contract()
_TOKEN_START, _TOKEN_END = "<|coord_", "|>"


@dataclass(frozen=True, slots=True)
class Frame:
    """What coordinates are measured in. ``width`` and ``height`` bound pixel coordinates; None where unknown."""

    space: CoordSpace = CoordSpace.NORM1000
    width: int | None = None
    height: int | None = None

    def maximum(self, index: int) -> int | None:
        """The largest coordinate allowed at ``index`` of a flat x, y, x, y, … list."""
        if self.space is CoordSpace.NORM1000:
            return MAX_BIN
        return self.height if index % 2 else self.width


NORM1000 = Frame()


def coord_number(value: object) -> Number | None:
    """The number a well-typed coordinate stands for: an integer, a float, or a coord token's bin; else None."""
    kind = type(value)
    if kind is int or kind is float:
        return value  # type: ignore[return-value]
    return BIN_OF_TOKEN.get(value) if kind is str else None  # type: ignore[call-overload]


def flat_poly(poly: Sequence[object]) -> tuple[list[object], Sequence[Pointer]]:
    """Coordinates of a poly as one flat list, and where each one stands below the poly."""
    if poly and all(isinstance(point, list) for point in poly):
        pairs = [(value, (i, j)) for i, point in enumerate(poly) for j, value in enumerate(point)]  # type: ignore[arg-type,var-annotated]
        return [value for value, _ in pairs], [at for _, at in pairs]
    return list(poly), _indices(len(poly))


def check_coord(value: object, at: Pointer, maximum: int | None, space: CoordSpace) -> Iterator[Finding]:
    """The rules on a single coordinate: coord-type, coord-token-malformed, coord-range."""
    if space is CoordSpace.PIXEL:
        yield from _check_pixel(value, at, maximum)
    elif isinstance(value, str):
        yield from _check_token(value, at)
    elif type(value) is not int:
        expected = f"an integer from {_CONTRACT.min_bin} to {MAX_BIN} or a coord token"
        yield Finding("coord-type", at, {"value": shown(value), "type": type_name(value), "expected": expected})
    elif not _CONTRACT.min_bin <= value <= MAX_BIN:
        yield _out_of_range(value, at, MAX_BIN, "norm1000")


def _check_token(value: str, at: Pointer) -> Iterator[Finding]:
    if value in BIN_OF_TOKEN:
        return
    digits = value.removeprefix(_TOKEN_START).removesuffix(_TOKEN_END)
    well_formed = value == f"{_TOKEN_START}{digits}{_TOKEN_END}" and digits.isascii() and digits.isdigit()
    if well_formed and digits[0] != "0" and len(digits) > len(str(MAX_BIN)):
        values = {"value": shown(value), "side": "above", "bound": "maximum", "limit": MAX_BIN}
        yield Finding("coord-range", at, {**values, "space": "norm1000", "minimum": 0, "maximum": MAX_BIN})
    else:
        values = {"value": shown(value), "minimum": _CONTRACT.min_bin, "maximum": MAX_BIN}
        yield Finding("coord-token-malformed", at, values)


def _check_pixel(value: object, at: Pointer, maximum: int | None) -> Iterator[Finding]:
    if type(value) not in (int, float):
        expected = "a pixel coordinate, as a finite number"
        yield Finding("coord-type", at, {"value": shown(value), "type": type_name(value), "expected": expected})
    elif value < 0 or (maximum is not None and value > maximum):  # type: ignore[operator]
        yield _out_of_range(value, at, maximum, "pixel")  # type: ignore[arg-type]


def _out_of_range(value: Number, at: Pointer, maximum: int | None, space: str) -> Finding:
    minimum = _CONTRACT.min_bin
    below = value < minimum
    values = {
        "value": shown(value),
        "side": "below" if below else "above",
        "bound": "minimum" if below else "maximum",
        "limit": minimum if below else maximum,
        "space": space,
        "minimum": minimum,
        "maximum": "the image's side" if maximum is None else maximum,
    }
    return Finding("coord-range", at, values)


def _check_coords(flat: Sequence[object], ats: Sequence[Pointer], at: Pointer, frame: Frame) -> Iterator[Finding]:
    norm1000 = frame.space is CoordSpace.NORM1000
    ints = tokens = 0
    for index, value in enumerate(flat):
        if norm1000 and type(value) is int and 0 <= value <= MAX_BIN:
            ints += 1
            continue
        tokens += type(value) is str and value in BIN_OF_TOKEN
        ints += type(value) is int
        yield from check_coord(value, at + ats[index], frame.maximum(index), frame.space)
    if norm1000 and ints and tokens:
        yield Finding("mixed-coords", at, {})


@lru_cache(maxsize=256)
def _indices(count: int) -> tuple[Pointer, ...]:
    return tuple((index,) for index in range(count))


def _well_typed(flat: Sequence[object]) -> list[Number] | None:
    numbers = [number for value in flat if (number := coord_number(value)) is not None]
    return numbers if len(numbers) == len(flat) else None


def bbox_2d(box: object, at: Pointer, frame: Frame) -> Iterator[Finding]:
    """Every rule on a bbox_2d."""
    if not isinstance(box, list | tuple):
        yield wrong_type(at, box, f"a list of {_CONTRACT.bbox_arity} coordinates")
        return
    if len(box) != _CONTRACT.bbox_arity:
        yield Finding("bbox-arity", at, {"value": len(box), "expected": _CONTRACT.bbox_arity})
    yield from _check_coords(box, _indices(len(box)), at, frame)
    if len(box) == _CONTRACT.bbox_arity:
        numbers = _well_typed(box)
        if numbers is not None:
            yield from _check_corners(box, numbers, at)


def _check_corners(box: Sequence[object], numbers: Sequence[Number], at: Pointer) -> Iterator[Finding]:
    x1, y1, x2, y2 = numbers
    sides = (("x", x1, x2), ("y", y1, y2))
    inverted = [f"{axis}1 {_plain(low)} > {axis}2 {_plain(high)}" for axis, low, high in sides if low > high]
    if inverted:
        yield Finding("inverted-box", at, {"value": shown(list(box)), "reason": " and ".join(inverted)})
        return
    missing = [name for name, low, high in (("width", x1, x2), ("height", y1, y2)) if low == high]
    if missing:
        yield Finding("degenerate-box", at, {"value": shown(list(box)), "side": " and no ".join(missing)})


def _plain(number: Number) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def poly(value: object, at: Pointer, frame: Frame) -> Iterator[Finding]:
    """Every rule on a poly, flat or as a list of [x, y] pairs."""
    if not isinstance(value, list | tuple):
        yield wrong_type(at, value, f"a list of at least {_CONTRACT.poly_min} coordinates")
        return
    fault = poly_arity_fault(value)
    if fault is not None:
        yield Finding("poly-arity", at, {"value": fault, "minimum": _CONTRACT.poly_min})
    flat, ats = flat_poly(value)
    yield from _check_coords(flat, ats, at, frame)
    numbers = _well_typed(flat)
    if fault is None and numbers is not None:
        x1, y1, x2, y2 = enclosing_box(numbers)
        for side, line, low, high in (("width", "vertical", x1, x2), ("height", "horizontal", y1, y2)):
            if low == high:
                yield Finding("degenerate-poly", at, {"side": side, "line": line})
                return


def poly_arity_fault(value: Sequence[object]) -> str | None:
    """What is wrong with the number of coordinates, as the end of a sentence, or None."""
    nested = [point for point in value if isinstance(point, list | tuple)]
    if nested and len(nested) != len(value):
        return "mixes lists and coordinates"
    if any(len(point) != 2 for point in nested):  # noqa: PLR2004 (a pair)
        return f"has a point of {next(len(p) for p in nested if len(p) != 2)} coordinates"  # noqa: PLR2004
    count = 2 * len(nested) if nested else len(value)
    if count < _CONTRACT.poly_min or count % 2:
        return f"has {count}"
    return None


def poly_points(value: object, item: Mapping[str, object], at: Pointer) -> Iterator[Finding]:
    """poly_points goes with a poly and is its number of points."""
    if type(value) is not int:
        yield wrong_type(at, value, "an integer")
        return
    outline = item.get("poly")
    if not isinstance(outline, list | tuple):
        if "poly" not in item:
            yield Finding("poly-points-mismatch", at, {"value": value, "reason": "the object has no poly"})
        return
    points = len(flat_poly(outline)[0]) / 2
    if poly_arity_fault(outline) is None and value != points:
        yield Finding("poly-points-mismatch", at, {"value": value, "reason": f"the poly has {points:.0f} points"})


GEOMETRY_CHECKS: Mapping[str, Callable[[object, Pointer, Frame], Iterator[Finding]]] = {
    "bbox_2d": bbox_2d,
    "poly": poly,
}
