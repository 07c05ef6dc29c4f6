"""The embedded default: a Qwen3-VL of about 2 M parameters, made on the spot, that learns boxes on two CPU cores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from coordspec.coords import TOKENS, CoordVocab
from coordspec.model import chat
from coordspec.model.bpe import coord_tokens, train_bpe
from coordspec.model.checkpoint import Processor, embedding_weight, save_checkpoint
from coordspec.model.coord_rows import ordered_rows
from coordspec.model.folder import write_folder
from coordspec.model.tiny_vision import initialise_vision
from coordspec.tokenizer import END_OF_TURN

PATCH: Final = 8
MERGE: Final = 2
IMAGE_SIDE: Final = 64
"""Pixels of a side of the images that the model is made for, 8 x 8 patches; others work too."""
MIN_SIDE, MAX_SIDE = 32, 256
VISION_DEPTH, TEXT_DEPTH = 3, 4
MAX_TOKENS: Final = 4096


@dataclass(frozen=True, slots=True)
class TinySpec:
    """What can be chosen. ``pieces`` are byte pieces of the tokenizer, ``coords`` says if it gets the coord tokens."""

    seed: int = 0
    pieces: int = 512
    coords: bool = True


@dataclass(frozen=True, slots=True)
class TinySummary:
    """How many parameters the model has, and how many tokens its tokenizer."""

    parameters: int
    tokens: int


def write_tiny_model(folder: Path, spec: TinySpec = TinySpec(), *, overwrite: bool = False) -> TinySummary:
    """Make the model with its tokenizer and processor, and save all of it to ``folder``.

    The same spec gives the same files on one machine with one version of torch.

    Raises:
        InputError: ``folder`` may not be replaced or cannot be written; see ``write_folder``.
        ValueError: ``spec.pieces`` is a number that no tokenizer can be trained to.
    """
    with write_folder(folder, overwrite=overwrite) as temporary:
        tokenizer = tiny_tokenizer(spec)
        model = tiny_model(tokenizer, spec.seed)
        save_checkpoint(model, Processor(tokenizer, tiny_image_processor()), temporary, source=temporary)
    return TinySummary(sum(parameter.numel() for parameter in model.parameters()), len(tokenizer))


def tiny_tokenizer(spec: TinySpec) -> PreTrainedTokenizerFast:
    """The tokenizer, with Qwen's special tokens and chat form."""
    inner = train_bpe(spec.pieces)
    if spec.coords:
        inner.add_tokens(coord_tokens())
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner,
        eos_token=END_OF_TURN,
        pad_token=chat.END_OF_TEXT,
        chat_template=chat.CHAT_TEMPLATE,
        model_max_length=MAX_TOKENS,
        clean_up_tokenization_spaces=False,
    )


def tiny_image_processor() -> Qwen2VLImageProcessorPil:
    """Qwen's image processor with the sizes of this model; Pillow does the work."""
    return Qwen2VLImageProcessorPil(
        patch_size=PATCH,
        merge_size=MERGE,
        temporal_patch_size=2,
        size={"shortest_edge": MIN_SIDE**2, "longest_edge": MAX_SIDE**2},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )


def tiny_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen3VLForConditionalGeneration:
    """The untrained model, float32. The same tokenizer and seed give the same weights."""
    config = _config(tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3VLForConditionalGeneration(config)
    _initialise(model, tokenizer, torch.Generator().manual_seed(seed))
    ids = _ids(tokenizer)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False, eos_token_id=[ids[END_OF_TURN], ids[chat.END_OF_TEXT]], pad_token_id=ids[chat.END_OF_TEXT]
    )
    return model


def _ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    vocab = tokenizer.get_vocab()
    return {token: vocab[token] for token in chat.SPECIAL_TOKENS}


def _config(tokenizer: PreTrainedTokenizerFast) -> Qwen3VLConfig:
    ids = _ids(tokenizer)
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": TEXT_DEPTH,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": 32,
        "max_position_embeddings": MAX_TOKENS,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 5000000.0,  # as Qwen3-VL: most of a head tells what stands there, and little where
            "mrope_section": [6, 5, 5],
            "mrope_interleaved": True,
        },
        "eos_token_id": ids[END_OF_TURN],
        "tie_word_embeddings": True,
    }
    vision = {
        "depth": VISION_DEPTH,
        "hidden_size": 96,
        "intermediate_size": 384,
        "num_heads": 6,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "out_hidden_size": 128,
        "num_position_embeddings": (IMAGE_SIDE // PATCH) ** 2,
        "deepstack_visual_indexes": [0],
    }
    return Qwen3VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids[chat.IMAGE_PAD],
        video_token_id=ids[chat.VIDEO_PAD],
        vision_start_token_id=ids[chat.VISION_START],
        vision_end_token_id=ids[chat.VISION_END],
        tie_word_embeddings=True,
        dtype="float32",
        architectures=["Qwen3VLForConditionalGeneration"],
    )


def _initialise(
    model: Qwen3VLForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, generator: torch.Generator
) -> None:
    """Weights at the scale of this width, and an order in both places where coordinates enter and leave.

    The scale of 0.02 that transformers starts from suits wide layers; here it would leave the branches silent. Layers
    begin with a variance of one over their inputs, and those that write into the residual stream share it among them.
    """
    depths = {"visual": VISION_DEPTH, "language_model": TEXT_DEPTH}
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim < 2 or name.endswith(_ELSEWHERE):  # noqa: PLR2004
                continue
            deviation = weight[0].numel() ** -0.5
            if name.endswith(_WRITES):
                deviation *= (2 * depths[name.split(".")[1]]) ** -0.5
            weight.normal_(std=deviation, generator=generator)
        rows = embedding_weight(model)
        rows.normal_(std=rows.shape[1] ** -0.5, generator=generator)
        if tokenizer.backend_tokenizer.token_to_id(TOKENS[0]) is not None:
            ids = list(CoordVocab.from_tokenizer(tokenizer).ids)
            rows[ids] = ordered_rows(rows.shape[1], generator) * rows.shape[1] ** -0.5
    initialise_vision(model.model.visual, IMAGE_SIDE // PATCH, generator)


_WRITES: Final = ("o_proj.weight", "down_proj.weight", "attn.proj.weight", "mlp.linear_fc2.weight")
"""Layers whose output is added to the residual stream."""
_ELSEWHERE: Final = ("embed_tokens.weight", "pos_embed.weight", "patch_embed.proj.weight")
"""What is set by other means."""
