"""How well the boxes of one answer fit, whatever they are called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from coordspec.evaluate.categories import Categories
from coordspec.evaluate.overlaps import repeats
from coordspec.evaluate.scenes import Geometry, make_scenes
from coordspec.evaluate.summary import DUPLICATE_IOU
from coordspec.match import pairwise_iou
from coordspec.record import DetObject, Record


class Agreement(NamedTuple):
    """Matched pairs, the sum of their IoUs, and predictions that repeat an earlier one as ``coordspec eval`` has it."""

    matched: int
    iou: float
    duplicates: int


def agreement(record: Record, predicted: Sequence[DetObject], pairs: Iterable[tuple[int, int]]) -> Agreement:
    """The agreement of one answer; ``pairs`` are those of ``match_objects``.

    Raises:
        InputError: the image is too large to evaluate.
    """
    iou_PG = pairwise_iou(predicted, record.objects)
    ious = [float(iou_PG[pair]) for pair in pairs]
    side = make_scenes([record], [predicted], Categories()).predicted
    repeated = set(repeats(side, Geometry.BOXES, DUPLICATE_IOU).predicted_P.tolist())
    return Agreement(len(ious), sum(ious), len(repeated))
