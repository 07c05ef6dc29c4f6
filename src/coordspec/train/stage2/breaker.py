"""A stop for runs whose rollouts run away: they grow, repeat themselves, and each step teaches the next to do so."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from coordspec.config.stage2 import Runaway
from coordspec.errors import CoordspecError
from coordspec.train.stage2 import tally


class RunawayError(CoordspecError):
    """Rollouts of the last steps hold too many predictions, or too many of them are truncated."""


_WATCHED = (tally.PREDICTIONS, tally.GROUND_TRUTH, tally.TRUNCATED, tally.COUNT)


class Breaker:
    """Watches the last rollout steps. Its numbers are those of all ranks, so every rank decides alike."""

    def __init__(self, limits: Runaway) -> None:
        self._limits = limits
        self._steps: deque[tuple[float, ...]] = deque(maxlen=limits.window_steps)

    def watch(self, sums: Mapping[str, float]) -> str | None:
        """Take notice of a step's tallies; what has run away, in words, or None."""
        self._steps.append(tuple(sums[name] for name in _WATCHED))
        limits = self._limits
        if len(self._steps) < limits.window_steps:
            return None
        predictions, truth, truncated, rollouts = (sum(column) for column in zip(*self._steps, strict=True))
        over = f"over the last {limits.window_steps} rollout steps"
        most = limits.max_predictions_per_gt
        if most is not None and predictions > most * max(1.0, truth):
            return (
                f"rollouts hold {predictions / max(1.0, truth):.2f} predictions for each ground-truth object {over}, "
                f"more than rollout_matching.runaway.max_predictions_per_gt: {most:g}"
            )
        if limits.max_truncation_rate is not None and truncated > limits.max_truncation_rate * rollouts:
            return (
                f"{truncated / rollouts:.0%} of the rollouts are truncated {over}, "
                f"more than rollout_matching.runaway.max_truncation_rate: {limits.max_truncation_rate:g}"
            )
        return None

    def state(self) -> list[list[float]]:
        """What a checkpoint keeps, for a run that is resumed."""
        return [list(step) for step in self._steps]

    def restore(self, state: Sequence[Sequence[float]]) -> None:
        """Go on from ``state``."""
        self._steps.clear()
        self._steps.extend(tuple(step) for step in state)
