"""The fused loss against the plain one on whole logits, and what must hold of it beyond equal numbers."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.utils._python_dispatch import TorchDispatchMode

from coordspec.config.sections import CoordSoftCeW1
from coordspec.coords import CoordVocab
from coordspec.losses import fused, head
from coordspec.losses.coord import coord_terms
from coordspec.losses.expectation import expected_unit
from coordspec.losses.masked import CoordSlots, masked_loss
from coordspec.losses.rows import IGNORE_INDEX
from coordspec.losses.stage1 import Stage1Loss, stage1_loss
from loss_reference import stage1_loss_from_logits

VOCAB, DIM, TOKENS = 1030, 6, 40
SHUFFLED = torch.randperm(VOCAB, generator=torch.Generator().manual_seed(1)).tolist()
COORDS = CoordVocab(tuple(SHUFFLED[:1000]))
"""Coord tokens that lie all over the vocabulary, in no order."""
IDS, WORDS = torch.tensor(SHUFFLED[:1000]), torch.tensor(SHUFFLED[1000:])
SPEC = CoordSoftCeW1(
    soft_ce_weight=1.0,
    w1_weight=2.0,
    ce_weight=0.5,
    gate_weight=1.5,
    temperature=1.0,
    target_sigma=2.0,
    target_truncate=None,
)
SUMS = ("base_ce", "coord_soft_ce", "coord_w1", "coord_hard_ce", "coord_gate", "vocab_mass", "expected_bin_error")


def leaves(
    dtype: torch.dtype = torch.float64, tokens: int = TOKENS, seed: int = 0, scale: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states, head, and labels: a third ignored, a third coordinates."""
    generator = torch.Generator().manual_seed(seed)
    hidden = scale * torch.randn(tokens, DIM, generator=generator, dtype=torch.float64)
    weight = torch.randn(VOCAB, DIM, generator=generator, dtype=torch.float64)
    kind = torch.arange(tokens) % 3
    words = WORDS[torch.randint(0, len(WORDS), (tokens,), generator=generator)]
    coords = IDS[torch.randint(0, 1000, (tokens,), generator=generator)]
    labels = torch.where(kind == 0, IGNORE_INDEX, torch.where(kind == 1, words, coords))
    return hidden.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_(), labels


def copies(*tensors: Tensor, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [tensor.detach().to(dtype).requires_grad_() for tensor in tensors]


def small_chunks(monkeypatch: pytest.MonkeyPatch, rows: int = 5, block: int = 2, size: int = 8) -> None:
    """A few rows a chunk and a block, so that there are several of both."""
    monkeypatch.setitem(head.LOGITS_BYTES, "cpu", rows * VOCAB * size)
    monkeypatch.setitem(fused.BLOCK_BYTES, "cpu", block * VOCAB * size)
    monkeypatch.setattr(head, "COLUMNS_OF_A_PRODUCT", 300)
    monkeypatch.setattr(head, "COLUMNS_OF_A_SUM", 300)


def error(found: Tensor | None, wanted: Tensor | None) -> float:
    assert found is not None
    assert wanted is not None
    return float((found.double() - wanted.double()).norm() / wanted.double().norm().clamp_min(1e-30))


# ------------------------------------------------------------------ against the reference


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("rows", [False, True], ids=["head", "coord_rows"])
@pytest.mark.parametrize(
    ("temperature", "gate", "truncate"), [*itertools.product((1.0, 0.5, 3.0), (0.0, 1.5), (None,)), (1.0, 1.0, 3.0)]
)
def test_equals_the_reference_in_float64(
    monkeypatch: pytest.MonkeyPatch, several: bool, rows: bool, temperature: float, gate: float, truncate: float | None
) -> None:
    if several:
        small_chunks(monkeypatch)
    spec = SPEC.model_copy(update={"temperature": temperature, "gate_weight": gate, "target_truncate": truncate})
    hidden, weight, labels = leaves()
    own_rows = (2 * torch.randn(1000, DIM, dtype=torch.float64)).requires_grad_() if rows else None
    found = stage1_loss(hidden, weight, labels, COORDS, spec, coord_rows_KD=own_rows, measure_gate=True)
    (3 * found.loss).backward()
    same = copies(hidden, weight, *([] if own_rows is None else [own_rows]))
    used = same[1].index_copy(0, IDS, same[2]) if rows else same[1]
    wanted = stage1_loss_from_logits(same[0] @ used.T, labels, COORDS, spec)
    (3 * wanted.loss).backward()
    torch.testing.assert_close(found.loss, wanted.loss, rtol=1e-12, atol=0)
    for name in SUMS:
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), rtol=1e-10, atol=1e-12, msg=name)
    assert (found.base_count, found.coord_count) == (wanted.base_count, wanted.coord_count) == (13, 13)
    for got, want in zip((hidden, weight, own_rows), same, strict=False):
        assert got is not None
        assert error(got.grad, want.grad) < 1e-12


