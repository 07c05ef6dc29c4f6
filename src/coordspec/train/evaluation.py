"""What a run measures on ``data.val``."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from coordspec.train.dataset import Batches, Samples
from coordspec.train.objective import Objective
from coordspec.train.ranks import agree, gather_sum, rank, world


class LossEvaluation:
    """The loss of the run's objective on validation samples, dealt out to the ranks."""

    def __init__(
        self, samples: Samples, objective: Objective, model: nn.Module, *, batch_size: int, pad_id: int
    ) -> None:
        self._batches = Batches(samples, pad_id)
        self._objective = objective
        self._model = model
        self._rows = [
            [[number] for number in range(start, min(start + batch_size, len(samples)))]
            for start in range(0, len(samples), batch_size)
        ]

    def run(self, device: torch.device) -> Mapping[str, float]:
        """Means over all validation samples; they do not depend on how these were batched and dealt out.

        Raises:
            CoordspecError: a sample is refused.
        """
        objective = self._objective
        sums_P = torch.zeros(len(objective.parts), dtype=torch.float64, device=device)
        counts_C = torch.zeros(len(objective.counts), dtype=torch.float64, device=device)
        trained = self._model.training
        self._model.eval()
        with agree(), torch.no_grad():
            for rows in self._rows[rank() :: world()]:
                (prepared,) = objective.prepare([self._batches[rows]], 0)
                prepared = prepared.to(device)
                parts = objective.loss(self._model, prepared.batch, torch.ones_like(counts_C)).parts
                sums_P += torch.stack([parts[name].double() for name in objective.parts])
                counts_C += prepared.counts_C
        self._model.train(trained)
        counts = dict(zip(objective.counts, gather_sum(counts_C).tolist(), strict=True))
        sums = dict(zip(objective.parts, gather_sum(sums_P).tolist(), strict=True))
        means = {name: sums[name] / max(1.0, counts[count]) for name, count in objective.parts.items()}
        return {"loss": objective.total(means), **means}
