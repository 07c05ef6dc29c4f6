"""The Stage-1 loss on whole logits and the soft target, as the formulas read: what the fused loss is tested against.

T positions · N targets that are no coordinates · M coordinates · V vocabulary · K coord tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (its usual name)

from coordspec.config.sections import CoordSoftCeW1
from coordspec.coords import BINS, MAX_BIN, CoordVocab
from coordspec.losses.coord import precise
from coordspec.losses.rows import ids_of, supervised_rows
from coordspec.losses.soft_target import SoftTargets, check_bins
from coordspec.losses.stage1 import Stage1Loss


def stage1_loss_from_logits(
    logits_TV: Tensor,
    labels_T: Tensor,
    coord_vocab: CoordVocab,
    spec: CoordSoftCeW1,
    *,
    base_denominator: Tensor | float | None = None,
    coord_denominator: Tensor | float | None = None,
) -> Stage1Loss:
    """As ``stage1_loss``, by autograd through the whole of ``logits_TV``; slow, and large.

    Raises:
        ValueError: the labels do not fit the logits.
    """
    vocab_size = logits_TV.shape[1]
    if len(labels_T) != len(logits_TV):
        raise ValueError(f"there are {len(logits_TV)} rows of logits and {len(labels_T)} labels")
    rows = supervised_rows(labels_T, vocab_size, coord_vocab)
    logits_TV = logits_TV.to(precise(logits_TV.dtype))

    text_NV = logits_TV[rows.rows_N]
    base_ce_N = F.cross_entropy(text_NV, rows.targets_N, reduction="none")

    scaled_MV = logits_TV[rows.coord_rows_M] / spec.temperature
    scaled_MK = scaled_MV[:, ids_of(coord_vocab, vocab_size, logits_TV.device)]
    log_p_MK = F.log_softmax(scaled_MK, dim=1)
    p_MK = log_p_MK.exp()
    distance_MK = (torch.arange(MAX_BIN + 1, device=logits_TV.device) - rows.bins_M[:, None]).abs().to(p_MK.dtype)
    q_MK = torch.exp(-(distance_MK**2) / (2 * spec.target_sigma**2))
    if spec.target_truncate is not None:
        q_MK = torch.where(distance_MK <= spec.target_truncate, q_MK, 0.0)
    q_MK = q_MK / q_MK.sum(1, keepdim=True)
    soft_ce_M = -(q_MK * log_p_MK).sum(1)
    w1_M = (p_MK.cumsum(1) - q_MK.cumsum(1)).abs().sum(1) / MAX_BIN
    hard_ce_M = -log_p_MK.gather(1, rows.bins_M[:, None]).squeeze(1)
    gate_M = scaled_MV.logsumexp(1) - scaled_MK.logsumexp(1)

    base_count, coord_count = len(base_ce_N), len(gate_M)
    coord_M = (
        spec.soft_ce_weight * soft_ce_M + spec.w1_weight * w1_M + spec.ce_weight * hard_ce_M + spec.gate_weight * gate_M
    )
    loss = logits_TV[:0].sum()
    if base_count:
        loss = loss + base_ce_N.sum() / (base_count if base_denominator is None else base_denominator)
    if coord_count:
        loss = loss + coord_M.sum() / (coord_count if coord_denominator is None else coord_denominator)
    if not (text_NV.isfinite().all() and scaled_MV.isfinite().all()):
        loss = loss * torch.nan  # a logit of -inf is a harmless 0 to the softmax, and would not be seen
    return Stage1Loss(
        loss=loss,
        base_count=base_count,
        coord_count=coord_count,
        base_ce=base_ce_N.detach().sum(),
        coord_soft_ce=soft_ce_M.detach().sum(),
        coord_w1=w1_M.detach().sum(),
        coord_hard_ce=hard_ce_M.detach().sum(),
        coord_gate=gate_M.detach().sum(),
        vocab_mass=gate_M.detach().neg().exp().sum(),
        expected_bin_error=(p_MK.detach() * distance_MK).sum(),
    )


def soft_target(
    bins_N: Tensor, *, target_sigma: float, target_truncate: float | None = None, dtype: torch.dtype = torch.float64
) -> Tensor:
    """``q_NK``: a Gaussian around each bin, cut beyond ``target_truncate`` bins, renormalised over the bins 0..999.

    Raises:
        ValueError: a bin is none, target_sigma is not above 0, target_truncate negative, or one of them not finite.
    """
    check_bins(bins_N, BINS)
    return SoftTargets(
        target_sigma=target_sigma, target_truncate=target_truncate, dtype=dtype, device=bins_N.device
    ).of(bins_N)
