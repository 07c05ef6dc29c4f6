"""A request as vLLM's chat completions take it, and an answer as they give it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from PIL import Image

from coordspec.checks.finding import shown
from coordspec.config.sections import Template
from coordspec.config.training import Decoding
from coordspec.errors import InputError
from coordspec.generate.answer import Request
from coordspec.rollout.tokens import TokenTable
from coordspec.samples.prompt import conversation

COMPLETIONS: Final = "/chat/completions"
BANNED: Final = -100.0
"""The bias of a token that is never to be written; vLLM takes none that is lower."""


class Completion(NamedTuple):
    """The ids that a server wrote, their log-probabilities, and why it says that there are no more."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str


def seed_of(seeds: Sequence[int]) -> int:
    """One seed for all seeds of a request, from 0 and below 2**63: the same on every machine."""
    return int(np.random.SeedSequence(list(seeds)).generate_state(1, np.uint64)[0]) >> 1


class Chat:
    """Writes requests in one way of decoding and about one template, and reads what comes back."""

    def __init__(self, template: Template, decoding: Decoding, table: TokenTable, banned: Sequence[int]) -> None:
        """``banned`` are the ids that are never to be written."""
        self._template = template
        self._table = table
        self._banned = frozenset(banned)
        self._options = {
            "n": 1,
            "stream": False,
            "max_tokens": decoding.max_new_tokens,
            "temperature": decoding.temperature if decoding.do_sample else 0.0,
            "top_p": decoding.top_p if decoding.do_sample else 1.0,
            "top_k": decoding.top_k if decoding.do_sample else 0,
            "min_p": 0.0,
            "repetition_penalty": decoding.repetition_penalty,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "logit_bias": {str(token): BANNED for token in sorted(banned)},
            # nothing but <|im_end|> ends an answer, whatever generation_config.json lists
            "ignore_eos": True,
            "stop_token_ids": [table.end_id],
            "include_stop_str_in_output": True,
            "skip_special_tokens": False,
            "spaces_between_special_tokens": False,
            "logprobs": True,
            "top_logprobs": 0,
            "return_token_ids": True,
        }
        self._draws = decoding.do_sample

    def body(self, model: str, request: Request) -> dict[str, Any]:
        """What is posted for a request to a model or adapter of this name."""
        drawn = {"seed": seed_of(request.seeds)} if self._draws else {}
        return {"model": model, "messages": self._conversation(request.images), **self._options, **drawn}

    def _conversation(self, images: Sequence[Image.Image]) -> list[dict[str, Any]]:
        """What the model is asked in training, with the images themselves in it."""
        parts = [{"type": "image_url", "image_url": {"url": png_url(image)}} for image in images]
        return conversation(self._template, parts)

    def read(self, value: Any, request: Request, fault: Callable[[str], InputError]) -> Completion:
        """The answer in what came back.

        Raises:
            InputError: it is not of the form of vLLM's, the server has read another prompt, or has written an id that
                it was told not to.
        """
        try:
            (choice,) = value["choices"]
            prompt, ids = value.get("prompt_token_ids"), choice.get("token_ids")
            reason = str(choice["finish_reason"])
            content = (choice["logprobs"] or {}).get("content") or []
            logprobs = [entry["logprob"] for entry in content]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise fault(f"{COMPLETIONS} was answered otherwise than vLLM does: {_problem(error)}") from error
        if not _are_ids(prompt) or not _are_ids(ids) or not ids:
            raise fault(f"{COMPLETIONS} was answered without token ids; vLLM gives them from version 0.10.2 on")
        self._check_prompt(prompt, request, fault)
        if len(logprobs) != len(ids) or not all(map(_is_logprob, logprobs)):
            raise fault(
                f"{COMPLETIONS} was answered without one log-probability for each token; start vLLM without a "
                "reasoning parser, and with --logprobs-mode raw_logprobs"
            )
        for at, token in enumerate(ids):
            if token in self._banned or token >= len(self._table.lengths):
                raise fault(f"has written the id {token} as token {at}, which is no text and was banned by logit_bias")
        return Completion(tuple(ids), tuple(map(float, logprobs)), reason)

    def _check_prompt(self, theirs: Sequence[int], request: Request, fault: Callable[[str], InputError]) -> None:
        ours = request.prompt.ids_T.tolist()
        if theirs == ours:
            return
        at = next((i for i, pair in enumerate(zip(theirs, ours, strict=False)) if pair[0] != pair[1]), None)
        at = min(len(theirs), len(ours)) if at is None else at
        raise fault(
            f"reads another prompt than the trainer: token {at} is {self._token(theirs, at)} there and "
            f"{self._token(ours, at)} here ({len(theirs)} and {len(ours)} tokens); tokenizer, chat template and pixel "
            "limits must be those of model.path and template"
        )

    def _token(self, ids: Sequence[int], at: int) -> str:
        if at >= len(ids):
            return "missing"
        known = 0 <= ids[at] < len(self._table.lengths)
        return f"{ids[at]} ({shown(self._table.text([ids[at]]))})" if known else str(ids[at])


def banned_ids(table: TokenTable, rows: int, images: Sequence[int]) -> list[int]:
    """The ids of a head with so many rows that are no token, or stand for images: no answer has them."""
    holes = {number for number in range(len(table.lengths)) if not table.lengths[number]}
    return sorted({*holes, *range(len(table.lengths), rows), *images})


def png_url(image: Image.Image) -> str:
    """An image as a data URL of a PNG, which keeps every pixel."""
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and all(type(token) is int and token >= 0 for token in value)


def _is_logprob(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value <= _ROUNDING


_ROUNDING: Final = 1e-3
"""A log-probability may come out above 0 by this much."""


def _problem(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
