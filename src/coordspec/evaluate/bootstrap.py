"""How far numbers could lie elsewhere on other images of the same kind: the bootstrap over images.

Source: B. Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7 (1979); the interval is the
plain percentile one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from coordspec.evaluate.f1 import SHORT_NAMES, Matches
from coordspec.evaluate.scenes import Floats, Scenes

LEVEL: Final = 0.95
"""Share of the resamples that lie within an interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The middle ``LEVEL`` of the resampled values."""

    low: float
    high: float

    def value(self) -> list[float]:
        return [self.low, self.high]


def intervals(scenes: Scenes, matches: Matches, resamples: int, seed: int) -> Mapping[str, Interval | None]:
    """An interval for each number of ``F1Table.value`` that is a share; None where no resample defines it.

    Every resample draws as many images as there are, with replacement, and computes the number from the counts of the
    drawn images. Images are the unit, since the objects of one image are not independent of each other.
    """
    images = len(scenes)
    matched_TI = np.stack([np.bincount(scenes.gt.image_N[p.gt_P], minlength=images) for p in matches.at])
    counts_XI = np.vstack([np.diff(scenes.gt.starts_I), np.diff(scenes.predicted.starts_I), matched_TI])
    gt_B, predictions_B, *matched_TB = _resampled(counts_XI.astype(np.float64), resamples, seed)
    both_B = gt_B + predictions_B
    made: dict[str, Interval | None] = {}
    for name, threshold in SHORT_NAMES.items():
        matched_B = matched_TB[matches.thresholds.index(threshold)]
        made[f"f1_{name}"] = _interval(2 * matched_B, both_B)
        made[f"precision_{name}"] = _interval(matched_B, predictions_B)
        made[f"recall_{name}"] = _interval(matched_B, gt_B)
    made["f1_mean"] = _interval(2 * np.mean(matched_TB, axis=0), both_B)
    return made


def _resampled(counts_XI: Floats, resamples: int, seed: int) -> Floats:
    """Sums of the counts over the images of each resample, [counts, resamples]."""
    rng = np.random.default_rng(seed)
    images = counts_XI.shape[1]
    sums = np.empty((len(counts_XI), resamples))
    for b in range(resamples):
        times_I = np.bincount(rng.integers(images, size=images), minlength=images)
        sums[:, b] = counts_XI @ times_I
    return sums


def _interval(part_B: Floats, whole_B: Floats) -> Interval | None:
    known = whole_B > 0
    if not known.any():
        return None
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(part_B[known] / whole_B[known], [tail, 1 - tail])
    return Interval(float(low), float(high))


def values(made: Mapping[str, Interval | None]) -> dict[str, Any]:
    """The intervals as JSON."""
    return {name: None if item is None else item.value() for name, item in made.items()}
