"""Which objects overlap, and by how much. IoU is taken in bins: scaling an image's sides changes no ratio of areas."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from coordspec.evaluate.scenes import Bools, Floats, Geometry, Ints, Scenes, Side
from coordspec.match.cost import pairwise_iou

ROUNDING: Final = 1e-9
"""A pair this close below a threshold reaches it. Areas of polygons are rounded by less, and the IoUs of boxes in bins
lie further from any threshold of two decimals, or on it."""


class Pairs(NamedTuple):
    """P pairs of objects in the same image, by their numbers on either side, and their IoU."""

    gt_P: Ints
    predicted_P: Ints
    iou_P: Floats

    def where(self, keep_P: Bools | Ints) -> Pairs:
        """The pairs of a mask, or of some indices."""
        return Pairs(self.gt_P[keep_P], self.predicted_P[keep_P], self.iou_P[keep_P])


def overlaps(scenes: Scenes, geometry: Geometry, floor: float) -> Pairs:
    """Every ground-truth object with every prediction of its image whose IoU is at least ``floor``.

    They come by image, then by ground-truth object, then by prediction, whatever their categories are.
    """
    return _between(scenes.gt, scenes.predicted, geometry, floor)


def same_category(scenes: Scenes, pairs: Pairs) -> Pairs:
    """The pairs whose two objects are of one category."""
    return pairs.where(scenes.gt.category_N[pairs.gt_P] == scenes.predicted.category_N[pairs.predicted_P])


def repeats(side: Side, geometry: Geometry, floor: float) -> Pairs:
    """Pairs of objects of one side, category and image, the earlier one as ``gt_P``, with IoU from ``floor``."""
    pairs = _between(side, side, geometry, floor)
    return pairs.where(
        (pairs.gt_P < pairs.predicted_P) & (side.category_N[pairs.gt_P] == side.category_N[pairs.predicted_P])
    )


def _between(first: Side, second: Side, geometry: Geometry, floor: float) -> Pairs:
    firsts, seconds = first.shapes(geometry), second.shapes(geometry)
    parts: list[Pairs] = []
    busy_I = np.flatnonzero((np.diff(first.starts_I) > 0) & (np.diff(second.starts_I) > 0))
    for a, a_end, b, b_end in zip(
        first.starts_I[busy_I].tolist(),
        first.starts_I[busy_I + 1].tolist(),
        second.starts_I[busy_I].tolist(),
        second.starts_I[busy_I + 1].tolist(),
        strict=True,
    ):
        iou_NM = pairwise_iou(firsts[a:a_end], seconds[b:b_end])
        row_P, column_P = np.nonzero(iou_NM >= floor - ROUNDING)
        parts.append(Pairs(row_P + a, column_P + b, iou_NM[row_P, column_P]))
    if not parts:
        return Pairs(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))
    return Pairs(*map(np.concatenate, zip(*parts, strict=True)))
