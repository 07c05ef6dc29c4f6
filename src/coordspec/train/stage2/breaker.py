"""A stop for runs whose rollouts run away: they grow, repeat themselves, and each step teaches the next to do so."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from coordspec.config.stage2 import Runaway
from coordspec.errors import CoordspecError


class RunawayError(CoordspecError):
    """Rollouts of the last steps hold too many predictions, or too many of them are truncated."""


class Breaker:
    """Watches the last rollout steps. Its numbers are those of all ranks, so every rank decides alike."""

    def __init__(self, limits: Runaway) -> None:
        self._limits = limits
        self._steps: deque[tuple[float, float, float, float]] = deque(maxlen=limits.window_steps)

    def watch(self, sums: Mapping[str, float]) -> str | None:
        """Take notice of a step's tallies; what has run away, in words, or None."""
        self._steps.append(
            (sums["rollout/predictions"], sums["rollout/ground_truth"], sums["rollout/truncated"], sums["rollout/count"])
        )
        limits = self._limits
        if len(self._steps) < limits.window_steps:
            return None
        predictions, truth, truncated, rollouts = (sum(column) for column in zip(*self._steps, strict=True))
        over = f"over the last {limits.window_steps} rollout steps"
        if limits.max_predictions_per_gt is not None and predictions > limits.max_predictions_per_gt * max(1.0, truth):
            return (
                f"rollouts hold {predictions / max(1.0, truth):.2f} predictions for each ground-truth object {over}, more "
                f"than rollout_matching.runaway.max_predictions_per_gt: {limits.max_predictions_per_gt:g}"
            )
        if limits.max_truncation_rate is not None and truncated > limits.max_truncation_rate * rollouts:
            return (
                f"{truncated / rollouts:.0%} of the rollouts are truncated {over}, more than "
                f"rollout_matching.runaway.max_truncation_rate: {limits.max_truncation_rate:g}"
            )
        return None

    def state(self) -> list[list[float]]:
        """What a checkpoint keeps, for a run that is resumed."""
        return [list(step) for step in self._steps]

    def restore(self, state: list[list[float]]) -> None:
        """Go on from ``state``."""
        self._steps.clear()
        self._steps.extend((step[0], step[1], step[2], step[3]) for step in state)
