"""How long samples are, and which of them share a row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from coordspec.record import Record
from coordspec.samples.index import Offsets
from coordspec.samples.records import Records

Measure: TypeAlias = Callable[[Record], int]
"""Tokens of a record's sample; ContractError where it is refused. ``Encoder.count_tokens`` is one."""

OPEN_PACKS: Final = 64
"""How many packs wait for one more sample. More would fill rows a little better and mix the order a little more."""


def sample_lengths(records: Records, measure: Measure, progress: Callable[[int], None]) -> NDArray[np.int32]:
    """Tokens of every sample, shape ``(N,)``. ``progress`` is called with 1 behind every record.

    Raises:
        ContractError: a record is refused; the first one that is.
        InputError: a file cannot be read.
    """
    lengths = np.empty(len(records), dtype=np.int32)
    for number in range(len(records)):
        lengths[number] = measure(records[number])
        progress(1)
    return lengths


def pack(order: Offsets, lengths: NDArray[np.int32], pack_length: int) -> list[list[int]]:
    """Put samples together by first fit: each goes into the oldest open pack that has room for it.

    ``order`` holds ``(M,)`` sample indices in the order in which they are drawn, ``lengths`` the ``(N,)`` tokens of
    every sample by its index. Each index comes out once; the tokens of a pack are at most ``pack_length``. At most
    ``OPEN_PACKS`` packs are open: where one more is needed, the fullest is closed. Packs stand in the order in which
    they were opened, so that early samples come early. The result depends on the arguments alone, so every rank finds
    the same one.

    First fit: Johnson et al., "Worst-Case Performance Bounds for Simple One-Dimensional Packing Algorithms", SIAM
    Journal on Computing 3 (1974).

    Raises:
        ValueError: a sample alone is longer than ``pack_length``.
    """
    packs: list[list[int]] = []
    rooms = np.zeros(OPEN_PACKS, dtype=np.int64)  # tokens free in each open pack, oldest first
    open_packs: list[int] = []
    for number in order.tolist():
        length = int(lengths[number])
        if length > pack_length:
            raise ValueError(f"sample {number} has {length} tokens, and a pack holds {pack_length}")
        fitting = np.flatnonzero(rooms[: len(open_packs)] >= length)
        if fitting.size:
            slot = int(fitting[0])
        else:
            if len(open_packs) == OPEN_PACKS:
                fullest = int(rooms.argmin())
                del open_packs[fullest]
                rooms[fullest:-1] = rooms[fullest + 1 :]
            slot = len(open_packs)
            open_packs.append(len(packs))
            packs.append([])
            rooms[slot] = pack_length
        packs[open_packs[slot]].append(number)
        rooms[slot] -= length
    return packs
