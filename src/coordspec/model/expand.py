"""Adding the 1000 coord tokens to a checkpoint that has none of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from transformers import PreTrainedTokenizerFast

from coordspec.coords import BINS, TOKENS, CoordVocab
from coordspec.errors import InputError
from coordspec.model.bpe import coord_tokens
from coordspec.model.checkpoint import (
    Processor,
    VisionLanguageModel,
    embedding_weight,
    head_weight,
    is_tied,
    load_image_processor,
    load_model,
    load_tokenizer,
    quiet,
    save_checkpoint,
)
from coordspec.model.coord_rows import ordered_rows
from coordspec.model.folder import refuse_folder, write_folder

_ALIGNED: Final = 64
"""An embedding whose rows are a multiple of this keeps being one, since matrix units of GPUs want it."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """What was added: ids from ``first_id`` on; ``rows_before`` and ``rows`` are those of the embedding."""

    first_id: int
    rows_before: int
    rows: int
    tied: bool


def expand_vocab(source: Path, out: Path, *, seed: int = 0, overwrite: bool = False) -> Expansion:
    """Save the checkpoint ``source`` to ``out`` with the 1000 coord tokens added; ``source`` is only read.

    Texts without coord tokens are tokenised as before, and the logits of the old tokens are the same, bit by bit. Rows
    of coord tokens are the mean of the old rows plus ``ordered_rows`` at the scale at which old rows vary, in the
    embedding and, where it has weights of its own, in the head.

    Raises:
        InputError: ``source`` cannot be loaded; it has the coord tokens already, or some of them, or has them split or
            aliased; or ``out`` may not be written.
    """
    refuse_folder(out, overwrite=overwrite, sources=[source])
    tokenizer = load_tokenizer(source)
    _refuse_coord_tokens(source, tokenizer)
    images = load_image_processor(source)
    model = load_model(source, dtype="auto")
    done = add_coord_tokens(model, tokenizer, seed)
    with write_folder(out, overwrite=overwrite, sources=[source]) as temporary:
        save_checkpoint(model, Processor(tokenizer, images), temporary, source=source)
    return done


def add_coord_tokens(model: VisionLanguageModel, tokenizer: PreTrainedTokenizerFast, seed: int) -> Expansion:
    """Add the coord tokens to a tokenizer and a model in memory; see ``expand_vocab``."""
    tokenizer.add_tokens(coord_tokens())
    vocab = CoordVocab.from_tokenizer(tokenizer)
    before = embedding_weight(model).shape[0]
    needed = max(before, max(vocab.ids) + 1)
    rows = -(-needed // _ALIGNED) * _ALIGNED if before % _ALIGNED == 0 else needed
    used = sorted(set(tokenizer.get_vocab().values()) - vocab.bin_of_id.keys())
    tied = is_tied(model)
    with quiet():
        model.resize_token_embeddings(rows, mean_resizing=False)
    for weight in [embedding_weight(model)] + ([] if tied else [head_weight(model)]):
        _write_rows(weight.data, vocab, used, before, torch.Generator().manual_seed(seed))
    return Expansion(min(vocab.ids), before, rows, tied)


def _write_rows(
    weight: torch.Tensor, vocab: CoordVocab, used: list[int], before: int, generator: torch.Generator
) -> None:
    """Fill the rows of the coord tokens, and the new rows that no token has, from the rows of ``used`` ids; (V, D)."""
    old = weight[used].float()
    mean = old.mean(dim=0)
    spread = (old - mean).square().mean().sqrt()
    weight[before:] = mean.to(weight.dtype)
    rows = mean + spread * ordered_rows(weight.shape[1], generator).to(mean.device)
    weight[list(vocab.ids)] = rows.to(weight.dtype)


def _refuse_coord_tokens(source: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Raise InputError unless the tokenizer has none of the coord tokens."""
    present = sum(tokenizer.backend_tokenizer.token_to_id(token) is not None for token in TOKENS)
    if present == 0:
        return
    if present < BINS:
        raise InputError(
            str(source),
            f"its tokenizer has {present} of the {BINS} coord tokens; start from a checkpoint that has none of them",
        )
    try:
        CoordVocab.from_tokenizer(tokenizer)
    except ValueError as error:
        raise InputError(str(source), str(error)) from error
    raise InputError(str(source), f"has all {BINS} coord tokens already, so there is nothing to add; use it as it is")
