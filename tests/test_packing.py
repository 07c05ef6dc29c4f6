"""Several samples in one row are to the model what each of them is alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from transformers import AttentionInterface

import train_samples
from coordspec.losses.rows import IGNORE_INDEX
from coordspec.model.checkpoint import VisionLanguageModel
from coordspec.samples import stream as pack_module
from coordspec.samples.batch import Batch, collate
from coordspec.samples.encode import Sample
from coordspec.samples.prompt import RopePositions
from coordspec.samples.stream import pack

LAYOUTS = ([[0], [1], [2], [3]], [[0, 1, 2, 3]], [[3, 1], [0, 2]], [[2], [0, 3, 1]])
"""Rows: padded, all in one, two packed ones, and a mix."""


@pytest.fixture(params=["qwen3", "qwen2_5"])
def model(request: pytest.FixtureRequest) -> Iterator[VisionLanguageModel]:
    chosen: VisionLanguageModel = getattr(train_samples, request.param)()
    kept = attention_of(chosen)
    yield chosen
    set_attention(chosen, *kept)


def attention_of(model: VisionLanguageModel) -> tuple[str, str]:
    return model.model.language_model.config._attn_implementation, model.model.visual.config._attn_implementation


def set_attention(model: VisionLanguageModel, text: str, vision: str) -> None:
    model.model.language_model.config._attn_implementation = text
    model.model.visual.config._attn_implementation = vision


def rows_of(layout: Sequence[Sequence[int]]) -> list[list[Sample]]:
    return [[train_samples.four()[number] for number in row] for row in layout]


def loss_and_gradients(model: VisionLanguageModel, rows: list[list[Sample]], *, varlen: bool = False) -> Any:
    """Sum of the cross entropy over all labels, and the gradient of every parameter in one vector."""
    batch = collate(rows, train_samples.PAD)
    logits = model(**batch.model_inputs(varlen=varlen)).logits
    loss = cross_entropy(
        logits[:, :-1].flatten(0, 1), batch.labels_BT[:, 1:].flatten(), ignore_index=IGNORE_INDEX, reduction="sum"
    )
    model.zero_grad()
    loss.backward()
    gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return loss.item(), gradients


def alone(model: VisionLanguageModel) -> tuple[float, torch.Tensor]:
    """The same, each sample in a forward of its own."""
    found = [loss_and_gradients(model, [[sample]]) for sample in train_samples.four()]
    return sum(loss for loss, _ in found), torch.stack([gradients for _, gradients in found]).sum(0)


def assert_equal(model: VisionLanguageModel, expected: tuple[float, torch.Tensor], *, varlen: bool = False) -> None:
    loss, gradients = expected
    for layout in LAYOUTS:
        packed_loss, packed_gradients = loss_and_gradients(model, rows_of(layout), varlen=varlen)
        assert packed_loss == pytest.approx(loss, rel=1e-6), layout
        assert (packed_gradients - gradients).abs().max() <= 1e-5 * gradients.abs().max(), layout


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_loss_and_gradients_are_those_of_single_samples(model: VisionLanguageModel, attention: str) -> None:
    set_attention(model, attention, attention)
    assert_equal(model, alone(model))


def logits_of(model: VisionLanguageModel, batch: Batch, **changes: object) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(**batch.model_inputs(varlen=False) | changes).logits
    return logits


def test_a_sample_does_not_see_the_one_before_it() -> None:
    """Another image and another text in front change nothing; without what ``model_inputs`` sees to they would."""
    model = train_samples.qwen3()
    first, second, _, _ = train_samples.four()
    changed = first.ids_T.clone()
    changed[-9:-2] = changed[-9:-2] + 1
    strange = replace(first, ids_T=changed, pixels_ND=1 - first.pixels_ND)
    plain, odd = collate([[first, second]], 0), collate([[strange, second]], 0)
    start = len(first)
    torch.testing.assert_close(logits_of(model, plain)[0, start:], logits_of(model, odd)[0, start:], rtol=0, atol=0)
    assert not torch.allclose(logits_of(model, plain)[0, :start], logits_of(model, odd)[0, :start])
    for leak in ({"use_cache": True}, {"position_ids": plain.positions_4BT[1:]}):
        leaked = logits_of(model, plain, **leak)[0, start:] - logits_of(model, odd, **leak)[0, start:]
        assert leaked.abs().max() > 1e-3, leak


# ---------------------------------------------------------------------------------------------------- FlashAttention


def varlen_reference(calls: list[dict[str, Any]]) -> Callable[..., Any]:
    """FlashAttention's varlen kernel as transformers calls it, one sequence after the other."""

    def attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **kwargs: Any) -> Any:
        assert attention_mask is None
        borders = kwargs["cu_seq_lens_q"]
        assert borders.dtype == torch.int32
        assert torch.equal(borders, kwargs["cu_seq_lens_k"])
        calls.append({name: kwargs.get(name) for name in ("cu_seq_lens_q", "max_length_q", "max_length_k")})
        batch, heads, length, width = query.shape
        q, k, v = (x.transpose(1, 2).reshape(1, -1, x.shape[1], width).transpose(1, 2) for x in (query, key, value))
        causal = kwargs.get("is_causal") is not False and module.is_causal
        parts = [
            scaled_dot_product_attention(
                *(x[:, :, start:end] for x in (q, k, v)), is_causal=causal, scale=kwargs["scaling"], enable_gqa=True
            )
            for start, end in zip(borders.tolist(), borders.tolist()[1:], strict=False)
        ]
        return torch.cat(parts, dim=2).transpose(1, 2).reshape(batch, length, heads, width), None

    return attend


