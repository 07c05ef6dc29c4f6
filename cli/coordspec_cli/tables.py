"""Plain tables for the terminal, the same for every command."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from coordspec.findings.visible import shown

_CELL_CHARS: Final = 60


class Titled(NamedTuple):
    """A table and the line above it."""

    title: str
    table: Table


def show(parts: Iterable[Titled], err: bool = False) -> None:
    """Print tables one below the other; what the output's encoding does not have is written as escapes."""
    stream = sys.stderr if err else sys.stdout
    console = Console(file=stream, highlight=False)
    with console.capture() as captured:
        for i, (title, table) in enumerate(parts):
            console.print(*[Text()] * (i > 0), Text(title, style="bold"), sep="\n", soft_wrap=True)
            console.print(table)
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    encoding = stream.encoding or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), err=err)


def titled(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | int]], *, words: bool = False) -> Titled:
    """A table with a column of text and others of numbers, or of ``words`` alone. Cells are shown as they are: no markup, no control codes."""
    made = Table(box=None, pad_edge=False, show_header=any(columns))
    for i, name in enumerate(columns):
        made.add_column(name, justify="right" if i and not words else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else shown(cell, _CELL_CHARS)) for cell in row))
    return Titled(title, made)
