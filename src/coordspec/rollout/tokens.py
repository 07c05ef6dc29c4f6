"""What every token id is in bytes, and the ways between text and ids that keep every byte."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from tokenizers import Tokenizer

from coordspec.coords import BINS, CoordVocab
from coordspec.errors import InputError
from coordspec.hashes import bytes_sha256
from coordspec.tokenizer import END_OF_TURN, backend

if TYPE_CHECKING:
    from coordspec.tokenizer import AnyTokenizer

Ints: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.int64]]"
"""A NumPy vector of integers."""

_PROBE: Final = 'a {"é碗😀": ["x \\" <|y|> \n'
_MAX_PIECES: Final = 1 << 12


class TokenTable:
    """A tokenizer, prepared for building and checking many targets.

    ``bytes_of[i]`` are the bytes of id i, empty where there is no such id; one id may hold a part of a character.
    ``lengths`` are their numbers, int64 [vocabulary]. ``bin_of`` is the bin of a coord token's id, and -1 for every
    other id, int64 [vocabulary]. ``end_id`` is ``<|im_end|>``.

    Making one reads the whole vocabulary (a few tenths of a second at 150,000 entries). Every function that takes a
    tokenizer takes a table in its place, and makes one where it gets a tokenizer: for more than a few samples, make the
    table once. A tokenizer that changes later does not change the table.

    Raises:
        ValueError: the tokenizer is no byte-level BPE that keeps text as it is, or lacks ``<|im_end|>`` or a coord
            token.
    """

    def __init__(self, tokenizer: AnyTokenizer) -> None:
        inner = backend(tokenizer)
        self.coords: Final = CoordVocab.from_tokenizer(inner)
        end_id = inner.token_to_id(END_OF_TURN)
        if end_id is None:
            raise ValueError(f"the tokenizer has no token {END_OF_TURN}, which ends an answer")
        self.end_id: Final[int] = end_id
        self.bytes_of: Final = _bytes_by_id(inner)
        self.lengths: Final = np.fromiter(map(len, self.bytes_of), np.int64, len(self.bytes_of))
        self.bin_of: Final = np.full(len(self.bytes_of), -1, np.int64)
        self.bin_of[list(self.coords.ids)] = np.arange(BINS)
        id_of_bytes = {data: token_id for token_id, data in enumerate(self.bytes_of) if len(data) == 1}
        self._byte_ids = [id_of_bytes[bytes((byte,))] for byte in range(256)]
        self._normaliser = inner.normalizer
        self._plain = Tokenizer(inner.model)  # the same model, no added tokens: whatever text says, it stays text
        self._plain.pre_tokenizer = inner.pre_tokenizer
        self._pieces: dict[str, tuple[int, ...]] = {}
        if self.join(self.encode(_PROBE)) != _PROBE.encode():
            raise ValueError("the tokenizer changes text when it encodes it, so that ids and text cannot be aligned")

    @cached_property
    def fingerprint(self) -> str:
        """What two tokenizers share that give every id the same bytes: a hash of all of them."""
        return bytes_sha256(b"".join(b"%d:" % len(data) + data for data in self.bytes_of))[:16]

    def check(self, ids: Sequence[int]) -> Ints:
        """The ids as an int64 vector.

        Raises:
            InputError: an id is not one of this tokenizer.
            ValueError: it is no flat sequence of integers.
        """
        vector = np.asarray(ids)
        if vector.ndim != 1 or (vector.size and vector.dtype.kind not in "iu"):
            raise ValueError(
                f"token ids are a flat sequence of integers, not {vector.dtype} of {vector.ndim} dimensions"
            )
        vector = vector.astype(np.int64, copy=False)
        known = (vector >= 0) & (vector < len(self.bytes_of))
        known[known] = self.lengths[vector[known]] > 0
        if not known.all():
            at = int(np.flatnonzero(~known)[0])
            raise InputError(
                f"token {at}", f"the id {vector[at]} is none of this tokenizer, which has {len(self.bytes_of)} ids"
            )
        return vector

    def join(self, ids: Sequence[int]) -> bytes:
        """The bytes that known ids spell."""
        return b"".join(map(self.bytes_of.__getitem__, ids))

    def text(self, ids: Sequence[int]) -> str:
        """The text that known ids spell, for people: bytes that are no character are shown by their codes."""
        return self.join(ids).decode("utf-8", "backslashreplace")

    def normalise(self, text: str) -> str:
        """The text as this tokenizer reads it: Qwen's composes characters (NFC), others keep it as it is."""
        return text if self._normaliser is None else self._normaliser.normalize_str(text)

    def encode(self, text: str) -> tuple[int, ...]:
        """The ids of a text as ordinary text: never normalised, and no part of it is read as an added token.

        For text in the tokenizer's normal form and without added tokens in it, these are the tokenizer's own ids.
        """
        found = self._pieces.get(text)
        if found is None:
            if len(self._pieces) >= _MAX_PIECES:
                self._pieces.clear()
            found = self._pieces[text] = tuple(self._plain.encode(text, add_special_tokens=False).ids)
        return found

    def encode_bytes(self, data: bytes) -> tuple[int, ...]:
        """The same of bytes; each byte that belongs to no whole character becomes a token of its own."""
        try:
            return self.encode(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            broken = tuple(self._byte_ids[byte] for byte in data[error.start : error.end])
            return (*self.encode(data[: error.start].decode()), *broken, *self.encode_bytes(data[error.end :]))


def token_table(tokenizer: AnyTokenizer | TokenTable) -> TokenTable:
    """The table itself, or a new one for a tokenizer; see ``TokenTable`` for what it costs and what it raises."""
    return tokenizer if isinstance(tokenizer, TokenTable) else TokenTable(tokenizer)


def _byte_symbols() -> tuple[str, ...]:
    """The character that stands for each byte in the vocabulary of a byte-level BPE.

    GPT-2's encoder: bytes that print stand for themselves, the others, in their order, for the characters from U+0100.
    """
    printing = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return tuple(chr(byte if byte in printing else next(others)) for byte in range(256))


_BYTE_SYMBOLS: Final = _byte_symbols()
_BYTE_OF_SYMBOL: Final = {ord(symbol): byte for byte, symbol in enumerate(_BYTE_SYMBOLS)}


def _bytes_by_id(tokenizer: Tokenizer) -> list[bytes]:
    """The bytes of every id, in the order of ids; none where there is no such id.

    Raises:
        ValueError: an entry of the vocabulary is not written in the symbols of a byte-level BPE.
    """
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    added = tokenizer.get_added_tokens_decoder()
    if not vocabulary.keys() >= set(_BYTE_SYMBOLS):
        raise ValueError("the tokenizer is no byte-level BPE: its vocabulary lacks symbols of single bytes")
    found = [b""] * (1 + max([*vocabulary.values(), *added]))
    try:
        for symbols, token_id in vocabulary.items():
            found[token_id] = symbols.translate(_BYTE_OF_SYMBOL).encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError(f"the tokenizer is no byte-level BPE: its vocabulary has {error.object!r}") from error
    for token_id, token in added.items():
        found[token_id] = token.content.encode()
    return found
