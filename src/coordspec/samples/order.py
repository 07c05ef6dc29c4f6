"""In which order the samples of an epoch are drawn: a pure function of the seed and the epoch."""

from __future__ import annotations

import numpy as np

from coordspec.samples.index import Offsets


def epoch_order(count: int, seed: int, epoch: int) -> Offsets:
    """Every index below ``count`` once, shuffled by ``seed`` and ``epoch`` alone; shape ``(count,)``.

    The same on every machine, rank and NumPy: ``SeedSequence`` and ``RandomState`` are parts of ``numpy.random`` whose
    streams are promised never to change (NEP 19).

    Raises:
        ValueError: one of the numbers is negative.
    """
    if min(count, seed, epoch) < 0:
        raise ValueError(f"count, seed and epoch are not below 0, unlike {count}, {seed}, {epoch}")
    generator = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, epoch])))
    return generator.permutation(count).astype(np.int64, copy=False)
