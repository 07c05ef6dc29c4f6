"""Which prediction belongs to which record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coordspec.checks.finding import cut
from coordspec.contracts import rule
from coordspec.errors import ContractError, Issue
from coordspec.predictions.record import Prediction
from coordspec.record import Record

"""Faults of a data file after which no more are collected."""


@dataclass(frozen=True, slots=True)
class Joined:
    """``predictions[i]`` is that of ``records[i]``, None where there is none; ``strays`` belong to no record."""

    records: tuple[Record, ...]
    predictions: tuple[Prediction | None, ...]
    strays: tuple[Prediction, ...]

    @property
    def missing(self) -> tuple[Record, ...]:
        """The records without a prediction."""
        pairs = zip(self.records, self.predictions, strict=True)
        return tuple(record for record, prediction in pairs if prediction is None)

    def issues(self, data: str) -> list[Issue]:
        """A finding for every stray prediction, then for every record without one; ``data`` names the data file."""
        strays = (
            rule("stray-prediction").issue(
                item.place,
                {"images": cut(", ".join(item.images)), "width": item.width, "height": item.height, "data": data},
            )
            for item in self.strays
        )
        return [*strays, *(rule("missing-prediction").issue(record.place, {}) for record in self.missing)]

    def without_missing(self) -> Joined:
        """The same without the records that have no prediction."""
        pairs = [(r, p) for r, p in zip(self.records, self.predictions, strict=True) if p is not None]
        return Joined(tuple(r for r, _ in pairs), tuple(p for _, p in pairs), self.strays)


def join(records: Sequence[Record], predictions: Iterable[Prediction]) -> Joined:
    """Give each prediction to the record that has its images, width and height.

    So predictions can be evaluated on a part of their data file, in another order. Only where several records agree in
    all of that does the index decide.

    Raises:
        ContractError: two predictions belong to one record.
    """
    numbers: dict[tuple[tuple[str, ...], int, int], list[int]] = {}
    for number, record in enumerate(records):
        numbers.setdefault((record.images, record.width, record.height), []).append(number)
    found: list[Prediction | None] = [None] * len(records)
    strays: list[Prediction] = []
    issues: list[Issue] = []
    for item in predictions:
        able = numbers.get((item.images, item.width, item.height), [])
        chosen = able if len(able) == 1 else [number for number in able if number == item.index]
        if not chosen:
            strays.append(item)
            continue
        before = found[chosen[0]]
        if before is None:
            found[chosen[0]] = item
            continue
        values = {"index": item.index, "images": cut(", ".join(item.images)), "line": before.place.line}
        issues.append(rule("repeated-prediction").issue(item.place, values))
    if issues:
        raise ContractError(issues)
    return Joined(tuple(records), tuple(found), tuple(strays))
