"""A JSON value that knows where it stands, and what is expected there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from coordspec.boxes import enclosing_box
from coordspec.checks.finding import shown, type_name
from coordspec.convert.pixels import SourceError
from coordspec.errors import Pointer, dotted_path


@dataclass(frozen=True, slots=True)
class EntryNode:
    """A value inside of an entry. ``source`` is the place of the entry, such as ``train.jsonl:3``.

    Every method that expects something raises SourceError, with the place, where it is not so.
    """

    value: Any
    source: str
    at: Pointer = ()

    @property
    def where(self) -> str:
        """``train.jsonl:3: objects.bbox[2]``"""
        return f"{self.source}: {dotted_path(self.at)}" if self.at else self.source

    def fault(self, reason: str) -> SourceError:
        """The error that this value cannot be converted."""
        return SourceError(self.where, reason)

    def has(self, name: str) -> bool:
        """True if the value is an object with this key, and not null behind it."""
        return isinstance(self.value, dict) and self.value.get(name) is not None

    def get(self, name: str) -> EntryNode:
        """The value behind a key that has to be there."""
        if not isinstance(self.value, dict):
            raise self._wrong("an object")
        if name not in self.value:
            raise self.fault(f"{name} is missing")
        return EntryNode(self.value[name], self.source, (*self.at, name))

    def one_of(self, names: Collection[str], hint: str) -> str:
        """The one key of these that is there."""
        if not isinstance(self.value, dict):
            raise self._wrong("an object")
        present = [name for name in names if self.has(name)]
        if len(present) != 1:
            found = f"{' and '.join(present)} stand side by side" if present else f"{', '.join(names)} are missing"
            raise self.fault(f"{found}; {hint}")
        return present[0]

    def items(self) -> list[EntryNode]:
        """The items of a list."""
        if not isinstance(self.value, list):
            raise self._wrong("a list")
        return [EntryNode(item, self.source, (*self.at, i)) for i, item in enumerate(self.value)]

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            raise self._wrong("a string")
        return self.value

    def integer(self) -> int:
        """An integer."""
        if type(self.value) is not int:
            raise self._wrong("an integer")
        return self.value

    def number(self) -> float:
        """A number. Strict JSON has finite ones alone, but integers of any length."""
        if type(self.value) not in (int, float):
            raise self._wrong("a number")
        try:
            return float(self.value)
        except OverflowError as error:
            raise self.fault(f"{shown(self.value)} is too large") from error

    def corners(self) -> tuple[float, ...]:
        """Four numbers ``x1, y1, x2, y2``, not inverted."""
        numbers = tuple(item.number() for item in self.items())
        if len(numbers) != 4:  # noqa: PLR2004 (corners)
            raise self.fault(f"has {len(numbers)} numbers, not 4")
        if enclosing_box(numbers) != numbers:
            order = "it is x1, y1, x2, y2 with x1 <= x2 and y1 <= y2"
            raise self.fault(f"{shown(self.value)} is inverted: {order}; x, y, width, height are not read")
        return numbers

    def _wrong(self, expected: str) -> SourceError:
        return self.fault(f"{shown(self.value)} is {type_name(self.value)}, not {expected}")
