"""Answers that a model of transformers writes itself, token by token with a cache.

This is a loop of our own and not ``generate`` of transformers: every row draws by random numbers of its own, its
log-probabilities and the distributions at its coordinates are taken as they come and no scores are kept, rows that are
done leave the batch, and no setting comes from the ``generation_config.json`` of a checkpoint. Filters of the scores
are the logits processors of transformers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers.generation.logits_process import (
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from coordspec.config.training import Decoding, GenerateBatch, Termination
from coordspec.generate.answer import Answer, CoordStat, Ended, Request, Watch
from coordspec.predictions.coord_stats import coord_stats
from coordspec.rollout.tokens import TokenTable
from coordspec.samples.prompt import Prompt, RopePositions


class ModelGenerator:
    """Writes answers with a model that is in memory, such as the one in training.

    Ids that are no token of the tokenizer (a head may have more rows) and image and video tokens are never written:
    nothing could read the first, and the model would take the others for images. Rows of a batch do not see each
    other, but for the rounding of matrix products of another shape.
    """

    def __init__(
        self,
        model: nn.Module,
        table: TokenTable,
        decoding: Decoding,
        *,
        batch: GenerateBatch | None = None,
        termination: Termination | None = None,
        with_coords: bool = False,
    ) -> None:
        """``model`` is a model of transformers, in peft or not; ``with_coords`` asks for ``Answer.coords``.

        Raises:
            ValueError: the model is none of those that are trained here.
        """
        config: Any = model.config
        self._model = model
        self._table = table
        self._decoding = decoding
        self._filters = filters_of(decoding)
        self._batch = batch or GenerateBatch()
        self._termination = termination or Termination()
        self._with_coords = with_coords
        self._positions = RopePositions(config)
        self._coord_ids = torch.tensor(table.coords.ids)
        self._images = (config.image_token_id, config.video_token_id)
        self._never_V: torch.Tensor | None = None

    def refresh(self, step: int) -> None:
        """The model in memory is always the present one."""

    def answers(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer for each request, in their order; ``GenerateBatch.size`` of them are written at once.

        The model is in evaluation mode meanwhile, and nothing is recorded for gradients.
        """
        order = list(range(len(requests)))
        if self._batch.bucket_by_length:
            order.sort(key=lambda number: len(requests[number].prompt.ids_T))
        found: dict[int, Answer] = {}
        with torch.no_grad(), evaluating(self._model):
            for start in range(0, len(order), self._batch.size):
                numbers = order[start : start + self._batch.size]
                rows = self._write([requests[number] for number in numbers])
                found |= dict(zip(numbers, rows, strict=True))
        return [found[number] for number in range(len(requests))]

    def _write(self, requests: Sequence[Request]) -> list[Answer]:
        device = next(self._model.parameters()).device
        rows = [Draft(request, self._table, self._termination, self._decoding.max_new_tokens) for request in requests]
        padded = pad_left([row.prompt for row in requests], self._positions, self._table.end_id, device)
        active, inputs = rows, padded.first_inputs()
        while True:
            output = self._model(**inputs)
            cache = output.past_key_values
            tokens_B = self._choose(output.logits[:, -1].float(), padded.seen_BT, active)
            going = [at for at, row in enumerate(active) if row.ended is None]
            if not going:
                return [row.answer() for row in rows]
            if len(going) < len(active):
                active = [active[at] for at in going]
                going_B = torch.tensor(going, device=device)
                tokens_B = tokens_B[going_B]
                padded.keep(going_B)
                cache.batch_select_indices(going_B)
            inputs = padded.next_inputs(tokens_B, cache)

    def _choose(self, logits_BV: torch.Tensor, seen_BT: torch.Tensor, rows: Sequence[Draft]) -> torch.Tensor:
        """Give each row its next token."""
        never_BV = logits_BV.masked_fill(self._never(logits_BV), float("-inf"))
        scores_BV: Any = self._filters(seen_BT, never_BV)  # type: ignore[arg-type]  # it asks for types of old
        tokens_B = next_tokens(scores_BV, [row.draws for row in rows] if self._decoding.do_sample else None)
        logprobs_B = logits_BV.log_softmax(-1).gather(-1, tokens_B[:, None])[:, 0]
        tokens = tokens_B.tolist()
        stats = self._stats(logits_BV, tokens) if self._with_coords else [None] * len(rows)
        for row, token, logprob, stat in zip(rows, tokens, logprobs_B.tolist(), stats, strict=True):
            row.add(token, logprob, stat)
        return tokens_B

    def _never(self, logits_BV: torch.Tensor) -> torch.Tensor:
        """A mask over the vocabulary: the ids that are never written."""
        if self._never_V is None:
            never_V = torch.ones(logits_BV.shape[-1], dtype=torch.bool)
            never_V[: len(self._table.lengths)] = torch.from_numpy(self._table.lengths == 0)
            never_V[list(self._images)] = True
            self._never_V = never_V.to(logits_BV.device)
        return self._never_V

    def _stats(self, logits_BV: torch.Tensor, tokens: Sequence[int]) -> list[CoordStat | None]:
        """The distribution over the bins of every row whose token is a coord token."""
        bins = self._table.bin_of
        at = [row for row, token in enumerate(tokens) if bins[token] >= 0]
        found: list[CoordStat | None] = [None] * len(tokens)
        if at:
            logits_CK = logits_BV[at][:, self._coord_ids.to(logits_BV.device)]
            for row, stat in zip(at, zip(*coord_stats(logits_CK.double().softmax(-1).cpu()), strict=True), strict=True):
                found[row] = CoordStat(*stat)
        return found


