"""What a data worker loads for Stage-2: records and the prompts about them. Targets come with the rollouts."""

from __future__ import annotations

from typing import NamedTuple

from PIL import Image
from torch.utils.data import Dataset

from coordspec.errors import CoordspecError
from coordspec.record import Record
from coordspec.samples.dataset import Rows, Samples
from coordspec.samples.prompt import Prompt


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
