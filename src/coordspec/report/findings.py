"""The findings of the validator, as the page lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from coordspec.contracts import rule
from coordspec.errors import Issue
from coordspec.findings.outcome import Outcome
from coordspec.findings.visible import sentence, shown
from coordspec.notes import Note, counting
from coordspec.validate.explain import ValidateOptions
from coordspec.validate.run import Plan, input_bytes, validate_files

MAX_LISTED: Final = 300
"""Findings of each severity that are listed. All are counted."""


def validated(path: str, max_line_bytes: int, note: Note) -> Outcome:
    """What `coordspec validate` finds in a file, its images left alone.

    Raises:
        InputError: the file cannot be read to its end.
    """
    plan = Plan(progress=counting(note, "checking", input_bytes([path])))
    options = ValidateOptions(max_line_bytes=max_line_bytes, max_listed=MAX_LISTED)
    outcome = validate_files([path], options, plan).outcome
    if outcome.unreadable:
        raise outcome.unreadable[0]
    return outcome


def findings_value(outcome: Outcome, others: Sequence[Issue] = ()) -> dict[str, Any]:
    """The findings as JSON: how often each rule was broken, and the first findings with place and message.

    ``others`` are findings that the outcome does not have.
    """
    counts = {**outcome.by_rule}
    for issue in others:
        counts[issue.name] = counts.get(issue.name, 0) + 1
    issues = [*others[:MAX_LISTED], *outcome.issues]
    return {
        "total": sum(counts.values()),
        "rules": [_rule(name, count) for name, count in counts.items()],
        "listed": [_listed(issue) for issue in issues],
    }


def _rule(name: str, count: int) -> Mapping[str, Any]:
    found = rule(name)
    return {"code": found.code, "name": name, "severity": found.severity.value, "count": count, "why": found.why}


def _listed(issue: Issue) -> Mapping[str, Any]:
    return {
        "place": shown(str(issue.place)),
        "line": issue.place.line,
        "code": issue.code,
        "name": issue.name,
        "severity": issue.severity.value,
        "message": sentence(issue),
        "hint": shown(issue.hint),
    }