class Draft:
    """An answer while it is written."""

    def __init__(self, request: Request, table: TokenTable, limits: Termination, most: int) -> None:
        self.prompt = request.prompt
        self.draws = draws_of(request.seeds)
        self.ids: list[int] = []
        self.ended: Ended | None = None
        self._logprobs: list[float] = []
        self._coords: dict[int, CoordStat] = {}
        self._table = table
        self._watch = Watch(limits)
        self._most = most

    def add(self, token: int, logprob: float, stat: CoordStat | None) -> None:
        """The next token, the log-probability that it had, and the distribution where it stands for a coordinate."""
        if stat is not None:
            self._coords[len(self.ids)] = stat
        self.ids.append(token)
        self._logprobs.append(logprob)
        if token == self._table.end_id:
            self.ended = Ended.END
        else:
            self.ended = self._watch.feed(self._table.bytes_of[token])
            if self.ended is None and len(self.ids) == self._most:
                self.ended = Ended.LENGTH

    def answer(self) -> Answer:
        """The answer, once it has ended."""
        assert self.ended is not None
        return Answer(tuple(self.ids), self.ended, tuple(self._logprobs), self._coords)


# ---------------------------------------------------------------- prompts of a batch


@dataclass(slots=True)
class Padded:
    """B prompts of up to T tokens, and where decoding stands.

    ``mask_BT`` is 1 at tokens and 0 at padding; it grows by one column with every token. ``next_B`` is the M-RoPE
    position of each row's next token, the same in all three dimensions, as an answer is text. ``seen_BT`` are the ids
    so far, for a penalty on them; padding repeats a row's first id, so that no id is in it that does not stand there.
    ``prompts`` holds the arguments that the first forward takes beside these.
    """

    prompts: dict[str, Any]
    seen_BT: torch.Tensor
    mask_BT: torch.Tensor
    positions_3BT: torch.Tensor
    next_B: torch.Tensor

    def first_inputs(self) -> dict[str, Any]:
        """Arguments of the forward over the prompts, of which only the last logits are wanted."""
        return {**self.prompts, **self._shared(self.positions_3BT)}

    def next_inputs(self, tokens_B: torch.Tensor, cache: Any) -> dict[str, Any]:
        """Arguments of the forward over the tokens that were just chosen."""
        self.mask_BT = torch.cat([self.mask_BT, torch.ones_like(self.mask_BT[:, :1])], dim=1)
        positions_3B1 = self.next_B[None, :, None].expand(3, -1, 1)
        self.next_B = self.next_B + 1
        self.seen_BT = torch.cat([self.seen_BT, tokens_B[:, None]], dim=1)
        return {"input_ids": tokens_B[:, None], "past_key_values": cache, **self._shared(positions_3B1)}

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows alone."""
        self.seen_BT, self.mask_BT, self.next_B = self.seen_BT[rows], self.mask_BT[rows], self.next_B[rows]

    def _shared(self, positions_3BT: torch.Tensor) -> dict[str, Any]:
        return {"attention_mask": self.mask_BT, "position_ids": positions_3BT, "use_cache": True, "logits_to_keep": 1}


def pad_left(prompts: Sequence[Prompt], positions: RopePositions, pad_id: int, device: torch.device) -> Padded:
    """The prompts as a batch. Positions are those of every prompt alone, so padding changes none of them."""
    shape = len(prompts), max(len(prompt.ids_T) for prompt in prompts)
    ids_BT = torch.full(shape, pad_id)
    seen_BT = torch.zeros(shape, dtype=torch.int64)
    types_BT = torch.zeros(shape, dtype=torch.int64)
    mask_BT = torch.zeros(shape, dtype=torch.int64)
    positions_3BT = torch.zeros((3, *shape), dtype=torch.int64)
    for row, prompt in enumerate(prompts):
        start = shape[1] - len(prompt.ids_T)
        ids_BT[row, start:] = prompt.ids_T
        seen_BT[row, :start], seen_BT[row, start:] = prompt.ids_T[0], prompt.ids_T
        types_BT[row, start:] = prompt.types_T
        mask_BT[row, start:] = 1
        positions_3BT[:, row, start:] = positions.of(prompt.ids_T, prompt.types_T, prompt.grid_I3)
    inputs = {
        "input_ids": ids_BT,
        "mm_token_type_ids": types_BT,
        "pixel_values": torch.cat([prompt.pixels_ND for prompt in prompts]),
        "image_grid_thw": torch.cat([prompt.grid_I3 for prompt in prompts]),
    }
    next_B = positions_3BT.amax(dim=(0, 2)) + 1
    return Padded(
        {name: value.to(device) for name, value in inputs.items()},
        seen_BT.to(device),
        mask_BT.to(device),
        positions_3BT.to(device),
        next_B.to(device),
    )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """A model in evaluation mode, afterwards every module of it in the mode in which it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


