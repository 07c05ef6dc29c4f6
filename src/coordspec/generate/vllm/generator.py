"""Answers that a vLLM server writes with the adapter of the run that trains it.

The server needs vLLM, the trainer does not. What is asked of the server, and what is checked, is in
docs/training/VLLM.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import torch
from peft import PeftModel
from torch import nn

from coordspec.config.model import Config
from coordspec.config.training import Vllm
from coordspec.errors import InputError
from coordspec.generate.answer import Answer, Request
from coordspec.generate.decode import Draft, evaluating
from coordspec.generate.vllm.chat import COMPLETIONS, Chat, Completion, banned_ids
from coordspec.generate.vllm.client import Client
from coordspec.generate.vllm.server import Adapters, check_base, served_models
from coordspec.model.lora import save_adapter
from coordspec.ranks import FIRST, agree, gather, rank
from coordspec.rollout.tokens import TokenTable
from coordspec.samples.prompt import Prompt, RopePositions

TOLERANCE: Final = 0.1
"""Mean absolute difference of log-probabilities, in nats, up to which server and trainer are the same model.

Rounding to 16 bits and another resizing of images stay well below; other weights do not.
"""
PROBED: Final = 64
"""As many first tokens of one answer are compared."""
TEMPERATURES: Final = (0.01, 2.0)
"""vLLM raises a lower temperature to the first without a word, and refuses one above the second."""


class VllmGenerator:
    """Writes answers through a server, every rank through requests of its own.

    ``handshake`` comes once, before the first step; then ``refresh`` before the answers of each step.
    """

    def __init__(self, config: Config, model: PeftModel, table: TokenTable) -> None:
        """``model`` is the one in training. Nothing is sent yet.

        Raises:
            InputError: a setting of the config is none that a server can follow.
            ValueError: the config names no server.
        """
        section = config.rollout_matching
        if section.vllm is None:
            raise ValueError("rollout_matching.vllm is not there")
        decoding, (low, high) = section.decoding, TEMPERATURES
        if decoding.do_sample and not low <= decoding.temperature <= high:
            said = f"is {decoding.temperature:g}, and vLLM draws at {low:g} to {high:g}"
            raise InputError("rollout_matching.decoding.temperature", said)
        inner: Any = model.config
        rows = inner.get_text_config().vocab_size
        banned = banned_ids(table, rows, (inner.image_token_id, inner.video_token_id))
        self._config = config
        self._server: Vllm = section.vllm
        self._model = model
        self._table = table
        self._client = Client(section.vllm.base_url, section.vllm.timeout_s)
        self._chat = Chat(config.template, decoding, table, banned)
        self._adapters = Adapters(self._client, Path(config.training.output_dir), self._save)
        self._adapter: str | None = None
        self._window: int | None = None
        self._probed = False

    def handshake(self) -> None:
        """Make sure, before the first step, that the server has the right weights and loads adapters.

        Waits for no other rank: the first one checks the weights and loads the adapter, the others look whether the
        server is there.

        Raises:
            InputError: the server is not there, is of no use, or has other weights.
        """
        models = served_models(self._client)
        if rank() == FIRST:
            check_base(self._client, models, self._config)
            self._adapters.bring()

    def refresh(self, step: int) -> None:
        """Bring the server up to date, once in ``sync_steps`` optimizer steps. All ranks come here together.

        Raises:
            InputError: the server does not take the adapter.
            RankError: that happened on the first rank.
        """
        window = step // self._server.sync_steps
        if window == self._window:
            return
        name = None
        with agree():
            if rank() == FIRST:
                name = self._adapters.bring()
        name = gather(name)[FIRST]
        self._probed = self._probed and name == self._adapter
        self._adapter, self._window = name, window

    def answers(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer for each request, in their order; ``rollout_matching.batch.size`` of them are asked for at once.

        The first answer behind each new adapter is scored by the model in training too, before any is given back.

        Raises:
            InputError: the server fails, reads another prompt, or answers as another model does.
            ValueError: ``refresh`` was never called, or a request has no images.
        """
        if self._adapter is None:
            raise ValueError("refresh comes before the first answers")
        adapter = self._adapter
        pool = ThreadPoolExecutor(self._config.rollout_matching.batch.size, thread_name_prefix="vllm")
        try:
            asked = [pool.submit(self._complete, adapter, request) for request in requests]
            found = [one.result() for one in asked]
        finally:
            pool.shutdown(cancel_futures=True)
        if found and not self._probed:
            self._probe(requests[0], found[0])
            self._probed = True
        return [self._answer(request, one) for request, one in zip(requests, found, strict=True)]

    def close(self) -> None:
        """Take the adapter from the server again and delete it, behind the last step.

        Raises:
            InputError: the server does not answer.
        """
        if rank() == FIRST:
            self._adapters.close()

    def _save(self, folder: Path) -> None:
        save_adapter(self._model, folder)

    def _complete(self, adapter: str, request: Request) -> Completion:
        if len(request.images) != len(request.prompt.grid_I3):
            raise ValueError(f"{len(request.images)} images for a prompt about {len(request.prompt.grid_I3)}")
        value = self._client.post(COMPLETIONS, self._chat.body(adapter, request))
        return self._chat.read(value, request, self._client.fault)

    def _probe(self, request: Request, found: Completion) -> None:
        """Compare the server's log-probabilities with those of the model in training.

        Raises:
            InputError: they are too far apart.
        """
        ids = found.ids[:PROBED]
        ours = logprobs_of(self._model, request.prompt, ids)
        gap = sum(abs(a - b) for a, b in zip(found.logprobs, ours, strict=False)) / len(ids)
        if not gap <= TOLERANCE:
            raise self._client.fault(
                f"answers as another model does: over {len(ids)} tokens, its log-probabilities are {gap:.3g} from the "
                f"trainer's on average, and {TOLERANCE:g} is allowed; look at the served weights, the adapter in "
                f"{self._adapter}, --logprobs-mode raw_logprobs, and quantization"
            )

    def _answer(self, request: Request, found: Completion) -> Answer:
        """The answer up to where the rules of termination end it; the server may have written more.

        Raises:
            InputError: the server has ended it earlier than any rule says.
        """
        draft = Draft(request, self._table, self._config.rollout_matching.termination, self._most)
        for token, logprob in zip(found.ids, found.logprobs, strict=True):
            draft.add(token, logprob, None)
            if draft.ended is not None:
                return draft.answer()
        raise self._client.fault(
            f"has ended an answer behind {len(found.ids)} tokens with finish_reason {found.finish_reason}, and "
            f"neither with <|im_end|> nor at max_new_tokens: {self._most}; start vLLM as `coordspec docs vllm` says"
        )

    @property
    def _most(self) -> int:
        return self._config.rollout_matching.decoding.max_new_tokens


