"""`coordspec expand-vocab`: what is added, what stays exactly as it was, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken

from coordspec.coords import TOKENS, CoordVocab
from coordspec.errors import InputError
from coordspec.model.checkpoint import (
    Processor,
    embedding_weight,
    head_weight,
    is_tied,
    load_model,
    load_processor,
    load_tokenizer,
    save_checkpoint,
)
from coordspec.model.expand import Expansion, add_coord_tokens, expand_vocab
from coordspec.model.tiny import TinySpec, tiny_image_processor, tiny_tokenizer
from model_samples import batch, folder, logits, model, processor
from train_samples import qwen2_5

TEXT = 'a naïve 猫 {"desc": "red star"} <|im_end|>'


def digest(path: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.iterdir()}


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_checkpoint_is_expanded(tied: bool, tmp_path: Path) -> None:
    source, out = folder(coords=False, tied=tied), tmp_path / "out"
    before = digest(source)
    assert expand_vocab(source, out) == Expansion(first_id=520, rows_before=520, rows=1520, tied=tied)
    assert digest(source) == before
    old, new = load_model(source), load_model(out)
    made = load_processor(out)
    assert made.coords.ids == tuple(range(520, 1520))
    assert is_tied(new) is tied
    assert new.config.text_config.vocab_size == 1520
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is tied
    for weight, old_weight in ((embedding_weight(new), embedding_weight(old)), (head_weight(new), head_weight(old))):
        assert weight.shape == (1520, 128)
        assert torch.equal(weight[:520], old_weight)
        check_rows(weight.detach(), made.coords, 520)
    inputs = batch(processor(coords=False), TEXT)
    assert torch.equal(logits(new, inputs)[:, :520], logits(old, inputs))


def check_rows(weight: torch.Tensor, coords: CoordVocab, old: int) -> None:
    """Coord rows are ordered, and lie where the old rows lie: same mean, same spread."""
    rows, before = weight[list(coords.ids)], weight[:old]
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(rows[:-1], rows[1:]).min() > 0.97
    assert cosine(rows[:-1], rows[1:]).min() > cosine(rows[:-200], rows[200:]).max() + 0.2
    spread = (before - before.mean(0)).square().mean()
    assert abs(float((rows - before.mean(0)).square().mean() / spread) - 1) < 0.01
    assert 0.7 < float(rows.norm(dim=1).mean() / before.norm(dim=1).mean()) < 1.4


def test_what_was_read_is_read_alike(tmp_path: Path) -> None:
    expand_vocab(folder(coords=False), tmp_path / "out")
    old, new = load_tokenizer(folder(coords=False)), load_tokenizer(tmp_path / "out")

    @given(st.text())
    def holds(text: str) -> None:
        assert new(text).input_ids == old(text).input_ids

    holds()
    assert new.chat_template == old.chat_template
    assert new(TOKENS[7] + "x").input_ids == [527, *old("x").input_ids]


def test_the_rows_of_a_mean_that_is_not_zero() -> None:
    one, tokenizer = model(coords=False, tied=False), tiny_tokenizer(TinySpec(coords=False))
    with torch.no_grad():
        embedding_weight(one).add_(0.3)
        head_weight(one).mul_(7)
    add_coord_tokens(one, tokenizer, seed=0)
    for weight in (embedding_weight(one), head_weight(one)):
        rows, before = weight.detach()[520:], weight.detach()[:520]
        spread = (before - before.mean(0)).square().mean()
        torch.testing.assert_close((rows - before.mean(0)).square().mean(), spread)


def test_spare_rows_are_used_and_aligned_embeddings_stay_so() -> None:
    """520 tokens in 576 rows, as Qwen's own embeddings have more rows than tokens."""
    one, tokenizer = model(coords=False, rows=56), tiny_tokenizer(TinySpec(coords=False))
    assert embedding_weight(one).shape[0] == 576
    old = embedding_weight(one).detach()[:520].clone()
    with torch.no_grad():
        embedding_weight(one)[520:] = 1000.0  # rows that no token has say nothing about where rows lie
    assert add_coord_tokens(one, tokenizer, seed=0) == Expansion(first_id=520, rows_before=576, rows=1536, tied=True)
    weight = embedding_weight(one).detach()
    assert torch.equal(weight[:520], old)
    check_rows(weight, CoordVocab.from_tokenizer(tokenizer), 520)
    torch.testing.assert_close(weight[1520:], old.mean(0).expand(16, -1))


