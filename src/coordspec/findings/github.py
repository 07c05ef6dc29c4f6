"""An outcome as workflow commands, which GitHub Actions turns into annotations of a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TextIO

from coordspec.errors import Issue, Severity
from coordspec.findings.outcome import Outcome
from coordspec.findings.text import verdict
from coordspec.findings.visible import plural, sentence, shown, visible, write_line

MAX_ANNOTATIONS: Final = 10
"""Annotations of one kind (error, warning, notice) that GitHub shows for a step; it drops the rest without a word
(docs.github.com, workflow commands for GitHub Actions; actions/toolkit, docs/problem-matchers.md, limitations)."""

_COMMANDS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.ADVICE: "notice"}


def write_github(outcome: Outcome, stream: TextIO) -> None:
    """At most ten annotations of each kind, one notice about what was left out, and the verdict as a plain log line.

    Unreadable inputs come first. Of the findings, the first one of every rule is chosen, then the others in the order
    of the files, as far as the limit allows; what is chosen is written in the order of the files.
    """
    for line in github_lines(outcome):
        write_line(stream, line)


def github_lines(outcome: Outcome) -> Iterator[str]:
    """The lines that ``write_github`` writes."""
    unreadable = outcome.unreadable[:MAX_ANNOTATIONS]
    for error in unreadable:
        yield command("error", {"file": error.subject, "title": "unreadable input"}, shown(error.reason))
    room = {
        Severity.ERROR: MAX_ANNOTATIONS - len(unreadable),
        Severity.WARNING: MAX_ANNOTATIONS,
        Severity.ADVICE: MAX_ANNOTATIONS - 1,  # the last notice is about the others
    }
    chosen = {index for severity, limit in room.items() for index in _choose(outcome.issues, severity, limit)}
    for index in sorted(chosen):
        yield _annotation(outcome.issues[index])
    total = sum(outcome.by_rule.values()) + len(outcome.unreadable)
    missing = total - len(chosen) - len(unreadable)
    remarks = [_remark(missing)] if missing > 0 else []
    remarks += [shown(note) for note in outcome.notes]
    if remarks:
        yield command("notice", {"title": "coordspec"}, "\n".join(remarks))
    yield verdict(outcome)


def _remark(missing: int) -> str:
    verb = "is" if missing == 1 else "are"
    return (
        f"{plural(missing, 'more finding')} {verb} not shown: GitHub shows {MAX_ANNOTATIONS} errors and "
        f"{MAX_ANNOTATIONS} warnings a step. See all of them with --format text, or upload --format sarif to code "
        "scanning."
    )


def _choose(issues: Sequence[Issue], severity: Severity, limit: int) -> list[int]:
    """Indices of at most ``limit`` findings: the first one of every rule, then the earliest others."""
    indices = [index for index, issue in enumerate(issues) if issue.severity is severity]
    first: dict[str, int] = {}
    for index in indices:
        first.setdefault(issues[index].name, index)
    heads = list(first.values())
    return [*heads, *sorted(set(indices).difference(heads))][:limit]


def _annotation(issue: Issue) -> str:
    place = issue.place
    properties: dict[str, object] = {"file": place.path, "line": place.line, "col": place.column}
    properties["title"] = f"{issue.code} {issue.name}"
    text = sentence(issue) + (f"\nhint: {shown(issue.hint)}" if issue.hint else "")
    return command(_COMMANDS[issue.severity], {k: v for k, v in properties.items() if v is not None}, text)


def command(name: str, properties: dict[str, object], text: str) -> str:
    """``::name key=value,…::text``, escaped as actions/toolkit's ``core`` does (packages/core/src/command.ts)."""
    listed = ",".join(f"{key}={_property(visible(str(value)))}" for key, value in properties.items())
    return f"::{name} {listed}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
