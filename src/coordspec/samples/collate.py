"""From samples to a batch: rows of one sample each, or of several packed one behind the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, NamedTuple

import torch

from coordspec.errors import Place
from coordspec.losses.rows import IGNORE_INDEX
from coordspec.samples.encode import PROMPT, Sample


class Span(NamedTuple):
    """Where a sample stands in a batch: tokens ``start`` to ``end`` of a row, its answer from ``answer`` on."""

    row: int
    start: int
    answer: int
    end: int
    images: int
    place: Place


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples of one forward: B rows of T tokens, N patches of D numbers, I images.

    Rows are filled from the left; padding stands behind the last sample. Patches and images follow the samples row by
    row. Ids, labels, weights, kinds and types are those of ``Sample``; padding has no label, no weight and the kind
    ``PROMPT``. ``positions_4BT`` holds the position of a token in its own sample, then its temporal, height and width
    position for M-RoPE; all four restart at 0 with every sample. Padding goes on counting in the first, so that it is
    no sample of its own, and is 0 in the others.

    ``spans`` are the samples in the order of their rows.
    """

    ids_BT: torch.Tensor  # int64
    labels_BT: torch.Tensor  # int64
    weights_BT: torch.Tensor  # float32
    kinds_BT: torch.Tensor  # uint8
    types_BT: torch.Tensor  # int64
    positions_4BT: torch.Tensor  # int64
    pixels_ND: torch.Tensor  # float32
    grid_I3: torch.Tensor  # int64
    spans: tuple[Span, ...]

    def model_inputs(self, *, varlen: bool) -> dict[str, Any]:
        """Keyword arguments for the model's forward under which no sample attends to another.

        There is no attention mask: behind every real token of a row stands nothing that causal attention would show
        it, and where samples share a row, transformers finds their borders. With ``sdpa`` and ``eager`` it does so in
        ``positions_4BT[0]``, but only without a cache, so ``use_cache`` is off. With FlashAttention, ``varlen``, the
        borders go to its kernel as ``cu_seq_lens`` over all rows.
        """
        inputs: dict[str, Any] = {
            "input_ids": self.ids_BT,
            "position_ids": self.positions_4BT,
            "pixel_values": self.pixels_ND,
            "image_grid_thw": self.grid_I3,
            "use_cache": False,
        }
        return inputs | self._varlen() if varlen else inputs

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The batch on another device."""
        return self._with({name: value.to(device, non_blocking=non_blocking) for name, value in self._tensors()})

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; ``DataLoader`` calls this."""
        return self._with({name: value.pin_memory() for name, value in self._tensors()})

    def _varlen(self) -> dict[str, Any]:
        rows, length = self.ids_BT.shape
        starts = {row * length for row in range(rows)} | {span.row * length + span.start for span in self.spans}
        ends = {span.row * length + span.end for span in self.spans}  # where padding starts, or the next sample
        borders = sorted(starts | ends | {rows * length})
        longest = max(end - start for start, end in pairwise(borders))
        cumulative = torch.tensor(borders, dtype=torch.int32, device=self.ids_BT.device)
        lengths = {"cu_seq_lens_q": cumulative, "cu_seq_lens_k": cumulative}
        return {**lengths, "max_length_q": longest, "max_length_k": longest}

    def _tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, torch.Tensor):
                yield field.name, value

    def _with(self, tensors: dict[str, Any]) -> Batch:
        return replace(self, **tensors)


def collate(rows: Sequence[Sequence[Sample]], pad_id: int) -> Batch:
    """Put the samples of every row behind each other and fill the rows with ``pad_id`` on the right.

    Raises:
        ValueError: there is no row, or a row without a sample.
    """
    if not rows or not all(rows):
        raise ValueError("a batch has rows, and a row has samples")
    spans = tuple(_spans(rows))
    samples = [sample for row in rows for sample in row]
    shape = len(rows), max(span.end for span in spans)
    ids_BT = torch.full(shape, pad_id)
    labels_BT = torch.full(shape, IGNORE_INDEX)
    weights_BT = torch.zeros(shape)
    kinds_BT = torch.full(shape, PROMPT, dtype=torch.uint8)
    types_BT = torch.zeros(shape, dtype=torch.int64)
    positions_4BT = torch.zeros((4, *shape), dtype=torch.int64)
    for sample, (row, start, _, end, _, _) in zip(samples, spans, strict=True):
        ids_BT[row, start:end] = sample.ids_T
        labels_BT[row, start:end] = sample.labels_T
        weights_BT[row, start:end] = sample.weights_T
        kinds_BT[row, start:end] = sample.kinds_T
        types_BT[row, start:end] = sample.types_T
        positions_4BT[0, row, start:] = torch.arange(shape[1] - start)
        positions_4BT[1:, row, start:end] = sample.positions_3T
    pixels_ND = torch.cat([sample.pixels_ND for sample in samples])
    grid_I3 = torch.cat([sample.grid_I3 for sample in samples])
    return Batch(ids_BT, labels_BT, weights_BT, kinds_BT, types_BT, positions_4BT, pixels_ND, grid_I3, spans)


def _spans(rows: Sequence[Sequence[Sample]]) -> Iterator[Span]:
    for number, row in enumerate(rows):
        start = 0
        for sample in row:
            end = start + len(sample)
            yield Span(number, start, start + sample.answer, end, len(sample.grid_I3), sample.place)
            start = end
