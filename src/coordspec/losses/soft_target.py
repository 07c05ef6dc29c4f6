"""The soft target of a coordinate: a Gaussian over the bins.

N coordinates · K bins.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from coordspec.coords import BINS


class SoftTargets:
    """Targets of bins, looked up in one kernel over the distances ``-(K-1)..K-1``.

    The target of bin b is K neighbouring entries of the kernel, over their sum: no [K, K] table is needed. The kernel
    is made in float64 and kept in ``dtype``.

    Raises:
        ValueError: target_sigma is not above 0, target_truncate is negative, or one of them is not finite.
    """

    def __init__(
        self,
        *,
        target_sigma: float,
        target_truncate: float | None,
        dtype: torch.dtype,
        device: torch.device,
        bins: int = BINS,
    ) -> None:
        check_above_zero("target_sigma", target_sigma)
        distances = torch.arange(-(bins - 1), bins, dtype=torch.float64)
        kernel = torch.exp(-0.5 * (distances / target_sigma).square())
        if target_truncate is not None:
            check_at_least_zero("target_truncate", target_truncate)
            kernel[distances.abs() > target_truncate] = 0.0
        sums = torch.cat([kernel.new_zeros(1), kernel.cumsum(0)])
        sums_K = sums[bins:] - sums[:bins]
        self._last = bins - 1
        self._windows_KK = kernel.to(device, dtype).unfold(0, bins, 1)  # a view: row s is kernel[s : s + K]
        self._distances_KK = distances.abs().to(device, dtype).unfold(0, bins, 1)
        self._scales_K = sums_K.reciprocal().to(device, dtype)

    def of(self, bins_N: Tensor) -> Tensor:
        """``q_NK``: every row sums to 1."""
        starts_N = self._last - bins_N
        return self._windows_KK.index_select(0, starts_N).mul_(self._scales_K[starts_N, None])

    def distances(self, bins_N: Tensor) -> Tensor:
        """``|k - bin|`` for every bin k, in bins, shape [N, K]."""
        return self._distances_KK.index_select(0, self._last - bins_N)


def check_bins(bins_N: Tensor, bins: int) -> None:
    """
    Raises:
        ValueError: ``bins_N`` is no vector of integers from 0 to ``bins - 1``.
    """
    if bins_N.ndim != 1 or bins_N.dtype not in {torch.int64, torch.int32}:
        raise ValueError(f"bins are a vector of integers, not {bins_N.dtype} of shape {list(bins_N.shape)}")
    wrong = bins_N[(bins_N < 0) | (bins_N >= bins)]
    if len(wrong):
        raise ValueError(f"{int(wrong[0])} is no bin; bins are 0 to {bins - 1}")


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