def test_flash_attention_gets_the_borders(model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setitem(AttentionInterface._global_mapping, "flash_attention_2", varlen_reference(calls))
    expected = alone(model)
    set_attention(model, "flash_attention_2", "flash_attention_2")
    assert_equal(model, expected, varlen=True)
    assert {call["max_length_k"] for call in calls} > {max(map(len, train_samples.four()))}


def test_borders_of_rows_and_padding() -> None:
    lengths = [len(sample) for sample in train_samples.four()]
    batch = collate(rows_of([[0, 1], [2]]), 0)
    inputs = batch.model_inputs(varlen=True)
    row = lengths[0] + lengths[1]
    borders = [0, lengths[0], row, row + lengths[2], 2 * row]
    assert inputs["cu_seq_lens_q"].tolist() == inputs["cu_seq_lens_k"].tolist() == borders
    assert inputs["max_length_q"] == inputs["max_length_k"] == max(np.diff(borders))
    assert "attention_mask" not in inputs
    assert inputs["use_cache"] is False


# ---------------------------------------------------------------------------------------------------------- positions


def test_positions_are_those_of_the_model(model: VisionLanguageModel) -> None:
    for sample in train_samples.samples([train_samples.record(96, 64, 2, images=2)], model):
        expected, _ = model.model.get_rope_index(
            sample.ids_T[None], mm_token_type_ids=sample.types_T[None], image_grid_thw=sample.grid_I3
        )
        assert torch.equal(sample.positions_3T, expected[:, 0])
        assert (sample.positions_3T[1] != sample.positions_3T[2]).any()


def test_a_model_that_is_not_trained_here() -> None:
    config = type(train_samples.qwen3().config.text_config)()
    known = "none of those that can be trained: qwen2_5_vl, qwen3_vl"
    with pytest.raises(ValueError, match=rf"^model_type 'qwen3_vl_text' is {known}$"):
        RopePositions(config)


# -------------------------------------------------------------------------------------------------------------- packs


def first_fit(order: Sequence[int], lengths: Sequence[int], pack_length: int, open_packs: int) -> list[list[int]]:
    """The same, as plainly as it can be written."""
    packs: list[list[int]] = []
    still_open: list[list[int]] = []
    for number in order:
        fitting = [p for p in still_open if sum(lengths[i] for i in p) + lengths[number] <= pack_length]
        if fitting:
            fitting[0].append(number)
            continue
        if len(still_open) == open_packs:
            still_open.remove(max(still_open, key=lambda p: sum(lengths[i] for i in p)))
        packs.append([number])
        still_open.append(packs[-1])
    return packs


@given(st.lists(st.integers(1, 20), max_size=40), st.integers(20, 50), st.integers(1, 4), st.randoms())
def test_packs(lengths: list[int], pack_length: int, open_packs: int, random: Any) -> None:
    order = list(range(len(lengths)))
    random.shuffle(order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack_module, "OPEN_PACKS", open_packs)
        found = pack(np.array(order, dtype=np.int64), np.array(lengths, dtype=np.int32), pack_length)
    assert found == first_fit(order, lengths, pack_length, open_packs)
    assert sorted(number for row in found for number in row) == sorted(order)
    assert all(sum(lengths[number] for number in row) <= pack_length for row in found)


def test_a_sample_that_fits_no_pack() -> None:
    with pytest.raises(ValueError, match=r"^sample 1 has 9 tokens, and a pack holds 8$"):
        pack(np.array([0, 1]), np.array([3, 9], dtype=np.int32), 8)


def test_rows_are_filled() -> None:
    """Of lengths as COCO has them, next to nothing is lost."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(400, 1200, 3000).astype(np.int32)
    packs = pack(rng.permutation(3000), lengths, 8192)
    assert lengths.sum() / (len(packs) * 8192) > 0.97
