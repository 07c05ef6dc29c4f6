"""What a data worker loads: samples by number and batches of them; for Stage-2, records and the prompts about them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from PIL import Image
from torch.utils.data import Dataset

from coordspec.errors import CoordspecError
from coordspec.record import Record
from coordspec.samples.batch import Batch, collate
from coordspec.samples.encode import Encoder, Sample
from coordspec.samples.images import ImageLimits, open_images, root_of
from coordspec.samples.prompt import Prompt
from coordspec.samples.records import Records

Rows: TypeAlias = Sequence[Sequence[int]]
"""The rows of a batch, each the numbers of the samples in it."""


class Samples(Dataset[Sample]):
    """A map-style data set: record ``i`` of the files as a sample. Nothing is read before it is asked for."""

    def __init__(self, records: Records, image_root: Path | None, limits: ImageLimits, encoder: Encoder) -> None:
        """``image_root`` is the folder of the image paths; None for the folder of each file."""
        self.records = records
        self.image_root = image_root
        self.limits = limits
        self.encoder = encoder

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, number: int) -> Sample:
        """One sample.

        Raises:
            ContractError: the record, an image of it, or its length is refused; file, line and rule are in it.
            InputError: the file cannot be read, or has changed.
        """
        return self.encoder.sample(*self.opened(number))

    def opened(self, number: int) -> tuple[Record, list[Image.Image]]:
        """A record and its images, as ``__getitem__`` encodes them. Raises what that raises, but for the length."""
        record = self.records[number]
        return record, open_images(record, root_of(record, self.image_root), self.limits)


class Batches(Dataset[Batch | CoordspecError]):
    """Batches by their rows, for ``DataLoader(batches, batch_size=None, sampler=...)`` and a sampler of ``Rows``.

    A refused record is a value here and not an exception, since an exception cannot leave a worker process as it is.
    ``checked`` raises it in the training process.
    """

    def __init__(self, samples: Samples, pad_id: int) -> None:
        self.samples = samples
        self.pad_id = pad_id

    def __getitem__(self, rows: Rows) -> Batch | CoordspecError:
        try:
            return collate([[self.samples[number] for number in row] for row in rows], self.pad_id)
        except CoordspecError as error:
            return error


def checked(batches: Iterable[Batch | CoordspecError]) -> Iterator[Batch]:
    """The batches of a data loader.

    Raises:
        CoordspecError: what a worker met instead of a batch.
    """
    for batch in batches:
        if isinstance(batch, CoordspecError):
            raise batch
        yield batch


# ---------------------------------------------------------------- tasks of Stage-2


class Task(NamedTuple):
    """A record and the prompt about it.

    ``number`` is that of the sample in its data. ``images`` are kept for a server that reads them itself, and are empty
    otherwise.
    """

    record: Record
    prompt: Prompt
    number: int
    images: tuple[Image.Image, ...]


class TaskBatches(Dataset[list[Task] | CoordspecError]):
    """As ``Batches``, with tasks instead of samples: those of all rows of a batch in one list."""

    def __init__(self, samples: Samples, *, keep_images: bool) -> None:
        self.samples = samples
        self.keep_images = keep_images

    def __getitem__(self, rows: Rows) -> list[Task] | CoordspecError:
        try:
            return [self._task(number) for row in rows for number in row]
        except CoordspecError as error:
            return error

    def _task(self, number: int) -> Task:
        """
        Raises:
            ContractError, InputError: as ``Samples``.
        """
        record, images = self.samples.opened(number)
        self.samples.encoder.count_tokens(record)  # refuses what is too long
        prompt = self.samples.encoder.prompt(record, images)
        return Task(record, prompt, number, tuple(images) if self.keep_images else ())
