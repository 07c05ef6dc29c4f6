"""What the trainer asks of a kind of training, whatever that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

from coordspec.errors import Place
from coordspec.train.collate import Batch


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch that is ready for its forward.

    ``counts_C`` is what this batch adds to the counts of its optimizer step, float64, in the order of the objective's
    ``counts``.
    """

    batch: Batch
    counts_C: torch.Tensor

    def to(self, device: torch.device) -> Prepared:
        """The same on another device."""
        return replace(self, batch=self.batch.to(device), counts_C=self.counts_C.to(device))

    @property
    def places(self) -> tuple[Place, ...]:
        """Where its samples come from."""
        return tuple(span.place for span in self.batch.spans)


class StepLoss(NamedTuple):
    """The loss of one batch, and the detached parts it is made of.

    Both are sums over the batch, each divided by its count over the whole optimizer step: they add up over batches and
    ranks to the loss and the parts of the step. ``parts`` go by metric name.
    """

    loss: torch.Tensor
    parts: Mapping[str, torch.Tensor]


class Objective(Protocol):
    """One kind of training.

    counts   metric names of what is counted over an optimizer step, all ranks and batches together
    parts    metric names of the parts of the loss, and which count each is divided by
    """

    @property
    def counts(self) -> Sequence[str]: ...

    @property
    def parts(self) -> Mapping[str, str]: ...

    def prepare(self, loaded: Sequence[Any], step: int) -> list[Prepared]:
        """The batches of one optimizer step on this rank, from what the data loader gave.

        Raises:
            CoordspecError: the data is refused.
        """

    def loss(self, model: nn.Module, batch: Batch, counts_C: torch.Tensor) -> StepLoss:
        """The loss of one batch under the counts of the whole step."""

    def total(self, means: Mapping[str, float]) -> float:
        """The loss that means of the parts make up."""


class LossModule(nn.Module):
    """A model whose forward is the loss of a batch: DistributedDataParallel sees one forward and one backward."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self._objective = objective

    def forward(self, batch: Batch, counts_C: torch.Tensor) -> StepLoss:
        return self._objective.loss(self.model, batch, counts_C)
