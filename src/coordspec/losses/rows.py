"""Which rows of the hidden states are supervised, and by what.

T positions · N rows with cross entropy · M rows with coordinate terms.

The one place of the causal shift: the token at position t is scored by the row of position t - 1, and the one at
position 0 by none.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from coordspec.coords import CoordVocab

IGNORE_INDEX: Final = -100
"""The label of a position that is not supervised, as everywhere in the field."""


class CeRows(NamedTuple):
    """Rows with full-vocabulary cross entropy: their sum, weighted by ``weights_N``, over ``denominator``."""

    rows_N: Tensor
    targets_N: Tensor
    weights_N: Tensor
    denominator: Tensor | float


class CoordRows(NamedTuple):
    """Rows with coordinate terms: their sum over ``denominator``."""

    rows_M: Tensor
    bins_M: Tensor
    denominator: Tensor | float


class Supervised(NamedTuple):
    """The rows of one batch of labels, text and coordinates apart."""

    rows_N: Tensor
    targets_N: Tensor
    coord_rows_M: Tensor
    bins_M: Tensor


def rows_of_positions(positions: Tensor) -> Tensor:
    """The rows whose logits predict the tokens at these positions.

    Raises:
        ValueError: a position is 0, whose token nothing predicts, or negative.
    """
    if len(positions) and int(positions.min()) < 1:
        raise ValueError(f"nothing predicts the token at position {int(positions.min())}; positions count from 1")
    return positions - 1


def supervised_rows(labels_T: Tensor, vocab_size: int, coord_vocab: CoordVocab | None) -> Supervised:
    """Rows and targets of the labels that are not ``IGNORE_INDEX``; without a coord vocabulary all of them are text.

    Raises:
        ValueError: the labels are no vector of integers, or one of them is neither a row of the head nor
            ``IGNORE_INDEX``.
    """
    if labels_T.ndim != 1 or labels_T.dtype not in {torch.int64, torch.int32}:
        raise ValueError(f"labels are a vector of integers, not {labels_T.dtype} of shape {list(labels_T.shape)}")
    labels_T = labels_T.long()
    rows = torch.nonzero(labels_T[1:] != IGNORE_INDEX).squeeze(1)
    targets = labels_T[1:].index_select(0, rows)
    check_targets(targets, vocab_size)
    if coord_vocab is None:
        return Supervised(rows, targets, rows[:0], targets[:0])
    bins = _bins_of_ids(coord_vocab, vocab_size, labels_T.device).index_select(0, targets)
    is_coord = bins >= 0
    is_text = ~is_coord
    return Supervised(rows[is_text], targets[is_text], rows[is_coord], bins[is_coord])


def check_targets(targets_N: Tensor, vocab_size: int) -> None:
    """
    Raises:
        ValueError: a target is no row of the head.
    """
    wrong = targets_N[(targets_N < 0) | (targets_N >= vocab_size)]
    if len(wrong):
        raise ValueError(
            f"{int(wrong[0])} is no label: labels are rows 0 to {vocab_size - 1} of the head, or {IGNORE_INDEX}"
        )


def ids_of(coord_vocab: CoordVocab, vocab_size: int, device: torch.device) -> Tensor:
    """``ids_K``: the ids of the coord tokens in the order of their bins.

    Raises:
        ValueError: an id is no row of the head.
    """
    if max(coord_vocab.ids) >= vocab_size:
        raise ValueError(f"the coord token with id {max(coord_vocab.ids)} is beyond the head's {vocab_size} rows")
    return torch.tensor(coord_vocab.ids, device=device)


def _bins_of_ids(coord_vocab: CoordVocab, vocab_size: int, device: torch.device) -> Tensor:
    """Bin by id, -1 for ids that are no coord token, shape [V]."""
    ids_K = ids_of(coord_vocab, vocab_size, device)
    bins_V = torch.full((vocab_size,), -1, device=device)
    bins_V[ids_K] = torch.arange(len(ids_K), device=device)
    return bins_V
