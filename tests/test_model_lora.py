"""LoRA: what is trained, what is saved, and that a merged model is the adapted one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from coordspec.config.sections import Model
from coordspec.config.training import Lora
from coordspec.errors import InputError
from coordspec.model.checkpoint import embedding_weight, head_weight, is_tied, load_model, load_processor
from coordspec.model.lora import add_lora, load_adapter, merge_adapter, merge_saved_adapter, save_adapter
from coordspec.model.parts import Head, ModelPart, parameter_groups, part_of
from model_samples import batch, folder, logits, model, processor, rates

COORDS = processor().coords
IDS = list(COORDS.ids)
LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
HEADS: list[Head] = ["full", "coord_rows", "frozen"]
VISION = ("qkv", "proj", "linear_fc1", "linear_fc2")


def adapted(tied: bool, head: Head, names: tuple[str, ...] = LAYERS, **spec: Any) -> PeftModel:
    """A model with adapters after two steps, so that none of them is 0."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"r": 4, "lora_alpha": 8.0, "lora_dropout": 0.0, "target_modules": names, **spec}
    one = add_lora(load_model(folder(tied=tied)), Lora(**options), Model(path="model", head=head), COORDS)
    optimizer = torch.optim.AdamW(parameter_groups(one, rates(1e-2, coord_learning_rate=2e-2, weight_decay=0.0), head))
    inputs = batch(processor())
    for _ in range(2):
        one(**inputs, labels=inputs["input_ids"]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return one.eval()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_merged_logits_are_those_of_the_adapter(tied: bool, head: Head, tmp_path: Path) -> None:
    one = adapted(tied, head)
    inputs = batch(processor())
    wanted, start = logits(one, inputs), logits(load_model(folder(tied=tied)), inputs)
    assert (wanted - start).abs().max() > 0.05
    save_adapter(one, tmp_path / "adapter")
    merged = merge_adapter(one)
    assert is_tied(merged) is tied
    assert {name for name, _ in merged.named_parameters()} == {name for name, _ in model(tied=tied).named_parameters()}
    torch.testing.assert_close(logits(merged, inputs), wanted, rtol=1e-4, atol=1e-5)

    loaded = load_adapter(load_model(folder(tied=tied)), tmp_path / "adapter")
    torch.testing.assert_close(logits(loaded, inputs), wanted, rtol=0, atol=0)


@pytest.mark.parametrize(("tied", "head"), [(True, "coord_rows"), (False, "full")])
def test_a_merged_checkpoint(tied: bool, head: Head, tmp_path: Path) -> None:
    one = adapted(tied, head)
    save_adapter(one, tmp_path / "adapter")
    assert merge_saved_adapter(tmp_path / "adapter", tmp_path / "out") == folder(tied=tied)
    saved = load_model(tmp_path / "out")
    assert is_tied(saved) is tied
    inputs = batch(load_processor(tmp_path / "out"))
    torch.testing.assert_close(logits(saved, inputs), logits(one, inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_only_coord_rows_move(tied: bool) -> None:
    start = load_model(folder(tied=tied))
    one = adapted(tied, "coord_rows")
    for get in (embedding_weight, head_weight):
        moved = (get(one) != get(start)).any(dim=1).nonzero().flatten().tolist()
        assert set(moved) <= set(IDS)
        assert moved
    assert torch.equal(embedding_weight(one), head_weight(one)) is tied


def test_the_head_matrix_of_adapted_rows_takes_gradients() -> None:
    """What a fused loss does: hidden states of the inner model times the matrix of the head."""
    one = adapted(False, "coord_rows")
    inputs = batch(processor())
    hidden = one.base_model.model.model(**inputs).last_hidden_state[0]
    product = hidden @ head_weight(one).T
    torch.testing.assert_close(product, one(**inputs).logits[0])
    product.logsumexp(-1).sum().backward()
    trained = {name: p for name, p in one.named_parameters() if p.requires_grad and part_of(name) is ModelPart.TOKENS}
    assert len(trained) == 2
    assert all(parameter.shape == (1000, 128) and parameter.grad.abs().max() > 0 for parameter in trained.values())


@pytest.mark.parametrize(("head", "tokens"), [("full", 2), ("coord_rows", 2), ("frozen", 0)])
def test_what_is_trained(head: Head, tokens: int) -> None:
    one = adapted(False, head)
    trained = [name for name, parameter in one.named_parameters() if parameter.requires_grad]
    assert sum(part_of(name) is ModelPart.TOKENS for name in trained) == tokens
    assert sum("lora_" in name for name in trained) == 2 * 4 * len(LAYERS)
    assert len(trained) == tokens + 2 * 4 * len(LAYERS)


def test_coord_rows_have_their_rate_under_lora() -> None:
    groups = parameter_groups(
        adapted(False, "coord_rows"), rates(1e-3, coord_learning_rate=5e-3, weight_decay=0.1), "coord_rows"
    )
    assert {group["name"]: (group["lr"], group["weight_decay"]) for group in groups} == {
        "language": (1e-3, 0.1),
        "tokens": (5e-3, 0.0),
    }


@pytest.mark.parametrize(
    ("freeze", "parts"),
    [
        (Model(path="model", head="frozen"), {ModelPart.VISION, ModelPart.PROJECTOR, ModelPart.LANGUAGE}),
        (Model(path="model", freeze_vision=True, head="frozen"), {ModelPart.PROJECTOR, ModelPart.LANGUAGE}),
        (Model(path="model", freeze_projector=True, head="frozen"), {ModelPart.VISION, ModelPart.LANGUAGE}),
        (Model(path="model", freeze_language=True, head="frozen"), {ModelPart.VISION, ModelPart.PROJECTOR}),
    ],
    ids=["head", "head and vision", "head and projector", "head and language"],
)
def test_frozen_parts_get_no_adapters(freeze: Model, parts: set[ModelPart]) -> None:
    spec = Lora(r=2, lora_alpha=4.0, lora_dropout=0.0, target_modules=("qkv", "linear_fc1", "q_proj"))
    one = add_lora(load_model(folder()), spec, freeze, COORDS)
    assert {part_of(name) for name, p in one.named_parameters() if p.requires_grad} == parts


def test_adapters_of_the_vision_tower_merge_too() -> None:
    one = adapted(True, "coord_rows", names=VISION, use_rslora=True)
    inputs = batch(processor())
    wanted = logits(one, inputs)
    torch.testing.assert_close(logits(merge_adapter(one), inputs), wanted, rtol=1e-4, atol=1e-5)


def test_no_layer_of_that_name() -> None:
    with pytest.raises(InputError) as caught:
        add_lora(
            load_model(folder()),
            Lora(r=2, lora_alpha=4.0, lora_dropout=0.0, target_modules=("c_attn", "wq")),
            Model(path="model"),
            COORDS,
        )
    assert str(caught.value) == "lora.target_modules: no layer to train is called c_attn or wq"


def test_training_can_go_on_from_a_saved_adapter(tmp_path: Path) -> None:
    one = adapted(True, "coord_rows")
    save_adapter(one, tmp_path)
    again = load_adapter(load_model(folder()), tmp_path, trainable=True)
    wanted = {name for name, parameter in one.named_parameters() if parameter.requires_grad}
    assert {name for name, parameter in again.named_parameters() if parameter.requires_grad} == wanted
    assert sorted(file.name for file in tmp_path.iterdir() if file.suffix in {".safetensors", ".bin"}) == [
        "adapter_model.safetensors"
    ]


# -------------------------------------------------------------------------------------------------------------- command


def test_the_command(coordspec, tmp_path: Path) -> None:
    save_adapter(adapted(True, "coord_rows"), tmp_path / "adapter")
    done = coordspec("merge-lora", "adapter", "out")
    assert (done.status, done.out, done.err) == (0, f"out: adapter merged into {folder()}\n", "")
    shutil.copytree(folder(), tmp_path / "base")
    done = coordspec("merge-lora", "adapter", "out", "--base", "base", "--overwrite")
    assert (done.status, done.out) == (0, "out: adapter merged into base\n")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())

    def refusal(*args: str, **changes: object) -> str:
        (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps({**config, **changes}))
        done = coordspec("merge-lora", *args)
        assert (done.status, done.out) == (2, "")
        return str(done.err)

    assert refusal("adapter", "out") == "error: out: is not empty; name another folder, or pass --overwrite\n"
    assert refusal("adapter", "adapter", "--overwrite") == "error: adapter: is being read; name another output folder\n"
    assert refusal("base", "new") == "error: base: has no adapter_config.json, so it is no adapter\n"
    assert refusal("adapter", "new", peft_type="IA3") == (
        "error: adapter: is an adapter of type 'IA3', and LORA alone is supported\n"
    )
    assert refusal("adapter", "new", base_model_name_or_path="Qwen/Qwen3-VL-4B-Instruct") == (
        "error: adapter: its model 'Qwen/Qwen3-VL-4B-Instruct' is no folder here; name the folder with --base\n"
    )
    assert refusal("adapter", "new", base_model_name_or_path=None).startswith("error: adapter: names no model; name")
    (tmp_path / "adapter" / "adapter_model.safetensors").rename(tmp_path / "adapter" / "adapter_model.bin")
    assert refusal("adapter", "new") == (
        "error: adapter: has no adapter_model.safetensors; adapters are read from safetensors only\n"
    )
    assert not (tmp_path / "new").exists()
