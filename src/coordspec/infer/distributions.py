"""What a distribution over the bins looks like at a coordinate: how many modes it has, and whether it can be believed.

C coordinate slots · K bins.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from coordspec.coords import BINS
from coordspec.evaluate.calibration import MASSES
from coordspec.predictions.coord_stats import coord_stats

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MODE_SHARE: Final = 0.1
"""Share of the largest value that a local maximum has at least, to count as a mode."""
_FLAT: Final = 1e-12
"""Steps of a smaller share of the largest value are rounding, and no rise or fall."""
_TEMPERATURES: Final = tuple(10 ** (step / 20 - 1) for step in range(41))
"""Those that are tried, from 0.1 to 10."""


class Smoother:
    """Convolves distributions with a Gaussian; beyond the first and the last bin there is nothing."""

    def __init__(self, target_sigma: float) -> None:
        """``target_sigma`` is its standard deviation in bins."""
        bins_K = np.arange(BINS)
        kernel_KK = np.exp(-0.5 * ((bins_K[:, None] - bins_K) / target_sigma) ** 2)
        self._kernel_KK = kernel_KK / kernel_KK[BINS // 2].sum()

    def smooth(self, p_CK: Floats) -> Floats:
        smoothed_CK: Floats = p_CK @ self._kernel_KK
        return smoothed_CK


def modes(values_CK: Floats) -> npt.NDArray[np.int64]:
    """How many local maxima each row has among the bins with at least ``MODE_SHARE`` of its largest value, ``[C]``.

    A plateau is one. The first and the last bin can be one.
    """
    high_C1 = values_CK.max(axis=1, keepdims=True)
    step_CK = np.diff(values_CK, axis=1)
    sign_CK = np.where(np.abs(step_CK) <= _FLAT * high_C1, 0.0, np.sign(step_CK))
    edge_C1 = np.ones_like(high_C1)
    sign_CK = np.hstack([edge_C1, sign_CK, -edge_C1])  # it rises to the first bin and falls from the last
    last_CK = np.maximum.accumulate(np.where(sign_CK != 0, np.arange(sign_CK.shape[1]), 0), axis=1)
    rising_CK = np.take_along_axis(sign_CK, last_CK, axis=1) > 0  # flat steps go on as the one before them
    top_CK = rising_CK[:, :-1] & ~rising_CK[:, 1:]
    counts: npt.NDArray[np.int64] = (top_CK & (values_CK >= MODE_SHARE * high_C1)).sum(axis=1)
    return counts


def covered(p_CK: Floats, bins_C: npt.NDArray[np.int64]) -> dict[float, Bools]:
    """For each mass of ``MASSES`` whether the bin lies within the central interval of that mass, ends included.

    The ends are the quantiles of ``coord_stats``.
    """
    quantiles_CL = np.array(coord_stats(p_CK).quantiles, dtype=np.int64).reshape(len(bins_C), -1)
    return {mass: (quantiles_CL[:, i] <= bins_C) & (bins_C <= quantiles_CL[:, -1 - i]) for i, mass in enumerate(MASSES)}


class BestTemperature:
    """Finds the temperature at which the mean of ``-log softmax(z / T)[bin]`` is smallest, from slots as they come."""

    def __init__(self) -> None:
        self._sums = np.zeros(len(_TEMPERATURES))
        self._slots = 0

    def add(self, logits_CK: torch.Tensor, bins_C: torch.Tensor) -> None:
        """Take the logits of further slots and the bins of the ground truth."""
        at_C = logits_CK.gather(1, bins_C[:, None])[:, 0]
        for i, temperature in enumerate(_TEMPERATURES):
            self._sums[i] += float(((logits_CK / temperature).logsumexp(1) - at_C / temperature).sum())
        self._slots += len(bins_C)

    def result(self) -> tuple[float, float]:
        """The temperature, and the mean at the nearest one that was tried, which is hardly larger.

        Between those that are tried a parabola over their logarithms leads to it. At the first or last of them, the
        best one lies there or beyond.
        """
        best = int(self._sums.argmin())
        means = self._sums / self._slots
        if best in (0, len(means) - 1):
            return _TEMPERATURES[best], float(means[best])
        left, middle, right = means[best - 1 : best + 2].tolist()
        curvature = left - 2 * middle + right
        shift = (left - right) / (2 * curvature) if curvature > 0 else 0.0
        return _TEMPERATURES[best] * (_TEMPERATURES[1] / _TEMPERATURES[0]) ** shift, middle
