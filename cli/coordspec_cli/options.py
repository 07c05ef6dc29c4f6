"""Options that several commands have, with one meaning and one default."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from coordspec.checks.finding import CoordSpace
from coordspec.contracts import rule_book
from coordspec.jsonl.inputs import MAX_LINE_BYTES

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
        default=MAX_LINE_BYTES,
        show_default=True,
        metavar="N",
        help=f"Longest line that is read; {text}",
    )


def _output_options(suffix: str) -> Callable[[F], F]:
    """``-o OUT`` and ``--overwrite`` of a command that writes a file with that suffix, compressed or not."""

    def add(command: F) -> F:
        command = click.option(
            "--overwrite", is_flag=True, help="Replace OUT if it exists. What is read is never replaced."
        )(command)
        text = f"File to write ({suffix}, .gz, .zst); - is stdout."
        return click.option("-o", "--output", "out", metavar="OUT", required=True, help=text)(command)

    return add


output_options = _output_options(".jsonl")
"""The options of a command that writes a contract file."""

json_output_options = _output_options(".json")
"""The options of a command that writes one JSON document."""


def rule_options(subject: str) -> Callable[[F], F]:
    """``--select`` and ``--ignore`` over the rules on one subject; both give the command a set of names."""

    def names(_ctx: click.Context, _param: click.Parameter, words: Sequence[str]) -> frozenset[str]:
        try:
            return rule_book().about(subject).select([word for item in words for word in item.split(",")])
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    def add(command: F) -> F:
        command = click.option(
            "--ignore",
            multiple=True,
            callback=names,
            metavar="RULES",
            help="All but these rules. Wins over --select.",
        )(command)
        return click.option(
            "--select",
            multiple=True,
            callback=names,
            metavar="RULES",
            help="Only these rules: names, codes or families, separated by commas. May be repeated.",
        )(command)

    return add
