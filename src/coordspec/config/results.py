"""What comes out of a run: evaluations and logs."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from coordspec.boxes import IOU_THRESHOLDS
from coordspec.config.section import OWN, AsTuple, Count, Section, setting


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(first >= second for first, second in pairwise(values)):
        raise ValueError("write them in ascending order, none twice")
    return values


IouThresholds = Annotated[
    tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1), AsTuple, AfterValidator(_ascending)
]


class Eval(Section):
    """What an evaluation on data.val does, beside the loss that it always computes."""

    generate: bool = setting(
        "Let the model write an answer for every sample, greedily, and score it against the ground truth.",
        source=OWN,
        default=False,
    )
    batch_size: Count = setting(
        "Prompts that are generated for at once on each device.", unit="prompts", source=OWN, default=8
    )
    max_new_tokens: Count = setting(
        "The longest answer; a longer one is scored as truncated.",
        unit="tokens",
        source="transformers GenerationConfig",
        default=2048,
    )
    iou_thresholds: IouThresholds = setting(
        "Precision, recall and F1 are computed at each of these and as the mean over all.",
        unit="IoU",
        source="COCO",
        default=IOU_THRESHOLDS,
    )
    metric_for_best: Literal["loss", "f1", "precision", "recall"] | None = setting(
        "The measure of the best checkpoint, which is kept: loss is the smallest, the others the largest mean over "
        "iou_thresholds. null for no best checkpoint.",
        source=OWN,
        default=None,
    )


class Logging(Section):
    """Where metrics go."""

    console: bool = setting("A progress bar and lines of metrics in the terminal.", source=OWN, default=True)
    jsonl: bool = setting("A file of metrics in training.output_dir, one JSON object a line.", source=OWN, default=True)
    tensorboard: bool = setting("Event files for TensorBoard in training.output_dir.", source=OWN, default=False)
