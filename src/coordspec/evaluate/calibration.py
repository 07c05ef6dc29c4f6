"""Whether confidences and distributions mean what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from coordspec.evaluate.overlaps import Pairs
from coordspec.evaluate.scenes import Bools, Floats
from coordspec.predictions.check import QUANTILE_LEVELS
from coordspec.predictions.record import PredictedObject
from coordspec.record import DetObject

SCORE_BINS: Final = 10
"""Bins of equal width from 0 to 1; a score on a border is in the upper one, and 1 in the last."""
MASSES: Final = tuple(round(1 - 2 * level, 10) for level in QUANTILE_LEVELS[: len(QUANTILE_LEVELS) // 2])
"""The masses of the central intervals between two quantiles, the widest first."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Mean score beside the share that is right, in all and by bins of the score.

    ``ece`` is the expected calibration error: the mean over predictions of the distance between the two in their bin.
    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, with bins of equal width.
    """

    count: int
    mean_score: float
    right: float
    ece: float
    bins: tuple[Mapping[str, Any], ...]

    def value(self) -> dict[str, Any]:
        return {
            "predictions": self.count,
            "mean_score": self.mean_score,
            "right": self.right,
            "ece": self.ece,
            "bins": [dict(item) for item in self.bins],
        }


def reliability(score_N: Floats, right_N: Bools) -> Reliability | None:
    """The calibration of N scores, and whether each prediction is right; None for none."""
    if not len(score_N):
        return None
    bin_N = np.minimum((score_N * SCORE_BINS).astype(np.intp), SCORE_BINS - 1)
    counts = np.bincount(bin_N, minlength=SCORE_BINS)
    scores = np.bincount(bin_N, score_N, minlength=SCORE_BINS)
    rights = np.bincount(bin_N, right_N, minlength=SCORE_BINS)
    bins = tuple(
        {
            "from": b / SCORE_BINS,
            "to": (b + 1) / SCORE_BINS,
            "predictions": int(counts[b]),
            "mean_score": float(scores[b] / counts[b]) if counts[b] else None,
            "right": float(rights[b] / counts[b]) if counts[b] else None,
        }
        for b in range(SCORE_BINS)
    )
    ece = float(np.abs(scores - rights).sum() / len(score_N))
    return Reliability(len(score_N), float(score_N.mean()), float(right_N.mean()), ece, bins)


@dataclass(frozen=True, slots=True)
class CoordCalibration:
    """Distributions at coordinates of matched boxes, against the bins of the ground truth.

    ``coverage`` gives for each mass the share of coordinates whose true bin lies within the central interval of that
    mass, ends included: of calibrated distributions about that mass, or somewhat more, since bins are whole. The errors
    are mean distances to the true bin, in bins: of the bin that was written, and of the expected one.
    """

    coordinates: int
    coverage: Mapping[float, float]
    mean_std: float
    written_error: float
    expected_error: float

    def value(self) -> dict[str, Any]:
        return {
            "coordinates": self.coordinates,
            "coverage": [{"mass": mass, "covered": covered} for mass, covered in self.coverage.items()],
            "mean_std": self.mean_std,
            "written_error": self.written_error,
            "expected_error": self.expected_error,
        }


def coord_calibration(
    gt: Sequence[DetObject], predictions: Sequence[PredictedObject], pairs: Pairs
) -> CoordCalibration | None:
    """The calibration over matched pairs of boxes whose prediction has distributions; None where there are none.

    ``pairs`` number the two sequences. The points of polygons have no counterparts, so polygons are left out.
    """
    gt_bins: list[int] = []
    written: list[int] = []
    expected: list[float] = []
    std: list[float] = []
    quantiles: list[tuple[int, ...]] = []
    for g, p in zip(pairs.gt_P.tolist(), pairs.predicted_P.tolist(), strict=True):
        box, item = gt[g].bbox_2d, predictions[p]
        if item.coords is None or item.bbox_2d is None or box is None:
            continue
        gt_bins += box
        written += item.bbox_2d
        expected += item.coords.expected
        std += item.coords.std
        quantiles += item.coords.quantiles
    if not gt_bins:
        return None
    gt_S, quantiles_SL = np.array(gt_bins), np.array(quantiles)
    within = {
        mass: float(((quantiles_SL[:, i] <= gt_S) & (gt_S <= quantiles_SL[:, -1 - i])).mean())
        for i, mass in enumerate(MASSES)
    }
    return CoordCalibration(
        coordinates=len(gt_bins),
        coverage=within,
        mean_std=float(np.mean(std)),
        written_error=float(np.abs(np.array(written) - gt_S).mean()),
        expected_error=float(np.abs(np.array(expected) - gt_S).mean()),
    )
