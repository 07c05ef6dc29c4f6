"""A step whose loss or gradient is no number is never learnt from."""

from __future__ import annotations

from typing import Any

import torch

from coordspec.errors import CoordspecError, Place
from coordspec.ranks import gather
from coordspec.train.objective import Prepared


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
