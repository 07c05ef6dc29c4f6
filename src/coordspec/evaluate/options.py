"""What a person can choose about an evaluation, and the one place of its defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from coordspec.boxes import IOU_THRESHOLDS
from coordspec.evaluate.categories import Categories

IOU: Final = IOU_THRESHOLDS[0]
"""Where one threshold is enough, a prediction of the same category that overlaps by as much counts as right."""


@dataclass(frozen=True, slots=True)
class EvalOptions:
    """``resamples`` of the bootstrap, 0 for no intervals; ``average_precision`` is False where AP is not wanted."""

    categories: Categories = field(default_factory=Categories)
    resamples: int = 1000
    seed: int = 0
    average_precision: bool = True


DEFAULTS = EvalOptions()
