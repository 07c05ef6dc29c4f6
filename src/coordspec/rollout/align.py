"""Ids and the text that they spell, aligned on bytes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from coordspec.rollout.tokens import TokenTable


class AlignedCoords(NamedTuple):
    """The coord tokens of some ids, in their order: position in the ids, first byte, and bin of each."""

    positions: list[int]
    starts: list[int]
    bins: list[int]

    def between(self, start: int, end: int) -> slice:
        """Those whose first byte is in ``start..end``, ``end`` excluded."""
        return slice(bisect_left(self.starts, start), bisect_left(self.starts, end))


class Aligned(NamedTuple):
    """``ids[i]`` spells ``data[starts[i]:starts[i + 1]]``; ``starts`` has one item more than ``ids``.

    Bytes and not characters: a single id may hold a part of one.
    """

    ids: tuple[int, ...]
    data: bytes
    starts: list[int]
    coords: AlignedCoords

    def tokens_before(self, end: int) -> int:
        """How many tokens end at or before the byte ``end``."""
        return bisect_right(self.starts, end) - 1


def align(ids: Sequence[int], table: TokenTable) -> Aligned:
    """The ids up to ``<|im_end|>``, which is left out with all that is behind it, and their bytes.

    Raises:
        InputError: an id is not one of the tokenizer.
        ValueError: ``ids`` is no flat sequence of integers.
    """
    vector = table.check(ids)
    stops = np.flatnonzero(vector == table.end_id)
    vector = vector[: stops[0]] if stops.size else vector
    starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(table.lengths[vector])))
    bins = table.bin_of[vector]
    positions = np.flatnonzero(bins >= 0)
    coords = AlignedCoords(positions.tolist(), starts[positions].tolist(), bins[positions].tolist())
    kept = tuple(vector.tolist())
    return Aligned(kept, table.join(kept), starts.tolist(), coords)