@pytest.mark.parametrize("gate", [0.0, 1.5])
def test_finite_differences(gate: float) -> None:
    hidden, weight, labels = leaves()
    spec = SPEC.model_copy(update={"gate_weight": gate, "temperature": 0.7})
    stage1_loss(hidden, weight, labels, COORDS, spec).loss.backward()
    generator = torch.Generator().manual_seed(5)
    for leaf in (hidden, weight):
        step = 1e-6 * torch.randn(leaf.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            ahead, behind = (
                stage1_loss(*(x + sign * step if x is leaf else x for x in (hidden, weight)), labels, COORDS, spec).loss
                for sign in (1, -1)
            )
        assert leaf.grad is not None
        assert (step * leaf.grad).sum().item() == pytest.approx((ahead - behind).item() / 2, rel=1e-6)


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)])
@pytest.mark.parametrize("gate", [0.0, 1.5])
def test_lower_precision(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, near: float, gate: float) -> None:
    """Near to float64 on the same numbers, and no worse than eager autograd on that type."""
    small_chunks(monkeypatch, rows=5, block=2)
    spec = SPEC.model_copy(update={"gate_weight": gate})
    hidden, weight, labels = leaves(dtype)
    found = stage1_loss(hidden, weight, labels, COORDS, spec)
    found.loss.backward()
    exact, eager = copies(hidden, weight), copies(hidden, weight, dtype=dtype)
    for h, w in (exact, eager):
        stage1_loss_from_logits(h @ w.T, labels, COORDS, spec).loss.backward()
    wanted = stage1_loss_from_logits(exact[0] @ exact[1].T, labels, COORDS, spec).loss
    assert found.loss.dtype == torch.float32
    assert found.loss.item() == pytest.approx(wanted.item(), rel=near)
    for got, plain, want in zip((hidden, weight), eager, exact, strict=True):
        assert got.grad is not None
        assert got.grad.dtype == dtype
        assert error(got.grad, want.grad) < min(near, 1.5 * error(plain.grad, want.grad) + 1e-7)


def test_the_gate_is_exact_where_it_is_tiny() -> None:
    """Nearly all mass on coord tokens: a difference of two log-sum-exps in float32 would be 0 or noise."""
    hidden, weight = torch.ones(2, 1), torch.zeros(VOCAB, 1)
    weight[WORDS] = -25.0
    labels = torch.tensor([IGNORE_INDEX, COORDS.ids[7]])
    found = stage1_loss(hidden, weight, labels, COORDS, SPEC)
    assert found.coord_gate is not None
    assert found.coord_gate.item() == pytest.approx(len(WORDS) * math.exp(-25) / 1000, rel=1e-5)


def test_a_vocabulary_of_nothing_but_coord_tokens() -> None:
    hidden, weight = torch.randn(3, DIM, dtype=torch.float64), torch.randn(1000, DIM, dtype=torch.float64)
    found = stage1_loss(hidden, weight, torch.tensor([-100, 5, 999]), CoordVocab(tuple(range(1000))), SPEC)
    assert found.coord_gate is not None
    assert found.coord_gate.item() == 0.0
    assert found.loss.isfinite()


