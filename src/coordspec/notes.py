"""What long work says while it runs. Whoever shows it decides how; the work knows nothing of a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Note: TypeAlias = Callable[[str, int, int | None], object]
"""Hears what is being done, how much of that is done, and how much there is; None where nobody knows."""


def silent(what: str, done: int, total: int | None) -> None:
    """The note of who does not listen."""


def counting(note: Note, what: str, total: int | None) -> Callable[[int], None]:
    """A function that hears of every further part and notes the sum; the work is noted as begun at once."""
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        note(what, done, total)

    note(what, done, total)
    return advance
