"""The tokenizer of the embedded default: a byte-level BPE, trained on the spot on texts that the package brings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from coordspec.config.sections import USER_PROMPT
from coordspec.coords import TOKENS
from coordspec.model.chat import SPECIAL_TOKENS
from coordspec.record import DetObject, render_payload
from coordspec.shapes.outline import KINDS
from coordspec.shapes.scene import COLOURS

BYTES: Final = 256
MIN_PIECES: Final = BYTES
MAX_PIECES: Final = 600
"""The texts give a few more, and no longer change when they grow by a word."""

_WORDS: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Qwen2's split into words, a fact of its tokenizer: single digits, and punctuation that runs together as in `"]},`."""
_REPEATS: Final = 2
"""A pair of letters that is seen once gives no piece."""
_PROSE: Final = """\
Find every object in the picture, name it, and draw a tight box around it. Where two objects overlap, each keeps its own
box, also for the part that is hidden. Start at the top and go from left to right. A person, a black cat, a white dog, a
small bird, two cars and a bicycle, a chair at the table, a cup, a bowl, a book, a phone, a traffic light, a tree.
Pink, orange, brown, gray, large, round, long, old, new, open, closed, striped. One, two, three, four, five, six.
The image shows nothing at all, so the answer is an empty list. What is the colour of the shape next to the star?
Write only what can be seen; do not guess, and say no more than was asked for.
"""


def train_bpe(pieces: int) -> Tokenizer:
    """A tokenizer with ``pieces`` byte pieces and Qwen's special tokens behind them; it has no coord tokens.

    Every text comes back from it byte for byte: unlike Qwen's it does not normalise, so composed and decomposed accents
    stay as they are. The same ``pieces`` give the same tokenizer.

    Raises:
        ValueError: ``pieces`` lies outside of ``MIN_PIECES`` … ``MAX_PIECES``.
    """
    if not MIN_PIECES <= pieces <= MAX_PIECES:
        raise ValueError(f"a vocabulary of {pieces} byte pieces cannot be made: from {MIN_PIECES} to {MAX_PIECES} can")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=pieces,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS])
    return tokenizer


def coord_tokens() -> list[AddedToken]:
    """The coord tokens as a tokenizer takes them: read wherever they stand, and not dropped with special tokens."""
    return [AddedToken(token, normalized=False, special=False) for token in TOKENS]


def _texts() -> Iterator[str]:
    """Payloads as they are written for drawn scenes, cut where coord tokens stand; the default prompt, some prose."""
    descs = [f"{colour} {kind}" for colour in COLOURS for kind in KINDS]
    for one, other in zip(descs, descs[7:] + descs[:7], strict=True):
        boxes = [DetObject(one, bbox_2d=(0, 0, 0, 0)), DetObject(other, bbox_2d=(0, 0, 0, 0))]
        polys = [DetObject(one, poly=(0, 0, 0, 0, 0, 0)), DetObject(other, poly=(0, 0, 0, 0, 0, 0))]
        yield from (part for objects in (boxes, polys) for part in render_payload(objects).split(TOKENS[0]))
    yield from [render_payload([]), USER_PROMPT, "system\nuser\nassistant\n", _PROSE] * _REPEATS
