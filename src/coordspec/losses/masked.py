"""The Stage-2 losses that come from the head: weighted cross entropy, coordinate terms, and the logits of box slots.

T positions · M coordinates with terms · S coordinates of boxes · D hidden size · V vocabulary · K coord tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from coordspec.config.sections import CoordSoftCeW1
from coordspec.coords import BINS, CoordVocab
from coordspec.losses.fused import CoordScores, head_loss
from coordspec.losses.rows import CeRows, CoordRows, check_targets, ids_of, rows_of_positions
from coordspec.losses.soft_target import check_bins


@dataclass(frozen=True, slots=True)
class CoordSlots:
    """Coordinates with terms: where their tokens stand, and the bins of the ground truth, which need not be theirs."""

    positions_M: Tensor
    bins_M: Tensor
    spec: CoordSoftCeW1
    denominator: Tensor | float


@dataclass(frozen=True, slots=True)
class MaskedLoss:
    """``loss`` and ``coord_logits_SK`` have gradients; the rest is detached.

    ``ce_sum`` is the weighted sum of the cross entropies of this batch and ``weight_sum`` that of their weights.
    """

    loss: Tensor
    coord_logits_SK: Tensor
    ce_sum: Tensor
    weight_sum: Tensor
    coord: CoordScores


def masked_loss(
    hidden_TD: Tensor,
    head_VD: Tensor,
    ids_T: Tensor,
    weights_T: Tensor,
    coord_vocab: CoordVocab,
    *,
    ce_denominator: Tensor | float,
    coord: CoordSlots | None,
    box_positions_S: Tensor,
    coord_rows_KD: Tensor | None = None,
    measure_gate: bool = False,
) -> MaskedLoss:
    """``Σ weight · CE / ce_denominator`` plus coordinate terms, and the coord logits that boxes are decoded from.

    Weights and positions are those of the tokens; the shift happens here. Rows of weight 0 are dropped. The first token
    of a sequence, and of every sample that is packed into it, must have weight 0, since nothing predicts it.

    Args:
        hidden_TD: hidden states that go into the head.
        head_VD: weight of the head; this, ``coord_rows_KD`` and ``measure_gate`` are those of ``head_loss``.
        ids_T: token ids.
        weights_T: weight of the cross entropy of each token, 0 or more.
        coord_vocab: which ids are coord tokens.
        ce_denominator: sum of the weights over the whole accumulation window and all ranks.
        coord: coordinates with terms, None for none.
        box_positions_S: positions of the coord tokens whose logits come out, in that order.
        coord_rows_KD: trained rows of the coord tokens, beside a head that is frozen.
        measure_gate: compute the gate where its weight is 0 too.

    Raises:
        ValueError: shapes or types do not fit; a weight is negative or not finite; a token with a weight is no row of
            the head; the first token has a weight; a position is below 1; a bin is none.
    """
    _check_weights(hidden_TD, ids_T, weights_T)
    vocab_size, device = len(head_VD), hidden_TD.device
    positions = torch.nonzero(weights_T).squeeze(1)
    rows_N = rows_of_positions(positions)
    targets_N = ids_T.index_select(0, positions).long()
    weights_N = weights_T.index_select(0, positions)
    check_targets(targets_N, vocab_size)
    if coord is not None:
        check_bins(coord.bins_M, BINS)
    result = head_loss(
        hidden_TD,
        head_VD,
        ce=CeRows(rows_N, targets_N, weights_N, ce_denominator),
        coord=CoordRows(rows_N[:0], rows_N[:0], 1.0)
        if coord is None
        else CoordRows(rows_of_positions(coord.positions_M), coord.bins_M.long(), coord.denominator),
        slots_S=rows_of_positions(box_positions_S),
        ids_K=ids_of(coord_vocab, vocab_size, device),
        spec=None if coord is None else coord.spec,
        coord_rows_KD=coord_rows_KD,
        measure_gate=measure_gate,
    )
    weights_N = weights_N.to(result.ce_N.dtype)
    return MaskedLoss(result.loss, result.coord_logits_SK, weights_N.dot(result.ce_N), weights_N.sum(), result.coord)


def _check_weights(hidden_TD: Tensor, ids_T: Tensor, weights_T: Tensor) -> None:
    if not len(hidden_TD) == len(ids_T) == len(weights_T):
        raise ValueError(f"there are {len(hidden_TD)} hidden states, {len(ids_T)} ids and {len(weights_T)} weights")
    if not (weights_T.isfinite() & (weights_T >= 0)).all():
        raise ValueError("weights of cross entropy are finite numbers of at least 0")
    if len(weights_T) and weights_T[0] > 0:
        raise ValueError("the first token has a weight, but nothing predicts it")
