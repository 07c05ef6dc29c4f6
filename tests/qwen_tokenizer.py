"""Tokenizers to test on: the real Qwen BPE, and two that are trained in this process.

The Qwen one is made of the ranks that ``dashscope`` ships, by the converter of transformers, with the special tokens of
Qwen and the coord tokens behind them. ``tiny`` is a byte-level BPE of a few hundred merges that splits text as GPT-2
does; ``fused`` does not split text at all, so that single tokens span quotes, braces, words and parts of characters.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import dashscope
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers.convert_slow_tokenizer import TikTokenConverter

from coordspec.coords import TOKENS
from coordspec.rollout.tokens import TokenTable

RANKS = Path(dashscope.__file__).parent / "resources/qwen.tiktoken"
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>"),
    *("<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)
CACHE = Path(tempfile.gettempdir()) / f"coordspec-tests-{os.getuid()}"
"""Converting takes seconds; every process of a test run reads what the first one wrote."""

CORPUS = [
    '{"object_1": {"desc": "black cat", "bbox_2d": ["", "", "", ""]}}',
    '{"object_1": {"desc": "café crème", "bbox_2d": ["", "", "", ""]}, "object_2": {"desc": "碗", "poly": ["", ""]}}',
    '{"object_9": {"desc": "naïve 🐈", "poly": ["", "", ""]}, "object_10": {"desc": "dog", "bbox_2d": ["", ""]}}',
    '{\n  "object_3": {\n    "desc": "a {b} [c]",\n    "bbox_2d": ["", ""]\n  }\n}',
    'say \\"}\\" and 😀😀 猫猫 碗碗 über größe, "desc": "}}", {"}": "]}}"}',
]


def _add_tokens(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in (*SPECIAL, *TOKENS)])
    return tokenizer


@cache
def qwen() -> Tokenizer:
    """Qwen's tokenizer with the coord tokens added."""
    version = hashlib.sha256(RANKS.read_bytes() + repr((PATTERN, SPECIAL, TOKENS[-1])).encode()).hexdigest()[:16]
    file = CACHE / f"qwen-{version}.json"
    if not file.is_file():
        converted = TikTokenConverter(vocab_file=str(RANKS), pattern=PATTERN).converted()
        converted.normalizer = normalizers.NFC()
        CACHE.mkdir(mode=0o700, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=CACHE)
        os.close(handle)
        _add_tokens(converted).save(name)
        Path(name).replace(file)
    return Tokenizer.from_file(str(file))


def _trained(*, split: bool, vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS * 20, trainer)
    return _add_tokens(tokenizer)


@cache
def tiny() -> Tokenizer:
    """A small byte-level BPE with accents, CJK and emoji in it."""
    return _trained(split=True, vocabulary=420)


@cache
def fused() -> Tokenizer:
    """The same without splitting: its tokens cross every border."""
    return _trained(split=False, vocabulary=480)


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {"qwen": qwen, "tiny": tiny, "fused": fused}


@cache
def table(name: str) -> TokenTable:
    """The prepared table of one of them."""
    return TokenTable(TOKENIZERS[name]())


@cache
def ids_by_bytes(name: str) -> dict[bytes, int]:
    """The id of every text that is one token; coord tokens and other added ones included."""
    return {data: token_id for token_id, data in enumerate(table(name).bytes_of) if data}


@cache
def _special_ids(name: str) -> dict[bytes, int]:
    """The ids of added tokens by their text."""
    texts = {text.encode() for text in (*SPECIAL, *TOKENS)}
    return {data: token_id for token_id, data in enumerate(table(name).bytes_of) if data in texts}


def ids_of(text: str | bytes, name: str) -> list[int]:
    """The ids of a text under the tokenizer of that name, added tokens read as such; every byte is kept."""
    data = text.encode() if isinstance(text, str) else text
    special, ids, at = _special_ids(name), [], 0
    for match in re.finditer(rb"<\|[a-z_0-9]+\|>", data):
        if match[0] in special:
            ids += [*table(name).encode_bytes(data[at : match.start()]), special[match[0]]]
            at = match.end()
    return [*ids, *table(name).encode_bytes(data[at:])]
