"""What became of the texts that a model wrote, before any box is compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coordspec.predictions.record import Prediction


@dataclass(frozen=True, slots=True)
class Outputs:
    """Counts over the outputs, one for each image that has a prediction.

    ``parsed`` outputs were read as a payload, ``whole`` ones to their end and without a dropped entry. ``entries`` are
    the valid and the dropped ones of all outputs.
    """

    outputs: int
    parsed: int
    whole: int
    truncated: int
    fallbacks: Mapping[str, int]
    entries: int
    dropped: Mapping[str, int]
    tokens: int | None

    def value(self) -> dict[str, Any]:
        """The counts as JSON, with their rates; a rate of nothing is null."""
        lost = sum(self.dropped.values())
        return {
            "outputs": self.outputs,
            "parsed": self.parsed,
            "parse_rate": _rate(self.parsed, self.outputs),
            "whole": self.whole,
            "whole_rate": _rate(self.whole, self.outputs),
            "truncated": self.truncated,
            "truncation_rate": _rate(self.truncated, self.outputs),
            "fallbacks": dict(self.fallbacks),
            "entries": self.entries,
            "dropped": lost,
            "drop_rate": _rate(lost, self.entries),
            "drop_reasons": dict(self.dropped),
            "tokens": self.tokens,
            "tokens_per_output": None if self.tokens is None else _rate(self.tokens, self.outputs),
        }


def count_outputs(predictions: Sequence[Prediction]) -> Outputs:
    """The counts of some predictions. ``tokens`` is None unless every prediction has its number."""
    reasons = Counter(entry.reason for item in predictions for entry in item.dropped)
    fallbacks = Counter(item.fallback for item in predictions if item.fallback is not None)
    known = [item.tokens for item in predictions if item.tokens is not None]
    return Outputs(
        outputs=len(predictions),
        parsed=len(predictions) - fallbacks.total(),
        whole=sum(item.fallback is None and not item.truncated and not item.dropped for item in predictions),
        truncated=sum(item.truncated for item in predictions),
        fallbacks=dict(sorted(fallbacks.items())),
        entries=sum(len(item.objects) for item in predictions) + reasons.total(),
        dropped=dict(sorted(reasons.items())),
        tokens=sum(known) if known and len(known) == len(predictions) else None,
    )


def _rate(part: int, whole: int) -> float | None:
    return part / whole if whole else None
