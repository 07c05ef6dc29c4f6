"""The one codec between bins, coord tokens, unit coordinates and pixels, and the coord tokens of a vocabulary.

A *bin* is an integer 0..999 (norm1000), a *coord token* is ``<|coord_k|>`` for bin k, a *unit* coordinate is a float in
[0, 1], a *pixel* coordinate counts from 0 to side - 1, where side is the image's width for x and its height for y.

A function with a name in the plural gives for each element of a NumPy array what its namesake in the singular gives for
a number, bit by bit, as long as sides and pixels are below 2**43. NumPy is imported by these alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

from coordspec.contracts import record_contract
from coordspec.tokenizer import backend

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from tokenizers import Tokenizer

    from coordspec.tokenizer import AnyTokenizer

Number = TypeVar("Number", float, "npt.NDArray[np.float64]")

MAX_BIN: Final = record_contract().max_bin
BINS: Final = MAX_BIN + 1

TOKENS: Final = tuple(f"<|coord_{k}|>" for k in range(BINS))
"""The coord tokens in the order of their bins."""

BIN_OF_TOKEN: Final = {token: k for k, token in enumerate(TOKENS)}
"""Bin by coord token. Whatever is not a key here is no coord token: no zero-padded, spaced or non-ASCII form is."""


def bin_from_pixel(pixel: float, side: int) -> int:
    """``round(999 * pixel / max(1, side - 1))``, clamped to 0..999: the border pixels get the first and last bin.

    The clamp is part of the definition (contract, section 1): annotations end at ``side``, one past the last pixel.
    """
    return min(MAX_BIN, max(0, round(MAX_BIN * pixel / max(1, side - 1))))


def pixel_from_bin(k: int, side: int) -> float:
    """The pixel coordinate that bin ``k`` stands for; ``bin_from_pixel`` of it is ``k`` again."""
    return _pixel(k, max(1, side - 1))


def pixels_from_bins(bins: npt.ArrayLike, side: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """``pixel_from_bin`` of every element; ``side`` is one number or broadcasts against ``bins``."""
    import numpy as np  # noqa: PLC0415

    return _pixel(np.asarray(bins, dtype=np.float64), _steps(side))


def units_from_bins(bins: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """``k / 999`` for every bin."""
    import numpy as np  # noqa: PLC0415 (an extra; whoever handles single coordinates does without it)

    return np.asarray(bins, dtype=np.float64) / MAX_BIN


def _pixel(k: Number, steps: Number) -> Number:
    return k * steps / MAX_BIN


def _steps(side: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """``max(1, side - 1)`` of every element."""
    import numpy as np  # noqa: PLC0415

    return np.maximum(1.0, np.asarray(side, dtype=np.float64) - 1.0)


@dataclass(frozen=True)
class CoordVocab:
    """The coord tokens as entries of a vocabulary: ``ids[k]`` is the id of ``<|coord_k|>``.

    The ids may stand anywhere in the vocabulary, in any order and with gaps.

    Raises:
        ValueError: the ids are not 1000 different ones, or one is negative.
    """

    ids: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.ids) != BINS:
            raise ValueError(f"a coord vocabulary has {BINS} ids, one for each bin, not {len(self.ids)}")
        for k, token_id in enumerate(self.ids):
            if token_id < 0:
                raise ValueError(f"{TOKENS[k]} has the id {token_id}; ids count from 0")
            other = self.bin_of_id[token_id]
            if other != k:
                raise ValueError(
                    f"{TOKENS[k]} and {TOKENS[other]} have the same id {token_id}, so that their bins cannot be told "
                    f"apart; {_REPLACE}"
                )

    @cached_property
    def bin_of_id(self) -> Mapping[int, int]:
        """Bin by id. Whatever id is not a key here is no coord token."""
        return {token_id: k for k, token_id in enumerate(self.ids)}

    @classmethod
    def from_tokenizer(cls, tokenizer: AnyTokenizer) -> CoordVocab:
        """The coord vocabulary of a tokenizer of ``tokenizers`` or of a fast one of ``transformers``.

        Every coord token is encoded alone and inside text: each must be one id of its own in both, cover its own
        characters and no others, and decode to itself.

        Raises:
            ValueError: a coord token is missing, is split, shares its id, or swallows what stands beside it; the
                message says which, and what to do.
        """
        inner = backend(tokenizer)
        vocab = cls(tuple(_ids_alone(inner)))
        for k, token_id in enumerate(vocab.ids):
            text = inner.decode([token_id], skip_special_tokens=False)
            if text != TOKENS[k]:
                raise ValueError(f"{TOKENS[k]} has the id {token_id}, which decodes to {text!r}; {_REPLACE}")
        _check_in_text(inner, vocab.ids)
        return vocab


SHOWN: Final = 3
_ADD: Final = "add the coord tokens with `coordspec expand-vocab`"
_REPLACE: Final = "start from a tokenizer without coord tokens and add them with `coordspec expand-vocab`"


def _ids_alone(tokenizer: Tokenizer) -> list[int]:
    """The id of every coord token when it is the whole text."""
    known = [tokenizer.token_to_id(token) for token in TOKENS]
    # One by one and not as a batch: a batch starts threads, after which tokenizers warns of every forked data worker.
    read = [tokenizer.encode(token, add_special_tokens=False).ids for token in TOKENS]
    missing = [k for k, token_id in enumerate(known) if token_id is None]
    if missing:
        raise ValueError(
            f"the vocabulary lacks {len(missing)} of the {BINS} coord tokens, {_some(missing)}: "
            f"{TOKENS[missing[0]]} is read as {_tokens(read[missing[0]])}; {_ADD}"
        )
    split = [k for k, ids in enumerate(read) if ids != [known[k]]]
    if split:
        raise ValueError(
            f"the vocabulary has all {BINS} coord tokens, but {len(split)} of them not as added tokens, "
            f"{_some(split)}: {TOKENS[split[0]]} is read as {_tokens(read[split[0]])}; {_ADD}"
        )
    return [ids[0] for ids in read]


def _check_in_text(tokenizer: Tokenizer, ids: Sequence[int]) -> None:
    """Every coord token is itself in quotes, between a space and a word, and between a word and a space."""
    text, wanted = "", []
    for token, token_id in zip(TOKENS, ids, strict=True):
        for before, after in (('["', '", '), ("a ", "a"), ("a", " a")):
            start = len(text) + len(before)
            wanted.append((token_id, (start, start + len(token))))
            text += before + token + after
    encoded = tokenizer.encode(text, add_special_tokens=False)
    coords = set(ids)
    found = (pair for pair in zip(encoded.ids, encoded.offsets, strict=True) if pair[0] in coords)
    for token_id, (start, end) in wanted:
        if next(found, None) != (token_id, (start, end)):
            raise ValueError(
                f"{text[start:end]} is one token when it stands alone, but not in {text[start - 2 : end + 2]!r}: coord "
                "tokens are added without lstrip, rstrip and single_word, and no other added token may contain one; "
                f"{_REPLACE}"
            )


def _some(bins: Sequence[int]) -> str:
    """The first three of the tokens."""
    return ", ".join(TOKENS[k] for k in bins[:SHOWN]) + (", …" if len(bins) > SHOWN else "")


def _tokens(ids: Sequence[int]) -> str:
    return "1 token" if len(ids) == 1 else f"{len(ids)} tokens"