def test_bfloat16_stays_bfloat16(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.mkdir()
    save_checkpoint(model(coords=False).bfloat16(), processor(coords=False), path, source=path)
    expand_vocab(path, tmp_path / "out")
    assert load_model(tmp_path / "out", dtype="auto").dtype == torch.bfloat16


def test_qwen2_5(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.mkdir()
    save_checkpoint(qwen2_5(), processor(coords=False), path, source=path)
    before = embedding_weight(qwen2_5()).shape[0]
    done = expand_vocab(path, tmp_path / "out")
    assert (done.rows_before, done.tied) == (before, False)
    assert load_processor(tmp_path / "out").coords.ids == tuple(range(520, 1520))
    assert torch.equal(head_weight(load_model(tmp_path / "out"))[:520], head_weight(qwen2_5())[:520])


def test_a_folder_as_qwen_publishes_it(tmp_path: Path) -> None:
    """Names of classes that need torchvision, and the chat template inside tokenizer_config.json."""
    source = Path(shutil.copytree(folder(coords=False), tmp_path / "in"))
    template = (source / "chat_template.jinja").read_text()
    (source / "chat_template.jinja").unlink()
    for name, changes in {
        "tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "chat_template": template},
        "preprocessor_config.json": {
            "image_processor_type": "Qwen2VLImageProcessorFast",
            "processor_class": "Qwen3VLProcessor",
        },
    }.items():
        (source / name).write_text(json.dumps({**json.loads((source / name).read_text()), **changes}))
    (source / "video_preprocessor_config.json").write_text('{"size": {}}')
    expand_vocab(source, tmp_path / "out")
    made = load_processor(tmp_path / "out")
    assert made.chat_template == template
    assert made.image_processor.patch_size == 8
    assert made.tokenizer(TEXT).input_ids == processor(coords=False).tokenizer(TEXT).input_ids
    assert (tmp_path / "out" / "video_preprocessor_config.json").read_text() == '{"size": {}}'


def test_a_seed_fixes_the_rows() -> None:
    def rows(seed: int) -> torch.Tensor:
        one = model(coords=False)
        add_coord_tokens(one, tiny_tokenizer(TinySpec(coords=False)), seed)
        return embedding_weight(one).detach()

    assert torch.equal(rows(0), rows(0))
    assert not torch.equal(rows(0)[520:], rows(1)[520:])


# ------------------------------------------------------------------------------------------------------------- refusals


def with_tokens(path: Path, *tokens: AddedToken | str) -> Path:
    tokenizer = tiny_tokenizer(TinySpec(coords=False))
    for token in tokens:
        tokenizer.add_tokens([token])
    path.mkdir()
    made = Processor(tokenizer, tiny_image_processor())
    save_checkpoint(model(coords=False), made, path, source=path)
    return path


def test_what_is_refused(tmp_path: Path) -> None:
    plain = [AddedToken(token, normalized=False) for token in TOKENS]
    stripped = [AddedToken(token, normalized=False, lstrip=True) for token in TOKENS]
    cases = {
        "complete": (plain, "has all 1000 coord tokens already, so there is nothing to add; use it as it is"),
        "partial": (
            plain[:10],
            "its tokenizer has 10 of the 1000 coord tokens; start from a checkpoint that has none of them",
        ),
        "split": (stripped, "is one token when it stands alone, but not in"),
    }
    for name, (tokens, message) in cases.items():
        source = with_tokens(tmp_path / name, *tokens)
        with pytest.raises(InputError) as caught:
            expand_vocab(source, tmp_path / "out")
        assert str(caught.value).startswith(f"{source}: ")
        assert message in str(caught.value)
        assert not (tmp_path / "out").exists()


def test_aliased_tokens_are_refused(tmp_path: Path) -> None:
    """All 1000 names, two of which have one id."""
    source = Path(shutil.copytree(folder(), tmp_path / "in"))
    file = json.loads((source / "tokenizer.json").read_text())
    next(t for t in file["added_tokens"] if t["content"] == TOKENS[5])["id"] = 524
    (source / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(InputError, match="coord"):
        expand_vocab(source, tmp_path / "out")


def test_the_command(coordspec) -> None:
    source = folder(coords=False)
    assert coordspec("expand-vocab", source, "out").out == (
        "out: 1,000 coord tokens added, ids 520 to 1519; embedding and tied head have 1,520 rows, 520 before\n"
    )
    done = coordspec("expand-vocab", source, "out")
    assert (done.status, done.err) == (2, "error: out: is not empty; name another folder, or pass --overwrite\n")
    done = coordspec("expand-vocab", source, "out", "--overwrite", "--seed", 1)
    assert (done.status, done.err) == (0, "")
    done = coordspec("expand-vocab", "out", "out", "--overwrite")
    assert (done.status, done.err) == (2, "error: out: is being read; name another output folder\n")
