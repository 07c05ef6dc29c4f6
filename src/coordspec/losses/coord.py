"""The terms of a coordinate, with gradients in closed form.

N coordinates · K bins. With logits ``z``, ``p = softmax(z / T)`` and target ``q``:

    soft_ce = -Σ q log p                     d/dz = (p - q) / T
    hard_ce = -log p[bin]                    d/dz = (p - onehot) / T
    w1 = Σ_i |P_i - Q_i| / (K - 1)           d/dz = p ⊙ (g - p·g) / (K - 1) / T

where P and Q are the running sums of p and q, and g the sum of ``sign(P - Q)`` from a bin to the last one.

All is computed in float32, or in float64 where the logits are. A row with a logit that is not finite has terms and a
gradient that are NaN, so that it is seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from coordspec.losses.soft_target import SoftTargets, check_above_zero, check_bins

ROWS_OF_A_BLOCK: Final = {"cpu": 256}
"""Rows computed at once by device type: few enough to stay in a core's cache."""
ROWS_OF_A_BLOCK_ELSEWHERE: Final = 8192


class CoordTerms(NamedTuple):
    """The three terms of every coordinate, unweighted, float32 or float64."""

    soft_ce_N: Tensor
    w1_N: Tensor
    hard_ce_N: Tensor


def coord_terms(
    coord_logits_NK: Tensor,
    bins_N: Tensor,
    *,
    target_sigma: float,
    target_truncate: float | None = None,
    temperature: float = 1.0,
) -> CoordTerms:
    """softCE, W1 and hard CE of N coordinates.

    Args:
        coord_logits_NK: logits of the coord tokens in the order of the bins, of any floating type.
        bins_N: ground-truth bins, integers.
        target_sigma: standard deviation of the target, in bins.
        target_truncate: distance in bins beyond which the target is 0; None for no limit.
        temperature: divisor of the logits.

    Raises:
        ValueError: shapes do not fit, a bin is none, or a setting is out of range.
    """
    check_logits(coord_logits_NK, temperature)
    check_bins(bins_N, coord_logits_NK.shape[1])
    if len(bins_N) != len(coord_logits_NK):
        raise ValueError(f"there are {len(coord_logits_NK)} rows of logits and {len(bins_N)} bins")
    targets = SoftTargets(
        target_sigma=target_sigma,
        target_truncate=target_truncate,
        dtype=precise(coord_logits_NK.dtype),
        device=coord_logits_NK.device,
        bins=coord_logits_NK.shape[1],
    )
    return CoordTerms(*_CoordTerms.apply(coord_logits_NK, bins_N, targets, temperature))  # type: ignore[no-untyped-call]


def precise(dtype: torch.dtype) -> torch.dtype:
    """The type that is computed in: float32 or wider."""
    return torch.promote_types(dtype, torch.float32)


def check_logits(coord_logits_NK: Tensor, temperature: float) -> None:
    """
    Raises:
        ValueError: the logits are no matrix of at least 2 columns, or the temperature is not above 0.
    """
    check_above_zero("temperature", temperature)
    if coord_logits_NK.ndim != 2 or coord_logits_NK.shape[1] < 2 or not coord_logits_NK.is_floating_point():  # noqa: PLR2004
        raise ValueError(
            f"coord logits are floats of shape [N, K], K at least 2, not {coord_logits_NK.dtype} of shape "
            f"{list(coord_logits_NK.shape)}"
        )


# ---------------------------------------------------------------- one block of rows


class Distribution(NamedTuple):
    """``p = softmax(z / T)`` of a block of rows. ``scaled`` is ``(z - max z) / T``, ``lse`` that of ``z / T``."""

    p_NK: Tensor
    scaled_NK: Tensor
    scaled_lse_N: Tensor
    lse_N: Tensor


@dataclass(frozen=True, slots=True)
class ScoredBlock:
    """The terms of a block of rows, and what their gradient is made of."""

    terms: CoordTerms
    distribution: Distribution
    q_NK: Tensor
    gap_NK: Tensor
    """P - Q"""


