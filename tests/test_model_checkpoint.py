"""Loading checkpoints: what is refused, with the exact message, and what is kept when one is saved."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from coordspec.errors import InputError
from coordspec.model.checkpoint import (
    embedding_weight,
    head_weight,
    is_tied,
    load_model,
    load_processor,
    load_tokenizer,
    save_checkpoint,
)
from model_samples import batch, folder, logits, model, processor


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint folder to break."""
    return Path(shutil.copytree(folder(), tmp_path / "it"))


def remove(*names: str) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        for name in names:
            (path / name).unlink()

    return do


def edit(name: str, **changes: object) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        (path / name).write_text(json.dumps({**json.loads((path / name).read_text()), **changes}))

    return do


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda path: (path / name).write_text(text) and None


def then(*steps: Callable[[Path], None]) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        for step in steps:
            step(path)

    return do


def drop_weight(path: Path) -> None:
    weights = load_file(path / "model.safetensors")
    weights["other.weight"] = weights.pop("model.visual.pos_embed.weight")
    save_file(weights, path / "model.safetensors", {"format": "pt"})


def cut_rows(path: Path) -> None:
    weights = load_file(path / "model.safetensors")
    name = "model.language_model.embed_tokens.weight"
    weights[name] = weights[name][:-1].clone()
    save_file(weights, path / "model.safetensors", {"format": "pt"})
    text = json.loads((path / "config.json").read_text())["text_config"]
    edit("config.json", text_config={**text, "vocab_size": text["vocab_size"] - 1})(path)


MODEL_FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no folder": (shutil.rmtree, "is no folder; name the folder of a checkpoint (nothing is downloaded)"),
    "no config": (remove("config.json"), "has no config.json, so it is no checkpoint"),
    "config is no JSON": (
        write("config.json", "{"),
        "config.json cannot be read: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ),
    "config is a list": (write("config.json", "[]"), "config.json holds no JSON object"),
    "another architecture": (
        edit("config.json", model_type="llama"),
        "config.json has the model_type 'llama'; only these can be used: qwen3_vl, qwen2_5_vl",
    ),
    "no weights": (remove("model.safetensors"), "has no model.safetensors, so it holds no whole model"),
    "pickled weights": (
        then(remove("model.safetensors"), write("pytorch_model.bin", "")),
        "has its weights in pytorch_model.bin, a pickle, which can run code when it is opened; "
        "convert them to safetensors",
    ),
    "a shard is missing": (
        write("model.safetensors.index.json", '{"weight_map": {"a": "model-00001-of-00002.safetensors"}}'),
        "model-00001-of-00002.safetensors is missing, which model.safetensors.index.json names; "
        "copy the whole checkpoint",
    ),
    "a shard elsewhere": (
        write("model.safetensors.index.json", '{"weight_map": {"a": "../model.safetensors"}}'),
        "model.safetensors.index.json names '../model.safetensors', which is no file of this folder",
    ),
    "an empty index": (
        write("model.safetensors.index.json", "{}"),
        "model.safetensors.index.json has no weight_map; save the model again",
    ),
    "a weight is missing": (
        drop_weight,
        "the weights lack model.visual.pos_embed.weight; save the model again",
    ),
    "ids without rows": (
        cut_rows,
        "its tokenizer has ids up to 1519, its embedding has rows up to 1518; tokenizer and weights do not belong "
        "together",
    ),
}


@pytest.mark.parametrize(("fault", "message"), MODEL_FAULTS.values(), ids=list(MODEL_FAULTS))
def test_what_is_no_model(fault: Callable[[Path], None], message: str, checkpoint: Path) -> None:
    fault(checkpoint)
    with pytest.raises(InputError) as caught:
        load_model(checkpoint)
    assert str(caught.value) == f"{checkpoint}: {message}"


PROCESSOR_FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no folder": MODEL_FAULTS["no folder"],
    "no tokenizer": (
        remove("tokenizer.json"),
        "has no tokenizer.json; save the tokenizer in the form of the tokenizers library",
    ),
    "no image processor": (
        remove("preprocessor_config.json"),
        "has no preprocessor_config.json; copy that of the model",
    ),
    "no chat template": (
        remove("chat_template.jinja"),
        "has no chat template; add the chat_template.jinja of the model",
    ),
}


@pytest.mark.parametrize(("fault", "message"), PROCESSOR_FAULTS.values(), ids=list(PROCESSOR_FAULTS))
def test_what_is_no_processor(fault: Callable[[Path], None], message: str, checkpoint: Path) -> None:
    fault(checkpoint)
    with pytest.raises(InputError) as caught:
        load_processor(checkpoint)
    assert str(caught.value) == f"{checkpoint}: {message}"


