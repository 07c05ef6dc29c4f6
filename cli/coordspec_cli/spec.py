"""``coordspec spec``: scenarios and the tests that show them, and what OpenSpec lets through."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import click

from coordspec.errors import InputError, Issue, Severity
from coordspec.findings.explain import markdown_text
from coordspec.findings.outcome import Outcome
from coordspec.findings.visible import encodable, plural, shown, write_line
from coordspec.spec.coverage import OUTCOMES, Coverage, CoverageRow, coverage
from coordspec.spec.document import SPECS
from coordspec.spec.lint import archived_tasks, artifacts, lint_tree
from coordspec_cli.main import EXIT_CLEAN, EXIT_FINDINGS
from coordspec_cli.reporting import ReportingCommand, chosen_reports, emit, report_options

_ROOT: Final = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The folder that holds openspec/.  [default: this folder]",
)


@click.group("spec")
def command() -> None:
    pass


# ---------------------------------------------------------------- coverage


@command.command("coverage")
@_ROOT
@click.option("--format", "form", type=click.Choice(["table", "json", "markdown"]), default="table", show_default=True)
@click.option("--outcomes", type=click.Path(dir_okay=False, path_type=Path),
              help="What pytest left of its last run.  [default: .coordspec/outcomes.json below the root]")  # fmt: skip
@click.option("--bindings", type=click.Path(path_type=Path), multiple=True,
              help="File or folder of bindings, below the root. May be repeated.  [default: as pytest]")  # fmt: skip
def coverage_command(root: Path, form: str, outcomes: Path | None, bindings: tuple[Path, ...]) -> int:
    """List every scenario with the test that is bound to it and how that test ended when it was last run.

    Only a test that passed covers its scenario, and only as long as neither the scenario nor the binding has changed
    since; a skipped test, or one that is expected to fail, covers nothing. Run pytest first.

    Exit status: 0 if every scenario is covered and every sentence read, 1 if not, 2 wrong usage or unreadable input.
    """
    _check_root(root)
    found = coverage(root, outcomes or root / OUTCOMES, bindings or None)
    for line in _FORMS[form](found):
        write_line(sys.stdout, line)
    return EXIT_CLEAN if found.total and found.complete else EXIT_FINDINGS


def _table(found: Coverage) -> Iterator[str]:
    scenarios = max((len(shown(row.scenario)) for row in found.rows), default=0)
    outcomes = max((len(_outcome(row)) for row in found.rows), default=0)
    for path, requirements in _grouped(found.rows):
        yield path
        for requirement, rows in requirements:
            yield f"  {requirement}"
            for row in rows:
                sign = "✓" if row.covered else "✗"
                name = f"{shown(row.scenario):<{scenarios}}"
                yield f"    {sign} {_outcome(row):<{outcomes}}  {name}  {row.binding or ''}".rstrip()
        yield ""
    for fault in _faults(found):
        yield f"error: {shown(fault)}"
    yield _verdict(found)


def _faults(found: Coverage) -> list[str]:
    """What is wrong beside single scenarios."""
    return [*found.faults, *(unread.message for unread in found.unread)]


def _grouped(rows: Sequence[CoverageRow]) -> Iterator[tuple[str, list[tuple[str, list[CoverageRow]]]]]:
    """The rows by spec and requirement, in their order."""
    for path, below in groupby(rows, key=lambda row: row.path):
        yield path, [(shown(title), list(found)) for title, found in groupby(below, key=lambda row: row.requirement)]


def _outcome(row: CoverageRow) -> str:
    if row.binding is None:
        return "unbound"
    return row.outcome or "not run"


def _verdict(found: Coverage) -> str:
    if not found.total:
        return f"✗ there is no scenario in {SPECS}"
    share = 100 * found.covered // found.total
    sign = "✓" if found.complete else "✗"
    faults = f", {plural(len(found.faults), 'fault')} in bindings" if found.faults else ""
    unread = f", {plural(len(found.unread), 'digest')} to renew" if found.unread else ""
    return f"{sign} {found.covered} of {plural(found.total, 'scenario')} covered ({share} %){faults}{unread}"


def _json(found: Coverage) -> Iterator[str]:
    rows = [{**_row(row), "covered": row.covered} for row in found.rows]
    value = {"total": found.total, "covered": found.covered, "faults": _faults(found), "scenarios": rows}
    yield json.dumps(value, indent=2)


def _row(row: CoverageRow) -> dict[str, Any]:
    names = ("capability", "requirement", "scenario", "path", "line", "binding", "outcome")
    values = {name: getattr(row, name) for name in names}
    return {name: encodable(value) if isinstance(value, str) else value for name, value in values.items()}


def _markdown(found: Coverage) -> Iterator[str]:
    yield from ("# Coverage of scenarios", "", _verdict(found), "")
    for path, requirements in _grouped(found.rows):
        yield from (
            f"## {markdown_text(path)}",
            "",
            "| Requirement | Scenario | Binding | Last outcome |",
            "| --- " * 4 + "|",
        )
        for requirement, rows in requirements:
            for row in rows:
                binding = f"`{row.binding}`" if row.binding else ""
                cells = (markdown_text(requirement), markdown_text(shown(row.scenario)), binding, _outcome(row))
                yield f"| {' | '.join(cells)} |"
        yield ""
    if faults := _faults(found):
        yield from ("## Faults", "", *(f"- {markdown_text(shown(fault))}" for fault in faults))


_FORMS: Final[Mapping[str, Callable[[Coverage], Iterable[str]]]] = {
    "table": _table,
    "json": _json,
    "markdown": _markdown,
}


# ---------------------------------------------------------------- lint


@command.command("lint", cls=ReportingCommand)
@_ROOT
@report_options
@click.pass_context
def lint_command(ctx: click.Context, root: Path) -> int:
    """Find what OpenSpec lets through, in main specs, in open changes and in archived tasks.

    Scenarios without WHEN or THEN, titles that stand twice, fences that are not closed, headings in comments, without
    their space or of the wrong level, files that say nothing, scenarios that a change would lose, tasks without boxes.
    `coordspec rules --family SPC` lists all.

    Exit status: 0 clean, 1 findings at error level, 2 wrong usage or unreadable input.
    """
    _check_root(root)
    files = [str(path) for path in (*artifacts(root), *archived_tasks(root))]
    reports = chosen_reports(ctx, files)
    issues = [
        replace(issue, place=replace(issue.place, path=str(root / issue.place.path))) for issue in lint_tree(root)
    ]
    return emit(reports, _lint_outcome(files, issues))


def _lint_outcome(files: Sequence[str], issues: Sequence[Issue]) -> Outcome:
    """Each file is a record of the report."""
    errors = [issue for issue in issues if issue.severity is Severity.ERROR]
    invalid = len({issue.place.path for issue in errors})
    return Outcome(
        files=tuple(files),
        records=len(files),
        valid=len(files) - invalid,
        invalid=invalid,
        errors=len(errors),
        warnings=sum(issue.severity is Severity.WARNING for issue in issues),
        by_rule=Counter(issue.name for issue in issues),
        issues=tuple(issues),
        notes=("each file of specs, open changes and archived tasks is a record of this report",),
    )


def _check_root(root: Path) -> None:
    if not (root / SPECS.parent).is_dir():
        raise InputError(str(root), "holds no folder openspec/; name the folder that does as --root")
