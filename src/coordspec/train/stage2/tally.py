"""What the rollouts of a step were like, as numbers that add up over samples, batches and ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from coordspec.record import DetObject, Record
from coordspec.rollout.reasons import DropReason
from coordspec.target import Target
from coordspec.train.agreement import agreement

COUNT, TOKENS, WHOLE = "rollout/count", "rollout/tokens", "rollout/whole"
TRUNCATED, FALLBACK = "rollout/truncated", "rollout/fallback"
PREDICTIONS, GROUND_TRUTH = "rollout/predictions", "rollout/ground_truth"
MATCHED, MATCHED_IOU = "rollout/matched", "rollout/matched_iou"
FP, INJECTED, DUPLICATES = "rollout/fp", "rollout/fn_injected", "rollout/duplicates"
DROPS: Final = {reason: f"rollout/dropped/{reason}" for reason in DropReason}
TALLIES: Final = (
    *(COUNT, TOKENS, WHOLE, TRUNCATED, FALLBACK, PREDICTIONS, GROUND_TRUTH),
    *(MATCHED, MATCHED_IOU, FP, INJECTED, DUPLICATES),
    *DROPS.values(),
)
"""Names of sums; ``ratios`` makes metrics of them."""


def tally(target: Target, record: Record, predicted: Sequence[DetObject], tokens: int) -> Counter[str]:
    """The sums of one rollout of so many tokens; ``predicted`` are its valid entries."""
    report = target.report
    agreed = agreement(record, predicted, report.matches)
    return Counter(
        {
            COUNT: 1,
            TOKENS: tokens,
            WHOLE: int(not (report.truncated or report.fallback or report.dropped)),
            TRUNCATED: int(report.truncated),
            FALLBACK: int(report.fallback is not None),
            PREDICTIONS: len(predicted),
            GROUND_TRUTH: len(record.objects),
            MATCHED: agreed.matched,
            MATCHED_IOU: agreed.iou,
            FP: len(report.fp),
            INJECTED: len(report.fn),
            DUPLICATES: agreed.duplicates,
            **Counter(DROPS[reason] for _, reason in report.dropped),
        }
    )


def ratios(sums: Mapping[str, float]) -> dict[str, float]:
    """Metrics of rollouts from summed tallies; a ratio to nothing is left out."""
    found = {
        "rollout/parse_rate": _ratio(sums[COUNT] - sums[FALLBACK], sums[COUNT]),
        "rollout/whole_rate": _ratio(sums[WHOLE], sums[COUNT]),
        "rollout/truncation_rate": _ratio(sums[TRUNCATED], sums[COUNT]),
        "rollout/mean_tokens": _ratio(sums[TOKENS], sums[COUNT]),
        "rollout/predictions_per_gt": _ratio(sums[PREDICTIONS], sums[GROUND_TRUTH]),
        "rollout/precision": _ratio(sums[MATCHED], sums[PREDICTIONS]),
        "rollout/recall": _ratio(sums[MATCHED], sums[GROUND_TRUTH]),
        "rollout/f1": _ratio(2 * sums[MATCHED], sums[PREDICTIONS] + sums[GROUND_TRUTH]),
        "rollout/mean_matched_iou": _ratio(sums[MATCHED_IOU], sums[MATCHED]),
        "rollout/duplicate_rate": _ratio(sums[DUPLICATES], sums[PREDICTIONS]),
    }
    return {name: value for name, value in found.items() if value is not None}


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
