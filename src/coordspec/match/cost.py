"""How much two objects cover of each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from coordspec.boxes import enclosing_box

if TYPE_CHECKING:
    import numpy.typing as npt
    from shapely import Geometry

    from coordspec.record import DetObject

Matrix: TypeAlias = "npt.NDArray[np.float64]"
"""A NumPy array of floats; the capitals behind the last ``_`` of a name are its dimensions."""


def pairwise_iou(predictions: Sequence[DetObject], gt: Sequence[DetObject]) -> Matrix:
    """IoU of every prediction with every ground-truth object, float64 [P, G], each in 0..1.

    Bins are coordinates on a plane: a box covers ``(x2 - x1) * (y2 - y1)``. Boxes are compared with boxes; as soon as a
    polygon takes part, the areas are those of polygons. A polygon that crosses itself covers what the even-odd rule
    says, and its parts without area cover nothing. Two objects that cover nothing have IoU 1 if they have the same
    coordinates, else 0.

    The descriptions take no part.
    """
    boxes_P4, boxes_G4 = _boxes(predictions), _boxes(gt)
    overlap_PG = _box_overlap(boxes_P4, boxes_G4)
    iou_PG = _ratio(overlap_PG, _areas(boxes_P4)[:, None] + _areas(boxes_G4)[None, :])
    involves_poly_PG = _is_poly(predictions)[:, None] | _is_poly(gt)[None, :]
    ps, gs = np.nonzero(involves_poly_PG & (overlap_PG > 0))
    if len(ps):
        pairs = zip(ps.tolist(), gs.tolist(), strict=True)
        iou_PG[ps, gs] = _polygon_iou([(predictions[p], gt[g]) for p, g in pairs])
    _equal_is_one(iou_PG, predictions, gt)
    return iou_PG


def _boxes(items: Sequence[DetObject]) -> Matrix:
    """The boxes, or those around polygons, float64 [N, 4]."""
    boxes = [item.bbox_2d if item.bbox_2d is not None else enclosing_box(item.poly or ()) for item in items]
    return np.array(boxes, np.float64).reshape(-1, 4)


def _is_poly(items: Sequence[DetObject]) -> npt.NDArray[np.bool_]:
    return np.array([item.poly is not None for item in items], np.bool_)


def _areas(boxes_N4: Matrix) -> Matrix:
    return (boxes_N4[:, 2] - boxes_N4[:, 0]) * (boxes_N4[:, 3] - boxes_N4[:, 1])


def _box_overlap(boxes_P4: Matrix, boxes_G4: Matrix) -> Matrix:
    """Area of the intersection of every pair, [P, G]."""
    px1, py1, px2, py2 = boxes_P4.T
    gx1, gy1, gx2, gy2 = boxes_G4.T
    width_PG = np.minimum.outer(px2, gx2) - np.maximum.outer(px1, gx1)
    height_PG = np.minimum.outer(py2, gy2) - np.maximum.outer(py1, gy1)
    overlap_PG: Matrix = width_PG.clip(0.0) * height_PG.clip(0.0)
    return overlap_PG


def _ratio(overlap: Matrix, sum_of_areas: Matrix) -> Matrix:
    """Intersection over union, 0 where the union is empty."""
    union = sum_of_areas - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def _equal_is_one(iou_PG: Matrix, predictions: Sequence[DetObject], gt: Sequence[DetObject]) -> None:
    """Set pairs of equal coordinates to 1, whatever their area and the rounding of polygons."""
    places: dict[tuple[int, ...], list[int]] = {}
    for g, item in enumerate(gt):
        places.setdefault(_coordinates(item), []).append(g)
    for p, item in enumerate(predictions):
        equal = places.get(_coordinates(item))
        if equal is not None:
            iou_PG[p, equal] = 1.0


def _coordinates(item: DetObject) -> tuple[int, ...]:
    return item.bbox_2d if item.bbox_2d is not None else item.poly or ()


def _polygon_iou(pairs: Sequence[tuple[DetObject, DetObject]]) -> Matrix:
    """IoU of the regions of N pairs of objects, float64 [N]."""
    import shapely  # noqa: PLC0415 (most data sets have boxes alone)

    regions: dict[DetObject, Geometry] = {}
    for item in chain.from_iterable(pairs):
        if item not in regions:
            regions[item] = _region(item)
    predicted_N, wanted_N = np.array([[regions[p], regions[g]] for p, g in pairs]).T
    overlap_N = shapely.area(shapely.intersection(predicted_N, wanted_N))
    iou_N = _ratio(overlap_N, shapely.area(predicted_N) + shapely.area(wanted_N))
    return np.minimum(iou_N, 1.0)


def _region(item: DetObject) -> Geometry:
    """What an object covers: one or more polygons that do not overlap, or none."""
    import shapely  # noqa: PLC0415

    if item.bbox_2d is not None:
        x1, y1, x2, y2 = item.bbox_2d
        return shapely.box(x1, y1, x2, y2)
    outline = shapely.Polygon(np.array(item.poly, np.float64).reshape(-1, 2))
    if outline.is_valid:
        return outline
    parts = shapely.get_parts(shapely.make_valid(outline))
    # Lines and points are left out: they cover nothing, and not every overlay takes them beside polygons.
    flat = [part for whole in parts for part in shapely.get_parts(whole)]
    return shapely.MultiPolygon([part for part in flat if part.geom_type == "Polygon"])
