"""The answers of a checkpoint to the records of a file, and what each predicts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from coordspec.checks.finding import shown
from coordspec.config.sections import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from coordspec.config.training import GenerateBatch
from coordspec.contracts import rule
from coordspec.errors import ContractError, InputError, Place
from coordspec.generate import Answer, Generator, ModelGenerator, Request
from coordspec.generate.answer import WINDOW
from coordspec.infer.checkpoint import Checkpoint
from coordspec.infer.options import InferOptions, RecordSource
from coordspec.predictions.record import CoordStats, Dropped, PredictedObject, Prediction
from coordspec.record import Record
from coordspec.rollout.parse import Entry, Rollout, parse_rollout
from coordspec.rollout.tokens import TokenTable
from coordspec.samples.images import ImageLimits, open_images, root_of
from coordspec.samples.records import Records

LIMITS: Final = ImageLimits(MAX_IMAGE_PIXELS, MAX_IMAGE_BYTES)
_NO_STEP: Final = 0
"""The step among the seeds of an answer, where nothing is trained."""


def records_of(source: RecordSource) -> Records:
    """
    Raises:
        InputError: the file cannot be indexed, or holds no record.
    """
    records = Records.of_files([source.path], source.max_line_bytes, source.max_records)
    if not len(records):
        raise InputError(source.path, "holds no record")
    return records


class RecordAnswers:
    """Answers by the numbers of their records. Making it reads and checks every record, and looks at no image."""

    def __init__(
        self, checkpoint: Checkpoint, source: RecordSource, options: InferOptions, generator: Generator | None = None
    ) -> None:
        """``generator`` is the model of the checkpoint unless another one is given.

        Raises:
            ContractError: a record is refused; the first one that is.
            InputError: the file cannot be read, or holds no record.
        """
        self.records = records_of(source)
        self._image_root = source.image_root
        self._options = options
        self._prompter = checkpoint.prompter()
        self._generator = generator or ModelGenerator(
            checkpoint.model,
            checkpoint.table,
            options.decoding,
            batch=GenerateBatch(size=options.batch_size),
            termination=options.termination,
            with_coords=True,
        )
        self._lengths = [self._prompt_length(self.records[number]) for number in range(len(self.records))]

    def batches(self) -> Iterator[list[int]]:
        """The numbers of all records, batch by batch: the same for the same file and batch size."""
        size = self._options.batch_size
        for start in range(0, len(self._lengths), WINDOW * size):
            window = range(start, min(start + WINDOW * size, len(self._lengths)))
            numbers = sorted(window, key=self._lengths.__getitem__)
            yield from (numbers[at : at + size] for at in range(0, len(numbers), size))

    def of(self, numbers: Sequence[int]) -> list[Answer]:
        """The answers to some records, in the order of their numbers here.

        Raises:
            ContractError: a record or an image is refused.
        """
        requests = []
        for number in numbers:
            record = self.records[number]
            images = open_images(record, root_of(record, self._image_root), LIMITS)
            requests.append(Request(self._prompter.encode(images), (self._options.seed, _NO_STEP, number)))
        return self._generator.answers(requests)

    def _prompt_length(self, record: Record) -> int:
        try:
            return self._prompter.count_tokens(len(record.images), record.width, record.height)
        except ValueError as error:
            at = Place(record.place.path, record.place.line, at=("images", 0))
            values = {"value": shown(record.images[0]), "reason": str(error)}
            raise ContractError([rule("image-unreadable").issue(at, values)]) from error


# ---------------------------------------------------------------- predictions


def predict(index: int, record: Record, answer: Answer, table: TokenTable, run: str) -> Prediction:
    """What an answer predicts for record ``index`` of a file; ``run`` is the id of the run.

    Raises:
        InputError: an id is not one of the tokenizer.
    """
    rollout = parse_rollout(answer.ids, table)
    return Prediction(
        index=index,
        images=record.images,
        width=record.width,
        height=record.height,
        objects=tuple(score(rollout, entry, answer) for entry in rollout.predictions),
        dropped=tuple(Dropped(key, reason.value) for key, reason in rollout.dropped),
        truncated=rollout.truncated,
        fallback=None if rollout.fallback is None else rollout.fallback.value,
        text=table.text(rollout.aligned.ids),
        tokens=len(answer.ids),
        run=run,
        place=record.place,
    )


def score(rollout: Rollout, entry: Entry, answer: Answer) -> PredictedObject:
    """A valid entry with its confidences.

    With ``p(t)`` the probability that the model gave token t under its own distribution, ``score_coord`` is the
    geometric mean of p over the object's coord tokens, ``score_desc`` that over the tokens that hold a character of its
    desc, and ``score`` the geometric mean of the two: ``sqrt(score_coord * score_desc)``. So neither a long desc nor a
    polygon of many points weighs more than the other part.
    """
    item = entry.item
    assert item is not None, "a valid entry has an object"
    assert entry.desc is not None, "a valid entry has a desc"
    of_coord = _mean(answer.logprobs, entry.positions)
    of_desc = _mean(answer.logprobs, _tokens_of(rollout, *entry.desc))
    return PredictedObject(
        desc=item.desc,
        bbox_2d=item.bbox_2d,
        poly=item.poly,
        score=math.exp((of_coord + of_desc) / 2),
        score_coord=math.exp(of_coord),
        score_desc=math.exp(of_desc),
        coords=_stats(answer, entry.positions),
    )


def _tokens_of(rollout: Rollout, start: int, end: int) -> range:
    """The tokens that hold a byte of ``start..end``, ``end`` excluded."""
    aligned = rollout.aligned
    first = aligned.tokens_before(start)
    last = aligned.tokens_before(end - 1)
    return range(first, last + 1)


def _mean(logprobs: Sequence[float], positions: Iterable[int]) -> float:
    found = [logprobs[position] for position in positions]
    return sum(found) / len(found)


def _stats(answer: Answer, positions: Sequence[int]) -> CoordStats | None:
    if not answer.coords:
        return None
    found = [answer.coords[position] for position in positions]
    return CoordStats(
        tuple(stat.expected for stat in found),
        tuple(stat.std for stat in found),
        tuple(stat.quantiles for stat in found),
    )
