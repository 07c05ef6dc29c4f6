"""Muon for the matrices of hidden layers and AdamW for everything else, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch.optim import AdamW, Muon, Optimizer

MUON: Final = "muon"
"""The key of a parameter group that says which of the two it goes to."""


class MuonAdamW(Optimizer):
    """Groups with ``muon: True``, of matrices alone, go to ``torch.optim.Muon``, all others to ``torch.optim.AdamW``.

    Muon orthogonalises the momentum of a matrix, so that an update is equally large in all of its directions (Jordan et
    al. 2024). Embeddings, heads, vectors and convolutions are not what it is made for.

    ``param_groups`` holds the very groups of both, so that schedules and hooks see one optimizer.
    """

    def __init__(self, groups: list[dict[str, Any]], *, betas: tuple[float, float], eps: float) -> None:
        matrices, others = (_without_mark(groups, mark) for mark in (True, False))
        self._muon = Muon(matrices, adjust_lr_fn="original")
        self._adamw = AdamW(others, betas=betas, eps=eps, fused=True)
        super().__init__(groups, {})
        self._join()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of both; a closure is not taken."""
        assert closure is None, "nothing here calls a closure"
        self._muon.step()  # type: ignore[no-untyped-call]
        self._adamw.step()

    def state_dict(self) -> dict[str, Any]:
        """The states of both."""
        return {"muon": self._muon.state_dict(), "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from ``state_dict``."""
        self._muon.load_state_dict(state_dict["muon"])
        self._adamw.load_state_dict(state_dict["adamw"])
        self._join()

    def _join(self) -> None:
        self.param_groups = [*self._muon.param_groups, *self._adamw.param_groups]


def _without_mark(groups: list[dict[str, Any]], mark: bool) -> list[dict[str, Any]]:
    return [{key: value for key, value in group.items() if key != MUON} for group in groups if group[MUON] is mark]
