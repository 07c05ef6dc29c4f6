"""What is asked of a model and what it answers, whatever writes it; when an answer is ended before it ends itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from PIL import Image

from coordspec.config.training import Termination
from coordspec.jsonl.parse import WHITE_SPACE
from coordspec.samples.prompt import Prompt

WINDOW: Final = 16
"""Batches of prompts among which those of similar length are put together."""


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


# ---------------------------------------------------------------- when an answer is ended


_QUOTE, _ESCAPE, _COLON, _COMMA = b'"\\:,'
_OPEN: Final = ord("{")
_OPENERS: Final = frozenset(b"{[")
_CLOSERS: Final = frozenset(b"}]")


class Watch:
    """Counts the top-level entries of one answer while it is written; every byte is looked at once.

    It follows quotes and brackets and judges nothing: what an entry is worth is the parser's business. An answer that
    does not begin with ``{``, and what stands behind the outermost ``}``, have no entries.
    """

    def __init__(self, limits: Termination) -> None:
        self._limits = limits
        self._depth = 0  # 1 between top-level entries
        self._over = False
        self._in_string = self._escaped = False
        self._in_entry = self._in_value = False  # behind an entry's first byte, behind the colon of its key
        self._value, self._before = bytearray(), bytearray()  # of this entry and the one before it, without white space
        self._in_a_row = 0
        self.entries = 0
        """Entries that have begun."""

    def feed(self, data: bytes) -> Ended | None:
        """Take the bytes of the next token; why the answer ends with it, or None."""
        for byte in data:
            if self._over or (byte in WHITE_SPACE and not self._in_string):
                continue
            if self._depth == 0:
                self._depth, self._over = 1, byte != _OPEN
                continue
            between = self._depth == 1 and not self._in_string
            if between and (byte == _COMMA or byte in _CLOSERS):
                ended = self._finish_entry(last=byte != _COMMA)
            else:
                ended = self._take(byte)
            if ended is not None:
                return ended
        return None

    def _take(self, byte: int) -> Ended | None:
        """A byte of an entry: the first one of one too many ends the answer."""
        if not self._in_entry:
            self._in_entry = True
            self.entries += 1
            if self._limits.max_objects is not None and self.entries > self._limits.max_objects:
                return Ended.OBJECTS
        if self._in_value:
            self._value.append(byte)
        if self._in_string:
            self._in_string = self._escaped or byte != _QUOTE
            self._escaped = byte == _ESCAPE and not self._escaped
        elif byte == _QUOTE:
            self._in_string = True
        elif byte == _COLON:
            self._in_value = True
        else:
            self._depth += (byte in _OPENERS) - (byte in _CLOSERS)
        return None

    def _finish_entry(self, *, last: bool) -> Ended | None:
        """An entry is written out: behind a comma the answer goes on, unless it went on like this for too long."""
        self._in_a_row = self._in_a_row + 1 if self._value == self._before else 1
        self._before, self._value = self._value, bytearray()
        self._in_entry = self._in_value = False
        self._over = last
        most = self._limits.max_repeats
        return Ended.REPEATS if not last and most is not None and self._in_a_row > most else None
