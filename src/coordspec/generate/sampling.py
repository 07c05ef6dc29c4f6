"""From the logits of one position to the next token of every row.

B rows, V entries of the vocabulary. The filters are those of transformers' ``LogitsProcessor``s of the same names.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from coordspec.config.stage2 import Decoding

_NEVER = float("-inf")


def draws_of(seeds: Sequence[int]) -> np.random.Generator:
    """The random numbers of one answer: they depend on the seeds alone, on every machine."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(seeds))))


def penalise(scores_BV: torch.Tensor, written_BV: torch.Tensor, penalty: float) -> torch.Tensor:
    """Scores in which the tokens of a mask are less likely: divided by the penalty, or multiplied below 0.

    Source: Keskar et al., "CTRL", 2019, section 4.1, as transformers has it.
    """
    lowered_BV = torch.where(scores_BV < 0, scores_BV * penalty, scores_BV / penalty)
    return torch.where(written_BV, lowered_BV, scores_BV)


def next_tokens(scores_BV: torch.Tensor, decoding: Decoding, draws_B: Sequence[np.random.Generator]) -> torch.Tensor:
    """The token of each row, int64: the likeliest, or with ``do_sample`` one that is drawn by the row's own numbers."""
    if not decoding.do_sample:
        return scores_BV.argmax(-1)
    uniform_B = torch.tensor([draws.random() for draws in draws_B], dtype=torch.float64, device=scores_BV.device)
    return draw(filtered(scores_BV, decoding), uniform_B)


def filtered(scores_BV: torch.Tensor, decoding: Decoding) -> torch.Tensor:
    """Scores over the temperature, minus infinity for all tokens that ``top_k`` and then ``top_p`` leave out."""
    scores_BV = scores_BV / decoding.temperature
    vocabulary = scores_BV.shape[-1]
    if 0 < decoding.top_k < vocabulary:
        kth_B1 = scores_BV.topk(decoding.top_k).values[:, -1:]
        scores_BV = scores_BV.masked_fill(scores_BV < kth_B1, _NEVER)
    if decoding.top_p < 1:
        sorted_BV, order_BV = scores_BV.sort(descending=True, stable=True)
        p_BV = sorted_BV.softmax(-1)
        likelier_BV = p_BV.cumsum(-1) - p_BV
        dropped_BV = torch.zeros_like(order_BV, dtype=torch.bool).scatter(-1, order_BV, likelier_BV >= decoding.top_p)
        scores_BV = scores_BV.masked_fill(dropped_BV, _NEVER)
    return scores_BV


def draw(scores_BV: torch.Tensor, uniform_B: torch.Tensor) -> torch.Tensor:
    """The token of each row at which the cumulative mass of ``softmax(scores)`` passes ``uniform``, from [0, 1).

    Uniform numbers draw from the softmax, and a token without mass is never drawn.
    """
    cdf_BV = scores_BV.double().softmax(-1).cumsum(-1)
    total_B1 = cdf_BV[:, -1:]
    below_B1 = torch.nextafter(total_B1, torch.zeros_like(total_B1))  # a product may be rounded up to the whole mass
    at_B1 = torch.minimum(uniform_B[:, None] * total_B1, below_B1)
    return torch.searchsorted(cdf_BV, at_B1, right=True)[:, 0]
