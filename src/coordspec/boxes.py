"""Boxes and polygons as tuples of coordinates: ``(x1, y1, x2, y2)`` and ``(x1, y1, x2, y2, x3, y3, …)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

N = TypeVar("N", int, float)

DEFAULT_IOU_GATE: Final = 0.3
"""A prediction and an object whose IoU is below are no match (contract, section 4)."""
IOU_THRESHOLDS: Final = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""0.5 to 0.95 in steps of 0.05, as COCO has them."""
DUPLICATE_IOU: Final = 0.9
"""Two predictions of one category and image that overlap this much are one object written twice."""


def enclosing_box(poly: Sequence[N]) -> tuple[N, N, N, N]:
    """The smallest box around a flat polygon of at least one point."""
    xs, ys = poly[0::2], poly[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def corners_from_xywh(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    """Corners of a box given by its upper left corner and its size."""
    return x, y, x + width, y + height


def ordered_corners(box: Sequence[N]) -> tuple[N, N, N, N]:
    """The same box with the upper left corner first."""
    x1, y1, x2, y2 = box
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def reading_order(box: Sequence[N]) -> tuple[N, N]:
    """Sort key for top to bottom, then left to right, by the upper left corner."""
    return box[1], box[0]


def polygon_area(poly: Sequence[float]) -> float:
    """Area of a flat polygon in the square of its unit, by the shoelace formula; its direction does not matter."""
    xs, ys = poly[0::2], poly[1::2]
    return abs(sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(len(xs)))) / 2
