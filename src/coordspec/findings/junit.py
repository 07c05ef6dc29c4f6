"""An outcome as JUnit XML, which CI servers read as test results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, TextIO
from xml.etree import ElementTree as ET

from coordspec.errors import InputError, Issue, Severity
from coordspec.findings.outcome import Outcome
from coordspec.findings.text import left_out
from coordspec.findings.visible import plural, sentence, shown, visible

LISTED: Final = 20
"""Findings of one rule in one file that are written out; CI servers load the whole report into a page."""


def write_junit(outcome: Outcome, stream: TextIO) -> None:
    """ASCII XML: a suite for each file, and in it a case for each rule that was broken, or one that passes.

    Findings at error level make a case fail, others stand in its ``system-out``. An unreadable input is a case with an
    ``error``. Where errors were counted and not listed, files without a listed finding are ``skipped`` instead of
    passed, and a suite ``coordspec`` fails for what is missing; the counts of the suites are of cases, not of findings.
    """
    root = _totals(ET.Element("testsuites", name="coordspec"), list(_suites(outcome)))
    ET.indent(root)
    stream.write(ET.tostring(root, encoding="us-ascii", xml_declaration=True).decode("ascii") + "\n")


def _suites(outcome: Outcome) -> Iterable[ET.Element]:
    hidden_errors = _hidden_errors(outcome)
    by_path: dict[str, list[Issue]] = {path: [] for path in outcome.files}
    for issue in outcome.issues:
        by_path.setdefault(issue.place.path, []).append(issue)
    for error in outcome.unreadable:
        by_path.setdefault(error.subject, [])
    for path, issues in by_path.items():
        cases = [_error_case(error) for error in outcome.unreadable if error.subject == path]
        cases += _rule_cases(path, issues)
        yield _suite(path, cases or [_clean_case(path, hidden_errors)])
    remarks = _remarks(outcome, hidden_errors)
    if remarks:
        yield _suite("coordspec", remarks)


def _hidden_errors(outcome: Outcome) -> int:
    listed = sum(1 for issue in outcome.issues if issue.severity is Severity.ERROR)
    return max(0, outcome.errors - listed) if outcome.truncated else 0


def _suite(name: str, cases: Sequence[ET.Element]) -> ET.Element:
    return _totals(ET.Element("testsuite", name=visible(name)), cases)


def _totals(element: ET.Element, parts: Sequence[ET.Element]) -> ET.Element:
    """The element with its parts in it, and the counts of the cases below as its attributes."""
    element.extend(parts)
    for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(attribute, str(sum(1 for _ in element.iter(tag))))
    element.set("time", "0")
    return element


def _case(path: str, name: str) -> ET.Element:
    return ET.Element("testcase", classname=visible(path), name=name, time="0")


def _rule_cases(path: str, issues: Iterable[Issue]) -> list[ET.Element]:
    ordered = sorted(issues, key=lambda issue: issue.code)
    return [_rule_case(path, name, list(group)) for name, group in groupby(ordered, key=lambda issue: issue.name)]


def _rule_case(path: str, name: str, issues: Sequence[Issue]) -> ET.Element:
    case = _case(path, f"{issues[0].code} {name}")
    errors = [issue for issue in issues if issue.severity is Severity.ERROR]
    others = [issue for issue in issues if issue.severity is not Severity.ERROR]
    if errors:
        failure = ET.SubElement(case, "failure", message=plural(len(errors), "finding"), type=issues[0].code)
        failure.text = _listed(errors)
    if others:
        ET.SubElement(case, "system-out").text = _listed(others)
    return case


def _listed(issues: Sequence[Issue]) -> str:
    lines = [f"{visible(str(i.place))}: {i.severity.value}: {sentence(i)}" for i in issues[:LISTED]]
    if len(issues) > LISTED:
        lines.append(f"… and {len(issues) - LISTED} more")
    hints = dict.fromkeys(f"hint: {shown(issue.hint)}" for issue in issues[:LISTED] if issue.hint)
    return "\n".join([*lines, *hints])


def _error_case(error: InputError) -> ET.Element:
    case = _case(error.subject, "readable")
    ET.SubElement(case, "error", message=shown(error.reason), type="unreadable")
    return case


def _clean_case(path: str, hidden_errors: int) -> ET.Element:
    case = _case(path, "valid")
    if hidden_errors:
        ET.SubElement(case, "skipped", message="no finding of this file is listed; see the suite coordspec")
    return case


def _remarks(outcome: Outcome, hidden_errors: int) -> list[ET.Element]:
    cases = []
    missing = left_out(outcome)
    if missing:
        case = _case("coordspec", "all findings are listed")
        message = f"{plural(missing, 'more finding')} not listed (--max-errors)"
        ET.SubElement(case, "failure" if hidden_errors else "skipped", message=message)
        cases.append(case)
    if outcome.notes:
        case = _case("coordspec", "notes")
        ET.SubElement(case, "system-out").text = "\n".join(map(shown, outcome.notes))
        cases.append(case)
    return cases
