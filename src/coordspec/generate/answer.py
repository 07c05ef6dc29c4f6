"""What is asked of a model and what it answers, whatever writes the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from PIL import Image

from coordspec.samples.prompt import Prompt


class Ended(StrEnum):
    """Why an answer ends: the model wrote ``<|im_end|>``, or one of the settings that the others are named after."""

    END = "end"
    LENGTH = "max_new_tokens"
    OBJECTS = "max_objects"
    REPEATS = "max_repeats"


class CoordStat(NamedTuple):
    """The distribution over the bins where one coord token was written, in bins; see ``predictions.coord_stats``."""

    expected: float
    std: float
    quantiles: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt, and the seeds that its answer is drawn by: whole numbers from 0, such as (seed, step, sample).

    Equal seeds draw alike, whatever is generated beside them. Greedy decoding reads none. ``images`` are the RGB images
    of the prompt for a server that encodes them itself; a model in memory reads none.
    """

    prompt: Prompt
    seeds: tuple[int, ...]
    images: tuple[Image.Image, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What was written for one prompt.

    ids       token ids as they were chosen, ``<|im_end|>`` included where it was written
    ended     why there are no more
    logprobs  of every id its log-probability under the model's own distribution: over the whole vocabulary, at
              temperature 1, before penalties and filters
    coords    of every coord token by its place in ``ids`` the distribution over the bins, of the same logits; empty
              where nobody asked for it
    """

    ids: tuple[int, ...]
    ended: Ended
    logprobs: tuple[float, ...]
    coords: Mapping[int, CoordStat] = field(default_factory=dict)


class Generator(Protocol):
    """Whatever writes answers."""

    def refresh(self, step: int) -> None:
        """The weights may have changed since the last answers; every rank calls this before a step's answers.

        Raises:
            CoordspecError: a server cannot be brought up to date; on every rank alike.
        """

    def answers(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer for each request, in their order."""
