"""The expectation of a coordinate, with its gradient in closed form; boxes of Stage-2 are decoded by it.

N coordinates · K bins. With logits ``z`` and ``p = softmax(z / T)``:

    ĉ = Σ p_k k / (K - 1)                    d/dz = p ⊙ (k / (K - 1) - ĉ) / T
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from coordspec.losses.coord import blocks, check_logits, distribution, precise


def expected_unit(coord_logits_NK: Tensor, *, temperature: float = 1.0) -> Tensor:
    """``unit_N``: the expectation ``Σ p_k · k / (K - 1)`` of N coordinates, in [0, 1], float32 or float64.

    Raises:
        ValueError: the logits are no matrix of at least 2 columns, or the temperature is not above 0.
    """
    check_logits(coord_logits_NK, temperature)
    unit_N: Tensor = _ExpectedUnit.apply(coord_logits_NK, temperature)  # type: ignore[no-untyped-call]
    return unit_N


class _ExpectedUnit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, coord_logits_NK: Tensor, temperature: float) -> Tensor:
        units_K = torch.linspace(
            0.0, 1.0, coord_logits_NK.shape[1], dtype=precise(coord_logits_NK.dtype), device=coord_logits_NK.device
        )
        unit_N = units_K.new_empty(len(coord_logits_NK))
        for block in blocks(len(unit_N), unit_N.device):
            torch.mv(distribution(coord_logits_NK[block], temperature).p_NK, units_K, out=unit_N[block])
        ctx.save_for_backward(coord_logits_NK, units_K, unit_N)
        ctx.temperature = temperature
        return unit_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight_N: Tensor) -> tuple[Tensor, None]:
        coord_logits_NK, units_K, unit_N = ctx.saved_tensors
        grad_NK = torch.empty_like(coord_logits_NK)
        for block in blocks(len(unit_N), unit_N.device):
            p_NK = distribution(coord_logits_NK[block], ctx.temperature).p_NK
            centred_NK = (units_K - unit_N[block, None]).mul_(weight_N[block, None] / ctx.temperature)
            grad_NK[block] = centred_NK.mul_(p_NK)
        return grad_NK, None
