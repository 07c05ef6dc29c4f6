"""The digest of a scenario: the same for the same words, another for any other word, number, cell or block."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Final

from coordspec.spec.lines import Kind, Line, plain_lines, scan

DIGEST_CHARS: Final = 12

_BULLET: Final = re.compile(r"[-*+](?=\s)")
_NUMBER: Final = re.compile(r"(\d{1,9})[.)](?=\s)")
_RULER: Final = re.compile(r":?-+:?")
_DASHES: Final = re.compile(r"-+")
_CELL_END: Final = re.compile(r"(?<!\\)\|")


def scenario_digest(body: str) -> str:
    """Twelve hexadecimal digits over the normalised body of a scenario.

    Line ends, blank lines, indentation, where prose is wrapped, runs of white space, the width of table cells, the
    character of list markers and of fences make no difference. Everything else does; in a fenced block that is every
    character but white space at the ends of lines.
    """
    return hashlib.sha256(normalised(body).encode()).hexdigest()[:DIGEST_CHARS]


def normalised(body: str) -> str:
    """The body as the digest sees it: prose as one line for each list item, row or block around it."""
    scanned = scan(plain_lines(body))
    blocks = {block.line: f"```{block.info}\n{block.text}```" for block in scanned.blocks}
    parts: list[str] = []
    joins = False
    for line in scanned.lines:
        if line.kind in (Kind.CODE, Kind.FENCE):
            parts += [blocks[line.number]] if line.number in blocks else []
            joins = False
            continue
        for text, starts in _pieces(line):
            if starts or not joins:
                parts.append(text)
            else:
                parts[-1] += " " + text
            joins = not text.startswith("|")
    return "\n".join(parts)


def _pieces(line: Line) -> Iterator[tuple[str, bool]]:
    """The words of a line in one string, and whether it starts something new; nothing for a blank line."""
    text = " ".join(line.text.split())
    if not text:
        return
    if text.startswith("|"):
        cells = [cell.strip() for cell in _CELL_END.split(text)[1:]]
        cells = cells[:-1] if cells[-1:] == [""] else cells
        ruler = all(map(_RULER.fullmatch, cells))
        yield "|" + "|".join(_DASHES.sub("-", cell) if ruler else cell for cell in cells), True
        return
    marked = _NUMBER.sub(r"\1.", _BULLET.sub("-", text, count=1), count=1) if _starts_item(text) else text
    yield marked, marked != text or _starts_item(text)


def _starts_item(text: str) -> bool:
    return bool(_BULLET.match(text) or _NUMBER.match(text))
