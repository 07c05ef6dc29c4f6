"""Outlines of shapes as integer pixels, and the pixels that they cover. Integers only, so that no platform differs.

A point is the centre of a pixel. Whatever lies on an outline belongs to the shape, so the pixels of a shape reach
exactly as far as its outline does: no half pixels, no antialiasing, and no rasteriser of any Pillow version in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from coordspec.boxes import reading_order

Point: TypeAlias = tuple[int, int]
Box: TypeAlias = tuple[int, int, int, int]

UNIT: Final = 1000


class ShapeKind(NamedTuple):
    """A kind of shape: its outline, clockwise in -1000..1000 and reaching all four sides of that square.

    ``stretches`` is False where other proportions would make another thing of it (a square is no rectangle).
    """

    outline: tuple[Point, ...]
    stretches: bool


KINDS: Final[Mapping[str, ShapeKind]] = MappingProxyType({
    # sixteen corners: at 48 pixels across, less than half a pixel from the circle
    "circle": ShapeKind(
        (
            *((0, -1000), (383, -924), (707, -707), (924, -383), (1000, 0), (924, 383), (707, 707), (383, 924)),
            *((0, 1000), (-383, 924), (-707, 707), (-924, 383), (-1000, 0), (-924, -383), (-707, -707), (-383, -924)),
        ),
        stretches=False,
    ),
    "square": ShapeKind(((-1000, -1000), (1000, -1000), (1000, 1000), (-1000, 1000)), stretches=False),
    "triangle": ShapeKind(((0, -1000), (1000, 1000), (-1000, 1000)), stretches=True),
    "diamond": ShapeKind(((0, -1000), (1000, 0), (0, 1000), (-1000, 0)), stretches=True),
    # inner corners at 0.45 of the outer radius: plumper than a pentagram, and still a star at 14 pixels
    "star": ShapeKind(
        (
            *((0, -1000), (278, -297), (1000, -236), (450, 259), (618, 1000)),
            *((0, 603), (-618, 1000), (-450, 259), (-1000, -236), (-278, -297)),
        ),
        stretches=False,
    ),
    "cross": ShapeKind(
        (
            *((-333, -1000), (333, -1000), (333, -333), (1000, -333), (1000, 333), (333, 333)),
            *((333, 1000), (-333, 1000), (-333, 333), (-1000, 333), (-1000, -333), (-333, -333)),
        ),
        stretches=True,
    ),
})  # fmt: skip


class Span(NamedTuple):
    """The pixels ``x1`` to ``x2`` of row ``y``, both ends included."""

    y: int
    x1: int
    x2: int


def place(kind: str, centre: Point, half: Point) -> tuple[Point, ...]:
    """The outline of a shape in pixels; it covers ``2 * half + 1`` pixels each way around its centre."""
    return tuple((centre[0] + _scaled(x, half[0]), centre[1] + _scaled(y, half[1])) for x, y in KINDS[kind].outline)


def _scaled(unit: int, half: int) -> int:
    size = (2 * abs(unit) * half + UNIT) // (2 * UNIT)
    return size if unit >= 0 else -size


def spans(outline: Sequence[Point]) -> tuple[Span, ...]:
    """The pixels inside of an outline and on it, row by row from the top; spans of one row may overlap."""
    ys = [y for _, y in outline]
    return tuple(span for y in range(min(ys), max(ys) + 1) for span in _row(outline, y))


def _row(outline: Sequence[Point], y: int) -> list[Span]:
    """Even-odd rule on half-open edges, then what it leaves out: corners, and edges along the row."""
    crossings: list[Fraction] = []
    row: list[Span] = []
    for (x0, y0), (x1, y1) in zip(outline, (*outline[1:], outline[0]), strict=True):
        if y0 == y == y1:
            row.append(Span(y, min(x0, x1), max(x0, x1)))
        elif y0 == y:
            row.append(Span(y, x0, x0))
        if min(y0, y1) <= y < max(y0, y1):
            crossings.append(x0 + Fraction((y - y0) * (x1 - x0), y1 - y0))
    crossings.sort()
    for left, right in zip(crossings[0::2], crossings[1::2], strict=True):
        first, last = -(-left.numerator // left.denominator), right.numerator // right.denominator
        if first <= last:
            row.append(Span(y, first, last))
    return row


def in_frame(covered: Sequence[Span], width: int, height: int) -> tuple[Span, ...]:
    """The part of some spans that lies in an image of that size."""
    cut = (Span(y, max(0, x1), min(width - 1, x2)) for y, x1, x2 in covered if 0 <= y < height)
    return tuple(span for span in cut if span.x1 <= span.x2)


def extent(covered: Sequence[Span]) -> Box:
    """First column, first row, last column and last row of at least one span, all included."""
    rows = [span.y for span in covered]
    return min(span.x1 for span in covered), min(rows), max(span.x2 for span in covered), max(rows)


def clip(outline: Sequence[Point], box: Box) -> tuple[Point, ...]:
    """The outline of what lies in a box (``extent``), from its first corner in reading order.

    Sutherland and Hodgman (1974), corners on the border rounded to pixels. Where the border cuts an outline into
    pieces, they stay one outline, joined along the border.
    """
    left, top, right, bottom = box
    sides: tuple[tuple[int, int, Callable[[int, int], bool]], ...] = (
        (0, left, int.__ge__),
        (0, right, int.__le__),
        (1, top, int.__ge__),
        (1, bottom, int.__le__),
    )
    points = list(outline)
    for axis, bound, inside in sides:
        points = _clip_side(points, axis, bound, inside)
    points = [point for i, point in enumerate(points) if point != points[i - 1]]
    first = min(range(len(points)), key=lambda i: reading_order(points[i]))
    return (*points[first:], *points[:first])


def _clip_side(points: Sequence[Point], axis: int, bound: int, inside: Callable[[int, int], bool]) -> list[Point]:
    kept: list[Point] = []
    for i, point in enumerate(points):
        before = points[i - 1]
        if inside(point[axis], bound) != inside(before[axis], bound):
            share = Fraction(bound - before[axis], point[axis] - before[axis])
            other = round(before[1 - axis] + share * (point[1 - axis] - before[1 - axis]))
            kept.append((bound, other) if axis == 0 else (other, bound))
        if inside(point[axis], bound):
            kept.append(point)
    return kept
