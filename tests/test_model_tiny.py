"""The embedded default: what its tokenizer keeps, that it runs, that a seed fixes it, that nothing is overwritten."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.qwen3_vl.modeling_qwen3_vl import apply_rotary_pos_emb_vision

from coordspec.coords import CoordVocab
from coordspec.model.bpe import MAX_PIECES, train_bpe
from coordspec.model.checkpoint import embedding_weight, head_weight, load_model, load_processor
from coordspec.model.coord_rows import ordered_rows
from coordspec.model.tiny import IMAGE_SIDE, PATCH, TinySpec, tiny_model, tiny_tokenizer, write_tiny_model
from coordspec.shapes import SceneSpec, draw, scene
from coordspec.shapes.outline import KINDS
from model_samples import ANSWER, QUESTION, batch, folder, logits, model, processor

HARD = ["naïve café", "cafe\u0301", "Ω Ω", "黒い猫 碗", "👩‍👩‍👧‍👦 🇩🇪", " \t\r\n  x  ", "ﷺ\u200b", '{"desc": "é"}']


# ----------------------------------------------------------------------------------------------------------- tokenizer


@pytest.mark.parametrize("text", HARD)
def test_hard_texts_come_back(text: str) -> None:
    inner = processor().tokenizer.backend_tokenizer
    assert inner.decode(inner.encode(text).ids, skip_special_tokens=False) == text


@given(st.text())
def test_every_text_comes_back(text: str) -> None:
    inner = processor().tokenizer.backend_tokenizer
    assert inner.decode(inner.encode(text).ids, skip_special_tokens=False) == text


def test_a_saved_tokenizer_reads_alike() -> None:
    saved = load_processor(folder()).tokenizer
    for text in [*HARD, ANSWER]:
        assert saved(text).input_ids == processor().tokenizer(text).input_ids
        assert saved.decode(saved(text).input_ids) == text


def test_coord_tokens_survive_where_special_tokens_are_dropped() -> None:
    tokenizer = processor().tokenizer
    assert tokenizer.decode(tokenizer(ANSWER + "<|im_end|>").input_ids, skip_special_tokens=True) == ANSWER


@pytest.mark.parametrize("text", ['"]},', '"]}}', '{"', "{}", ' ["', "object", " circle"])
def test_what_a_payload_is_made_of_is_one_token(text: str) -> None:
    assert len(processor().tokenizer(text).input_ids) == 1


def test_tokens_of_an_answer_are_few() -> None:
    assert len(processor().tokenizer(ANSWER).input_ids) <= 40


def test_tokenizers_of_other_sizes() -> None:
    assert len(tiny_tokenizer(TinySpec(pieces=256, coords=False))) == 256 + 8
    assert len(tiny_tokenizer(TinySpec(pieces=MAX_PIECES))) == MAX_PIECES + 8 + 1000
    for pieces in (255, MAX_PIECES + 1):
        message = f"a vocabulary of {pieces} byte pieces cannot be made: from 256 to 600 can"
        with pytest.raises(ValueError, match=f"^{message}$"):
            train_bpe(pieces)


def test_chat_form() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        *QUESTION,
        {"role": "assistant", "content": "{}"},
    ]
    tokenizer = processor().tokenizer
    assert tokenizer.apply_chat_template(messages, tokenize=False) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Where?<|im_end|>\n"
        "<|im_start|>assistant\n{}<|im_end|>\n"
    )
    asked = tokenizer.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True)
    assert asked.endswith("<|im_end|>\n<|im_start|>assistant\n")


# --------------------------------------------------------------------------------------------------------------- model


def test_it_is_made_for_its_images() -> None:
    images = processor().image_processor
    one = model()
    assert (
        images.get_number_of_image_patches(IMAGE_SIDE, IMAGE_SIDE) == one.config.vision_config.num_position_embeddings
    )


def test_it_generates_and_stops() -> None:
    made = processor()
    inputs = batch(made, "")
    one = model()
    start = inputs["input_ids"].shape[1]
    tokens = one.generate(**inputs, max_new_tokens=5)
    assert start < tokens.shape[1] <= start + 5
    with torch.no_grad():
        head_weight(one).zero_()  # all logits are 0, so the first id is generated, which now ends an answer
    one.generation_config.eos_token_id = [0]
    assert one.generate(**inputs, max_new_tokens=5).shape[1] == start + 1


def test_it_sees_the_image() -> None:
    inputs = batch(processor())
    before = logits(model(), inputs)
    after = logits(model(), {**inputs, "pixel_values": inputs["pixel_values"].flip(0)})
    assert not torch.allclose(before[-1], after[-1], atol=1e-3)


THOUGHT_OUT = {"patch_embed.proj", "merger.linear_fc1", "deepstack_merger_list.0.linear_fc1"}
"""What of the vision tower is not drawn."""


def test_a_seed_fixes_the_weights_and_leaves_the_global_one_alone() -> None:
    tokenizer = processor().tokenizer
    torch.manual_seed(5)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    first = tiny_model(tokenizer, seed=3).state_dict()
    assert torch.equal(torch.rand(1), drawn)
    again, other = tiny_model(tokenizer, seed=3).state_dict(), tiny_model(tokenizer, seed=4).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    equal = {name for name in first if first[name].ndim > 1 and torch.equal(first[name], other[name])}
    assert equal == {f"model.visual.{part}.weight" for part in THOUGHT_OUT}


def test_every_process_trains_the_same_tokenizer() -> None:
    """Hashes of strings differ between processes."""
    code = "from coordspec.model.bpe import train_bpe; print(train_bpe(512).to_str())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, encoding="utf-8")
    assert done.stdout == train_bpe(512).to_str() + "\n"


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "a")
    write_tiny_model(tmp_path / "b")
    names = sorted(file.name for file in (tmp_path / "a").iterdir())
    assert names == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
        assert (tmp_path / "a" / name).stat().st_mode & 0o777 == 0o644


def test_what_is_loaded_is_what_was_made() -> None:
    inputs = batch(load_processor(folder()))
    assert torch.equal(logits(load_model(folder()), inputs), logits(model(), batch(processor())))


# --------------------------------------------------------------------------------------------------------------- vision


def test_features_of_drawn_patches_are_all_of_one_size_at_first() -> None:
    """No hue and no frequency drowns the others: of random filters, nearly all answer to the mean of a patch alone."""
    images = [draw(scene(0, "train", index, SceneSpec(IMAGE_SIDE, IMAGE_SIDE))) for index in range(40)]
    pixels = processor().image_processor(images=images, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        features = model().model.visual.patch_embed(pixels)
    deviations = features.std(dim=0)
    assert 1 < deviations.square().mean().sqrt() < 2
    assert deviations.max() / deviations.median() < 5
    values = torch.linalg.svdvals((features - features.mean(0)) / deviations)
    assert (values.square() / values.square().sum() < 0.2).all()


def test_the_kind_of_a_shape_can_be_read_before_the_first_step() -> None:
    """By one linear layer, from the mean of the image tokens; chance is a sixth, random layers get to a quarter."""
    count, held_out = 1000, 250
    scenes = [
        scene(0, "train", n, SceneSpec(IMAGE_SIDE, IMAGE_SIDE, max_shapes=1, empty_share=0)) for n in range(count)
    ]
    inputs = processor().image_processor(images=[draw(one) for one in scenes], return_tensors="pt")
    with torch.no_grad():
        tokens = model().model.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"]).pooler_output
    means = torch.stack([image.mean(dim=0) for image in tokens]).double()
    features = torch.cat([(means - means.mean(0)) / means.std(0), torch.ones(count, 1)], dim=1)
    kinds = torch.tensor([list(KINDS).index(one.shapes[0].kind) for one in scenes])
    known, targets = features[held_out:], torch.nn.functional.one_hot(kinds[held_out:]).double()
    weights = torch.linalg.solve(known.T @ known + 10 * torch.eye(known.shape[1]), known.T @ targets)
    right = (features[:held_out] @ weights).argmax(dim=1) == kinds[:held_out]
    assert right.double().mean() > 0.4


NEIGHBOURS = {(-1, -1), (1, 1), (-1, 1), (1, -1), (0, -1), (0, 1)}


def test_heads_look_at_neighbours_at_first() -> None:
    attention = model().model.visual.blocks[0].attn
    side = IMAGE_SIDE // PATCH
    places = torch.tensor([(y, x) for y in range(side) for x in range(side)])
    scores = scores_without_content(attention, places)
    found = set()
    for head in scores:
        inner = [(y, x) for y in range(1, side - 1) for x in range(1, side - 1)]
        seen = {tuple((places[head[y * side + x].argmax()] - torch.tensor([y, x])).tolist()) for y, x in inner}
        assert len(seen) == 1
        found |= seen
        shares = head.softmax(dim=1).amax(dim=1)
        assert shares[[y * side + x for y, x in inner]].min() > 0.25  # of 64 patches
    assert found == NEIGHBOURS


def scores_without_content(attention: torch.nn.Module, places: torch.Tensor) -> torch.Tensor:
    """Attention scores of all patches, heads first, where nothing but the biases of queries and keys speaks."""
    size = attention.head_dim
    rates = 10000 ** (-torch.arange(0, size // 2, 2) / (size // 2))
    angles = torch.cat([places[:, :1] * rates, places[:, 1:] * rates], dim=1).repeat(1, 2)
    query, key, _ = attention.qkv.bias.detach().view(3, 1, -1, size).expand(-1, len(places), -1, -1)
    query, key = apply_rotary_pos_emb_vision(query, key, angles.cos(), angles.sin())
    return torch.einsum("qhd,khd->hqk", query, key) / size**0.5


# ----------------------------------------------------------------------------------------------------------- coord rows


@pytest.mark.parametrize("dim", [2, 7, 64, 128, 300])
def test_rows_are_ordered(dim: int) -> None:
    rows = torch.nn.functional.normalize(ordered_rows(dim, torch.Generator().manual_seed(0)), dim=1)
    cosine = rows @ rows.T
    near, far = cosine.diagonal(1), cosine.diagonal(200)
    assert near.min() > 0.97
    assert near.min() > far.max()


def test_rows_fall_away_evenly() -> None:
    """The product of two rows depends on the distance of their bins, and falls with it."""
    rows = ordered_rows(128, torch.Generator().manual_seed(0))
    products = (rows @ rows.T / 128).double()
    means = torch.stack([products.diagonal(distance).mean() for distance in range(60)])
    assert (means.diff() < 0).all()
    for distance in (0, 1, 10, 300):
        assert products.diagonal(distance).std() < 1e-3
    assert abs(float(rows.square().mean()) - 1) < 1e-5


def test_rows_differ_from_each_other() -> None:
    rows = ordered_rows(16, torch.Generator().manual_seed(0))
    distances = torch.cdist(rows, rows) + torch.eye(1000) * 99
    assert distances.min() > 1e-2


def test_a_row_needs_two_dimensions() -> None:
    with pytest.raises(ValueError, match=r"^rows of dimension 1 cannot be ordered; at least 2 are needed$"):
        ordered_rows(1, torch.Generator())


def test_the_model_begins_with_ordered_rows() -> None:
    ids = list(CoordVocab.from_tokenizer(processor().tokenizer).ids)
    rows = embedding_weight(model()).detach()
    coords, others = rows[ids], rows[: ids[0]]
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(coords[:-1], coords[1:]).min() > 0.97
    assert cosine(coords[:-200], coords[200:]).max() < 0.6
    assert abs(float(coords.std() / others.std()) - 1) < 0.1


# -------------------------------------------------------------------------------------------------------------- command


def test_the_command(coordspec) -> None:
    assert coordspec("tiny-model", "one").out == "one: 2,018,368 parameters, 1,520 tokens, 1,000 coord tokens\n"
    done = coordspec("tiny-model", "one")
    assert (done.status, done.err) == (2, "error: one: is not empty; name another folder, or pass --overwrite\n")
    done = coordspec("tiny-model", "one", "--overwrite", "--without-coord-tokens", "--vocab-size", "300", "--seed", "7")
    assert (done.status, done.out, done.err) == (0, "one: 1,863,232 parameters, 308 tokens, no coord tokens\n", "")
    done = coordspec("tiny-model", "two", "--vocab-size", "9")
    assert done.status == 2
    assert done.err.endswith("Error: a vocabulary of 9 byte pieces cannot be made: from 256 to 600 can\n")
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["one"]
