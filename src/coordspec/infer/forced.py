"""What a checkpoint makes of the ground truth: losses and coordinate distributions under teacher forcing.

C coordinate slots · K bins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import torch

from coordspec.config.custom import CoordSoftCeW1
from coordspec.errors import Place
from coordspec.infer.checkpoint import Checkpoint
from coordspec.losses.fused import CoordScores, HeadLoss, head_loss
from coordspec.losses.rows import CeRows, CoordRows, Supervised, ids_of, supervised_rows
from coordspec.model.checkpoint import head_weight
from coordspec.model.forward import hidden_states
from coordspec.samples.collate import collate
from coordspec.samples.dataset import Samples

BASE: Final = "loss/base_ce"
MASS: Final = "coord/vocab_mass"


@dataclass(frozen=True, slots=True)
class Forced:
    """One record under teacher forcing.

    ``sums`` are the parts of the loss by their names in the log of a run, each a sum over ``base`` targets that are no
    coordinates or over ``coords`` slots. ``logits_CK`` are the logits of the bins at every slot, ``bins_C`` the bins of
    the ground truth.
    """

    place: Place
    base: int
    coords: int
    sums: Mapping[str, float]
    logits_CK: torch.Tensor
    bins_C: torch.Tensor


def forced(checkpoint: Checkpoint, samples: Samples, loss: CoordSoftCeW1, batch_size: int) -> Iterator[Forced]:
    """Every sample under teacher forcing, in their order. Logits over the vocabulary are made a few rows at a time.

    Raises:
        ContractError: a record, an image or its length is refused.
    """
    model, vocab = checkpoint.model, checkpoint.table.coords
    head_VD = head_weight(model)
    ids_K = ids_of(vocab, len(head_VD), checkpoint.device)
    for start in range(0, len(samples), batch_size):
        numbers = range(start, min(start + batch_size, len(samples)))
        batch = collate([[samples[number]] for number in numbers], checkpoint.table.end_id).to(checkpoint.device)
        with torch.no_grad():
            rows = supervised_rows(batch.labels_BT.flatten(), len(head_VD), vocab)
            found = head_loss(
                hidden_states(model, batch),
                head_VD,
                ce=CeRows(rows.rows_N, rows.targets_N, torch.ones(len(rows.rows_N), device=checkpoint.device), 1.0),
                coord=CoordRows(rows.coord_rows_M, rows.bins_M, 1.0),
                slots_S=rows.coord_rows_M,
                ids_K=ids_K,
                spec=loss,
                measure_gate=True,
            )
        length = batch.ids_BT.shape[1]
        for row, span in enumerate(batch.spans):
            yield _of_row(row, length, span.place, rows, found)


def _of_row(row: int, length: int, place: Place, rows: Supervised, found: HeadLoss) -> Forced:
    """The share of one row of a batch, in which every row is one sample."""
    base_N, coord_M = rows.rows_N // length == row, rows.coord_rows_M // length == row
    scores: CoordScores = found.coord
    assert scores.gate_M is not None, "the gate was measured"
    terms = {
        "loss/coord_soft_ce": scores.soft_ce_M,
        "loss/coord_w1": scores.w1_M,
        "loss/coord_hard_ce": scores.hard_ce_M,
        "loss/coord_gate": scores.gate_M,
        MASS: scores.gate_M.neg().exp(),
        "coord/expected_bin_error": scores.bin_error_M,
    }
    sums = {BASE: float(found.ce_N[base_N].double().sum())}
    sums |= {name: float(term_M[coord_M].double().sum()) for name, term_M in terms.items()}
    return Forced(
        place,
        int(base_N.sum()),
        int(coord_M.sum()),
        sums,
        found.coord_logits_SK[coord_M].double().cpu(),
        rows.bins_M[coord_M].cpu(),
    )
