"""The Stage-1 loss from hidden states.

T positions · D hidden size · V vocabulary · K coord tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from coordspec.config.sections import CoordSoftCeW1
from coordspec.coords import CoordVocab
from coordspec.losses.fused import head_loss
from coordspec.losses.rows import CeRows, CoordRows, ids_of, supervised_rows

BASE_CE: Final = "loss/base_ce"
SOFT_CE, W1, HARD_CE, GATE = "loss/coord_soft_ce", "loss/coord_w1", "loss/coord_hard_ce", "loss/coord_gate"
VOCAB_MASS, BIN_ERROR = "coord/vocab_mass", "coord/expected_bin_error"
COORD_PARTS: Final = (SOFT_CE, W1, HARD_CE, GATE, VOCAB_MASS, BIN_ERROR)
"""Names of the parts in the log of a run and in the checklist: that of ordinary targets, and those of coordinates."""


@dataclass(frozen=True, slots=True)
class Stage1Loss:
    """``loss`` has a gradient. The rest is detached: sums over this batch, unweighted, and how many entered them.

    ``base_ce`` is a sum over ``base_count`` targets, all others over ``coord_count`` coordinates. ``coord_gate`` and
    ``vocab_mass`` are None where the gate has no weight and was not to be measured.
    """

    loss: Tensor
    base_count: int
    coord_count: int
    base_ce: Tensor
    coord_soft_ce: Tensor
    coord_w1: Tensor
    coord_hard_ce: Tensor
    coord_gate: Tensor | None
    vocab_mass: Tensor | None
    expected_bin_error: Tensor


def stage1_loss(
    hidden_TD: Tensor,
    head_VD: Tensor,
    labels_T: Tensor,
    coord_vocab: CoordVocab | None,
    spec: CoordSoftCeW1 | None,
    *,
    base_denominator: Tensor | float | None = None,
    coord_denominator: Tensor | float | None = None,
    coord_rows_KD: Tensor | None = None,
    measure_gate: bool = False,
) -> Stage1Loss:
    """``Σ CE / base_denominator + Σ (w_soft soft_ce + w_w1 w1 + w_ce hard_ce + w_gate gate) / coord_denominator``.

    Labels stand at the positions of their tokens; the shift happens here. In a packed sequence the first label of every
    sample must be ``IGNORE_INDEX``, which it is where samples begin with a prompt: else it is scored by the row of the
    sample before. Without a coord vocabulary and spec every supervised target is an ordinary token.

    Args:
        hidden_TD: hidden states that go into the head.
        head_VD: weight of the head; this, ``coord_rows_KD`` and ``measure_gate`` are those of ``head_loss``.
        labels_T: token ids, ``IGNORE_INDEX`` where nothing is supervised.
        coord_vocab: which ids are coord tokens.
        spec: weights and target of the coordinate terms.
        base_denominator: how many targets of the whole accumulation window, on all ranks, are no coordinates; None if
            this batch is the window.
        coord_denominator: likewise how many are coordinates.
        coord_rows_KD: trained rows of the coord tokens, beside a head that is frozen.
        measure_gate: compute the gate where its weight is 0 too.

    Raises:
        ValueError: shapes or types do not fit, a label is no row of the head, or one of vocabulary and spec is missing.
    """
    if (coord_vocab is None) != (spec is None):
        raise ValueError("a coord vocabulary and a spec come together, or neither does")
    if len(labels_T) != len(hidden_TD):
        raise ValueError(f"there are {len(hidden_TD)} hidden states and {len(labels_T)} labels")
    vocab_size, device = len(head_VD), hidden_TD.device
    rows = supervised_rows(labels_T, vocab_size, coord_vocab)
    base_count, coord_count = len(rows.rows_N), len(rows.bins_M)
    result = head_loss(
        hidden_TD,
        head_VD,
        ce=CeRows(
            rows.rows_N,
            rows.targets_N,
            torch.ones(base_count, device=device),
            base_count if base_denominator is None else base_denominator,
        ),
        coord=CoordRows(
            rows.coord_rows_M, rows.bins_M, coord_count if coord_denominator is None else coord_denominator
        ),
        slots_S=rows.bins_M[:0],
        ids_K=rows.bins_M[:0] if coord_vocab is None else ids_of(coord_vocab, vocab_size, device),
        spec=spec,
        coord_rows_KD=coord_rows_KD,
        measure_gate=measure_gate,
    )
    gate_M = result.coord.gate_M
    return Stage1Loss(
        loss=result.loss,
        base_count=base_count,
        coord_count=coord_count,
        base_ce=result.ce_N.sum(),
        coord_soft_ce=result.coord.soft_ce_M.sum(),
        coord_w1=result.coord.w1_M.sum(),
        coord_hard_ce=result.coord.hard_ce_M.sum(),
        coord_gate=None if gate_M is None else gate_M.sum(),
        vocab_mass=None if gate_M is None else gate_M.neg().exp().sum(),
        expected_bin_error=result.coord.bin_error_M.sum(),
    )
