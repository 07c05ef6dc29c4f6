"""What the tests of answers share: prompts about noise, and a model that writes what it is told to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from coordspec.config.sections import Template
from coordspec.coords import TOKENS
from coordspec.generate import Answer, Ended, Request
from coordspec.rollout.tokens import TokenTable
from coordspec.samples.prompt import Prompt, Prompter
from coordspec.tokenizer import END_OF_TURN
from train_samples import processor, qwen3


@cache
def table() -> TokenTable:
    return TokenTable(processor().tokenizer)


def ids_of(text: str, *, end: bool = True) -> tuple[int, ...]:
    """The ids of a text in which coord tokens are coord tokens."""
    return tuple(processor().tokenizer.encode(text + END_OF_TURN * end, add_special_tokens=False))


def entry(number: int, desc: str = "cat", first: int = 1) -> str:
    """An entry whose box has the bin ``first`` and the three behind it."""
    coords = ", ".join(f'"{TOKENS[first + i]}"' for i in range(4))
    return f'"object_{number}": {{"desc": "{desc}", "bbox_2d": [{coords}]}}'


def payload(*entries: str) -> str:
    return "{" + ", ".join(entries) + "}"


THREE = payload(entry(1, first=1), entry(2, first=2), entry(3, first=3))
SAME = tuple(entry(number) for number in range(1, 9))
"""Eight entries that repeat one another."""


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@cache
def prompter() -> Prompter:
    return Prompter(processor(), qwen3().config.image_token_id, Template())


@cache
def prompts() -> tuple[Prompt, ...]:
    """Prompts of four lengths, one of them about two images."""
    images = [[noise(64, 64)], [noise(96, 64, 1)], [noise(64, 32, 2), noise(32, 64, 3)], [noise(128, 96, 4)]]
    return tuple(map(prompter().encode, images))


def requests(count: int = 4, seed: int = 0, step: int = 0) -> list[Request]:
    return [Request(prompts()[i % 4], (seed, step, i)) for i in range(count)]


class Cache:
    """Stands for the cache of transformers: it remembers which rows are left."""

    def __init__(self, rows: int) -> None:
        self.rows = torch.arange(rows)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.rows = self.rows[indices]


class Scripted(nn.Module):
    """Writes scripts: row i gives the ids of script i, one a step, each with the probability ``p``.

    It forgets nothing that a row was asked, in ``seen``: the ids of every forward, by row.
    """

    def __init__(self, scripts: Sequence[Sequence[int]], p: float = 0.5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.config = qwen3().config
        self.scripts = scripts
        self.vocabulary = len(table().lengths)
        self.high = math.log(p * (self.vocabulary - 1) / (1 - p))
        self.steps = 0
        self.seen: list[list[int]] = [[] for _ in scripts]

    def forward(self, input_ids: torch.Tensor, past_key_values: Cache | None = None, **_: Any) -> Any:
        if past_key_values is None:
            self.steps = 0
            past_key_values = Cache(len(input_ids))
        logits = torch.zeros(len(input_ids), 1, self.vocabulary)
        for at, row in enumerate(past_key_values.rows.tolist()):
            if self.steps:
                self.seen[row] += input_ids[at].tolist()
            logits[at, 0, self.scripts[row][self.steps]] = self.high
        self.steps += 1
        return SimpleNamespace(logits=logits, past_key_values=past_key_values)


class Told:
    """A generator that gives the texts that it is told, by the numbers of the records in the seeds.

    Every token has the log-probability -1. It counts the requests, and can break off behind some of them.
    """

    def __init__(self, texts: Sequence[str], ended: Ended = Ended.END, stop_after: int | None = None) -> None:
        self.texts = texts
        self.ended = ended
        self.stop_after = stop_after
        self.asked: list[int] = []

    def answers(self, requests: Sequence[Request]) -> list[Answer]:
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += [request.seeds[-1] for request in requests]
        ids = [ids_of(self.texts[request.seeds[-1]], end=self.ended is Ended.END) for request in requests]
        return [Answer(found, self.ended, (-1.0,) * len(found)) for found in ids]
