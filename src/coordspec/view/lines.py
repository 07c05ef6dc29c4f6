"""Which lines of a file are looked at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

_RANGE: Final = re.compile(r"([1-9][0-9]{0,17})(?:-([1-9][0-9]{0,17}))?")


class LineRange(NamedTuple):
    """The lines ``first..last``, both included."""

    first: int
    last: int


def parse_ranges(text: str) -> tuple[LineRange, ...]:
    """Ranges as people write them: ``3``, ``3,7`` or ``3,10-12``.

    Raises:
        ValueError: the text is none; the message says what to write.
    """
    found = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{part.strip()!r} is neither a line number from 1 nor a range such as 10-12")
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last:
            raise ValueError(f"the range {part.strip()} ends before it starts")
        found.append(LineRange(first, last))
    return tuple(found)


def chosen(number: int, ranges: Sequence[LineRange]) -> bool:
    """True for a line that one of the ranges names."""
    return any(first <= number <= last for first, last in ranges)
