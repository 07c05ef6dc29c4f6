"""What a run measures on ``data.val``: the loss, and what the model's own answers are worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn
from torch.utils.data import DataLoader

from coordspec.boxes import DUPLICATE_IOU
from coordspec.config.model import Config
from coordspec.config.training import Decoding
from coordspec.config.training import GenerateBatch as Together
from coordspec.evaluate.categories import Categories
from coordspec.evaluate.f1 import F1Table, score_free
from coordspec.evaluate.overlaps import repeats
from coordspec.evaluate.scenes import Geometry, make_scenes
from coordspec.generate import ModelGenerator, Request
from coordspec.generate.answer import WINDOW
from coordspec.match import match_objects, pairwise_iou
from coordspec.outcomes import AnswerCounts, count_answers, share
from coordspec.ranks import agree, gather_sum, rank, world
from coordspec.record import DetObject, Record
from coordspec.rollout.parse import Rollout, parse_rollout
from coordspec.samples.dataset import Samples
from coordspec.train.objective import Prepared, StepLoss

# ---------------------------------------------------------------- one answer


class Agreement(NamedTuple):
    """Matched pairs, the sum of their IoUs, and predictions that repeat an earlier one as ``coordspec eval`` has it."""

    matched: int
    iou: float
    duplicates: int


def agreement(record: Record, predicted: Sequence[DetObject], pairs: Iterable[tuple[int, int]]) -> Agreement:
    """The agreement of one answer; ``pairs`` are those of ``match_objects``.

    Raises:
        InputError: the image is too large to evaluate.
    """
    iou_PG = pairwise_iou(predicted, record.objects)
    ious = [float(iou_PG[pair]) for pair in pairs]
    side = make_scenes([record], [predicted], Categories()).predicted
    repeated = set(repeats(side, Geometry.BOXES, DUPLICATE_IOU).predicted_P.tolist())
    return Agreement(len(ious), sum(ious), len(repeated))


# ---------------------------------------------------------------- all of them


class MeanLoss(Protocol):
    """An objective whose loss is made of means.

    counts  names of what is counted, in the order of ``Prepared.counts_C``
    parts   names of the means, and which count each is divided by
    """

    @property
    def counts(self) -> Sequence[str]: ...

    @property
    def parts(self) -> Mapping[str, str]: ...

    def prepare(self, loaded: Sequence[Any], step: int) -> list[Prepared]: ...

    def loss(self, prepared: Any, counts_C: torch.Tensor) -> StepLoss: ...

    def total(self, means: Mapping[str, float]) -> float: ...


def mean_loss(
    objective: MeanLoss, model: nn.Module, loader: DataLoader[Any], device: torch.device
) -> Mapping[str, float]:
    """Loss and parts over all validation samples; they do not depend on how these are batched and dealt out to ranks.

    Raises:
        CoordspecError: a sample is refused.
    """
    sums_P = torch.zeros(len(objective.parts), dtype=torch.float64, device=device)
    counts_C = torch.zeros(len(objective.counts), dtype=torch.float64, device=device)
    training = model.training
    model.eval()
    with agree(), torch.no_grad():
        for loaded in loader:
            (prepared,) = objective.prepare([loaded], 0)
            prepared = prepared.to(device)
            parts = objective.loss(prepared, torch.ones_like(counts_C)).parts
            sums_P += torch.stack([parts[name].double() for name in objective.parts])
            counts_C += prepared.counts_C
    model.train(training)
    counts = dict(zip(objective.counts, gather_sum(counts_C).tolist(), strict=True))
    sums = dict(zip(objective.parts, gather_sum(sums_P).tolist(), strict=True))
    means = {name: sums[name] / max(1.0, counts[count]) for name, count in objective.parts.items()}
    return {"loss": objective.total(means), **means}


class Detection:
    """Greedy answers to validation samples, dealt out to the ranks, read strictly and scored without confidences."""

    def __init__(self, config: Config, model: nn.Module, samples: Samples) -> None:
        section = config.eval
        self._samples = samples
        self._table = samples.encoder.table
        self._thresholds = section.iou_thresholds
        self._gate = config.iou_gate
        self._chunk = section.batch_size * WINDOW
        self._generator = ModelGenerator(
            model,
            self._table,
            Decoding(max_new_tokens=section.max_new_tokens),
            batch=Together(size=section.batch_size),
        )

    def run(self, device: torch.device) -> Mapping[str, float]:
        """Measures of all answers. A ratio to nothing, such as the precision of no prediction, is left out.

        Raises:
            CoordspecError: a sample is refused.
        """
        records: list[Record] = []
        rollouts: list[Rollout] = []
        tokens = 0
        with agree():
            mine = range(rank(), len(self._samples), world())
            for start in range(0, len(mine), self._chunk):
                opened = [self._samples.opened(number) for number in mine[start : start + self._chunk]]
                requests = [Request(self._samples.encoder.prompt(record, images), ()) for record, images in opened]
                answers = self._generator.answers(requests)
                records += [record for record, _ in opened]
                rollouts += [parse_rollout(answer.ids, self._table) for answer in answers]
                tokens += sum(len(answer.ids) for answer in answers)
            predicted = [rollout.objects for rollout in rollouts]
            table = score_free(records, predicted, self._thresholds)
            agreed = [self._agreement(*pair) for pair in zip(records, predicted, strict=True)]
        answered = count_answers(rollouts)
        sums = [sum(column) for column in zip(*agreed, strict=True)] or [0] * len(Agreement._fields)
        ours = (*answered, tokens, *sums, table.gt, table.predictions, *table.matched_gt)
        found = gather_sum(torch.tensor(ours, dtype=torch.float64, device=device)).tolist()
        of_answers, rest = found[: len(answered)], found[len(answered) :]
        tokens, matched, iou, duplicates, gt, predictions, *right = rest
        counts = AnswerCounts(*map(int, of_answers))
        means = {
            "tokens_per_answer": share(tokens, counts.answers),
            "mean_matched_iou": share(iou, matched),
            "duplicate_rate": share(duplicates, predictions),
        }
        rates = {**counts.rates, **{name: value for name, value in means.items() if value is not None}}
        pairs = tuple(map(int, right))
        return rates | _scores(F1Table(self._thresholds, int(gt), int(predictions), pairs, pairs))

    def _agreement(self, record: Record, predicted: Sequence[DetObject]) -> Agreement:
        return agreement(record, predicted, match_objects(predicted, record.objects, self._gate).pairs)


def _scores(table: F1Table) -> dict[str, float]:
    kinds = {"f1": table.f1, "precision": table.precision, "recall": table.recall}
    at = {kind: [of(threshold) for threshold in table.thresholds] for kind, of in kinds.items()}
    means = {kind: _mean(values) for kind, values in at.items()}
    each = {f"f1@{threshold:g}": value for threshold, value in zip(table.thresholds, at["f1"], strict=True)}
    return {name: value for name, value in {**means, **each}.items() if value is not None}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
