"""Counts and rates of answers: what each counts, that parts add up, and that a file says what the rollout says."""

from __future__ import annotations

import random
from typing import Any

import pytest

from coordspec.outcomes import (
    MEANINGS,
    NO_ANSWERS,
    AnswerCounts,
    MatchCounts,
    added,
    count_answers,
    drop_reasons,
    fallback_reasons,
    is_parsed,
    is_strict,
    is_whole,
    share,
)
from coordspec.predictions.record import Dropped, PredictedObject, Prediction
from coordspec.rollout.parse import Rollout, parse_rollout
from qwen_tokenizer import ids_of, table

BOX = '"bbox_2d": ["<|coord_1|>", "<|coord_2|>", "<|coord_3|>", "<|coord_4|>"]'
GOOD = '{"object_1": {"desc": "cat", ' + BOX + "}}"
BAD = '{"object_1": {"desc": "cat"}}'
ANSWERS = {
    # text: parsed, whole, truncated, strict; valid and dropped entries
    GOOD: (True, True, False, True, 1, 0),
    f" {GOOD}\n": (True, True, False, True, 1, 0),
    "{}": (True, True, False, True, 0, 0),
    f"{GOOD} and": (True, True, False, False, 1, 0),
    BAD: (True, False, False, False, 0, 1),
    GOOD[:-1]: (True, False, True, False, 1, 0),
    GOOD[:-2]: (True, False, True, False, 0, 0),
    "{": (True, False, True, False, 0, 0),
    f"Sure: {GOOD}": (False, False, False, False, 0, 0),
    "": (False, False, False, False, 0, 0),
}


def read(text: str) -> Rollout:
    return parse_rollout(ids_of(text, "tiny"), table("tiny"))


def kept(rollout: Rollout) -> Prediction:
    """What a prediction file keeps of a rollout."""
    return Prediction(
        *(0, ("a.png",), 10, 10),
        objects=tuple(PredictedObject(item.desc, item.bbox_2d) for item in rollout.objects),
        dropped=tuple(Dropped(key, reason.value) for key, reason in rollout.dropped),
        truncated=rollout.truncated,
        fallback=None if rollout.fallback is None else rollout.fallback.value,
    )


@pytest.mark.parametrize(("text", "expected"), ANSWERS.items())
def test_what_an_answer_is(text: str, expected: tuple[Any, ...]) -> None:
    rollout = read(text)
    parsed, whole, truncated, strict, valid, dropped = expected
    assert (is_parsed(rollout), is_whole(rollout), is_strict(rollout, ended=True)) == (parsed, whole, strict)
    assert not is_strict(rollout, ended=False)
    counts = count_answers([rollout])
    assert counts == (1, parsed, whole, truncated, valid, dropped)
    assert count_answers([kept(rollout)]) == counts, "a file holds what is counted"


def test_counts_add_up() -> None:
    rollouts = [read(text) for text in ANSWERS]
    random.Random(0).shuffle(rollouts)
    expected = AnswerCounts(answers=10, parsed=8, whole=4, truncated=3, valid=4, dropped=1)
    assert count_answers(rollouts) == expected
    parts = [count_answers(rollouts[start : start + 3]) for start in range(0, len(rollouts), 3)]
    assert added(NO_ANSWERS, *parts) == added(*parts) == expected
    assert [type(count) for count in expected] == [int] * 6


def test_rates() -> None:
    counts = AnswerCounts(answers=10, parsed=8, whole=4, truncated=3, valid=4, dropped=1)
    assert counts.rates == {"parse_rate": 0.8, "whole_rate": 0.4, "truncation_rate": 0.3}
    assert (counts.parse_rate, counts.whole_rate, counts.truncation_rate, counts.drop_rate) == (0.8, 0.4, 0.3, 0.2)
    assert list(counts.rates) == list(MEANINGS)


def test_of_nothing_there_is_no_rate() -> None:
    assert count_answers([]) == NO_ANSWERS
    assert NO_ANSWERS.rates == {}
    assert (NO_ANSWERS.parse_rate, NO_ANSWERS.drop_rate, share(1, 0)) == (None, None, None)
    nothing = MatchCounts.of_pairs(0, 0, 0)
    assert (nothing.precision, nothing.recall, nothing.f1) == (None, None, None)


def test_reasons() -> None:
    rollouts = [read(text) for text in (BAD, BAD, GOOD, "")]
    assert drop_reasons(rollouts) == {"missing_geometry": 2}
    assert fallback_reasons(map(kept, rollouts)) == {"no_opening_brace": 1}


def test_matches() -> None:
    pairs = MatchCounts.of_pairs(3, gt=4, predictions=6)
    assert (pairs.precision, pairs.recall, pairs.f1) == (0.5, 0.75, 0.6)
    some = MatchCounts(gt=4, predictions=5, matched_gt=2, matched_predictions=1)
    assert (some.precision, some.recall, some.f1) == (0.2, 0.5, pytest.approx(1 / 3))
    assert added(pairs, some) == (8, 11, 5, 4)
