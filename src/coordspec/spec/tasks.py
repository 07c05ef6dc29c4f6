"""Which tasks of a change are ticked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from coordspec.spec.lines import Kind, Line, Scan, plain_lines, scan

_TICKED: Final = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])\s*\[\s*[xX]\s*\](?![(\[])")


def ticked_lines(text: str) -> list[int]:
    """Numbers of the lines, from 1, that hold a ticked task: ``- [x]``, ``* [X]``, ``1. [x]``, at any depth.

    What stands in a fence that is closed is an example and no task. An unclosed fence hides nothing, nor does a
    comment: openspec counts every line, and a gate must not be opened by a stray fence.
    """
    return [line.number for line in _live(scan(plain_lines(text))) if _TICKED.match(line.text)]


def _live(scanned: Scan) -> Iterator[Line]:
    unclosed = {mark.line for mark in scanned.unclosed}
    fence = 0  # the last line that is a fence: the opening one, where code follows
    for line in scanned.lines:
        if line.kind is Kind.FENCE:
            fence = line.number
        elif line.kind is not Kind.CODE or fence in unclosed:
            yield line
