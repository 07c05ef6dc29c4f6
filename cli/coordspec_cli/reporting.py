"""Options that every checking command shares: report formats, where they go, and the exit status."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO, TypeVar

import click

from coordspec.errors import InputError, Issue
from coordspec.findings.formats import FORMATS, write_report
from coordspec.findings.outcome import Outcome
from coordspec.findings.visible import Role, plain, sentence, shown, visible
from coordspec.jsonl.write import refuse_output, write_whole
from coordspec_cli.main import EXIT_CLEAN, EXIT_FINDINGS, EXIT_USAGE, silence_stdout

_COLOURS: Final[dict[Role, dict[str, Any]]] = {
    "error": {"fg": "red", "bold": True},
    "warning": {"fg": "yellow"},
    "advice": {"fg": "cyan"},
    "path": {"bold": True},
    "dim": {"dim": True},
    "ok": {"fg": "green"},
}
_META: Final = "coordspec.reports"
F = TypeVar("F", bound=Callable[..., Any])


class ChosenReport(NamedTuple):
    """A format and the file it goes to; None is standard output."""

    form: str
    path: Path | None


class ReportingCommand(click.Command):
    """A command with ``report_options``: each ``-o`` belongs to the ``--format`` right before it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        opts, _, order = self.make_parser(ctx).parse_args(list(args))
        values = {name: iter(opts.get(name) or ()) for name in ("formats", "outputs")}
        reports: list[ChosenReport] = []
        for name in (param.name for param in order):
            if name == "formats":
                reports.append(ChosenReport(next(values[name]), None))
            elif name == "outputs":
                path = Path(next(values[name]))
                if not reports:
                    reports.append(ChosenReport("text", None))
                if reports[-1].path is not None:
                    ctx.fail(f"-o {path} follows no --format of its own; write --format NAME -o {path}")
                reports[-1] = ChosenReport(reports[-1].form, path)
        ctx.meta[_META] = reports or [ChosenReport("text", None)]
        return super().parse_args(ctx, args)


def report_options(command: F) -> F:
    """Add ``--format`` and ``-o`` to a ``ReportingCommand``."""
    command = click.option(
        "-o",
        "--output",
        "outputs",
        type=click.Path(path_type=Path),
        multiple=True,
        expose_value=False,
        help="File for the --format before it (text if none is), replaced if it exists. Without it: standard output.",
    )(command)
    return click.option(
        "--format",
        "formats",
        type=click.Choice(list(FORMATS)),
        multiple=True,
        expose_value=False,
        help="Form of the report; text if none is given. May be repeated, each with an -o of its own.",
    )(command)


def chosen_reports(ctx: click.Context, sources: Sequence[str]) -> list[ChosenReport]:
    """The reports asked for.

    Raises:
        InputError: a report would replace one of the ``sources``, or two reports would go to the same place.
    """
    reports: list[ChosenReport] = ctx.meta[_META]
    places = [report.path for report in reports]
    for path in places:
        if places.count(path) > 1:
            raise InputError(str(path or "standard output"), "is named for two reports; give each an -o of its own")
        if path is not None:
            refuse_output(path, overwrite=True, sources=sources)
    return reports


def emit(reports: Sequence[ChosenReport], outcome: Outcome) -> int:
    """Write the reports; returns the exit status, which a reader that hangs up does not change."""
    status = exit_status(outcome)
    for report in reports:
        if report.path is not None:
            text = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
            write_report(outcome, report.form, text)
            text.flush()
            with write_whole(report.path, overwrite=True) as stream:
                stream.write(text.buffer.getvalue())
            continue
        try:
            write_report(outcome, report.form, sys.stdout, colour if colourful(sys.stdout) else plain)
            sys.stdout.flush()
        except BrokenPipeError:
            silence_stdout()
    return status


def write_issues(issues: Sequence[Issue], stream: TextIO) -> None:
    """Findings that ended a command, outside of a report: one line each, and a hint."""
    for issue in issues:
        place = click.style(visible(str(issue.place)), **_COLOURS["path"])
        click.echo(f"{place}: error: {sentence(issue)} ({issue.code} {issue.name})", file=stream)
        click.echo(f"    hint: {shown(issue.hint)}", file=stream)


def exit_status(outcome: Outcome) -> int:
    """2 if an input could not be read, else 1 if there are errors, else 0."""
    if outcome.unreadable:
        return EXIT_USAGE
    return EXIT_FINDINGS if outcome.errors else EXIT_CLEAN


def colourful(stream: TextIO) -> bool:
    """True on a terminal, unless the user wants no colours (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def colour(text: str, role: Role) -> str:
    """The style of a terminal."""
    return click.style(text, **_COLOURS[role])
