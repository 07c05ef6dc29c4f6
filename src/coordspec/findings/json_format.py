r"""An outcome as one JSON document, and its parts as JSON values. Every other machine format is made of these.

The keys are documented in docs/formats.md. The text is ASCII and strict JSON: lone surrogates, which a string from the
data may hold and strict readers refuse even as escapes, stand in it as the six characters ``\udXXX``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TextIO

from coordspec import __version__
from coordspec.contracts import rule_book
from coordspec.errors import Issue
from coordspec.findings.outcome import Outcome
from coordspec.findings.visible import encodable


def write_json(outcome: Outcome, stream: TextIO) -> None:
    """One JSON document on one line: version, summary, issues, truncated, and notes and unreadable if there are any."""
    report = {
        "version": __version__,
        "summary": summary_value(outcome),
        "issues": [issue_value(issue) for issue in outcome.issues],
        "truncated": outcome.truncated,
        **remarks_value(outcome),
    }
    stream.write(json_line(report))


def json_line(value: object) -> str:
    """The value as compact ASCII JSON with a line feed behind it."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False) + "\n"


def issue_value(issue: Issue) -> dict[str, Any]:
    """One finding; ``line``, ``column``, ``byte_offset`` and ``pointer`` are None where its place has none."""
    place = issue.place
    return {
        "code": issue.code,
        "name": issue.name,
        "severity": issue.severity.value,
        "path": encodable(place.path),
        "line": place.line,
        "column": place.column,
        "byte_offset": place.byte_offset,
        "pointer": None if place.pointer is None else encodable(place.pointer),
        "message": encodable(issue.message),
        "hint": encodable(issue.hint),
    }


def summary_value(outcome: Outcome) -> dict[str, Any]:
    """The counts; ``by_rule`` by rule name, in the order of the codes."""
    return {
        "files": len(outcome.files),
        "records": outcome.records,
        "valid": outcome.valid,
        "invalid": outcome.invalid,
        "errors": outcome.errors,
        "warnings": outcome.warnings,
        "by_rule": by_code(outcome.by_rule),
    }


def by_code(by_rule: Mapping[str, int]) -> dict[str, int]:
    """Counts by rule name, in the order of the rules' codes."""
    rules = rule_book().by_name
    return {name: by_rule[name] for name in sorted(by_rule, key=lambda name: rules[name].code)}


def remarks_value(outcome: Outcome) -> dict[str, Any]:
    """``notes`` and ``unreadable``, each only where there is any."""
    remarks: dict[str, Any] = {}
    if outcome.notes:
        remarks["notes"] = [encodable(note) for note in outcome.notes]
    if outcome.unreadable:
        remarks["unreadable"] = [
            {"path": encodable(error.subject), "reason": encodable(error.reason)} for error in outcome.unreadable
        ]
    return remarks
