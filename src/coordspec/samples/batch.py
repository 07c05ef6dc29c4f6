"""From samples to a batch: rows of one sample each, or of several packed; and what holds of every batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from coordspec.contracts import Kind, rule
from coordspec.coords import CoordVocab
from coordspec.errors import ContractError, Issue, Place
from coordspec.losses.rows import IGNORE_INDEX
from coordspec.samples.encode import KIND_CODES, PROMPT, Sample
from coordspec.samples.prompt import IMAGE


class SampleSpan(NamedTuple):
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
    spans: tuple[SampleSpan, ...]

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


def _spans(rows: Sequence[Sequence[Sample]]) -> Iterator[SampleSpan]:
    for number, row in enumerate(rows):
        start = 0
        for sample in row:
            end = start + len(sample)
            yield SampleSpan(number, start, start + sample.answer, end, len(sample.grid_I3), sample.place)
            start = end


# ---------------------------------------------------------------- the contract of a batch


_Mask: TypeAlias = NDArray[np.bool_]
_Ints: TypeAlias = NDArray[np.int64]

_COORD: Final = KIND_CODES[Kind.COORD]


class BatchGuard:
    """Checks batches for one model and vocabulary."""

    def __init__(self, vocab: CoordVocab, vocab_size: int, image_token: int, merge_size: int) -> None:
        """``vocab_size`` is the number of rows of the model's embedding, ``merge_size`` that of its vision tower."""
        self._is_coord: _Mask = np.zeros(vocab_size, dtype=np.bool_)
        self._is_coord[list(vocab.ids)] = True
        self._image_token = image_token
        self._merged = merge_size**2

    def check(self, batch: Batch, *, labelled: bool = True) -> None:
        """Without ``labelled`` a batch may do without any label, as where a rollout's every token is masked.

        Raises:
            ContractError: the batch, which has to be in main memory, breaks a rule. Of every rule that is broken there
                is one finding, on the first token or sample that breaks it, with the file and line of its record.
        """
        issues = list(self._issues(batch, labelled=labelled))
        if issues:
            raise ContractError(issues)

    # Each rule is a bug that trains without a word: ids that another tokenizer made, a label on the prompt, image
    # tokens that are not those of the images, positions that run on from one packed sample into the next. The loss
    # falls in all of these cases. NumPy looks at the tensors' own memory, so nothing is copied.
    def _issues(self, batch: Batch, *, labelled: bool) -> Iterator[Issue]:
        ids_BT: _Ints = batch.ids_BT.numpy()
        labels_BT: _Ints = batch.labels_BT.numpy()
        labelled_BT = labels_BT != IGNORE_INDEX
        size = len(self._is_coord)
        for tokens_BT, what in ((ids_BT, "id"), (np.where(labelled_BT, labels_BT, 0), "label")):
            if tokens_BT.min() < 0 or tokens_BT.max() >= size:  # the other rules look these up
                span, index, at = _first(batch, (tokens_BT < 0) | (tokens_BT >= size))
                yield _issue("id-outside-vocabulary", span, index=index, what=what, value=int(tokens_BT[at]), size=size)
                return
        if labelled and not labelled_BT.any():
            yield _issue("nothing-supervised", batch.spans[0])
        yield from self._check_labels(batch, ids_BT, labels_BT, labelled_BT)
        yield from self._check_images(batch, ids_BT)
        yield from _check_positions(batch)

    def _check_labels(self, batch: Batch, ids_BT: _Ints, labels_BT: _Ints, labelled_BT: _Mask) -> Iterator[Issue]:
        answers_BT = np.zeros_like(labelled_BT)
        for span in batch.spans:
            answers_BT[span.row, max(span.answer, span.start + 1) : span.end] = True
        if (wrong_BT := labelled_BT & ~answers_BT).any():
            span, index, _ = _first(batch, wrong_BT)
            yield _issue("label-outside-answer", span, index=index, answer=span.answer - span.start)
        kinds_BT = batch.kinds_BT.numpy()
        coords_BT = kinds_BT == _COORD
        # Of a coordinate that the model wrote itself the label is the ground truth, which may be another bin.
        if (wrong_BT := labelled_BT & ~coords_BT & (labels_BT != ids_BT)).any():
            span, index, at = _first(batch, wrong_BT)
            yield _issue("label-differs", span, index=index, value=int(labels_BT[at]), expected=int(ids_BT[at]))
        for tokens_BT, what in ((ids_BT, "id"), (labels_BT, "label")):
            if (wrong_BT := labelled_BT & (self._is_coord[tokens_BT] != coords_BT)).any():
                span, index, at = _first(batch, wrong_BT)
                is_coord = "a coord token" if self._is_coord[tokens_BT[at]] else "no coord token"
                values = {"index": index, "what": what, "value": int(tokens_BT[at]), "found": is_coord}
                yield _issue("coord-label-mismatch", span, **values, kind=_kind(int(kinds_BT[at])))
                break

    def _check_images(self, batch: Batch, ids_BT: _Ints) -> Iterator[Issue]:
        shown_BT = ids_BT == self._image_token
        if (wrong_BT := shown_BT != (batch.types_BT.numpy() == IMAGE)).any():
            span, index, _ = _first(batch, wrong_BT)
            what = "an image token of type text" if shown_BT[_at(span, index)] else "of type image and no image token"
            yield _issue("image-token-type", span, index=index, what=what)
        patches_I = batch.grid_I3.numpy().prod(axis=1)
        if patches_I.sum() != len(batch.pixels_ND):
            values = {"what": "patches in the batch", "whose": "all its samples", "features": int(patches_I.sum())}
            yield _issue("image-token-count", batch.spans[0], tokens=len(batch.pixels_ND), **values)
        image = 0
        for span in batch.spans:
            tokens = int(shown_BT[span.row, span.start : span.end].sum())
            features = int((patches_I[image : image + span.images] // self._merged).sum())
            image += span.images
            if tokens != features:
                values = {"what": "image tokens", "whose": "the sample", "features": features}
                yield _issue("image-token-count", span, tokens=tokens, **values)
                return


def _check_positions(batch: Batch) -> Iterator[Issue]:
    positions_4BT: _Ints = batch.positions_4BT.numpy()
    expected_BT = np.zeros_like(positions_4BT[0])
    for span in batch.spans:  # padding counts on
        expected_BT[span.row, span.start :] = np.arange(expected_BT.shape[1] - span.start)
    rope_3BT = positions_4BT[1:]
    # An image of h × w tokens moves on by max(h, w), so M-RoPE never counts further than there are tokens.
    wrong_BT = (positions_4BT[0] != expected_BT) | (rope_3BT < 0).any(axis=0) | (rope_3BT > expected_BT).any(axis=0)
    if wrong_BT.any():
        span, index, at = _first(batch, wrong_BT)
        found = positions_4BT[:, *at].tolist()
        yield _issue("position-not-restarted", span, index=index, value=found, expected=int(expected_BT[at]))


def _first(batch: Batch, mask_BT: _Mask) -> tuple[SampleSpan, int, tuple[int, int]]:
    """The sample of the first token under the mask, the token's index in it, and its place in the batch.

    Padding belongs to the last sample of its row.
    """
    row, column = (int(i) for i in np.argwhere(mask_BT)[0])
    span = [span for span in batch.spans if span.row == row and span.start <= column][-1]
    return span, column - span.start, (row, column)


def _kind(code: int) -> str:
    """The name of a kind by its code."""
    return next((kind.value for kind, known in KIND_CODES.items() if known == code), "prompt")


def _at(span: SampleSpan, index: int) -> tuple[int, int]:
    return span.row, span.start + index


def _issue(name: str, span: SampleSpan, **values: object) -> Issue:
    shown: Mapping[str, object] = values
    return rule(name).issue(span.place, shown)