# ---------------------------------------------------------------- what the model in training says to it


def logprobs_of(model: nn.Module, prompt: Prompt, ids: Sequence[int]) -> list[float]:
    """The log-probability of every id of an answer under a model of transformers, in one forward without gradients.

    Over the whole vocabulary, at temperature 1, before penalties and filters.
    """
    device = next(model.parameters()).device
    ids_T = torch.cat([prompt.ids_T, torch.tensor(list(ids[:-1]), dtype=torch.int64)])
    types_T = torch.cat([prompt.types_T, torch.zeros(len(ids) - 1, dtype=torch.int64)])
    positions = RopePositions(model.config)  # type: ignore[arg-type]
    inputs = {
        "input_ids": ids_T[None],
        "attention_mask": torch.ones_like(ids_T)[None],
        "mm_token_type_ids": types_T[None],
        "position_ids": positions.of(ids_T, types_T, prompt.grid_I3)[:, None],
        "pixel_values": prompt.pixels_ND,
        "image_grid_thw": prompt.grid_I3,
    }
    with torch.no_grad(), evaluating(model):
        output = model(**{name: value.to(device) for name, value in inputs.items()}, logits_to_keep=len(ids))
    scores_SV = output.logits[0].float().log_softmax(-1)
    chosen_S1 = torch.tensor(list(ids), device=device)[:, None]
    found: list[float] = scores_SV.gather(-1, chosen_S1)[:, 0].tolist()
    return found
