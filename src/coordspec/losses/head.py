"""The output head, forward and backward, on a chunk of rows at a time.

T rows of hidden states · N rows of a chunk · D hidden size · V vocabulary · K coord tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from coordspec.losses.coord import precise

MIB: Final = 1 << 20
LOGITS_BYTES: Final = {"cpu": 128 * MIB}
LOGITS_BYTES_ELSEWHERE: Final = 512 * MIB
"""Size of a chunk's logits by device type. More rows read the head less often; on a CPU 128 MiB lose little."""
COLUMNS_OF_A_PRODUCT: Final = 1024
"""On CPUs, float32 logits come in blocks of so many columns, for which MKL is up to a fifth faster than for all."""
COLUMNS_OF_A_SUM: Final = 8192
"""Rows of a float32 head whose half-precision gradient is added at once."""


class Head:
    """Logits of rows, and the gradient of the head, gathered over chunks.

    The weight of a coord token is its row of ``rows_KD`` where that is given, of ``head_VD`` otherwise. Products are in
    ``dtype``, those with coord tokens alone in float32 or wider.
    """

    def __init__(
        self,
        head_VD: Tensor,
        rows_KD: Tensor | None,
        ids_K: Tensor,
        dtype: torch.dtype,
        *,
        head_grad: bool,
        rows_grad: bool,
    ) -> None:
        self._head_VD, self._rows_KD, self._ids_K = head_VD, rows_KD, ids_K
        self._rows_grad = head_grad if rows_KD is None else rows_grad
        self._weight_VD = head_VD.to(dtype)
        self._grad_VD = torch.zeros_like(head_VD) if head_grad else None
        self._grad_KD: Tensor | None = None
        self._coord_KD: Tensor | None = None
        self._scratch_NV = self._weight_VD.new_empty((0, len(head_VD)))
        size = LOGITS_BYTES.get(head_VD.device.type, LOGITS_BYTES_ELSEWHERE)
        self._most_rows = max(1, size // (len(head_VD) * dtype.itemsize))

    def chunks(self, rows: int) -> Iterator[slice]:
        """Slices of about the same size, of as many rows as have their logits held at once."""
        step = math.ceil(rows / max(1, math.ceil(rows / self._most_rows)))
        return (slice(start, min(rows, start + step)) for start in range(0, rows, max(1, step)))

    def logits(self, hidden_ND: Tensor) -> Tensor:
        """``logits_NV`` in the type of the product, in memory that the next call uses again."""
        if len(self._scratch_NV) < len(hidden_ND):
            self._scratch_NV = self._scratch_NV.new_empty((0, 0))  # the old one goes before the new one comes
            self._scratch_NV = hidden_ND.new_empty((len(hidden_ND), len(self._weight_VD)))
        out_NV = self._scratch_NV[: len(hidden_ND)]
        on_mkl = out_NV.device.type == "cpu" and out_NV.dtype == torch.float32
        step = COLUMNS_OF_A_PRODUCT if on_mkl else len(self._weight_VD)
        for start in range(0, len(self._weight_VD), step):
            columns = slice(start, start + step)
            torch.mm(hidden_ND, self._weight_VD[columns].T, out=out_NV[:, columns])
        if self._rows_KD is not None:
            out_NV.index_copy_(1, self._ids_K, hidden_ND @ self._rows_KD.to(hidden_ND.dtype).T)
        return out_NV

    def coord_logits(self, hidden_ND: Tensor) -> Tensor:
        """``coord_logits_NK`` alone, in float32 or wider."""
        coord_KD = self._coord_weight()
        return hidden_ND.to(coord_KD.dtype) @ coord_KD.T

    def backward(self, grad_NV: Tensor, hidden_ND: Tensor, *, hidden_grad: bool) -> Tensor | None:
        """Gather the head's gradient from that of the logits; the gradient of ``hidden_ND`` if asked. Uses it up."""
        rows_ND = None
        if self._rows_KD is not None:
            grad_NK = grad_NV.index_select(1, self._ids_K).to(precise(grad_NV.dtype))
            grad_NV.index_fill_(1, self._ids_K, 0.0)
            rows_ND = self.coord_backward(grad_NK, hidden_ND, hidden_grad=hidden_grad)
        if self._grad_VD is not None:
            _add_product(self._grad_VD, grad_NV, hidden_ND)
        if not hidden_grad:
            return None
        grad_ND = grad_NV @ self._weight_VD
        return grad_ND if rows_ND is None else grad_ND + rows_ND

    def coord_backward(self, grad_NK: Tensor, hidden_ND: Tensor, *, hidden_grad: bool) -> Tensor | None:
        """As ``backward``, from the gradient of ``coord_logits``."""
        coord_KD = self._coord_weight()
        if self._rows_grad:
            if self._grad_KD is None:
                self._grad_KD = torch.zeros_like(coord_KD)
            self._grad_KD.addmm_(grad_NK.T, hidden_ND.to(grad_NK.dtype))
        return grad_NK @ coord_KD if hidden_grad else None

    def release(self) -> None:
        """Let go of what only ``logits`` and ``backward`` need."""
        self._weight_VD = self._scratch_NV = self._scratch_NV.new_empty((0, 0))

    def rescale(self, scale: Tensor) -> None:
        """Multiply what was gathered so far by ``scale``."""
        for grad in (self._grad_VD, self._grad_KD):
            if grad is not None:
                rescale_(grad, scale)

    def take_gradients(self) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of ``head_VD`` and ``rows_KD``, the last that is asked of the head."""
        grad_VD, grad_KD = self._grad_VD, self._grad_KD
        if self._rows_KD is not None:
            if self._rows_grad and grad_KD is None:
                grad_KD = torch.zeros_like(self._rows_KD)
            return grad_VD, None if grad_KD is None else grad_KD.to(self._rows_KD.dtype)
        if grad_VD is not None and grad_KD is not None:
            grad_VD.index_add_(0, self._ids_K, grad_KD.to(grad_VD.dtype))
        return grad_VD, None

    def _coord_weight(self) -> Tensor:
        """``coord_KD``: the weights of the coord tokens in float32 or wider."""
        if self._coord_KD is None:
            coord_KD = self._head_VD.index_select(0, self._ids_K) if self._rows_KD is None else self._rows_KD
            self._coord_KD = coord_KD.to(self._weight_VD.dtype).to(precise(self._weight_VD.dtype))
        return self._coord_KD


def rescale_(grad: Tensor, scale: Tensor) -> None:
    """``grad`` times ``scale`` in place; on a CPU, where looking costs nothing, the usual 1 is no pass over memory."""
    if scale.device.type != "cpu" or scale != 1:
        grad.mul_(scale)


def _add_product(sum_VD: Tensor, grad_NV: Tensor, hidden_ND: Tensor) -> None:
    """``sum_VD += grad_NV.T @ hidden_ND``"""
    if sum_VD.dtype == grad_NV.dtype:
        sum_VD.addmm_(grad_NV.T, hidden_ND)
        return
    for start in range(0, len(sum_VD), COLUMNS_OF_A_SUM):
        columns = slice(start, start + COLUMNS_OF_A_SUM)
        sum_VD[columns] += grad_NV[:, columns].T @ hidden_ND
