"""What a prediction keeps of the distributions over the bins at its coordinates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from coordspec.coords import BINS
from coordspec.predictions.check import QUANTILE_LEVELS
from coordspec.predictions.record import CoordStats


def coord_stats(p_CK: npt.ArrayLike) -> CoordStats:
    """Mean, standard deviation and quantiles, in bins, of C distributions over the K = 1000 bins.

    The quantile at level a is the smallest bin k with ``sum(p[: k + 1]) >= a * sum(p)``, so that the central interval
    of mass m, from the quantile at (1 - m) / 2 to the one at (1 + m) / 2 with both ends, holds at least that mass.

    Raises:
        ValueError: the shape is another one, a value is negative or not finite, or a distribution has no mass.
    """
    weights_CK = np.asarray(p_CK, dtype=np.float64)
    if weights_CK.ndim != 2 or weights_CK.shape[1] != BINS:  # noqa: PLR2004 (rows and bins)
        raise ValueError(f"distributions have the shape [coordinates, {BINS}], not {list(weights_CK.shape)}")
    if not np.isfinite(weights_CK).all() or (weights_CK < 0).any() or (weights_CK.sum(axis=1) <= 0).any():
        raise ValueError("a distribution has finite values of at least 0, and some mass")
    weights_CK = weights_CK / weights_CK.sum(axis=1, keepdims=True)
    bins_K = np.arange(BINS)
    expected_C = weights_CK @ bins_K
    variance_C = (weights_CK * (bins_K - expected_C[:, None]) ** 2).sum(axis=1)
    cdf_CK = weights_CK.cumsum(axis=1)
    cdf_CK /= cdf_CK[:, -1:]  # a sum that rounding left below 1 still reaches every level
    quantiles_CL = np.stack([(cdf_CK >= level).argmax(axis=1) for level in QUANTILE_LEVELS], axis=1)
    return CoordStats(
        tuple(np.clip(expected_C, 0, BINS - 1).tolist()),  # rounding alone can leave the range
        tuple(np.sqrt(variance_C).tolist()),
        tuple(map(tuple, quantiles_CL.tolist())),
    )
