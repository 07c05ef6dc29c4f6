"""``coordspec gate``: may this tree be merged?"""

from __future__ import annotations

from pathlib import Path

import click

from coordspec.spec.gate import gate
from coordspec.spec.lint import artifacts
from coordspec.spec.openspec_cli import TIMEOUT_S
from coordspec_cli.reporting import ReportingCommand, chosen_reports, emit, report_options


@click.command("gate", cls=ReportingCommand)
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    show_default="this folder",
    help="The folder that holds openspec/.",
)
@click.option(
    "--openspec",
    type=click.Path(path_type=Path),
    help="The OpenSpec command line.  [default: node_modules/.bin of the root or a folder above it, else PATH]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long the OpenSpec command line may take.",
)
@click.option("--complete", is_flag=True, help="Ask for all artifacts of every change, not only for their order.")
@report_options
@click.pass_context
def command(ctx: click.Context, *, root: Path, openspec: Path | None, timeout: float, complete: bool) -> int:
    """A tree passes whose specs are sound, whose changes are in order, and whose every scenario has a test that passed.

    An artifact of a change that is not written yet is a note, unless something is ahead of it: code, a ticked task,
    another artifact. Run the tests before it: it reads the outcomes that their plugin left in .coordspec/outcomes.json.

    Exit status: 0 passed, 1 findings at error level, 2 wrong usage, or the OpenSpec command line is missing or broken.
    """
    reports = chosen_reports(ctx, [str(path) for path in artifacts(root)])
    return emit(reports, gate(root, openspec, timeout, complete=complete))
