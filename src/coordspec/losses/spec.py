"""What the coordinate terms weigh, and what their target is."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordSpec:
    """The settings of ``custom.coord_soft_ce_w1``, which also says what a default is; here there is none.

    ``temperature`` divides the logits in all four terms. ``sigma`` is the standard deviation of the soft target and
    ``truncate`` the distance beyond which it is 0, None for no limit; both in bins.

    Raises:
        ValueError: a weight is negative, the temperature or sigma is not above 0, truncate is negative, or one of them
            is not finite.
    """

    soft_ce_weight: float
    w1_weight: float
    ce_weight: float
    gate_weight: float
    temperature: float
    sigma: float
    truncate: float | None

    def __post_init__(self) -> None:
        for name in ("soft_ce_weight", "w1_weight", "ce_weight", "gate_weight"):
            check_at_least_zero(name, getattr(self, name))
        check_above_zero("temperature", self.temperature)
        check_above_zero("sigma", self.sigma)
        if self.truncate is not None:
            check_at_least_zero("truncate", self.truncate)


def check_at_least_zero(name: str, value: float) -> None:
    """
    Raises:
        ValueError: ``value`` is negative or not finite.
    """
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value}; it must be a finite number of at least 0")


def check_above_zero(name: str, value: float) -> None:
    """
    Raises:
        ValueError: ``value`` is not above 0 or not finite.
    """
    if not 0 < value < math.inf:
        raise ValueError(f"{name} is {value}; it must be a finite number above 0")