# ---------------------------------------------------------------- the next token


def draws_of(seeds: Sequence[int]) -> np.random.Generator:
    """The random numbers of one answer: they depend on the seeds alone, on every machine."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(seeds))))


def next_tokens(scores_BV: torch.Tensor, draws_B: Sequence[np.random.Generator] | None) -> torch.Tensor:
    """The token of each row, int64: the likeliest, or one that is drawn by the row's own random numbers."""
    if draws_B is None:
        return scores_BV.argmax(-1)
    uniform_B = torch.tensor([draws.random() for draws in draws_B], dtype=torch.float64, device=scores_BV.device)
    return draw(scores_BV, uniform_B)


def filters_of(decoding: Decoding) -> LogitsProcessorList:
    """What scores go through before a token is chosen: the penalty, then, where tokens are drawn, temperature, top k
    and top p, as ``generate`` of transformers has them.
    """
    filters: list[LogitsProcessor] = []
    if decoding.repetition_penalty != 1:
        filters.append(RepetitionPenaltyLogitsProcessor(decoding.repetition_penalty))
    if decoding.do_sample:
        filters.append(TemperatureLogitsWarper(decoding.temperature))
        if decoding.top_k:
            filters.append(TopKLogitsWarper(decoding.top_k))
        if decoding.top_p < 1:
            filters.append(TopPLogitsWarper(decoding.top_p))
    return LogitsProcessorList(filters)


def draw(scores_BV: torch.Tensor, uniform_B: torch.Tensor) -> torch.Tensor:
    """The token of each row at which the cumulative mass of ``softmax(scores)`` passes ``uniform``, from [0, 1).

    Uniform numbers draw from the softmax, and a token without mass is never drawn.
    """
    cdf_BV = scores_BV.double().softmax(-1).cumsum(-1)
    total_B1 = cdf_BV[:, -1:]
    below_B1 = torch.nextafter(total_B1, torch.zeros_like(total_B1))  # a product may be rounded up to the whole mass
    at_B1 = torch.minimum(uniform_B[:, None] * total_B1, below_B1)
    return torch.searchsorted(cdf_BV, at_B1, right=True)[:, 0]
