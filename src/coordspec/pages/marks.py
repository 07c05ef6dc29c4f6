"""What may have become of an object, an entry or a token, as people see it: one table for pages and terminal."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from coordspec.coords import MAX_BIN


class Mark(NamedTuple):
    """How one outcome is shown: its glyph, its name, what its layer of boxes is called, and what it means."""

    glyph: str
    name: str
    layer: str
    about: str


MARKS: Final[Mapping[str, Mark]] = MappingProxyType(
    {
        "gt": Mark("○", "ground truth", "ground truth of a match", "in the ground truth, and predicted"),
        "matched": Mark("●", "matched", "matched prediction", "predicted, and in the ground truth"),
        "fp": Mark("▲", "false positive", "false positive", "predicted, and not in the ground truth"),
        "fn": Mark("◆", "missed", "missed object", "in the ground truth, written by us"),
        "frame": Mark("□", "frame", "frame", "outermost braces and the end of the turn"),
        "dropped": Mark("✕", "dropped", "dropped entry", "no valid entry; treated as a false positive"),
    }
)
"""By outcome: the owners of ``masks.yaml``, the ground truth of a match, and entries that were dropped."""


def page_data(**names: str) -> dict[str, Any]:
    """What every page gets beside its own data: ``marks`` and ``max_bin``. ``names`` are other words for some marks."""
    marks = {outcome: mark._replace(name=names.get(outcome, mark.name)) for outcome, mark in MARKS.items()}
    return {"marks": {outcome: mark._asdict() for outcome, mark in marks.items()}, "max_bin": MAX_BIN}
