"""Answers that a model of transformers writes itself, token by token with a cache.

This is a loop of our own and not ``generate`` of transformers: every row draws by random numbers of its own, its
log-probabilities and the distributions at its coordinates are taken as they come and no scores are kept, rows that are
done leave the batch, and no setting comes from the ``generation_config.json`` of a checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from coordspec.config.stage2 import Batch, Decoding, Termination
from coordspec.generate.answer import Answer, CoordStat, Ended, Request, Watch
from coordspec.generate.padded import evaluating, pad_left
from coordspec.generate.sampling import draws_of, next_tokens, penalise
from coordspec.predictions.coord_stats import coord_stats
from coordspec.rollout.tokens import TokenTable
from coordspec.samples.prompt import RopePositions


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
        batch: Batch | None = None,
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
        self._batch = batch or Batch()
        self._termination = termination or Termination()
        self._with_coords = with_coords
        self._positions = RopePositions(config)
        self._coord_ids = torch.tensor(table.coords.ids)
        self._images = (config.image_token_id, config.video_token_id)
        self._never_V: torch.Tensor | None = None

    def refresh(self, step: int) -> None:
        """The model in memory is always the present one."""

    def answers(self, requests: Sequence[Request]) -> list[Answer]:
        """One answer for each request, in their order; ``Batch.size`` of them are written at once.

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
        rows = [Row(request, self._table, self._termination, self._decoding.max_new_tokens) for request in requests]
        padded = pad_left([row.prompt for row in requests], self._positions, self._table.end_id, device)
        active, inputs = rows, padded.first_inputs()
        while True:
            output = self._model(**inputs)
            cache = output.past_key_values
            tokens_B = self._choose(output.logits[:, -1].float(), active)
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

    def _choose(self, logits_BV: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
        """Give each row its next token."""
        scores_BV = logits_BV
        if self._decoding.repetition_penalty != 1:
            scores_BV = penalise(logits_BV, _seen(rows, logits_BV), self._decoding.repetition_penalty)
        scores_BV = scores_BV.masked_fill(self._never(logits_BV), float("-inf"))
        tokens_B = next_tokens(scores_BV, self._decoding, [row.draws for row in rows])
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


class Row:
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


def _seen(rows: Sequence[Row], logits_BV: torch.Tensor) -> torch.Tensor:
    """A mask over the vocabulary: the tokens of each row's prompt and answer so far."""
    seen_BV = torch.zeros(logits_BV.shape, dtype=torch.bool)
    for row, seen_V in zip(rows, seen_BV, strict=True):
        seen_V[row.prompt.ids_T] = True
        seen_V[row.ids] = True
    return seen_BV.to(logits_BV.device)
