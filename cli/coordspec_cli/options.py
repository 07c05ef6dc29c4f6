"""Options that several commands have, with one meaning and one default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from coordspec.checks.finding import CoordSpace
from coordspec.contracts import rule

F = TypeVar("F", bound=Callable[..., Any])


def coord_space_option(text: str) -> Callable[[F], F]:
    """``--coord-space``: what the numbers of the input mean."""
    return click.option(
        "--coord-space",
        type=click.Choice([space.value for space in CoordSpace]),
        default=CoordSpace.NORM1000.value,
        show_default=True,
        help=text,
    )


def max_line_bytes_option(text: str) -> Callable[[F], F]:
    """``--max-line-bytes``, with the contract's limit as its default."""
    return click.option(
        "--max-line-bytes",
        type=click.IntRange(min=1),
        default=rule("too-long").params["max_line_bytes"],
        show_default=True,
        metavar="N",
        help=f"Longest line that is read; {text}",
    )


def output_options(command: F) -> F:
    """``-o OUT`` and ``--overwrite`` of a command that writes a contract file."""
    command = click.option(
        "--overwrite", is_flag=True, help="Replace OUT if it exists. What is read is never replaced."
    )(command)
    return click.option(
        "-o", "--output", "out", metavar="OUT", required=True, help="File to write (.jsonl, .gz, .zst); - is stdout."
    )(command)
