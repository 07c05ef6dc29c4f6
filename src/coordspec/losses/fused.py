"""Cross entropy and coordinate terms from hidden states: no [T, V] tensor, forward and gradient in one pass.

T rows of hidden states · N rows with cross entropy · M rows with coordinate terms · S rows whose coord logits come out
· B rows of a block · D hidden size · V vocabulary · K coord tokens.

Logits stand in memory for a chunk of rows at a time. They become the gradient in place, which is multiplied at once
into the gradients of hidden states and head; the backward only scales these. Rows of neither kind are never read.

With the gate on, a coordinate's logits over the vocabulary are split in coord tokens and others: with ``c`` the
log-sum-exp of the former and ``o`` that of the latter, all over T,

    gate = log(1 + exp(o - c)) = CE_full(target) + log p[target]

so the gate never is a difference of two large numbers. With the gate off, these rows touch the K coord columns alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from coordspec.config.sections import CoordSoftCeW1
from coordspec.losses.coord import CoordTerms, gradient, precise, score
from coordspec.losses.head import MIB, Head, rescale_
from coordspec.losses.rows import CeRows, CoordRows
from coordspec.losses.soft_target import SoftTargets

BLOCK_BYTES: Final = {"cpu": 2 * MIB}
BLOCK_BYTES_ELSEWHERE: Final = 256 * MIB
"""Size of the float32 logits that are worked on at once: on a CPU they stay in cache from one operation to the next."""


@dataclass(frozen=True, slots=True)
class CoordScores:
    """What was found at M coordinates, detached, unweighted. ``gate_M`` is None where it was not asked for."""

    soft_ce_M: Tensor
    w1_M: Tensor
    hard_ce_M: Tensor
    bin_error_M: Tensor
    """``Σ_k p_k |k - bin|``, in bins."""
    gate_M: Tensor | None
    """Minus the log of the mass on coord tokens."""


@dataclass(frozen=True, slots=True)
class HeadLoss:
    """The loss of one pass and what it is made of.

    ``loss`` and ``coord_logits_SK`` have gradients. The rest is detached: cross entropy (before its weight) and
    log-sum-exp of each row with cross entropy, and the scores of the coordinates.
    """

    loss: Tensor
    coord_logits_SK: Tensor
    ce_N: Tensor
    lse_N: Tensor
    coord: CoordScores


class _Plan(NamedTuple):
    """All that is no tensor with a gradient."""

    ce: CeRows
    coord: CoordRows
    slots_S: Tensor
    ids_K: Tensor
    spec: CoordSoftCeW1 | None
    full: bool
    """Coordinates see the whole vocabulary: the gate has a weight, or is to be measured."""
    dtype: torch.dtype
    grad: bool


def head_loss(
    hidden_TD: Tensor,
    head_VD: Tensor,
    *,
    ce: CeRows,
    coord: CoordRows,
    slots_S: Tensor,
    ids_K: Tensor,
    spec: CoordSoftCeW1 | None,
    coord_rows_KD: Tensor | None = None,
    measure_gate: bool = False,
) -> HeadLoss:
    """``Σ weight · CE / ce.denominator + Σ weighted coordinate terms / coord.denominator``, and coord logits of slots.

    A row may be of all three kinds, or twice of one. Who gets a gradient is who requires one: hidden states, the whole
    head, or, with ``coord_rows_KD``, the rows of the coord tokens alone. A sum without rows is 0 whatever its
    denominator is. A row with a logit that is not finite makes the loss NaN.

    The gradient is made in the forward and handed out once: a second backward through the same loss is an error. The
    head's is in the head's type: in half precision it is rounded once a chunk, which costs about a bit of it. float16
    gradients are scaled inside, so that small weights do not vanish. Under autocast the products are in its type.

    Args:
        hidden_TD: hidden states that go into the head; of the head's floating type, unless under autocast.
        head_VD: weight of the head, which has no bias; may be that of the embedding, and have rows of padding.
        ce: rows with full-vocabulary cross entropy.
        coord: rows with coordinate terms.
        slots_S: rows whose coord logits come out, float32 or wider, differentiable.
        ids_K: vocabulary ids of the coord tokens; empty if ``coord`` and ``slots_S`` are.
        spec: weights and target of the coordinate terms; None if ``coord`` is empty.
        coord_rows_KD: stands for the head's rows at ``ids_K``, which are then not read and have no gradient.
        measure_gate: compute the gate where its weight is 0 too, for the log; costs a forward over the vocabulary.

    Raises:
        ValueError: shapes or types do not fit, or ``spec`` is missing.
    """
    dtype = _product_dtype(hidden_TD, head_VD)
    if spec is None and len(coord.rows_M):
        raise ValueError("coordinate terms need a spec")
    if coord_rows_KD is not None and coord_rows_KD.shape != (len(ids_K), head_VD.shape[1]):
        raise ValueError(f"{len(ids_K)} coord tokens do not fit rows of shape {list(coord_rows_KD.shape)}")
    ce = ce._replace(denominator=_denominator(ce.denominator, len(ce.rows_N), hidden_TD.device, dtype))
    coord = coord._replace(denominator=_denominator(coord.denominator, len(coord.rows_M), hidden_TD.device, dtype))
    full = measure_gate or (spec is not None and spec.gate_weight > 0)
    plan = _Plan(ce, coord, slots_S, ids_K, spec, full, dtype, torch.is_grad_enabled())
    loss, coord_logits_SK, ce_N, lse_N, scores_5M = _HeadLoss.apply(hidden_TD, head_VD, coord_rows_KD, plan)  # type: ignore[no-untyped-call]
    soft_M, w1_M, hard_M, error_M, gate_M = scores_5M.unbind()
    scores = CoordScores(soft_M, w1_M, hard_M, error_M, gate_M if full else None)
    return HeadLoss(loss, coord_logits_SK, ce_N, lse_N, scores)


def _denominator(denominator: Tensor | float, rows: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """As a tensor; one that is 0 for a sum with rows makes the loss infinite if it is a tensor, which none looks at."""
    if rows and isinstance(denominator, float | int) and denominator <= 0:
        raise ValueError(f"the sum over {rows} rows cannot be divided by {denominator}")
    return torch.as_tensor(denominator, dtype=precise(dtype), device=device)


def _product_dtype(hidden_TD: Tensor, head_VD: Tensor) -> torch.dtype:
    if hidden_TD.ndim != 2 or head_VD.ndim != 2 or hidden_TD.shape[1] != head_VD.shape[1]:  # noqa: PLR2004
        raise ValueError(
            f"hidden states of shape [T, D] and a head of shape [V, D] are needed, not {list(hidden_TD.shape)} and "
            f"{list(head_VD.shape)}"
        )
    if torch.is_autocast_enabled(hidden_TD.device.type):
        return torch.get_autocast_dtype(hidden_TD.device.type)
    if hidden_TD.dtype != head_VD.dtype:
        raise ValueError(f"hidden states are {hidden_TD.dtype} and the head is {head_VD.dtype}; make them one type")
    return hidden_TD.dtype


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_TD: Tensor, head_VD: Tensor, coord_rows_KD: Tensor | None, plan: _Plan
    ) -> tuple[Tensor, ...]:
        hidden_grad, head_grad, rows_grad, _ = (plan.grad and need for need in ctx.needs_input_grad)
        # Types are chosen by hand below. Under autocast the sums would be rounded where they are to be float32.
        with torch.autocast(hidden_TD.device.type, enabled=False):
            head = Head(head_VD, coord_rows_KD, plan.ids_K, plan.dtype, head_grad=head_grad, rows_grad=rows_grad)
            work = _Pass(hidden_TD, head, plan, hidden_grad=hidden_grad, grad=hidden_grad or head_grad or rows_grad)
            ce_N, lse_N = work.cross_entropy()
            scores_5M = work.coordinates()
            coord_logits_SK = work.coord_logits()
            loss = work.total(ce_N, scores_5M)
        head.release()
        # Hidden states are kept for the slots alone, whose gradient is known in the backward only. All other gradients
        # exist already: a graph from here to the logits would hold [T, V] floats, which is what this file avoids.
        ctx.work = work
        ctx.save_for_backward(hidden_TD if len(plan.slots_S) else None)
        # they are for the log; a gradient through one of them would be silently wrong, and so is an error
        ctx.mark_non_differentiable(ce_N, lse_N, scores_5M)
        return loss, coord_logits_SK, ce_N, lse_N, scores_5M

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor, grad_SK: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        work: _Pass | None = ctx.work
        if work is None:
            raise RuntimeError("this loss hands out its gradient once; compute it again for a second backward")
        ctx.work = None  # autograd takes a gradient over without a copy only where nobody else holds it
        (hidden_TD,) = ctx.saved_tensors
        with torch.autocast(grad_loss.device.type, enabled=False):
            return *work.backward(grad_loss, grad_SK, hidden_TD), None


class _Pass:
    """One pass over the rows of a plan, and the gradients that it gathers: those of the loss over ``scale``."""

    def __init__(self, hidden_TD: Tensor, head: Head, plan: _Plan, *, hidden_grad: bool, grad: bool) -> None:
        self._hidden_TD: Tensor | None = hidden_TD
        self._grad_TD = torch.zeros_like(hidden_TD) if hidden_grad else None
        self._head = head
        self._plan = plan
        self._grad = grad
        self._precise = precise(plan.dtype)
        self._scale = _scale(plan, hidden_TD.device)

    def cross_entropy(self) -> tuple[Tensor, Tensor]:
        """``ce_N`` and ``lse_N``, and their gradient."""
        ce = self._plan.ce
        out_2N = self._empty(2, len(ce.rows_N))
        coefs_N = ce.weights_N.to(self._precise) / ce.denominator / self._scale
        for chunk in self._head.chunks(len(ce.rows_N)):
            hidden_ND = self._hidden(ce.rows_N[chunk])
            logits_NV = self._head.logits(hidden_ND)
            targets_N, coefs_of_N, found_2N = ce.targets_N[chunk], coefs_N[chunk], out_2N[:, chunk]
            for block, z_BV in self._blocks(logits_NV):
                found_2N[:, block] = _cross_entropy_(z_BV, targets_N[block], coefs_of_N[block])
                self._write_back(logits_NV, block, z_BV)
            # at once, while the chunk's logits, which now are its gradient, are in memory: the next chunk reuses it
            if self._grad:
                self._add(ce.rows_N[chunk], self._head.backward(logits_NV, hidden_ND, hidden_grad=self._wants_hidden))
        return out_2N[0], out_2N[1]

    def coordinates(self) -> Tensor:
        """``scores_5M``: softCE, W1, hard CE, bin error and gate of every coordinate, and their gradient."""
        coord, spec = self._plan.coord, self._plan.spec
        out_5M = self._empty(5, len(coord.rows_M))
        if spec is None:
            return out_5M
        targets = SoftTargets(
            target_sigma=spec.target_sigma,
            target_truncate=spec.target_truncate,
            dtype=self._precise,
            device=coord.bins_M.device,
        )
        for chunk in self._head.chunks(len(coord.rows_M)):
            out_5M[:, chunk] = self._coord_chunk(coord.rows_M[chunk], coord.bins_M[chunk], spec, targets)
        return out_5M

    def _coord_chunk(self, rows_N: Tensor, bins_N: Tensor, spec: CoordSoftCeW1, targets: SoftTargets) -> Tensor:
        head, ids_K = self._head, self._plan.ids_K
        hidden_ND = self._hidden(rows_N)
        logits_NV = head.logits(hidden_ND) if self._plan.full else None
        z_NK = head.coord_logits(hidden_ND) if logits_NV is None else logits_NV.index_select(1, ids_K)
        scores = score(z_NK, bins_N, targets, spec.temperature)
        p_NK, lse_N = scores.distribution.p_NK, scores.distribution.lse_N
        error_N = torch.linalg.vecdot(p_NK, targets.distances(bins_N))
        coef = 1.0 / self._plan.coord.denominator / self._scale
        gate_N = torch.zeros_like(error_N) if logits_NV is None else self._gate_(logits_NV, lse_N, coef, spec)
        if self._grad:
            weights = (spec.soft_ce_weight, spec.w1_weight, spec.ce_weight)
            weights_N = CoordTerms(*((coef * weight).expand(len(rows_N)) for weight in weights))
            dz_NK = gradient(scores, bins_N, weights_N, spec.temperature)
            if logits_NV is not None and spec.gate_weight > 0:
                # the gate's own: -(1 - mass) p, where the mass is exp(-gate)
                dz_NK.addcmul_(p_NK, (coef * spec.gate_weight / spec.temperature * torch.expm1(-gate_N))[:, None])
                logits_NV.index_copy_(1, ids_K, dz_NK.to(logits_NV.dtype))
                self._add(rows_N, head.backward(logits_NV, hidden_ND, hidden_grad=self._wants_hidden))
            else:
                self._add(rows_N, head.coord_backward(dz_NK, hidden_ND, hidden_grad=self._wants_hidden))
        return torch.stack([*scores.terms, error_N, gate_N])

    def _gate_(self, logits_NV: Tensor, coord_lse_N: Tensor, coef: Tensor, spec: CoordSoftCeW1) -> Tensor:
        """``gate_N``; the logits become the gate's gradient, but for the coord columns, which become 0."""
        gate_N = torch.empty_like(coord_lse_N)
        coef = coef * spec.gate_weight / spec.temperature
        for block, z_BV in self._blocks(logits_NV):
            gate_N[block] = _gate_(z_BV, coord_lse_N[block], self._plan.ids_K, coef, spec.temperature)
            self._write_back(logits_NV, block, z_BV)
        return gate_N

    def coord_logits(self) -> Tensor:
        """``coord_logits_SK``"""
        slots_S = self._plan.slots_S
        out_SK = self._empty(len(slots_S), len(self._plan.ids_K))
        for chunk in self._head.chunks(len(slots_S)):
            out_SK[chunk] = self._head.coord_logits(self._hidden(slots_S[chunk]))
        return out_SK

    def total(self, ce_N: Tensor, scores_5M: Tensor) -> Tensor:
        """The loss: each sum over its denominator."""
        loss = self._empty().zero_()
        ce, coord, spec = self._plan.ce, self._plan.coord, self._plan.spec
        if len(ce.rows_N):
            loss = loss + ce.weights_N.to(ce_N.dtype).dot(ce_N) / ce.denominator
        if spec is not None and len(coord.rows_M):
            soft, w1, hard, _, gate = scores_5M.sum(1).unbind()
            terms = spec.soft_ce_weight * soft + spec.w1_weight * w1 + spec.ce_weight * hard + spec.gate_weight * gate
            loss = loss + terms / coord.denominator
        self._hidden_TD = None
        return loss

    def backward(self, grad_loss: Tensor, grad_SK: Tensor, hidden_TD: Tensor | None) -> tuple[Tensor | None, ...]:
        """The gradients of hidden states, head and coord rows."""
        scale = grad_loss * self._scale
        if self._grad_TD is not None:
            rescale_(self._grad_TD, scale)
        self._head.rescale(scale)
        self._hidden_TD = hidden_TD
        slots_S = self._plan.slots_S
        for chunk in self._head.chunks(len(slots_S)):
            hidden_ND = self._hidden(slots_S[chunk])
            grad_ND = self._head.coord_backward(grad_SK[chunk], hidden_ND, hidden_grad=self._wants_hidden)
            self._add(slots_S[chunk], grad_ND)
        return self._grad_TD, *self._head.take_gradients()

    @property
    def _wants_hidden(self) -> bool:
        return self._grad_TD is not None

    def _hidden(self, rows_N: Tensor) -> Tensor:
        assert self._hidden_TD is not None
        return self._hidden_TD.index_select(0, rows_N).to(self._plan.dtype)

    def _add(self, rows_N: Tensor, grad_ND: Tensor | None) -> None:
        if self._grad_TD is not None and grad_ND is not None:
            self._grad_TD.index_add_(0, rows_N, grad_ND.to(self._grad_TD.dtype))

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self._precise, device=self._plan.ids_K.device)

    def _blocks(self, logits_NV: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Blocks of rows in float32 or wider: the logits themselves where they are, else a copy."""
        # Several operations go over a block, one behind the other. A block that is larger than the cache is read from
        # memory by each of them; one that is too small is all overhead.
        size = BLOCK_BYTES.get(logits_NV.device.type, BLOCK_BYTES_ELSEWHERE)
        step = max(1, size // (logits_NV.shape[1] * self._precise.itemsize))
        for start in range(0, len(logits_NV), step):
            block = slice(start, start + step)
            yield block, logits_NV[block].to(self._precise)

    def _write_back(self, logits_NV: Tensor, block: slice, z_BV: Tensor) -> None:
        if self._grad and z_BV.dtype != logits_NV.dtype:
            logits_NV[block] = z_BV


def _scale(plan: _Plan, device: torch.device) -> Tensor:
    """What gradients are divided by on the way: for float16 the largest coefficient of a row, so that none vanishes."""
    scale = torch.ones((), dtype=precise(plan.dtype), device=device)
    if plan.dtype != torch.float16:
        return scale
    coefs = []
    if len(plan.ce.rows_N):
        coefs.append(plan.ce.weights_N.max().to(scale.dtype) / plan.ce.denominator)
    if plan.spec is not None and len(plan.coord.rows_M):
        spec = plan.spec
        weight = spec.soft_ce_weight + spec.w1_weight + spec.ce_weight + spec.gate_weight
        coefs.append(scale * weight / spec.temperature / plan.coord.denominator)
    largest = torch.stack(coefs).max() if coefs else scale
    return torch.where(largest > 0, largest, scale)


# ---------------------------------------------------------------- one block of rows, in place


def _cross_entropy_(z_BV: Tensor, targets_B: Tensor, coefs_B: Tensor) -> Tensor:
    """Cross entropy and log-sum-exp as ``[2, B]``; the logits become the gradient of ``Σ coef · CE``."""
    high_B = _largest(z_BV)
    target_B = z_BV.gather(1, targets_B[:, None]).squeeze(1) - high_B
    total_B = z_BV.sub_(high_B[:, None]).exp_().sum(1)
    log_B = total_B.log()
    z_BV.mul_((coefs_B / total_B)[:, None]).scatter_add_(1, targets_B[:, None], -coefs_B[:, None])
    return torch.stack([log_B - target_B, log_B + high_B])


def _gate_(z_BV: Tensor, coord_lse_B: Tensor, ids_K: Tensor, coef: Tensor, temperature: float) -> Tensor:
    """``gate_B``; the logits become the gradient of ``coef · T · gate`` at other tokens, and 0 at coord tokens."""
    high_B = _largest(z_BV)
    z_BV.index_fill_(1, ids_K, -torch.inf).sub_(high_B[:, None])
    if temperature != 1.0:
        z_BV.mul_(1.0 / temperature)
    high_B = high_B / temperature
    others_B = z_BV.exp_().sum(1).log() + high_B
    gate_B = torch.logaddexp(torch.zeros_like(others_B), others_B - coord_lse_B)
    z_BV.mul_((coef * torch.exp(high_B - coord_lse_B - gate_B))[:, None])
    return gate_B


def _largest(z_BV: Tensor) -> Tensor:
    """The largest logit of every row; NaN where a logit is not finite, since exp makes -inf a harmless 0."""
    high_B = z_BV.amax(1)
    return torch.where(z_BV.amin(1).isfinite() & high_B.isfinite(), high_B, torch.nan)
