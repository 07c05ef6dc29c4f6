"""Which optimizer steps are Channel-B."""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction


class Channel(StrEnum):
    """What a step trains on: the ground truth, or rollouts."""

    A = "a"
    B = "b"


def channel_of(step: int, b_ratio: float) -> Channel:
    """Channel-B if and only if ``floor((step + 1) ρ) > floor(step ρ)``; steps count from 0.

    ρ is taken as the decimal number that the config shows, so that no rounding of binary fractions shifts a step. The
    answer depends on the step alone: all ranks and batches of a step agree, and a resumed run goes on as it began.

    Raises:
        ValueError: ``b_ratio`` is not within 0..1.
    """
    if not 0 <= b_ratio <= 1:
        raise ValueError(f"b_ratio is a share from 0 to 1, not {b_ratio}")
    ratio = Fraction(repr(b_ratio))
    return Channel.B if (step + 1) * ratio // 1 > step * ratio // 1 else Channel.A
