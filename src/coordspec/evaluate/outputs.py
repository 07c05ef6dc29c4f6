"""What became of the texts that a model wrote, before any box is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coordspec.outcomes import AnswerCounts, count_answers, drop_reasons, fallback_reasons, share
from coordspec.predictions.record import Prediction


@dataclass(frozen=True, slots=True)
class Outputs:
    """Counts over the outputs, one for each image that has a prediction, and the reasons by how often each was given.

    ``tokens`` is None unless every output has its number.
    """

    counts: AnswerCounts
    fallbacks: Mapping[str, int]
    drop_reasons: Mapping[str, int]
    tokens: int | None

    def value(self) -> dict[str, Any]:
        """The counts as JSON, with their rates; a rate of nothing is null."""
        counts = self.counts
        return {
            "outputs": counts.answers,
            "parsed": counts.parsed,
            "parse_rate": counts.parse_rate,
            "whole": counts.whole,
            "whole_rate": counts.whole_rate,
            "truncated": counts.truncated,
            "truncation_rate": counts.truncation_rate,
            "fallbacks": dict(self.fallbacks),
            "entries": counts.valid + counts.dropped,
            "dropped": counts.dropped,
            "drop_rate": counts.drop_rate,
            "drop_reasons": dict(self.drop_reasons),
            "tokens": self.tokens,
            "tokens_per_output": None if self.tokens is None else share(self.tokens, counts.answers),
        }


def count_outputs(predictions: Sequence[Prediction]) -> Outputs:
    """The counts of some predictions."""
    known = [item.tokens for item in predictions if item.tokens is not None]
    return Outputs(
        counts=count_answers(predictions),
        fallbacks=dict(sorted(fallback_reasons(predictions).items())),
        drop_reasons=dict(sorted(drop_reasons(predictions).items())),
        tokens=sum(known) if known and len(known) == len(predictions) else None,
    )
