"""The answers of a checkpoint to the records of a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from coordspec.checks.finding import shown
from coordspec.config.inputs import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from coordspec.config.stage2 import Batch, Decoding, Termination
from coordspec.contracts import rule
from coordspec.errors import ContractError, InputError, Place
from coordspec.generate import Answer, Generator, ModelGenerator, Request
from coordspec.infer.checkpoint import Checkpoint
from coordspec.record import Record
from coordspec.samples.images import ImageLimits, open_images, root_of
from coordspec.samples.records import Records

WINDOW: Final = 16
"""Batches among whose records those with prompts of similar length are put together."""
LIMITS: Final = ImageLimits(MAX_IMAGE_PIXELS, MAX_IMAGE_BYTES)
_NO_STEP: Final = 0
"""The step among the seeds of an answer, where nothing is trained."""


@dataclass(frozen=True, slots=True)
class Source:
    """The records to answer: a contract file, where its images are, and how much of it is read."""

    path: str
    max_line_bytes: int
    image_root: Path | None = None
    max_records: int | None = None

    def records(self) -> Records:
        """
        Raises:
            InputError: the file cannot be indexed, or holds no record.
        """
        records = Records.of_files([self.path], self.max_line_bytes, self.max_records)
        if not len(records):
            raise InputError(self.path, "holds no record")
        return records


@dataclass(frozen=True, slots=True)
class InferOptions:
    """How answers are written. ``batch_size`` of them are written at once."""

    decoding: Decoding = field(default_factory=Decoding)
    termination: Termination = field(default_factory=Termination)
    batch_size: int = Batch().size
    seed: int = 0


class Answers:
    """Answers by the numbers of their records. Making it reads and checks every record, and looks at no image."""

    def __init__(
        self, checkpoint: Checkpoint, source: Source, options: InferOptions, generator: Generator | None = None
    ) -> None:
        """``generator`` is the model of the checkpoint unless another one is given.

        Raises:
            ContractError: a record is refused; the first one that is.
            InputError: the file cannot be read, or holds no record.
        """
        self.records = source.records()
        self._image_root = source.image_root
        self._options = options
        self._prompter = checkpoint.prompter()
        self._generator = generator or ModelGenerator(
            checkpoint.model,
            checkpoint.table,
            options.decoding,
            batch=Batch(size=options.batch_size),
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
