"""Which rows a run trains on and when: one endless stream, cut into micro-batches and dealt out to ranks."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from coordspec.samples.order import epoch_order
from coordspec.samples.pack import pack

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
