"""One prediction as typed values, and the line that holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from coordspec.errors import ContractError, Place
from coordspec.predictions.check import GEOMETRIES, check_prediction, issues_of
from coordspec.record import NOWHERE


class Dropped(NamedTuple):
    """An entry of the text that is no valid object: its key as it was written, and the reason."""

    key: str
    reason: str


class CoordStats(NamedTuple):
    """The distributions over the bins at the coordinates of one object, in the order of the coordinates.

    ``expected`` and ``std`` are in bins. ``quantiles`` has for each coordinate the bins at ``QUANTILE_LEVELS``
    (``coord_stats``).
    """

    expected: tuple[float, ...]
    std: tuple[float, ...]
    quantiles: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class PredictedObject:
    """One valid entry: what and where, coordinates as tuples of bins, and how sure the model was, 0 to 1 or None."""

    desc: str
    bbox_2d: tuple[int, ...] | None = None
    poly: tuple[int, ...] | None = None
    score: float | None = None
    score_coord: float | None = None
    score_desc: float | None = None
    coords: CoordStats | None = None

    def value(self) -> dict[str, Any]:
        """The object as it stands in JSON; parts that are None are left out, but for the score."""
        fields: dict[str, Any] = {"desc": self.desc}
        fields |= {name: list(bins) for name in GEOMETRIES if (bins := getattr(self, name)) is not None}
        fields["score"] = self.score
        parts = {"score_coord": self.score_coord, "score_desc": self.score_desc}
        fields |= {name: score for name, score in parts.items() if score is not None}
        if self.coords is not None:
            fields["coords"] = self.coords._asdict()
        return fields


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model said about one record, which ``index``, ``images``, ``width`` and ``height`` name.

    The other fields are those of ``contracts/prediction.schema.json``. ``place`` says where the prediction was read and
    takes no part in comparisons.
    """

    index: int
    images: tuple[str, ...]
    width: int
    height: int
    objects: tuple[PredictedObject, ...]
    dropped: tuple[Dropped, ...] = ()
    truncated: bool = False
    fallback: str | None = None
    text: str | None = None
    tokens: int | None = None
    run: str | None = None
    place: Place = field(default=NOWHERE, compare=False)

    @classmethod
    def from_value(cls, value: object, place: Place = NOWHERE) -> Prediction:
        """The prediction that a parsed JSON line holds.

        Raises:
            ContractError: the value breaks a rule; every such finding is in it.
        """
        issues = issues_of(check_prediction(value), place)
        if issues:
            raise ContractError(issues)
        assert isinstance(value, dict)
        return cls(
            **{name: value[name] for name in _PLAIN_FIELDS},
            images=tuple(value["images"]),
            objects=tuple(map(_object, value["objects"])),
            dropped=tuple(Dropped(**entry) for entry in value["dropped"]),
            place=place,
        )

    def value(self) -> dict[str, Any]:
        """The prediction as it stands in JSON."""
        return {
            "index": self.index,
            "images": list(self.images),
            "width": self.width,
            "height": self.height,
            "objects": [item.value() for item in self.objects],
            "dropped": [entry._asdict() for entry in self.dropped],
            "truncated": self.truncated,
            "fallback": self.fallback,
            "text": self.text,
            "tokens": self.tokens,
            "run": self.run,
        }

    def line(self) -> str:
        """The prediction as one JSONL line, without line end.

        Raises:
            ContractError: the prediction breaks a rule. Nothing partial is returned.
        """
        text = json.dumps(self.value(), ensure_ascii=False)
        issues = issues_of(check_prediction(json.loads(text)), self.place)
        if issues:
            raise ContractError(issues)
        return text


_PLAIN_FIELDS: Final = ("index", "width", "height", "truncated", "fallback", "text", "tokens", "run")


def _object(item: Mapping[str, Any]) -> PredictedObject:
    parts: dict[str, Any] = dict(item)
    for name in GEOMETRIES:
        if name in parts:
            parts[name] = tuple(parts[name])
    if "coords" in parts:
        lists = parts["coords"]
        quantiles = tuple(map(tuple, lists["quantiles"]))
        parts["coords"] = CoordStats(tuple(lists["expected"]), tuple(lists["std"]), quantiles)
    return PredictedObject(**parts)
