"""Which rows a run trains on and when: samples in the order of an epoch, packed or not, dealt out to ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from coordspec.record import Record
from coordspec.samples.records import Offsets, Records

# ---------------------------------------------------------------- order


def epoch_order(count: int, seed: int, epoch: int) -> Offsets:
    """Every index below ``count`` once, shuffled by ``seed`` and ``epoch`` alone; shape ``(count,)``.

    The same on every machine, rank and NumPy: ``SeedSequence`` and ``RandomState`` are parts of ``numpy.random`` whose
    streams are promised never to change (NEP 19).

    Raises:
        ValueError: one of the numbers is negative.
    """
    if min(count, seed, epoch) < 0:
        raise ValueError(f"count, seed and epoch are not below 0, unlike {count}, {seed}, {epoch}")
    generator = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([seed, epoch])))
    return generator.permutation(count).astype(np.int64, copy=False)


# ---------------------------------------------------------------- packing


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


# ---------------------------------------------------------------- the stream of rows


Row = list[int]
"""Numbers of the samples that share a row of a batch; one without packing."""


class Stream:
    """Epoch after epoch of rows; every sample comes once an epoch.

    Steps are cut out of the stream without regard to where an epoch ends, so that every optimizer step has the same
    number of rows.
    """

    def __init__(self, count: int, seed: int, lengths: NDArray[np.int32] | None = None, pack_length: int = 0) -> None:
        """``lengths`` holds the ``(count,)`` tokens of every sample; None leaves each sample in a row of its own."""
        self.count = count
        self.seed = seed
        self.lengths = lengths
        self.pack_length = pack_length
        self._rows: dict[int, int] = {}  # of epochs whose number has been asked for

    def epoch(self, epoch: int) -> list[Row]:
        """The rows of one epoch in their order; with packing their number differs between epochs."""
        order = epoch_order(self.count, self.seed, epoch)
        if self.lengths is None:
            return [[number] for number in order.tolist()]
        return pack(order, self.lengths, self.pack_length)

    def rows(self) -> Iterator[Row]:
        """The rows of epoch 0, then those of epoch 1, without end."""
        epoch = 0
        while True:
            yield from self.epoch(epoch)
            epoch += 1

    def rows_until(self, epochs: float) -> int:
        """How many rows go through the data so often, a part of a row being a whole one."""
        whole = int(epochs)
        rows = sum(self._rows_of(epoch) for epoch in range(whole))
        return rows if whole == epochs else rows + ceil((epochs - whole) * self._rows_of(whole))

    def epochs_at(self, rows: int) -> float:
        """How often the data has been gone through behind so many rows."""
        epoch = 0
        while rows >= self._rows_of(epoch):
            rows -= self._rows_of(epoch)
            epoch += 1
        return epoch + rows / self._rows_of(epoch)

    def _rows_of(self, epoch: int) -> int:
        if self.lengths is None:
            return self.count
        if epoch not in self._rows:
            self._rows[epoch] = len(self.epoch(epoch))
        return self._rows[epoch]


class RankBatches(Sampler[list[list[Row]]]):
    """What one rank loads, for the ``batch_sampler`` of a data loader over ``Batches``: ``rows`` rows at a time.

    A global micro-batch is the next ``world * rows`` rows of the stream, and rank r takes the r-th part of them: one
    rank with 8 rows, eight micro-batches of one, and two ranks with four see the same rows in a step.
    """

    def __init__(self, stream: Stream, *, rows: int, rank: int, world: int, batches: int) -> None:
        self.stream = stream
        self.rows = rows
        self.rank = rank
        self.world = world
        self.batches = batches

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[list[Row]]]:
        stream = self.stream.rows()
        for _ in range(self.batches):
            every = [next(stream) for _ in range(self.world * self.rows)]
            yield [every[self.rank * self.rows : (self.rank + 1) * self.rows]]  # a list of one key of the data set
