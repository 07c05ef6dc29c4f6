"""The metrics of a run: their names, and where they go: ``metrics.jsonl``, TensorBoard, and whoever listens."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from coordspec.boxes import DUPLICATE_IOU
from coordspec.config.sections import Logging
from coordspec.outcomes import MEANINGS
from coordspec.rollout.reasons import DropReason
from coordspec.run_files import METRICS as METRICS_FILE
from coordspec.run_files import read_metrics

# ---------------------------------------------------------------- names


_COORD: Final = {
    "coord_soft_ce": "Mean cross entropy with the soft target",
    "coord_w1": "Mean Wasserstein-1 distance to the soft target",
    "coord_hard_ce": "Mean of minus the log probability of the bin",
    "coord_gate": "Mean of minus the log of the mass on coord tokens",
}
STAGE2_METRICS: Final[Mapping[str, str]] = {
    "schedule/b_ratio": "Share of the steps that were Channel-B steps.",
    "schedule/fallen_back": "1 for steps in which a run whose rollouts ran away is in Channel-A for good, else 0.",
    "channel_a/loss": "The loss of Channel-A; mean over its steps, as all of channel_a.",
    "channel_a/ce": "Weighted mean cross entropy, from the first forward.",
    "channel_a/geo": "Mean box loss of the ground-truth objects, from the last forward; before geo_weight.",
    "channel_b/loss": "The loss of Channel-B; mean over its steps, as all of channel_b.",
    "channel_b/ce": "Weighted mean cross entropy of what the policy supervises.",
    "channel_b/geo_matched": "Mean box loss of matched objects; before geo_weight.",
    "channel_b/geo_fn": "Mean box loss of injected objects; before geo_weight.",
    **{f"channel_b/{name}": f"{what}, where the policy asks for it; unweighted." for name, what in _COORD.items()},
    "rollout/count": "Rollouts in a Channel-B step; mean over these steps, as all counts of rollout.",
    "rollout/tokens": "Tokens of them.",
    "rollout/whole": f"Rollouts that {MEANINGS['whole_rate']}.",
    "rollout/truncated": f"Rollouts that {MEANINGS['truncation_rate']}.",
    "rollout/fallback": "Rollouts of which nothing could be read.",
    "rollout/predictions": "Valid entries of them.",
    "rollout/ground_truth": "Objects of the ground truth.",
    "rollout/matched": "Matched pairs of these two.",
    "rollout/matched_iou": "Sum of their IoUs.",
    "rollout/fp": "Valid entries without a match.",
    "rollout/fn_injected": "Objects without a match, which are written into the target.",
    "rollout/duplicates": f"Valid entries that repeat an earlier one: same desc, IoU from {DUPLICATE_IOU} on.",
    **{f"rollout/dropped/{reason}": f"Entries dropped as {reason}." for reason in DropReason},
    **{f"rollout/{name}": f"Share of the rollouts that {MEANINGS[name]}; of all logged together." for name in MEANINGS},
    "rollout/mean_tokens": "Mean length of a rollout, in tokens.",
    "rollout/predictions_per_gt": "Valid entries for each object of the ground truth.",
    "rollout/precision": "Share of the valid entries that are matched, at iou_gate.",
    "rollout/recall": "Share of the objects of the ground truth that are matched, at iou_gate.",
    "rollout/f1": "Harmonic mean of both.",
    "rollout/mean_matched_iou": "Mean IoU of matched pairs.",
    "rollout/duplicate_rate": "Share of the valid entries that repeat an earlier one.",
    "time/generate_s": "Seconds of a step spent writing rollouts; a server's reload of the weights included.",
    "time/build_s": "Seconds of a step spent making and checking targets of rollouts.",
    "count/ce_weight": "Sum of the weights of cross entropy in one optimizer step.",
    "count/matched": "Matched objects with a box loss in one optimizer step.",
    "count/fn": "Objects written by us with a box loss in one optimizer step.",
}
"""What only Stage-2 logs."""

METRICS: Final[Mapping[str, str]] = {
    "loss": "What is minimised. Stage-1: the base term plus the weighted coordinate terms. Stage-2: the loss of the "
    "step's channel.",
    "loss/base_ce": "Mean cross entropy over supervised targets that are no coord tokens.",
    "loss/coord_soft_ce": "Mean cross entropy with the soft target, over coordinates; before its weight.",
    "loss/coord_w1": "Mean Wasserstein-1 distance to the soft target, in unit coordinates; before its weight.",
    "loss/coord_hard_ce": "Mean of minus the log probability of the bin among the 1000 bins; before its weight.",
    "loss/coord_gate": "Mean of minus the log of the mass on coord tokens, over coordinates; before its weight.",
    "coord/vocab_mass": "Mean probability mass on coord tokens where a coordinate is predicted.",
    "coord/expected_bin_error": "Mean of Σ p_k · |k - bin| over coordinates, in bins: the expectation of the error.",
    **STAGE2_METRICS,
    "count/base": "Supervised targets that are no coord tokens, in one optimizer step.",
    "count/coord": "Supervised coordinates in one optimizer step.",
    "count/samples": "Samples in one optimizer step.",
    "count/tokens": "Tokens in one optimizer step, prompts and image tokens included, padding not.",
    "grad_norm": "L2 norm of the gradient before it is scaled down to max_grad_norm.",
    "learning_rate": "Learning rate of the first group of weights, which is the decoder's where it is trained.",
    "epoch": "How often the stream of samples has gone through the data.",
    "time/step_s": "Seconds of an optimizer step, data included.",
    "time/data_s": "Seconds of it spent waiting for data.",
    "time/forward_backward_s": "Seconds of it spent in forwards and backwards, up to the norm of the gradient.",
    "speed/tokens_per_s": "Tokens trained on per second, over all ranks.",
    "memory/peak_mib": "Peak memory of the process so far, in MiB: on a GPU what PyTorch has reserved, else resident.",
    "eval/loss": "The loss on data.val.",
    "eval/loss/base_ce": "As loss/base_ce, on data.val.",
    "eval/loss/coord_soft_ce": "As loss/coord_soft_ce, on data.val.",
    "eval/loss/coord_w1": "As loss/coord_w1, on data.val.",
    "eval/loss/coord_hard_ce": "As loss/coord_hard_ce, on data.val.",
    "eval/loss/coord_gate": "As loss/coord_gate, on data.val.",
    "eval/coord/vocab_mass": "As coord/vocab_mass, on data.val.",
    "eval/coord/expected_bin_error": "As coord/expected_bin_error, on data.val.",
    "eval/f1": "F1 of the model's own answers, the mean over eval.iou_thresholds.",
    "eval/precision": "Share of the predicted objects that match one of the ground truth, the same mean.",
    "eval/recall": "Share of the objects of the ground truth that are matched, the same mean.",
    "eval/f1@IOU": "F1 at one IoU threshold, such as eval/f1@0.5; one for each of eval.iou_thresholds.",
    **{f"eval/{name}": f"Share of the answers that {MEANINGS[name]}." for name in MEANINGS},
    "eval/tokens_per_answer": "Mean length of an answer, in tokens.",
    "eval/mean_matched_iou": "Mean IoU of the pairs that Channel-B would match at iou_gate, whatever they are called.",
    "eval/duplicate_rate": "Share of the predicted objects that repeat an earlier one: same desc, IoU from "
    f"{DUPLICATE_IOU} on.",
}
"""Every name that a run logs, and what it means; values of a line are means over its optimizer steps.