@pytest.mark.parametrize("gate", [0.0, 1.5])
def test_rows_of_padding_behind_the_tokenizer_count_as_in_a_plain_softmax(gate: float) -> None:
    hidden, weight, labels = leaves()
    padded = torch.cat([weight.detach(), torch.randn(18, DIM, dtype=torch.float64)]).requires_grad_()
    spec = SPEC.model_copy(update={"gate_weight": gate})
    stage1_loss(hidden, padded, labels, COORDS, spec).loss.backward()
    h, w = copies(hidden, padded)
    stage1_loss_from_logits(h @ w.T, labels, COORDS, spec).loss.backward()
    assert error(padded.grad, w.grad) < 1e-12
    assert error(hidden.grad, h.grad) < 1e-12


# ------------------------------------------------------------------ which rows matter


def test_a_label_at_position_0_is_scored_by_nothing() -> None:
    hidden, weight, labels = leaves()
    first = labels.clone()
    first[0] = WORDS[0]
    one, other = (stage1_loss(hidden, weight, x, COORDS, SPEC) for x in (labels, first))
    assert one.base_count == other.base_count
    assert torch.equal(one.loss, other.loss)


@pytest.mark.parametrize("gate", [0.0, 1.5])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_ignored_rows_are_never_read_and_have_a_gradient_of_exactly_0(gate: float, bad: float) -> None:
    hidden, weight, labels = leaves()
    ignored = torch.cat([labels[1:] == IGNORE_INDEX, torch.tensor([True])])
    with torch.no_grad():
        hidden[ignored] = bad
    result = stage1_loss(hidden, weight, labels, COORDS, SPEC.model_copy(update={"gate_weight": gate}))
    result.loss.backward()
    assert result.loss.isfinite()
    assert hidden.grad is not None
    assert weight.grad is not None
    assert torch.equal(hidden.grad[ignored], torch.zeros_like(hidden.grad[ignored]))
    assert (hidden.grad[~ignored] != 0).all()
    assert weight.grad.isfinite().all()


def test_the_gate_is_not_computed_where_it_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, labels = leaves()
    labels[torch.isin(labels, WORDS)] = IGNORE_INDEX
    off = SPEC.model_copy(update={"gate_weight": 0.0})
    measured = stage1_loss(hidden, weight, labels, COORDS, off, measure_gate=True)
    measured.loss.backward()
    grads = [x.grad for x in (hidden, weight)]
    monkeypatch.setattr(head.Head, "logits", None)
    again = copies(hidden, weight)
    found = stage1_loss(*again, labels, COORDS, off)
    found.loss.backward()
    assert found.coord_gate is None
    assert found.vocab_mass is None
    assert measured.coord_gate is not None
    torch.testing.assert_close(found.loss, measured.loss)
    for got, want in zip(again, grads, strict=True):
        torch.testing.assert_close(got.grad, want)


