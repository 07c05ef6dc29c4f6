"""An outcome as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from coordspec.contracts import rule
from coordspec.errors import Issue, Severity
from coordspec.findings.json_format import by_code
from coordspec.findings.outcome import Outcome
from coordspec.findings.visible import Style, plain, plural, sentence, shown, visible, write_line


def write_text(outcome: Outcome, stream: TextIO, style: Style = plain) -> None:
    """Findings, a table by rule, unreadable inputs, notes, and one line that says it all.

    Text from the data is escaped (``visible``). A hint is shown where its text appears first and not again.
    """
    for line in text_lines(outcome, style):
        write_line(stream, line)


def text_lines(outcome: Outcome, style: Style = plain) -> Iterator[str]:
    """The lines that ``write_text`` writes."""
    hints: set[str] = set()
    for issue in outcome.issues:
        yield _finding(issue, style)
        if issue.hint and issue.hint not in hints:
            hints.add(issue.hint)
            yield style(f"    hint: {shown(issue.hint)}", "dim")
    more = left_out(outcome)
    if more:
        yield style(f"… {plural(more, 'more finding')} not listed (--max-errors)", "dim")
    if outcome.by_rule:
        yield from ["", *_table(outcome, style), ""]
    for error in outcome.unreadable:
        yield f"{style('error', 'error')}: {style(visible(error.subject), 'path')}: {shown(error.reason)}"
    for note in outcome.notes:
        yield f"{style('note', 'dim')}: {shown(note)}"
    yield verdict(outcome, style)


def left_out(outcome: Outcome) -> int:
    """How many findings were counted and are not listed; 0 unless the outcome is truncated."""
    return max(0, sum(outcome.by_rule.values()) - len(outcome.issues)) if outcome.truncated else 0


def _finding(issue: Issue, style: Style) -> str:
    place = style(visible(str(issue.place)), "path")
    severity = style(issue.severity.value, issue.severity.value)
    return f"{place}: {severity}: {sentence(issue)} {style(f'({issue.code} {issue.name})', 'dim')}"


def _table(outcome: Outcome, style: Style) -> Iterator[str]:
    counts = by_code(outcome.by_rule)
    found = {issue.name: issue.severity for issue in reversed(outcome.issues)}
    names = max(len(name) for name in counts)
    digits = max(len(str(count)) for count in counts.values())
    for name, count in counts.items():
        severity: Severity = found.get(name, rule(name).severity)
        label = style(f"{severity.value:<7}", severity.value)
        yield f"  {count:>{digits}}  {label}  {rule(name).code}  {name:<{names}}".rstrip()


def verdict(outcome: Outcome, style: Style = plain) -> str:
    """``✗ 3 errors, 1 warning in 2 of 10 records (1 file)`` or ``✓ 10 records in 1 file are valid``."""
    files, records = plural(len(outcome.files), "file"), plural(outcome.records, "record")
    warnings = [plural(outcome.warnings, "warning")] if outcome.warnings else []
    unreadable = [plural(len(outcome.unreadable), "unreadable input")] if outcome.unreadable else []
    if outcome.errors:
        what = ", ".join([plural(outcome.errors, "error"), *warnings])
        where = f"{outcome.invalid} of {records}" if outcome.invalid else records
        return style(", ".join([f"✗ {what} in {where} ({files})", *unreadable]), "error")
    if outcome.invalid and not unreadable:  # whatever is wrong with them stands in the baseline
        return style(f"✓ nothing that is not known in {records} ({files})", "ok")
    verb = "is" if outcome.records == 1 else "are"
    said = ", ".join([f"{records} in {files} {verb} valid", *warnings, *unreadable])
    return style(f"✗ {said}", "error") if unreadable else style(f"✓ {said}", "ok")