def distribution(coord_logits_NK: Tensor, temperature: float) -> Distribution:
    """The distribution over the bins in every row; NaN throughout a row that has a logit which is not finite."""
    z_NK = coord_logits_NK.to(precise(coord_logits_NK.dtype))
    high_N1 = z_NK.amax(1, keepdim=True)
    scaled_NK = z_NK - high_N1
    if temperature != 1.0:
        scaled_NK.mul_(1.0 / temperature)
    p_NK = scaled_NK.exp()
    total_N = p_NK.sum(1)
    # exp turns -inf into a harmless 0, and a logit of +inf makes its neighbours so
    total_N = torch.where(scaled_NK.amin(1).isfinite(), total_N, torch.nan)
    lse_N = total_N.log()
    return Distribution(
        p_NK.mul_(total_N.reciprocal()[:, None]), scaled_NK, lse_N, lse_N + high_N1.squeeze(1) / temperature
    )


def score(coord_logits_NK: Tensor, bins_N: Tensor, targets: SoftTargets, temperature: float) -> ScoredBlock:
    """The terms of a block of rows."""
    dist = distribution(coord_logits_NK, temperature)
    q_NK = targets.of(bins_N)
    gap_NK = (dist.p_NK - q_NK).cumsum_(1)
    terms = CoordTerms(
        dist.scaled_lse_N - torch.linalg.vecdot(q_NK, dist.scaled_NK),
        gap_NK.abs().sum(1) / (q_NK.shape[1] - 1),
        dist.scaled_lse_N - dist.scaled_NK.gather(1, bins_N[:, None]).squeeze(1),
    )
    return ScoredBlock(terms, dist, q_NK, gap_NK)


def gradient(scores: ScoredBlock, bins_N: Tensor, weights_N: CoordTerms, temperature: float) -> Tensor:
    """``dz_NK`` of the weighted sum of the terms; ``weights_N`` has one weight for each term and row.

    ``scores`` is used up.
    """
    soft_N, w1_N, hard_N = (weight_N / temperature for weight_N in weights_N)
    p_NK, sign_NK = scores.distribution.p_NK, scores.gap_NK.sign_()
    # g but for a constant of each row, which p ⊙ (g - p·g) does not see: minus the sum of signs before the bin
    g_NK = sign_NK.sub_(sign_NK.cumsum(1))
    w1_N = w1_N / (p_NK.shape[1] - 1)
    rest_N = soft_N + hard_N - w1_N * torch.linalg.vecdot(p_NK, g_NK)
    dz_NK = g_NK.mul_(w1_N[:, None]).add_(rest_N[:, None]).mul_(p_NK)
    dz_NK.addcmul_(scores.q_NK, soft_N[:, None], value=-1.0)
    return dz_NK.scatter_add_(1, bins_N[:, None], -hard_N[:, None])


def blocks(rows: int, device: torch.device) -> Iterator[slice]:
    """Slices of so many rows as are computed at once."""
    step = ROWS_OF_A_BLOCK.get(device.type, ROWS_OF_A_BLOCK_ELSEWHERE)
    return (slice(start, start + step) for start in range(0, rows, step))


# ---------------------------------------------------------------- autograd


class _CoordTerms(torch.autograd.Function):
    """Keeps its input alone and computes the block again in the backward."""

    @staticmethod
    def forward(
        ctx: Any, coord_logits_NK: Tensor, bins_N: Tensor, targets: SoftTargets, temperature: float
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(coord_logits_NK, bins_N)
        ctx.targets, ctx.temperature = targets, temperature
        out_3N = coord_logits_NK.new_empty((3, len(bins_N)), dtype=precise(coord_logits_NK.dtype))
        for block in blocks(len(bins_N), bins_N.device):
            terms = score(coord_logits_NK[block], bins_N[block], targets, temperature).terms
            torch.stack(terms, out=out_3N[:, block])
        return tuple(out_3N.unbind())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *weights_N: Tensor) -> tuple[Tensor, None, None, None]:
        coord_logits_NK, bins_N = ctx.saved_tensors
        grad_NK = torch.empty_like(coord_logits_NK)
        for block in blocks(len(bins_N), bins_N.device):
            scores = score(coord_logits_NK[block], bins_N[block], ctx.targets, ctx.temperature)
            weights = CoordTerms(*(weight_N[block] for weight_N in weights_N))
            grad_NK[block] = gradient(scores, bins_N[block], weights, ctx.temperature)
        return grad_NK, None, None, None
