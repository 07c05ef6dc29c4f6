"""The tasks of a change: lines with a box, ticked or open, as openspec counts them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from coordspec.spec.markdown import LineKind, MarkdownText, TextLine, plain_lines, take_apart

# openspec's own pattern: any list marker, at most one character in the box, and no link, which is text in brackets too.
_TASK: Final = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])\s*\[(?:\s*(?P<mark>[^\]\s]?)\s*\](?![(\[])|\s+\])\s*(?P<text>.*)")


@dataclass(frozen=True, slots=True)
class ChangeTask:
    """One task; only an ``x`` in its box, of either case, ticks it."""

    line: int
    ticked: bool
    text: str


def read_tasks(text: str) -> list[ChangeTask]:
    """Every task of a text: ``- [x]``, ``* [ ]``, ``1. [~]``, at any depth, with the number of its line from 1.

    What stands in a fence that is closed is an example and no task. An unclosed fence hides nothing, nor does a
    comment: openspec counts every line, and a gate must not be opened by a stray fence.
    """
    found = ((line, _TASK.match(line.text)) for line in _live(take_apart(plain_lines(text))))
    return [
        ChangeTask(line.number, (match["mark"] or "").lower() == "x", match["text"].strip())
        for line, match in found
        if match
    ]


def ticked_lines(text: str) -> list[int]:
    """The lines of the ticked tasks."""
    return [task.line for task in read_tasks(text) if task.ticked]


def _live(scanned: MarkdownText) -> Iterator[TextLine]:
    unclosed = {mark.line for mark in scanned.unclosed}
    fence = 0  # the last line that is a fence: the opening one, where code follows
    for line in scanned.lines:
        if line.kind is LineKind.FENCE:
            fence = line.number
        elif line.kind is not LineKind.CODE or fence in unclosed:
            yield line
