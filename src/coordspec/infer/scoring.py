"""From an answer to a prediction: read strictly, every object with how sure the model was of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from coordspec.generate import Answer
from coordspec.predictions.record import CoordStats, Dropped, PredictedObject, Prediction
from coordspec.record import Record
from coordspec.rollout import Entry, Rollout, TokenTable, parse_rollout


def predict(index: int, record: Record, answer: Answer, table: TokenTable, run: str) -> Prediction:
    """What an answer predicts for record ``index`` of a file; ``run`` is the id of the run.

    Raises:
        InputError: an id is not one of the tokenizer.
    """
    rollout = parse_rollout(answer.ids, table)
    return Prediction(
        index=index,
        images=record.images,
        width=record.width,
        height=record.height,
        objects=tuple(score(rollout, entry, answer) for entry in rollout.predictions),
        dropped=tuple(Dropped(key, reason.value) for key, reason in rollout.dropped),
        truncated=rollout.truncated,
        fallback=None if rollout.fallback is None else rollout.fallback.value,
        text=table.text(rollout.aligned.ids),
        tokens=len(answer.ids),
        run=run,
        place=record.place,
    )


def score(rollout: Rollout, entry: Entry, answer: Answer) -> PredictedObject:
    """A valid entry with its confidences.

    With ``p(t)`` the probability that the model gave token t under its own distribution, ``score_coord`` is the
    geometric mean of p over the object's coord tokens, ``score_desc`` that over the tokens that hold a character of its
    desc, and ``score`` the geometric mean of the two: ``sqrt(score_coord * score_desc)``. So neither a long desc nor a
    polygon of many points weighs more than the other part.
    """
    item = entry.item
    assert item is not None, "a valid entry has an object"
    assert entry.desc is not None, "a valid entry has a desc"
    of_coord = _mean(answer.logprobs, entry.positions)
    of_desc = _mean(answer.logprobs, _tokens_of(rollout, *entry.desc))
    return PredictedObject(
        desc=item.desc,
        bbox_2d=item.bbox_2d,
        poly=item.poly,
        score=math.exp((of_coord + of_desc) / 2),
        score_coord=math.exp(of_coord),
        score_desc=math.exp(of_desc),
        coords=_stats(answer, entry.positions),
    )


def _tokens_of(rollout: Rollout, start: int, end: int) -> range:
    """The tokens that hold a byte of ``start..end``, ``end`` excluded."""
    aligned = rollout.aligned
    first = aligned.tokens_before(start)
    last = aligned.tokens_before(end - 1)
    return range(first, last + 1)


def _mean(logprobs: Sequence[float], positions: Iterable[int]) -> float:
    found = [logprobs[position] for position in positions]
    return sum(found) / len(found)


def _stats(answer: Answer, positions: Sequence[int]) -> CoordStats | None:
    if not answer.coords:
        return None
    found = [answer.coords[position] for position in positions]
    return CoordStats(
        tuple(stat.expected for stat in found),
        tuple(stat.std for stat in found),
        tuple(stat.quantiles for stat in found),
    )
