"""Stage-1: cross entropy on text and coordinate terms on coord tokens, from one forward."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from coordspec.config.model import Config
from coordspec.coords import CoordVocab
from coordspec.errors import CoordspecError
from coordspec.losses.rows import IGNORE_INDEX
from coordspec.losses.stage1 import BASE_CE, COORD_PARTS, GATE, HARD_CE, SOFT_CE, W1, Stage1Loss, stage1_loss
from coordspec.model.checkpoint import VisionLanguageModel
from coordspec.model.forward import head_weights, hidden_states
from coordspec.samples.batch import Batch, BatchGuard
from coordspec.samples.dataset import checked
from coordspec.train.objective import Prepared, StepLoss

BASE, COORD, SAMPLES, TOKENS = "count/base", "count/coord", "count/samples", "count/tokens"


class Stage1:
    """The objective of ``stage1_sft``. Without coord tokens in the config every supervised token is text."""

    counts: Final = (BASE, COORD, SAMPLES, TOKENS)

    def __init__(self, config: Config, model: VisionLanguageModel, vocab: CoordVocab, guard: BatchGuard) -> None:
        enabled = config.custom.coord_tokens.enabled
        self._vocab = vocab if enabled else None
        self._spec = config.custom.coord_soft_ce_w1 if enabled else None
        self._coord_ids = torch.tensor(vocab.ids if enabled else (), dtype=torch.int64)
        self._trained_head = config.model.head
        self._model = model
        self._guard = guard
        self.times: defaultdict[str, float] = defaultdict(float)

    @property
    def parts(self) -> Mapping[str, str]:
        """Metric names of the parts of the loss, and which count each is divided by."""
        return {BASE_CE: BASE} if self._spec is None else {BASE_CE: BASE, **dict.fromkeys(COORD_PARTS, COORD)}

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
        coords = int(torch.isin(labels, self._coord_ids).sum())
        tokens = sum(span.end - span.start for span in batch.spans)
        counts = (len(labels) - coords, coords, len(batch.spans), tokens)
        return Prepared(batch, torch.tensor(counts, dtype=torch.float64))

    def refresh(self, step: int) -> None:
        """Nothing that is prepared depends on the weights."""

    def observe(self, counts: Mapping[str, float], step: int) -> Mapping[str, float]:  # noqa: ARG002 (as agreed)
        """Nothing that a step counts stops Stage-1, and nothing else is counted."""
        return {}

    def loss(self, prepared: Prepared, counts_C: torch.Tensor) -> StepLoss:
        """The loss of one batch: its sums over the counts of the whole step."""
        hidden_TD = hidden_states(self._model, prepared.batch)
        head = head_weights(self._model, self._vocab, self._trained_head)
        base, coord = counts_C[:2].clamp(min=1)  # a sum over nothing is 0 whatever it is divided by
        result = stage1_loss(
            hidden_TD,
            head.head_VD,
            prepared.batch.labels_BT.flatten(),
            self._vocab,
            self._spec,
            base_denominator=base,
            coord_denominator=coord,
            coord_rows_KD=head.coord_rows_KD,
            measure_gate=self._vocab is not None,
        )
        parts = {"loss": result.loss.detach(), BASE_CE: result.base_ce / base}
        if self._vocab is not None:
            parts |= {name: value / coord for name, value in _coord_sums(result).items()}
        return StepLoss(result.loss, parts)

    def total(self, means: Mapping[str, float]) -> float:
        """The loss that means of the parts make up."""
        spec = self._spec
        if spec is None:
            return means[BASE_CE]
        return (
            means[BASE_CE]
            + spec.soft_ce_weight * means[SOFT_CE]
            + spec.w1_weight * means[W1]
            + spec.ce_weight * means[HARD_CE]
            + spec.gate_weight * means[GATE]
        )

    def metrics(self, sums: Mapping[str, float], steps: int) -> Mapping[str, float]:
        """Means over the steps."""
        return {name: total / steps for name, total in sums.items()}

    def state(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """There is nothing to go on from."""


def _coord_sums(result: Stage1Loss) -> dict[str, torch.Tensor]:
    """The sums over the coordinates of a batch, by name."""
    assert result.coord_gate is not None, "the gate is measured"
    assert result.vocab_mass is not None, "the gate is measured"
    sums = (
        result.coord_soft_ce,
        result.coord_w1,
        result.coord_hard_ce,
        result.coord_gate,
        result.vocab_mass,
        result.expected_bin_error,
    )
    return dict(zip(COORD_PARTS, sums, strict=True))