``IOU`` in a name stands for a number.
"""


def meaning(name: str) -> str | None:
    """What a logged name means; None for one that nobody has described."""
    return METRICS.get(re.sub(r"@[0-9.]+$", "@IOU", name))


# ---------------------------------------------------------------- where they go


TENSORBOARD: Final = "tensorboard"


class Logs:
    """The logs of a run on its first rank. A run that is resumed goes on in them behind the step it resumes from."""

    def __init__(
        self, run_dir: Path, logging: Logging, listen: Callable[[int, Mapping[str, float]], None], after_step: int
    ) -> None:
        """Lines of steps behind ``after_step``, which a killed run has left, are dropped: they will come again."""
        self._listen = listen
        self._jsonl = run_dir / METRICS_FILE if logging.jsonl else None
        if self._jsonl is not None:
            run_dir.mkdir(parents=True, exist_ok=True)
            _cut(self._jsonl, after_step)
        self._writer = None
        if logging.tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 (slow to load, and off by default)

            self._writer = SummaryWriter(str(run_dir / TENSORBOARD), purge_step=after_step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log the values of a step; every name is one of ``METRICS``."""
        unknown = [name for name in values if meaning(name) is None]
        assert not unknown, f"without a line in METRICS: {unknown}"
        if self._jsonl is not None:
            with self._jsonl.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"step": step, **values}) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()
        self._listen(step, values)

    def close(self) -> None:
        """Write what is still to be written."""
        if self._writer is not None:
            self._writer.close()


def _cut(path: Path, after_step: int) -> None:
    kept = [line for line in read_metrics(path.parent) if line["step"] <= after_step]
    staging = path.with_name(f".{path.name}")
    staging.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
    staging.replace(path)
