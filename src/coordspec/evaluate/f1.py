"""F1 without scores: one-to-one matching at every IoU threshold, counted over the whole set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from coordspec.boxes import IOU_THRESHOLDS
from coordspec.evaluate.assign import assign
from coordspec.evaluate.categories import Categories
from coordspec.evaluate.overlaps import Pairs, overlaps, same_category
from coordspec.evaluate.scenes import EvaluatedObject, Geometry, make_scenes
from coordspec.outcomes import MatchCounts
from coordspec.record import Record


@dataclass(frozen=True, slots=True)
class F1Table:
    """Counts at each threshold t: of ``gt`` objects ``matched_gt[t]`` are matched, of ``predictions``
    ``matched_predictions[t]``.

    The two counts of matches are the same, but in a bucket of sizes, where the two objects of a match may be in
    different ones. Precision is None where nothing was predicted, recall where there is nothing to find, F1 where both
    hold.
    """

    thresholds: tuple[float, ...]
    gt: int
    predictions: int
    matched_gt: tuple[int, ...]
    matched_predictions: tuple[int, ...]

    def at(self, threshold: float) -> MatchCounts:
        """The counts at one of the thresholds."""
        t = self.thresholds.index(threshold)
        return MatchCounts(self.gt, self.predictions, self.matched_gt[t], self.matched_predictions[t])

    def precision(self, threshold: float) -> float | None:
        """Precision at one of the thresholds."""
        return self.at(threshold).precision

    def recall(self, threshold: float) -> float | None:
        """Recall at one of the thresholds."""
        return self.at(threshold).recall

    def f1(self, threshold: float) -> float | None:
        """F1 at one of the thresholds."""
        return self.at(threshold).f1

    @property
    def f1_mean(self) -> float | None:
        """Mean of F1 over the thresholds, which is the F1 of the mean counts."""
        count = len(self.thresholds)
        matched = sum(self.matched_gt), sum(self.matched_predictions)
        return MatchCounts(self.gt * count, self.predictions * count, *matched).f1

    def value(self) -> dict[str, Any]:
        """The table as JSON; the short names are there for the thresholds 0.5 and 0.95 where they were asked for."""
        value: dict[str, Any] = {"ground_truth": self.gt, "predictions": self.predictions}
        for name, threshold in SHORT_NAMES.items():
            if threshold in self.thresholds:
                value |= {f"{kind}_{name}": rate for kind, rate in _rates(self.at(threshold)).items()}
        return {**value, "f1_mean": self.f1_mean}

    def by_threshold(self) -> list[dict[str, Any]]:
        """One row of JSON for each threshold."""
        return [{"iou": t, **_rates(self.at(t))} for t in self.thresholds]


SHORT_NAMES: Final = {"50": IOU_THRESHOLDS[0], "95": IOU_THRESHOLDS[-1]}
"""The thresholds that have names of their own, such as ``f1_50``."""


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The matched pairs at each threshold."""

    thresholds: tuple[float, ...]
    at: tuple[Pairs, ...]

    def table(self, gt: int, predictions: int) -> F1Table:
        """The counts of all these matches among so many objects."""
        matched = tuple(len(pairs.iou_P) for pairs in self.at)
        return F1Table(self.thresholds, gt, predictions, matched, matched)


def match(pairs: Pairs, thresholds: Sequence[float]) -> Matches:
    """The pairs that ``assign`` takes at each threshold."""
    return Matches(tuple(thresholds), tuple(pairs.where(assign(pairs, t)) for t in thresholds))


def score_free(
    records: Sequence[Record],
    predictions: Sequence[Sequence[EvaluatedObject]],
    thresholds: Sequence[float] = IOU_THRESHOLDS,
    *,
    class_aware: bool = True,
    categories: Categories | None = None,
    geometry: Geometry = Geometry.BOXES,
) -> F1Table:
    """F1 of the objects that were predicted for each record, with no use of scores.

    ``predictions[i]`` are the objects predicted for ``records[i]``. At each threshold predictions and ground truth of
    an image are matched one to one (``assign``), within categories if ``class_aware``; the pairs of all images are
    counted together (micro). Categories are normalised descs unless a table is given.

    Raises:
        ValueError: the two sequences differ in length, there is no threshold, or one is not above 0 and at most 1.
        InputError: an image is too large to evaluate.
    """
    _check_thresholds(thresholds)
    scenes = make_scenes(records, predictions, categories or Categories())
    pairs = overlaps(scenes, geometry, min(thresholds))
    found = same_category(scenes, pairs) if class_aware else pairs
    return match(found, thresholds).table(len(scenes.gt), len(scenes.predicted))


def _check_thresholds(thresholds: Sequence[float]) -> None:
    if not thresholds or not all(0 < t <= 1 for t in thresholds):
        raise ValueError(f"IoU thresholds are above 0 and at most 1, not {list(thresholds)}")


def mean_iou(pairs: Pairs) -> float | None:
    """Mean IoU of some pairs, None of none."""
    return float(np.mean(pairs.iou_P)) if len(pairs.iou_P) else None


def _rates(counts: MatchCounts) -> dict[str, float | None]:
    return {"f1": counts.f1, "precision": counts.precision, "recall": counts.recall}