class Largest(TorchDispatchMode):
    """Bytes of the largest memory that any operation gave."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.bytes = max(self.bytes, out.untyped_storage().nbytes())
        return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_tensor_has_more_rows_of_logits_than_a_chunk(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    rows = 10
    small_chunks(monkeypatch, rows=rows, block=2, size=dtype.itemsize)
    hidden, weight, labels = leaves(dtype, tokens=400)
    with Largest() as largest:
        stage1_loss(hidden, weight, labels, COORDS, SPEC).loss.backward()
    assert rows * VOCAB * dtype.itemsize // 2 < largest.bytes <= rows * VOCAB * 4 < 266 * VOCAB * dtype.itemsize


# ------------------------------------------------------------------ batches that are special


@pytest.mark.parametrize("gate", [0.0, 1.5])
@pytest.mark.parametrize(("base", "coord"), [(0, 0), (1, 0), (0, 1), (13, 0), (0, 13), (1, 1)])
def test_few_kinds_of_targets(base: int, coord: int, gate: float) -> None:
    hidden, weight, labels = leaves()
    for ids, kept in ((WORDS, base), (IDS, coord)):
        at = torch.isin(labels, ids).nonzero().squeeze(1)
        labels[at[kept:]] = IGNORE_INDEX
    spec = SPEC.model_copy(update={"gate_weight": gate})
    found = stage1_loss(hidden, weight, labels, COORDS, spec)
    found.loss.backward()
    h, w = copies(hidden, weight)
    wanted = stage1_loss_from_logits(h @ w.T, labels, COORDS, spec)
    wanted.loss.backward()
    assert (found.base_count, found.coord_count) == (base, coord)
    torch.testing.assert_close(found.loss, wanted.loss)
    assert error(hidden.grad, h.grad) < 1e-12
    assert error(weight.grad, w.grad) < 1e-12


@pytest.mark.parametrize("tokens", [0, 1])
def test_sequences_with_nothing_to_predict(tokens: int) -> None:
    hidden, weight, _ = leaves(tokens=tokens)
    found = stage1_loss(hidden, weight, torch.full((tokens,), int(WORDS[0])), COORDS, SPEC)
    found.loss.backward()
    assert found.loss.item() == 0.0
    assert weight.grad is not None
    assert not weight.grad.any()


def test_without_a_coord_vocabulary_every_target_is_a_word() -> None:
    hidden, weight, labels = leaves()
    found = stage1_loss(hidden, weight, labels, None, None)
    found.loss.backward()
    h, w = copies(hidden, weight)
    wanted = F.cross_entropy((h @ w.T)[:-1], labels[1:])
    wanted.backward()
    assert (found.base_count, found.coord_count) == (26, 0)
    torch.testing.assert_close(found.loss, wanted)
    assert error(weight.grad, w.grad) < 1e-12


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("gate", [0.0, 1.5])
@pytest.mark.parametrize("kind", ["word", "coord"])
@pytest.mark.parametrize("fused_one", [True, False], ids=["fused", "reference"])
def test_a_logit_that_is_not_finite_is_never_laundered(fused_one: bool, kind: str, gate: float, bad: float) -> None:
    """One word gets the logit; no row has it as its target. With the gate off, coordinates see coord tokens alone."""
    hidden, weight, labels = leaves()
    labels[torch.isin(labels, WORDS if kind == "coord" else IDS)] = IGNORE_INDEX
    victim = IDS[0] if gate == 0 and kind == "coord" else WORDS[0]
    labels[labels == victim] = IGNORE_INDEX
    with torch.no_grad():
        hidden[:, 0] = hidden[:, 0].abs()
        weight[:, 0] = 0.0
        weight[victim, 0] = bad
        weight[victim, 1:] = 0.0
    spec = SPEC.model_copy(update={"gate_weight": gate})
    if fused_one:
        loss = stage1_loss(hidden, weight, labels, COORDS, spec).loss
    else:
        loss = stage1_loss_from_logits(hidden @ weight.T, labels, COORDS, spec).loss
    assert not loss.isfinite()
    loss.backward()
    assert hidden.grad is not None
    assert not hidden.grad.isfinite().all() or not fused_one


# ------------------------------------------------------------------ sums, counts and scales


def test_small_float16_gradients_do_not_vanish() -> None:
    """One row among a million, under a loss scale as GradScaler has it."""
    hidden, weight, labels = leaves(torch.float16)
    counts = {"base_denominator": 2.0**20, "coord_denominator": 2.0**20}
    (stage1_loss(hidden, weight, labels, COORDS, SPEC, **counts).loss * 2.0**18).backward()
    h, w = copies(hidden, weight)
    (stage1_loss_from_logits(h @ w.T, labels, COORDS, SPEC, **counts).loss * 2.0**18).backward()
    assert error(hidden.grad, h.grad) < 2e-3
    assert error(weight.grad, w.grad) < 2e-3


def test_a_denominator_of_0_is_no_answer() -> None:
    hidden, weight, labels = leaves()
    with pytest.raises(ValueError, match=r"^the sum over 13 rows cannot be divided by 0$"):
        stage1_loss(hidden, weight, labels, COORDS, SPEC, coord_denominator=0)
    assert not stage1_loss(hidden, weight, labels, COORDS, SPEC, coord_denominator=torch.tensor(0.0)).loss.isfinite()
    labels[torch.isin(labels, IDS)] = IGNORE_INDEX
    assert stage1_loss(hidden, weight, labels, COORDS, SPEC, coord_denominator=torch.tensor(0.0)).loss.isfinite()


# ------------------------------------------------------------------ who has a gradient


def test_frozen_head_and_frozen_hidden_states(monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch)
    hidden, weight, labels = leaves()
    stage1_loss(hidden, weight, labels, COORDS, SPEC).loss.backward()
    for trained in (0, 1):
        pair = [x.detach().clone().requires_grad_(n == trained) for n, x in enumerate((hidden, weight))]
        stage1_loss(pair[0], pair[1], labels, COORDS, SPEC).loss.backward()
        torch.testing.assert_close(pair[trained].grad, (hidden, weight)[trained].grad)
        assert pair[1 - trained].grad is None


@pytest.mark.parametrize("gate", [0.0, 1.5])
def test_coord_rows_alone_are_trained(gate: float) -> None:
    """The gradient is that of the rows in a whole head; rows of the frozen head beneath them are never read."""
    spec = SPEC.model_copy(update={"gate_weight": gate})
    hidden, weight, labels = leaves()
    stage1_loss(hidden, weight, labels, COORDS, spec).loss.backward()
    rows = weight.detach()[IDS].requires_grad_()
    frozen = weight.detach().index_fill(0, IDS, math.nan) if gate == 0 else weight.detach()
    h = hidden.detach().clone().requires_grad_()
    labels_of = labels if gate else labels.masked_fill(torch.isin(labels, WORDS), IGNORE_INDEX)
    found = stage1_loss(h, frozen, labels_of, COORDS, spec, coord_rows_KD=rows, base_denominator=13)
    found.loss.backward()
    assert rows.grad is not None
    if gate:
        assert weight.grad is not None
        assert hidden.grad is not None
        torch.testing.assert_close(rows.grad, weight.grad[IDS])
        torch.testing.assert_close(h.grad, hidden.grad)
    else:
        assert rows.grad.isfinite().all()


def test_a_tied_embedding_gets_both_gradients() -> None:
    _, weight, labels = leaves()
    inputs = torch.where(labels == IGNORE_INDEX, WORDS[0], labels)
    stage1_loss(F.embedding(inputs, weight).tanh(), weight, labels, COORDS, SPEC).loss.backward()
    (w,) = copies(weight)
    stage1_loss_from_logits(F.embedding(inputs, w).tanh() @ w.T, labels, COORDS, SPEC).loss.backward()
    assert error(weight.grad, w.grad) < 1e-12


def test_no_gradient_is_made_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, labels = leaves()
    wanted = stage1_loss(hidden, weight, labels, COORDS, SPEC)
    monkeypatch.setattr(head.Head, "backward", None)
    with torch.no_grad():
        found = stage1_loss(hidden, weight, labels, COORDS, SPEC)
    assert torch.equal(found.loss, wanted.loss)
    assert not found.loss.requires_grad


def test_a_second_backward_is_an_error() -> None:
    hidden, weight, labels = leaves()
    loss = stage1_loss(hidden, weight, labels, COORDS, SPEC).loss
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match=r"^this loss hands out its gradient once; compute it again"):
        loss.backward()


def test_the_gradient_of_the_head_is_not_copied() -> None:
    """Autograd takes a gradient over as ``.grad`` without a copy only where nobody else holds it."""
    hidden, weight, labels = leaves()
    made = []
    gather = head._add_product

    def watch(gathered: Tensor, *rest: Tensor) -> None:
        made.append(gathered.data_ptr())
        gather(gathered, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head, "_add_product", watch)
        (2 * stage1_loss(hidden, weight, labels, COORDS, SPEC).loss).backward()
    assert weight.grad is not None
    assert set(made) == {weight.grad.data_ptr()}


def test_autocast_multiplies_in_its_type_and_gathers_in_that_of_the_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch, size=2)
    hidden, weight, labels = leaves(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = stage1_loss(hidden, weight, labels, COORDS, SPEC).loss
    loss.backward()
    h, w = copies(hidden, weight, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        logits = h @ w.T
    assert logits.dtype == torch.bfloat16
    stage1_loss_from_logits(logits, labels, COORDS, SPEC).loss.backward()
    for got, want in ((hidden, h), (weight, w)):
        assert got.grad is not None
        assert got.grad.dtype == torch.float32
        assert error(got.grad, want.grad) < 1e-2


def test_autocast_leaves_coord_logits_in_float32() -> None:
    """Of operands in bfloat16, as in every product of the head, but never rounded to it themselves."""
    hidden, weight, labels = leaves(torch.float32)
    slots = torch.tensor([4, 5])
    ids, none = labels.clamp_min(0), torch.zeros(TOKENS)
    with torch.autocast("cpu", torch.bfloat16):
        found = masked_loss(
            hidden, weight, ids, none, COORDS, ce_denominator=1.0, coord=None, box_positions_S=slots
        ).coord_logits_SK
    wanted = hidden[slots - 1].bfloat16().float() @ weight[IDS].bfloat16().float().T
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------ stage 2


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("rows", [False, True], ids=["head", "coord_rows"])
def test_masked_loss_with_terms_and_boxes(
    monkeypatch: pytest.MonkeyPatch, several: bool, temperature: float, rows: bool
) -> None:
    """Weighted cross entropy, terms on bins that the ids do not have, and boxes: all at once, and some rows in all."""
    if several:
        small_chunks(monkeypatch)
    spec = SPEC.model_copy(update={"temperature": temperature})
    hidden, weight, labels = leaves()
    ids = torch.where(labels == IGNORE_INDEX, WORDS[2], labels)
    weights = torch.arange(TOKENS) % 4 / 2.0
    positions, bins = torch.tensor([3, 8, 9, 8]), torch.tensor([0, 999, 5, 6])
    boxes = torch.tensor([11, 8, 39, 11, 5])
    own_rows = torch.randn(1000, DIM, dtype=torch.float64).requires_grad_() if rows else None
    slots = CoordSlots(positions, bins, spec, 7.0)
    found = masked_loss(
        hidden, weight, ids, weights, COORDS,
        ce_denominator=torch.tensor(30.0), coord=slots, box_positions_S=boxes, coord_rows_KD=own_rows,
    )  # fmt: skip
    unit = torch.arange(5, dtype=torch.float64)
    (2 * found.loss + unit.dot(expected_unit(found.coord_logits_SK))).backward()

    same = copies(hidden, weight, *([] if own_rows is None else [own_rows]))
    z = same[0] @ (same[1].index_copy(0, IDS, same[2]) if rows else same[1]).T
    ce = F.cross_entropy(z[:-1], ids[1:], reduction="none")
    terms = coord_terms(z[positions - 1][:, IDS], bins, target_sigma=2.0, temperature=temperature)
    scaled = z[positions - 1] / temperature
    gate = scaled.logsumexp(1) - scaled[:, IDS].logsumexp(1)
    coord = terms.soft_ce_N + 2 * terms.w1_N + 0.5 * terms.hard_ce_N + 1.5 * gate
    loss = weights[1:].double().dot(ce) / 30 + coord.sum() / 7
    (2 * loss + unit.dot(expected_unit(z[boxes - 1][:, IDS]))).backward()

    torch.testing.assert_close(found.loss, loss)
    torch.testing.assert_close(found.coord_logits_SK, z[boxes - 1][:, IDS])
    torch.testing.assert_close(found.ce_sum, weights[1:].double().dot(ce))
    assert found.weight_sum.item() == weights.sum().item()
    torch.testing.assert_close(found.coord.gate_M, gate.detach())
    for got, want in zip((hidden, weight, own_rows), same, strict=False):
        assert got is not None
        assert error(got.grad, want.grad) < 1e-12


def test_masked_loss_with_boxes_alone() -> None:
    hidden, weight, labels = leaves()
    ids = torch.where(labels == IGNORE_INDEX, WORDS[2], labels)
    boxes = torch.tensor([4, 5])
    found = masked_loss(
        hidden, weight, ids, torch.zeros(TOKENS), COORDS, ce_denominator=0.0, coord=None, box_positions_S=boxes
    )
    expected_unit(found.coord_logits_SK).sum().backward()
    h, w = copies(hidden, weight)
    expected_unit((h @ w.T)[boxes - 1][:, IDS]).sum().backward()
    assert found.loss.item() == 0.0
    assert error(hidden.grad, h.grad) < 1e-12
    assert error(weight.grad, w.grad) < 1e-12


def test_rows_of_weight_0_are_never_read() -> None:
    hidden, weight, labels = leaves()
    ids = torch.where(labels == IGNORE_INDEX, WORDS[2], labels)
    weights = torch.zeros(TOKENS)
    weights[7] = 0.5
    with torch.no_grad():
        hidden[torch.arange(TOKENS) != 6] = math.nan
    call = {"ce_denominator": 1.0, "coord": None, "box_positions_S": torch.zeros(0, dtype=torch.int64)}
    assert masked_loss(hidden, weight, ids, weights, COORDS, **call).loss.isfinite()


# ------------------------------------------------------------------ what is refused


def loss_of(**changes: Any) -> Stage1Loss:
    hidden, weight, labels = leaves()
    call: dict[str, Any] = {"hidden": hidden, "head": weight, "labels": labels, "vocab": COORDS, "spec": SPEC} | changes
    return stage1_loss(call["hidden"], call["head"], call["labels"], call["vocab"], call["spec"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": torch.full((TOKENS,), VOCAB)}, "1030 is no label: labels are rows 0 to 1029 of the head, or -100"),
        ({"labels": torch.full((TOKENS,), -1)}, "-1 is no label: labels are rows 0 to 1029 of the head, or -100"),
        ({"labels": torch.zeros(TOKENS)}, "labels are a vector of integers, not torch.float32 of shape [40]"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "there are 40 hidden states and 3 labels"),
        ({"spec": None}, "a coord vocabulary and a spec come together, or neither does"),
        ({"vocab": CoordVocab(tuple(range(100, 1100)))}, "the coord token with id 1099 is beyond the head's 1030 rows"),
        ({"hidden": torch.zeros(TOKENS, DIM)}, "hidden states are torch.float32 and the head is torch.float64; make "),
        ({"head": torch.zeros(VOCAB, 5)}, "hidden states of shape [T, D] and a head of shape [V, D] are needed, not "),
    ],
)
def test_bad_calls(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        loss_of(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights_T": torch.ones(TOKENS)}, "the first token has a weight, but nothing predicts it"),
        ({"weights_T": torch.full((TOKENS,), -1.0)}, "weights of cross entropy are finite numbers of at least 0"),
        ({"weights_T": torch.full((TOKENS,), math.nan)}, "weights of cross entropy are finite numbers of at least 0"),
        ({"weights_T": torch.zeros(3)}, "there are 40 hidden states, 40 ids and 3 weights"),
        ({"box_positions_S": torch.tensor([0])}, "nothing predicts the token at position 0; positions count from 1"),
        ({"coord": CoordSlots(torch.tensor([1]), torch.tensor([1000]), SPEC, 1.0)}, "1000 is no bin; bins are 0 to "),
        ({"coord_rows_KD": torch.zeros(3, DIM)}, "1000 coord tokens do not fit rows of shape [3, 6]"),
    ],
)
def test_bad_masked_calls(changes: dict[str, Any], message: str) -> None:
    hidden, weight, labels = leaves()
    call = {
        "hidden_TD": hidden,
        "head_VD": weight,
        "ids_T": labels.clamp_min(0),
        "weights_T": torch.zeros(TOKENS),
        "coord_vocab": COORDS,
        "ce_denominator": 1.0,
        "coord": None,
        "box_positions_S": torch.tensor([5]),
    }
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        masked_loss(**(call | changes))
