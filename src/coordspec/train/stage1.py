"""Stage-1: cross entropy on text and coordinate terms on coord tokens, from one forward.

T tokens of all rows, one behind the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import nn

from coordspec.config.model import Config
from coordspec.coords import CoordVocab
from coordspec.errors import CoordspecError
from coordspec.losses.rows import IGNORE_INDEX
from coordspec.losses.spec import CoordSpec
from coordspec.losses.stage1 import Stage1Loss, stage1_loss
from coordspec.model.checkpoint import Processor, VisionLanguageModel
from coordspec.train.batch_guard import BatchGuard
from coordspec.train.collate import Batch
from coordspec.train.dataset import checked
from coordspec.train.forward import head_weights, hidden_states
from coordspec.train.objective import Prepared, StepLoss

BASE, COORD, SAMPLES, TOKENS = "count/base", "count/coord", "count/samples", "count/tokens"


class Stage1:
    """The objective of ``stage1_sft``. Without coord tokens in the config every supervised token is text."""

    counts: Final = (BASE, COORD, SAMPLES, TOKENS)
    parts: Final = {
        "loss/base_ce": BASE,
        "loss/coord_soft_ce": COORD,
        "loss/coord_w1": COORD,
        "loss/coord_hard_ce": COORD,
        "loss/coord_gate": COORD,
        "coord/vocab_mass": COORD,
        "coord/expected_bin_error": COORD,
    }

    def __init__(self, config: Config, model: VisionLanguageModel, processor: Processor, guard: BatchGuard) -> None:
        enabled = config.custom.coord_tokens.enabled
        self._vocab: CoordVocab | None = processor.coords if enabled else None
        self._spec = coord_spec(config) if enabled else None
        self._head_rows = config.model.head
        self._coords = processor.coords
        self._model = model
        self._guard = guard
        self._is_coord_V = torch.zeros(model.get_input_embeddings().weight.shape[0], dtype=torch.bool)
        if self._vocab is not None:
            self._is_coord_V[list(self._vocab.ids)] = True

    def prepare(self, loaded: Sequence[Batch | CoordspecError], step: int) -> list[Prepared]:  # noqa: ARG002 (as agreed)
        """The batches as they were loaded, checked and counted.

        Raises:
            CoordspecError: a record was refused.
            ContractError: a batch breaks a rule of the batch guard.
        """
        return [self._prepare(batch) for batch in checked(loaded)]

    def _prepare(self, batch: Batch) -> Prepared:
        self._guard.check(batch)
        labels = batch.labels_BT[batch.labels_BT != IGNORE_INDEX]
        coords = int(self._is_coord_V[labels].sum())
        tokens = sum(span.end - span.start for span in batch.spans)
        counts = (len(labels) - coords, coords, len(batch.spans), tokens)
        return Prepared(batch, torch.tensor(counts, dtype=torch.float64))

    def loss(self, model: nn.Module, batch: Batch, counts_C: torch.Tensor) -> StepLoss:  # noqa: ARG002 (adapters are inside)
        """The loss of one batch: its sums over the counts of the whole step."""
        hidden_TD = hidden_states(self._model, batch)
        head = head_weights(self._model, self._coords, self._head_rows)
        base, coord = counts_C[:2].clamp(min=1)  # a sum over nothing is 0 whatever it is divided by
        result = stage1_loss(
            hidden_TD,
            head.head_VD,
            batch.labels_BT.flatten(),
            self._vocab,
            self._spec,
            base_denominator=base,
            coord_denominator=coord,
            coord_rows_KD=head.coord_rows_KD if self._vocab is not None else None,
            measure_gate=self._vocab is not None,
        )
        return StepLoss(result.loss, _parts(result, base, coord))

    def total(self, means: Mapping[str, float]) -> float:
        """The loss that means of the parts make up."""
        spec = self._spec
        if spec is None:
            return means["loss/base_ce"]
        return (
            means["loss/base_ce"]
            + spec.soft_ce_weight * means["loss/coord_soft_ce"]
            + spec.w1_weight * means["loss/coord_w1"]
            + spec.ce_weight * means["loss/coord_hard_ce"]
            + spec.gate_weight * means["loss/coord_gate"]
        )


def coord_spec(config: Config) -> CoordSpec:
    """The section ``custom.coord_soft_ce_w1`` as the losses take it."""
    section = config.custom.coord_soft_ce_w1
    return CoordSpec(
        soft_ce_weight=section.soft_ce_weight,
        w1_weight=section.w1_weight,
        ce_weight=section.ce_weight,
        gate_weight=section.gate_weight,
        temperature=section.temperature,
        sigma=section.target_sigma,
        truncate=section.target_truncate,
    )


def _parts(result: Stage1Loss, base: torch.Tensor, coord: torch.Tensor) -> dict[str, torch.Tensor]:
    nothing = torch.zeros_like(result.base_ce)
    sums = {
        "loss/coord_soft_ce": result.coord_soft_ce,
        "loss/coord_w1": result.coord_w1,
        "loss/coord_hard_ce": result.coord_hard_ce,
        "loss/coord_gate": nothing if result.coord_gate is None else result.coord_gate,
        "coord/vocab_mass": nothing if result.vocab_mass is None else result.vocab_mass,
        "coord/expected_bin_error": result.expected_bin_error,
    }
    return {"loss/base_ce": result.base_ce / base, **{name: value / coord for name, value in sums.items()}}
