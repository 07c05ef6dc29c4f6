"""What became of the answers of a model, in counts and rates: each is defined here once.

Training, ``coordspec eval`` and ``coordspec checklist`` show them under the same names and mean the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

from coordspec.jsonl.parse import WHITE_SPACE

if TYPE_CHECKING:
    from coordspec.rollout.parse import Rollout

MEANINGS: Final[Mapping[str, str]] = {
    "parse_rate": "begin as a payload, so that objects can be read from them",
    "whole_rate": "are a payload up to its closing brace, without a dropped entry",
    "truncation_rate": "end, or break, before their outermost brace is closed",
}
"""What the answers do that a rate counts, by its name; the rate is the share of them among all answers."""


def share(part: float, of: float) -> float | None:
    """``part / of``, the form of every rate here; None where there is nothing to have a share of."""
    return part / of if of else None


# ---------------------------------------------------------------- one answer


class ReadAnswer(Protocol):
    """What was read of an answer: a ``Rollout``, or the ``Prediction`` that a file keeps of one.

    fallback   why nothing could be read; None where a payload begins
    truncated  it ends, or breaks, before its outermost brace is closed
    dropped    key and reason of each complete entry that is no valid object
    objects    one for each valid entry
    """

    @property
    def fallback(self) -> str | None: ...

    @property
    def truncated(self) -> bool: ...

    @property
    def dropped(self) -> Sequence[tuple[str, str]]: ...

    @property
    def objects(self) -> Sequence[object]: ...


def is_parsed(answer: ReadAnswer) -> bool:
    """Whether it begins as a payload. It may be cut off or broken behind that, and hold no valid entry."""
    return answer.fallback is None


def is_whole(answer: ReadAnswer) -> bool:
    """Whether it is a payload up to the closing brace, and all its entries are valid. What follows is not looked at."""
    return is_parsed(answer) and not answer.truncated and not answer.dropped


def is_strict(rollout: Rollout, *, ended: bool) -> bool:
    """Whether it is whole, nothing but white space follows, and the model ended it itself (``ended``)."""
    behind = rollout.aligned.data[rollout.cut + 1 :].strip(WHITE_SPACE)
    return ended and is_whole(rollout) and not behind


# ---------------------------------------------------------------- all answers


class AnswerCounts(NamedTuple):
    """Counts over some answers. Counts of parts, such as batches and ranks, add up.

    parsed, whole  answers of ``is_parsed`` and ``is_whole``
    truncated      answers that end, or break, before their outermost brace is closed
    valid          entries that are objects
    dropped        complete entries that are none
    """

    answers: int
    parsed: int
    whole: int
    truncated: int
    valid: int
    dropped: int

    @property
    def parse_rate(self) -> float | None:
        """``parsed / answers``"""
        return share(self.parsed, self.answers)

    @property
    def whole_rate(self) -> float | None:
        """``whole / answers``"""
        return share(self.whole, self.answers)

    @property
    def truncation_rate(self) -> float | None:
        """``truncated / answers``"""
        return share(self.truncated, self.answers)

    @property
    def drop_rate(self) -> float | None:
        """``dropped / (valid + dropped)``: a share of entries, not of answers."""
        return share(self.dropped, self.valid + self.dropped)

    @property
    def rates(self) -> dict[str, float]:
        """The rates of answers by their names; none of no answer."""
        found = {"parse_rate": self.parse_rate, "whole_rate": self.whole_rate, "truncation_rate": self.truncation_rate}
        return {name: value for name, value in found.items() if value is not None}


NO_ANSWERS: Final = AnswerCounts(0, 0, 0, 0, 0, 0)


def count_answers(answers: Iterable[ReadAnswer]) -> AnswerCounts:
    """The counts of some answers."""
    rows = (
        AnswerCounts(1, is_parsed(answer), is_whole(answer), answer.truncated, len(answer.objects), len(answer.dropped))
        for answer in answers
    )
    return added(NO_ANSWERS, *rows)


def drop_reasons(answers: Iterable[ReadAnswer]) -> Counter[str]:
    """How often each reason drops an entry."""
    return Counter(reason for answer in answers for _, reason in answer.dropped)


def fallback_reasons(answers: Iterable[ReadAnswer]) -> Counter[str]:
    """How many answers could not be read for each reason."""
    return Counter(answer.fallback for answer in answers if answer.fallback is not None)


# ---------------------------------------------------------------- what is matched


class MatchCounts(NamedTuple):
    """How many of ``gt`` objects a prediction was matched with, and how many of the predictions an object.

    The two counts of one-to-one matches are the same, but where only some of both sides are counted, such as those of
    one size.
    """

    gt: int
    predictions: int
    matched_gt: int
    matched_predictions: int

    @classmethod
    def of_pairs(cls, matched: int, gt: int, predictions: int) -> MatchCounts:
        """The counts of so many matched pairs, where both sides are counted in full."""
        return cls(gt, predictions, matched, matched)

    @property
    def precision(self) -> float | None:
        """``matched predictions / predictions``"""
        return share(self.matched_predictions, self.predictions)

    @property
    def recall(self) -> float | None:
        """``matched gt / gt``"""
        return share(self.matched_gt, self.gt)

    @property
    def f1(self) -> float | None:
        """``(matched gt + matched predictions) / (gt + predictions)``, the harmonic mean of precision and recall."""
        return share(self.matched_gt + self.matched_predictions, self.gt + self.predictions)


# ---------------------------------------------------------------- sums


Counts = TypeVar("Counts", AnswerCounts, MatchCounts)


def added(first: Counts, *others: Counts) -> Counts:
    """The counts of all of these together."""
    return type(first)(*map(sum, zip(first, *others, strict=True)))
