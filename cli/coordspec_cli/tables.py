"""Plain tables and lines, the same for every command: they fit a terminal, and stay whole for grep."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Final, NamedTuple, TextIO

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from coordspec.findings.visible import visible

_ENDLESS: Final = 1 << 20
_ROOM: Final = 28  # columns that a text needs beside its head


class Titled(NamedTuple):
    """A table and the line above it."""

    title: str
    table: Table


def terminal_width(stream: TextIO) -> int | None:
    """The columns of the terminal behind a stream; None where there is none, and so nothing to fit."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def hung(head: str, text: str, width: int | None) -> list[str]:
    """``head`` and ``text`` on one line, or on several that fit ``width`` columns. Nothing is left out.

    The further lines begin below the text, or 4 columns further in than the head where that leaves too little room.
    """
    if width is None or len(head) + len(text) <= width:
        return [head + text]
    if width - len(head) >= _ROOM:
        first, *rest = wrap(text, width - len(head), break_on_hyphens=False)
        return [head + first, *(" " * len(head) + line for line in rest)]
    begin = head[: len(head) - len(head.lstrip())]
    lines = wrap(head.strip(), max(width - len(begin), 1), break_on_hyphens=False)
    below = wrap(text, max(width - len(begin) - 4, 1), break_on_hyphens=False)
    return [*(begin + line for line in lines), *(f"{begin}    {line}" for line in below)]


def show(parts: Iterable[Titled], err: bool = False) -> None:
    """Print tables one below the other; what the output's encoding does not have is written as escapes."""
    stream = sys.stderr if err else sys.stdout
    # lines of a file or a pipe are as long as they are
    console = Console(file=stream, highlight=False, width=terminal_width(stream) or _ENDLESS)
    with console.capture() as captured:
        for i, (title, table) in enumerate(parts):
            console.print(*[Text()] * (i > 0), Text(title, style="bold"), sep="\n")
            console.print(table)
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    encoding = stream.encoding or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), err=err)


def titled(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | int]], *, words: bool = False) -> Titled:
    """A table with a column of text and others of numbers, or of ``words`` alone.

    Cells are shown as they are: no markup, no control codes.
    """
    made = Table(box=None, pad_edge=False, show_header=any(columns))
    for i, name in enumerate(columns):
        made.add_column(name, justify="right" if i and not words else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else visible(cell)) for cell in row))
    return Titled(title, made)