BROKEN = {
    "weights": ("model.safetensors", "\x10\0\0\0\0\0\0\0{"),
    "config of another shape": ("config.json", '{"model_type": "qwen3_vl", "text_config": {"hidden_size": "many"}}'),
}
BROKEN_PROCESSORS = {
    "tokenizer with nothing in it": ("tokenizer.json", "{}"),
    "tokenizer of no known kind": ("tokenizer.json", '{"added_tokens": [], "model": {"type": "Guess"}}'),
    "tokenizer that is no JSON": ("tokenizer.json", "{"),
    "tokenizer config": ("tokenizer_config.json", "{"),
    "image processor": ("preprocessor_config.json", "{"),
}


@pytest.mark.parametrize(("name", "text"), BROKEN.values(), ids=list(BROKEN))
def test_broken_models_give_no_traceback(name: str, text: str, checkpoint: Path) -> None:
    (checkpoint / name).write_text(text)
    with pytest.raises(InputError, match="it: cannot be loaded: "):
        load_model(checkpoint)


@pytest.mark.parametrize(("name", "text"), BROKEN_PROCESSORS.values(), ids=list(BROKEN_PROCESSORS))
def test_broken_processors_give_no_traceback(name: str, text: str, checkpoint: Path) -> None:
    (checkpoint / name).write_text(text)
    with pytest.raises(InputError, match="it: cannot be loaded: "):
        load_processor(checkpoint)


def test_a_tokenizer_without_coord_tokens_is_no_processor() -> None:
    with pytest.raises(InputError) as caught:
        load_processor(folder(coords=False))
    assert str(caught.value).startswith(f"{folder(coords=False)}: the vocabulary lacks 1000 of the 1000 coord tokens, ")
    assert str(caught.value).endswith("; add the coord tokens with `coordspec expand-vocab`")
    assert load_tokenizer(folder(coords=False)).chat_template


def test_code_of_a_checkpoint_is_not_run(checkpoint: Path) -> None:
    (checkpoint / "modeling.py").write_text("raise SystemExit('ran')")
    edit("config.json", auto_map={"AutoModelForImageTextToText": "modeling.Model"})(checkpoint)
    edit("tokenizer_config.json", auto_map={"AutoTokenizer": ["modeling.Tokenizer", None]})(checkpoint)
    edit("preprocessor_config.json", auto_map={"AutoImageProcessor": "modeling.Images"})(checkpoint)
    load_model(checkpoint)
    load_processor(checkpoint)


# ----------------------------------------------------------------------------------------------------------- what loads


def test_dtype_and_attention() -> None:
    loaded = load_model(folder(), dtype="bfloat16", attn_implementation="eager")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}
    assert loaded.config._attn_implementation == "eager"
    assert load_model(folder(), dtype="auto").dtype == torch.float32
    assert not loaded.training


def test_sharded_weights(tmp_path: Path) -> None:
    model().save_pretrained(tmp_path, max_shard_size="2MB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert torch.equal(head_weight(load_model(tmp_path)), head_weight(model()))


def test_limits_of_images() -> None:
    size = load_processor(folder()).image_processor.size
    assert (size.shortest_edge, size.longest_edge) == (32 * 32, 256 * 256)
    size = load_processor(folder(), min_pixels=4096, max_pixels=8192).image_processor.size
    assert (size.shortest_edge, size.longest_edge) == (4096, 8192)
    with pytest.raises(InputError) as caught:
        load_processor(folder(), min_pixels=10**6)
    assert str(caught.value) == (
        f"{folder()}: images of at least 1000000 and at most 65536 pixels do not exist; "
        "set template.min_pixels and template.max_pixels together"
    )


def test_coords_and_template_of_a_processor() -> None:
    made = load_processor(folder())
    assert made.coords.ids == tuple(range(520, 1520))
    assert "<|im_start|>" in made.chat_template


@pytest.mark.parametrize("tied", [True, False])
def test_head_and_hidden_states_give_the_logits(tied: bool) -> None:
    """What a fused loss works on: hidden states of the inner model, and the matrix of the head."""
    one = load_model(folder(tied=tied))
    assert is_tied(one) is tied
    assert (head_weight(one) is embedding_weight(one)) is tied
    inputs = batch(processor())
    with torch.no_grad():
        hidden = one.model(**inputs).last_hidden_state
    torch.testing.assert_close(hidden[0] @ head_weight(one).T, logits(one, inputs))


def test_saving_keeps_everything(tmp_path: Path, checkpoint: Path) -> None:
    (checkpoint / "video_preprocessor_config.json").write_text("{}")
    tmp_path = tmp_path / "again"
    tmp_path.mkdir()
    save_checkpoint(load_model(checkpoint), load_processor(checkpoint), tmp_path, source=checkpoint)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(file.name for file in checkpoint.iterdir())
    inputs = batch(load_processor(tmp_path))
    assert torch.equal(logits(load_model(tmp_path), inputs), logits(model(), inputs))
