"""What the trainer asks of a kind of training; a step whose loss or gradient is no number is never learnt from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

from coordspec.errors import CoordspecError, Place
from coordspec.ranks import gather
from coordspec.samples.batch import Batch


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
        return replace(self, batch=self.batch.to(device, non_blocking=True), counts_C=self.counts_C.to(device))

    @property
    def places(self) -> tuple[Place, ...]:
        """Where its samples come from."""
        return tuple(span.place for span in self.batch.spans)


class StepLoss(NamedTuple):
    """The loss of one batch, and what is measured beside it.

    Both are sums over the batch, each divided by its count over the whole optimizer step: they add up over batches and
    ranks to those of the step. ``parts`` go by metric name, are detached, and have ``loss`` among them.
    """

    loss: torch.Tensor
    parts: Mapping[str, torch.Tensor]


class Objective(Protocol):
    """One kind of training, with its model.

    counts  metric names of what is counted over an optimizer step, all ranks and batches together
    times   seconds that ``prepare`` spent, by metric name; the trainer takes them out after every step
    """

    @property
    def counts(self) -> Sequence[str]: ...

    @property
    def times(self) -> defaultdict[str, float]: ...

    def refresh(self, step: int) -> None:
        """The weights may have changed since the last step; every rank calls this before it prepares one.

        Raises:
            CoordspecError: the run has to stop; on every rank alike.
        """

    def prepare(self, loaded: Sequence[Any], step: int) -> list[Prepared]:
        """The batches of one optimizer step on this rank, from what the data loader gave; steps count from 0.

        Raises:
            CoordspecError: the data is refused.
        """

    def observe(self, counts: Mapping[str, float], step: int) -> Mapping[str, float]:
        """Take notice of what a step counts, over all ranks and before its first forward.

        Returns what else is to be counted of the step, the same on every rank.

        Raises:
            CoordspecError: the run has to stop; on every rank alike.
        """

    def loss(self, prepared: Any, counts_C: torch.Tensor) -> StepLoss:
        """The loss of one batch, one of those that ``prepare`` made, under the counts of the whole step."""

    def metrics(self, sums: Mapping[str, float], steps: int) -> Mapping[str, float]:
        """What is logged after some steps, from the sums of their counts and parts."""

    def state(self) -> Mapping[str, Any]:
        """What a checkpoint keeps beside weights and optimizer, as JSON."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""


class LossModule(nn.Module):
    """A model whose forward is the loss of a batch: DistributedDataParallel sees one forward and one backward."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self._objective = objective

    def forward(self, prepared: Prepared, counts_C: torch.Tensor) -> StepLoss:
        return self._objective.loss(prepared, counts_C)


# ---------------------------------------------------------------- losses that are no number


class NonFiniteError(CoordspecError):
    """A loss or a gradient is no number; the message names the samples."""


class StepLosses:
    """The losses of this rank's batches in the step that is running, looked at once, behind the last backward."""

    def __init__(self) -> None:
        self._batches: list[tuple[tuple[Place, ...], torch.Tensor]] = []

    def add(self, prepared: Prepared, loss: torch.Tensor) -> None:
        """The next batch and its loss."""
        self._batches.append((prepared.places, loss))

    def require_finite(self, norm: Any, step: int) -> None:
        """Forget the batches, if all is well; ``norm`` is that of the gradient over all ranks, and so is the verdict.

        Raises:
            NonFiniteError: a loss or the norm is not finite; it names the samples of such losses, of all ranks, or
                where only the gradient is at fault, those of the step.
        """
        batches, self._batches = self._batches, []
        finite = torch.stack([loss for _, loss in batches]).isfinite().tolist()
        bad = [place for (places, _), fine in zip(batches, finite, strict=True) if not fine for place in places]
        good_norm = bool(torch.isfinite(torch.as_tensor(norm)))
        every = [place for places, _ in batches for place in places]
        found = gather((bad, good_norm, every if not good_norm else []))
        of_loss = [place for places, _, _ in found for place in places]
        if not of_loss and all(good for _, good, _ in found):
            return
        what, places = ("the loss", of_loss) if of_loss else ("the gradient", [p for _, _, part in found for p in part])
        named = ", ".join(str(place) for place in places)
        raise NonFiniteError(
            f"{what} of step {step + 1} is not finite, so nothing was learnt from it; its samples are {named}"
        )
