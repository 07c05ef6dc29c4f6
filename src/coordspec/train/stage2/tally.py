"""What the rollouts of a step were like, as numbers that add up over samples, batches and ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from coordspec.evaluate.categories import Categories
from coordspec.evaluate.overlaps import repeats
from coordspec.evaluate.scenes import Geometry, make_scenes
from coordspec.evaluate.summary import DUPLICATE_IOU
from coordspec.match import pairwise_iou
from coordspec.record import DetObject, Record
from coordspec.rollout.reasons import DropReason
from coordspec.target import Target

_DROPS: Final = {reason: f"rollout/dropped/{reason}" for reason in DropReason}
TALLIES: Final = (
    "rollout/count",
    "rollout/tokens",
    "rollout/whole",
    "rollout/truncated",
    "rollout/fallback",
    "rollout/predictions",
    "rollout/ground_truth",
    "rollout/matched",
    "rollout/matched_iou",
    "rollout/duplicates",
    "rollout/injected",
    *_DROPS.values(),
)
"""Names of sums; ``ratios`` makes metrics of them."""


def tally(
    target: Target, record: Record, predicted: Sequence[DetObject], ground_truth: Sequence[DetObject], tokens: int
) -> Counter[str]:
    """The sums of one rollout of so many tokens; ``predicted`` are its valid entries."""
    report = target.report
    iou_PG = pairwise_iou(predicted, ground_truth)
    side = make_scenes([record], [predicted], Categories()).predicted
    return Counter(
        {
            "rollout/count": 1,
            "rollout/tokens": tokens,
            "rollout/whole": not (report.truncated or report.fallback or report.dropped),
            "rollout/truncated": report.truncated,
            "rollout/fallback": report.fallback is not None,
            "rollout/predictions": len(predicted),
            "rollout/ground_truth": len(ground_truth),
            "rollout/matched": len(report.matches),
            "rollout/matched_iou": sum(float(iou_PG[p, g]) for p, g in report.matches),
            "rollout/duplicates": len(set(repeats(side, Geometry.BOXES, DUPLICATE_IOU).predicted_P.tolist())),
            "rollout/injected": len(report.fn),
            **Counter(_DROPS[reason] for _, reason in report.dropped),
        }
    )


def ratios(sums: Mapping[str, float]) -> dict[str, float]:
    """Metrics of rollouts from summed tallies; a ratio to nothing is left out."""

    def ratio(part: str, whole: str) -> float | None:
        return sums[part] / sums[whole] if sums.get(whole) else None

    fallback = ratio("rollout/fallback", "rollout/count")
    predicted, truth, matched = (sums.get(f"rollout/{name}", 0) for name in ("predictions", "ground_truth", "matched"))
    found = {
        "rollout/parse_rate": None if fallback is None else 1 - fallback,
        "rollout/whole_rate": ratio("rollout/whole", "rollout/count"),
        "rollout/truncation_rate": ratio("rollout/truncated", "rollout/count"),
        "rollout/mean_tokens": ratio("rollout/tokens", "rollout/count"),
        "rollout/predictions_per_gt": ratio("rollout/predictions", "rollout/ground_truth"),
        "rollout/precision": ratio("rollout/matched", "rollout/predictions"),
        "rollout/recall": ratio("rollout/matched", "rollout/ground_truth"),
        "rollout/f1": 2 * matched / (predicted + truth) if predicted + truth else None,
        "rollout/mean_matched_iou": ratio("rollout/matched_iou", "rollout/matched"),
        "rollout/duplicate_rate": ratio("rollout/duplicates", "rollout/predictions"),
    }
    return {name: value for name, value in found.items() if value is not None}
