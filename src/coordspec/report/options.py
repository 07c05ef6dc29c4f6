"""What a person can choose about a report, and the one place of its defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from coordspec.evaluate.categories import Categories
from coordspec.evaluate.options import IOU
from coordspec.jsonl.inputs import MAX_LINE_BYTES


class Order(StrEnum):
    """Which records come first, and stay where not all are shown."""

    FILE = "file"
    FINDINGS = "findings"
    F1 = "f1"
    FP = "fp"
    FN = "fn"

    @property
    def about(self) -> str:
        """The records that come first, in words."""
        return _ABOUT[self]


_ABOUT: Final = {
    Order.FILE: "the first of the file",
    Order.FINDINGS: "those with the most findings",
    Order.F1: "those with the lowest F1",
    Order.FP: "those with the most false positives",
    Order.FN: "those with the most missed objects",
}
OF_PREDICTIONS: Final = frozenset({Order.F1, Order.FP, Order.FN})
"""Orders that only predictions have."""


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """``order`` None is ``FILE`` for a data file and ``F1`` for predictions. ``side`` is that of thumbnails, in pixels.

    ``iou``, ``categories`` and ``partial`` are about predictions, and mean what they mean in ``coordspec eval``.
    """

    image_root: Path | None = None
    max_images: int = 200
    order: Order | None = None
    side: int = 384
    iou: float = IOU
    categories: Categories = field(default_factory=Categories)
    partial: bool = False
    max_line_bytes: int = MAX_LINE_BYTES


DEFAULTS: Final = ReportOptions()
