"""The ground truth of a sample as sound, typed objects, whatever form it comes in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from coordspec.boxes import enclosing_box
from coordspec.checks.text import is_plain
from coordspec.contracts import record_contract
from coordspec.coords import MAX_BIN
from coordspec.record import DetObject, Record, render_payload

if TYPE_CHECKING:
    from coordspec.rollout.tokens import TokenTable

GroundTruth: TypeAlias = Record | Sequence[DetObject] | Sequence[Mapping[str, Any]]

_CONTRACT = record_contract()


class SoundObjects(tuple[DetObject, ...]):
    """Objects as ``ground_truth_objects`` makes them, so that it need not do so again for the same ``table``."""

    table: TokenTable

    @classmethod
    def of(cls, objects: Iterable[DetObject], table: TokenTable) -> SoundObjects:
        made = cls(objects)
        made.table = table
        return made


def ground_truth_objects(gt: GroundTruth, table: TokenTable) -> SoundObjects:
    """The objects of a record, objects as they are, or mappings in the form of a record's ``objects``.

    Each desc comes in the normal form of the tokenizer: that is the text which its ids spell. What this has made is
    given back as it is: every function that takes ground truth takes it, and for more than one of them it is made once.

    Raises:
        ContractError: an object breaks a rule of the record at error level.
        TypeError: an item is neither an object nor a mapping.
    """
    if isinstance(gt, SoundObjects) and gt.table is table:
        return gt
    items = gt.objects if isinstance(gt, Record) else gt
    if not all(isinstance(item, DetObject) for item in items):
        items = _from_mappings(items)
    objects = SoundObjects.of((_normalised(item, table) for item in items), table)  # type: ignore[arg-type]
    if not all(map(_plainly_sound, objects)):
        render_payload(objects)  # raises what is wrong
    return objects


def bins_of(item: DetObject) -> tuple[int, ...]:
    """The coordinates of a sound object, whatever its geometry."""
    return item.bbox_2d if item.bbox_2d is not None else item.poly or ()


def geometry_of(item: DetObject) -> str:
    """Which geometry a sound object has."""
    return next(name for name in _CONTRACT.geometries if getattr(item, name) is not None)


def box_of(item: DetObject) -> tuple[int, int, int, int]:
    """The box of a sound object, or the one around its polygon."""
    return enclosing_box(bins_of(item)) if item.bbox_2d is None else item.bbox_2d  # type: ignore[return-value]


def _from_mappings(items: Sequence[Any]) -> tuple[DetObject, ...]:
    strange = next((item for item in items if not isinstance(item, Mapping)), None)
    if strange is not None:
        raise TypeError(f"ground truth is a Record, DetObjects or mappings, not {type(strange).__name__}")
    return objects_from_json([dict(item) for item in items])


def objects_from_json(items: list[Any]) -> tuple[DetObject, ...]:
    """The objects of a record's ``objects``.

    Raises:
        ContractError: one of them breaks a rule of the record at error level.
    """
    return Record.from_value({"images": ["-"], "width": 1, "height": 1, "objects": items}).objects


def _normalised(item: DetObject, table: TokenTable) -> DetObject:
    desc = table.normalise(item.desc) if isinstance(item.desc, str) else item.desc
    return item if desc == item.desc else replace(item, desc=desc)


def _plainly_sound(item: DetObject) -> bool:
    """True only if no rule has anything to say; False proves nothing. Cheap, for the many that are sound."""
    bins = item.bbox_2d
    if bins is None or item.poly is not None or len(bins) != _CONTRACT.bbox_arity or set(map(type, bins)) != {int}:
        return False
    x1, y1, x2, y2 = bins
    return 0 <= x1 <= x2 <= MAX_BIN and 0 <= y1 <= y2 <= MAX_BIN and isinstance(item.desc, str) and is_plain(item.desc)
