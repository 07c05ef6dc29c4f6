"""How rows of coord tokens begin: ordered, so that a bin's neighbours are its neighbours in the embedding too."""

from __future__ import annotations

import math
from typing import Final

import torch

from coordspec.coords import BINS

MAX_FEATURES: Final = 128
LOWEST, HIGHEST = 0.5, 40.0
"""Cycles of the slowest and the fastest wave over all bins. The fastest tells bins apart that lie 5 or 6 from each
other; what is finer is left to training, which then moves two neighbours apart and need not find out that they are."""


def ordered_rows(dim: int, generator: torch.Generator) -> torch.Tensor:
    """Features of every bin: float32, shape ``(1000, dim)``, a mean square of about 1.

    Pairs of sine and cosine of the bin at frequencies from ``LOWEST`` to ``HIGHEST``, evenly spaced by ratio, with
    amplitudes that fall with the root of the frequency, turned into ``dim`` dimensions by a random rotation. The
    scalar product of two rows depends, but for rounding, on the distance of their bins alone and falls with it; rows of
    neighbouring bins are nearly equal.

    Raises:
        ValueError: ``dim`` is below 2.
    """
    if dim < 2:  # noqa: PLR2004 (a sine and a cosine)
        raise ValueError(f"rows of dimension {dim} cannot be ordered; at least 2 are needed")
    count = min(dim, MAX_FEATURES) // 2
    steps = torch.arange(count, dtype=torch.float64) / max(1, count - 1)
    cycles = LOWEST * (HIGHEST / LOWEST) ** steps
    angles = 2 * math.pi * torch.arange(BINS, dtype=torch.float64)[:, None] / (BINS - 1) * cycles
    waves = torch.cat([angles.sin(), angles.cos()], dim=1) * cycles.rsqrt().repeat(2)
    rotation, _ = torch.linalg.qr(torch.randn(dim, 2 * count, generator=generator, dtype=torch.float64))
    rows: torch.Tensor = waves @ rotation.T
    return rows.div(rows.square().mean().sqrt()).float()
