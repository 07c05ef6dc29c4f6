"""Which predictions of an image are right, and which of its objects were found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from coordspec.evaluate.categories import Categories
from coordspec.evaluate.f1 import match
from coordspec.evaluate.options import IOU
from coordspec.evaluate.overlaps import overlaps, same_category
from coordspec.evaluate.scenes import Geometry, make_scenes
from coordspec.outcomes import MatchCounts, added
from coordspec.predictions.record import Prediction
from coordspec.record import Record


class FoundObject(NamedTuple):
    """An object of a record and the prediction that found it, by their numbers, and the IoU of their boxes."""

    gt: int
    predicted: int
    iou: float


@dataclass(frozen=True, slots=True)
class Judged:
    """A record, its prediction, and the matches between the two; a prediction that is None has no objects."""

    record: Record
    prediction: Prediction | None
    matches: tuple[FoundObject, ...] = ()

    @property
    def right(self) -> tuple[bool, ...]:
        """For each prediction, whether it found an object."""
        count = 0 if self.prediction is None else len(self.prediction.objects)
        taken = {item.predicted for item in self.matches}
        return tuple(number in taken for number in range(count))

    @property
    def found(self) -> tuple[bool, ...]:
        """For each object, whether it was found."""
        taken = {item.gt for item in self.matches}
        return tuple(number in taken for number in range(len(self.record.objects)))

    @property
    def counts(self) -> MatchCounts:
        """Objects and predictions, and how many of them are matched."""
        return MatchCounts.of_pairs(len(self.matches), len(self.found), len(self.right))

    @property
    def fp(self) -> int:
        """Predictions that found nothing."""
        return self.right.count(False)

    @property
    def fn(self) -> int:
        """Objects that were not found."""
        return self.found.count(False)


def judge(
    records: Sequence[Record],
    predictions: Sequence[Prediction | None],
    categories: Categories | None = None,
    iou: float = IOU,
) -> list[Judged]:
    """Match the predictions of each record with its objects, one to one, within categories, from an IoU of boxes on.

    Raises:
        InputError: an image is too large to evaluate.
    """
    objects = [() if item is None else item.objects for item in predictions]
    scenes = make_scenes(records, objects, categories or Categories())
    pairs = match(same_category(scenes, overlaps(scenes, Geometry.BOXES, iou)), [iou]).at[0]
    image_P = scenes.gt.image_N[pairs.gt_P]
    rows = zip(
        (pairs.gt_P - scenes.gt.starts_I[image_P]).tolist(),
        (pairs.predicted_P - scenes.predicted.starts_I[image_P]).tolist(),
        pairs.iou_P.tolist(),
        strict=True,
    )
    matches = [FoundObject(*row) for row in rows]
    ends = np.searchsorted(image_P, np.arange(len(records)), side="right").tolist()
    starts = [0, *ends[:-1]]
    return [
        Judged(record, prediction, tuple(matches[start:end]))
        for record, prediction, start, end in zip(records, predictions, starts, ends, strict=True)
    ]


def match_counts(judged: Iterable[Judged]) -> MatchCounts:
    """The counts over all of them."""
    return added(MatchCounts.of_pairs(0, 0, 0), *(item.counts for item in judged))
