"""``coordspec fix``: a repaired copy of a contract file."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from coordspec.checks.finding import CoordSpace
from coordspec.errors import Severity
from coordspec.findings.visible import encodable, plural, shown
from coordspec.jsonl.output import STDOUT, open_output
from coordspec.repair.files import RepairReport, repair_file
from coordspec.repair.lines import RepairOptions
from coordspec_cli.main import EXIT_CLEAN, EXIT_FINDINGS
from coordspec_cli.options import coord_space_option, max_line_bytes_option, output_options
from coordspec_cli.progress import reading
from coordspec_cli.tables import show, titled


@click.command("fix", epilog="Every repair is explained in `coordspec docs fix`.")
@click.argument("source", metavar="IN")
@output_options
@click.option(
    "--unsafe", is_flag=True, help="Also put the corners of inverted boxes in order; wrong if they are x, y, w, h."
)
@coord_space_option("What the coordinates are, for counting what is left; repairs are the same in both.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="The report: a table on stderr, or JSON on stdout (keys: `coordspec docs fix`).",
)
@max_line_bytes_option("a longer one stops the command.")
def command(
    *, source: str, out: str, overwrite: bool, unsafe: bool, coord_space: str, form: str, max_line_bytes: int
) -> int:
    """IN is a .jsonl file (also .gz, .zst; - for standard input). Renames the keys of older formats, flattens polygons
    of [x, y] pairs, drops a repeated closing point, corrects poly_points, and removes byte order marks and blank
    lines. All other text stays as it is, byte for byte. Exit status 1: findings at error level are left in OUT.
    """
    if form == "json" and out == STDOUT:
        raise click.UsageError("--format json writes the report to stdout; name a file for -o")
    options = RepairOptions(unsafe, CoordSpace(coord_space), max_line_bytes)
    with open_output(out, overwrite=overwrite, source=source) as stream, reading("repairing", [source]) as on_read:
        report = repair_file(source, stream, options, on_read)
    if form == "json":
        click.echo(json.dumps({"input": encodable(source), "output": encodable(out), **report.value()}, indent=2))
    else:
        _show_table(out, report)
    for note in _notes(report, out, coord_space):
        click.echo(f"note: {note}", err=True)
    return EXIT_FINDINGS if report.left_at(Severity.ERROR) else EXIT_CLEAN


def _show_table(out: str, report: RepairReport) -> None:
    counts = f"{plural(report.lines, 'line')} read, {report.changed} changed, {report.removed} removed"
    rows = list(_rows(report))
    if rows:
        show([titled(f"{shown(out)}: {counts}", ["", "repaired", "left", "severity"], rows)], err=True)
    else:
        click.echo(f"{shown(out)}: {counts}; nothing to repair, and nothing left", err=True)


def _rows(report: RepairReport) -> Iterator[tuple[str | int, ...]]:
    """One row for each repair made and each rule still broken: what costs most at the end, where it is seen."""
    left = {entry["rule"]: entry for entry in report.value()["left"]}
    for name in sorted(report.repaired.keys() - left.keys()):
        yield name, report.repaired[name], 0, ""
    for name, entry in sorted(left.items(), key=lambda item: (item[1]["severity"] == Severity.ERROR, item[0])):
        yield name, report.repaired[name], entry["count"], entry["severity"]


def _notes(report: RepairReport, out: str, coord_space: str) -> Iterator[str]:
    if report.repaired["legacy-key"]:
        yield "renamed boxes were taken as corners x1, y1, x2, y2; `coordspec validate` warns if they look otherwise"
    if report.left_at(Severity.ERROR) and out != STDOUT:
        option = "" if coord_space == CoordSpace.NORM1000 else f" --coord-space {coord_space}"
        yield f"`coordspec validate{option} {shown(out)}` says what is left, and where"
