"""Which tasks of a change are ticked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_TICKED: Final = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])\s*\[\s*[xX]\s*\](?![(\[])")


def ticked_lines(text: str) -> list[int]:
    """Numbers of the lines, from 1, that hold a ticked task: ``- [x]``, ``* [X]``, ``1. [x]``, at any depth.

    What stands in a fence that is closed is an example and no task. An unclosed fence hides nothing: openspec counts
    every line, and a gate must not be opened by a stray fence.
    """
    lines = re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff"))
    hidden = _fenced(lines)
    return [number for number, line in enumerate(lines, 1) if number not in hidden and _TICKED.match(line)]


def _fenced(lines: Sequence[str]) -> frozenset[int]:
    """Numbers of the lines inside closed fences (CommonMark 0.31, fenced code blocks)."""
    hidden: set[int] = set()
    opening: str | None = None
    start = 0
    for number, line in enumerate(lines, 1):
        match = _FENCE.match(line)
        if match is None:
            continue
        marks, rest = match.groups()
        if opening is None:
            if marks[0] == "~" or "`" not in rest:
                opening, start = marks, number
        elif marks[0] == opening[0] and len(marks) >= len(opening) and not rest.strip():
            hidden.update(range(start + 1, number))
            opening = None
    return frozenset(hidden)
