"""An outcome as SARIF 2.1.0 (OASIS standard, Errata 01), cut to what GitHub code scanning takes in.

Section numbers are those of the standard; GitHub's limits are from docs.github.com, "SARIF support for code scanning".
"""

from __future__ import annotations

import gzip
import os
import posixpath
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, TextIO
from urllib.parse import quote

from coordspec import __version__
from coordspec.contracts import Rule, rule_book
from coordspec.errors import Issue, Severity, dotted_path, json_pointer
from coordspec.findings.explain import rule_markdown, rule_text, with_placeholders
from coordspec.findings.json_format import json_line
from coordspec.findings.outcome import Outcome
from coordspec.findings.visible import encodable, plural, shown
from coordspec.hashes import text_sha256

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MAX_RESULTS: Final = 25_000
"""Results of one run; GitHub refuses a file with more."""
SHOWN_RESULTS: Final = 5_000
"""Results of one run that GitHub keeps, by severity; this is why errors come first."""
MAX_GZIP_BYTES: Final = 10_000_000
"""Size of the file after gzip compression ("10 MB"; the smaller reading of it); GitHub refuses a larger one."""
MAX_TEXT_CHARS: Final = 1_000
"""Characters of a message or description; GitHub shows at most 1024 of a rule's descriptions."""
ROOT: Final = "%SRCROOT%"

_LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.ADVICE: "note"}
_ORDER: Final = list(_LEVELS)


def write_sarif(outcome: Outcome, stream: TextIO) -> None:
    """One SARIF log with one run: errors first, then warnings, then advice, each in the order of the files.

    At most ``MAX_RESULTS`` results and ``MAX_GZIP_BYTES`` compressed; where findings are left out, a tool execution
    notification of level ``warning`` says so and ``resultsLeftOut`` of the run's properties is their number.
    """
    stream.write(sarif_text(outcome))


def sarif_text(outcome: Outcome, max_results: int = MAX_RESULTS, max_gzip_bytes: int = MAX_GZIP_BYTES) -> str:
    """The log that ``write_sarif`` writes. Errors are the last to be cut."""
    issues = sorted(outcome.issues, key=lambda issue: _ORDER.index(issue.severity))[:max_results]
    results = sarif_results(issues)
    while True:
        text = json_line(_log(outcome, results))
        size = len(text) if len(text) <= max_gzip_bytes else len(gzip.compress(text.encode("ascii"), 6, mtime=0))
        if size <= max_gzip_bytes or not results:
            return text
        keep = len(results) * max_gzip_bytes // size
        results = results[: min(keep, len(results) - 1)]


def _log(outcome: Outcome, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    missing = max(0, sum(outcome.by_rule.values()) - len(results))
    driver = {
        "name": "coordspec",
        "version": __version__,
        "rules": [_descriptor(r) for r in rule_book().by_name.values()],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {ROOT: {"description": {"text": "The folder that coordspec was run in."}}},
        "invocations": [_invocation(outcome, missing)],
        "results": list(results),
        **({"properties": {"resultsLeftOut": missing}} if missing else {}),
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _invocation(outcome: Outcome, missing: int) -> dict[str, Any]:
    notes = [
        {
            "level": "error",
            "message": {"text": _message(f"cannot be read: {error.reason}")},
            "locations": [{"physicalLocation": {"artifactLocation": artifact(error.subject)}}],
        }
        for error in outcome.unreadable
    ]
    if missing:
        verb = "is" if missing == 1 else "are"
        text = (
            f"The output was cut: {plural(missing, 'more finding')} {verb} not in this file. coordspec lists as many "
            f"as --max-errors allows; GitHub code scanning takes {MAX_RESULTS} results and {MAX_GZIP_BYTES} bytes of "
            "gzip."
        )
        notes.append({"level": "warning", "message": {"text": text}})
    notes += [{"level": "note", "message": {"text": _message(note)}} for note in outcome.notes]
    return {
        "executionSuccessful": not outcome.unreadable,
        **({"toolExecutionNotifications": notes} if notes else {}),
    }


def _descriptor(rule: Rule) -> dict[str, Any]:
    """A reportingDescriptor (3.49). There is no page of the rule on the web, hence no helpUri."""
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": shown(with_placeholders(rule.message), MAX_TEXT_CHARS)},
        "fullDescription": {"text": shown(rule.why, MAX_TEXT_CHARS)},
        "help": {"text": rule_text(rule), "markdown": rule_markdown(rule)},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"tags": [rule.family]},
    }


def sarif_results(issues: Sequence[Issue]) -> list[dict[str, Any]]:
    """One result (3.27) for each issue. ``ruleIndex`` counts in the rule book, all of which the driver lists."""
    indices = {name: index for index, name in enumerate(rule_book().by_name)}
    seen: Counter[str] = Counter()
    results = []
    for issue in issues:
        print_ = _fingerprint(issue)
        seen[print_] += 1
        results.append(
            {
                "ruleId": issue.code,
                "ruleIndex": indices[issue.name],
                "level": _LEVELS[issue.severity],
                "message": {"text": _message(_with_hint(issue))},
                "locations": [_location(issue)],
                "partialFingerprints": {"primaryLocationLineHash": f"{print_}:{seen[print_]}"},
            }
        )
    return results


def _with_hint(issue: Issue) -> str:
    """The message as sentences: the hint is the second one, since code scanning may show the first one alone."""
    text = shown(issue.message, MAX_TEXT_CHARS // 2)
    return f"{text}. Fix: {shown(issue.hint, MAX_TEXT_CHARS // 2 - 10)}" if issue.hint else text


def _message(text: str) -> str:
    """Plain text as a SARIF message string: braces doubled (3.11.5), and nothing of it a link (3.11.6)."""
    text = shown(text, MAX_TEXT_CHARS).replace("{", "{{").replace("}", "}}")
    return text.replace("[", "\\[").replace("]", "\\]") if "](" in text else text


def _fingerprint(issue: Issue) -> str:
    """A hash of rule, path, pointer and message: the same wherever in its file the line of the finding moves.

    The same finding of several lines is told apart by the number of its occurrence, as CodeQL's own fingerprints are.
    ``primaryLocationLineHash`` is the one key that GitHub reads.
    """
    place = issue.place
    parts = (issue.name, place.path, json_pointer(place.at or ()), issue.message)
    return text_sha256("\0".join(map(encodable, parts)))[:16]


def _location(issue: Issue) -> dict[str, Any]:
    place = issue.place
    physical: dict[str, Any] = {"artifactLocation": artifact(place.path)}
    numbers = {"startLine": place.line, "startColumn": place.column, "byteOffset": place.byte_offset}
    if place.line is not None:
        physical["region"] = {key: number for key, number in numbers.items() if number is not None}
    location: dict[str, Any] = {"physicalLocation": physical}
    if place.at:
        location["logicalLocations"] = [{"fullyQualifiedName": shown(dotted_path(place.at)), "kind": "value"}]
    return location


def artifact(path: str) -> dict[str, Any]:
    """An artifactLocation (3.4): relative to the folder the command ran in, or an absolute ``file:`` URI.

    A path that leaves the folder becomes absolute, since a relative URI must not (3.4.3, 3.4.4).
    """
    relative = posixpath.normpath(path)
    if posixpath.isabs(relative) or relative.split("/")[0] == "..":
        absolute = "/" + os.path.abspath(relative).lstrip("/")  # noqa: PTH100 (a path may hold what no Path can)
        return {"uri": "file://" + _quoted(absolute)}
    return {"uri": _quoted(relative), "uriBaseId": ROOT}


def _quoted(path: str) -> str:
    """Percent-encoded bytes of the file's name; surrogates that stand for no byte, and no name has, as U+FFFD."""
    named = re.sub(r"[\ud800-\udc7f\udd00-\udfff]", "\ufffd", path)
    return quote(named.encode("utf-8", "surrogateescape"), safe="/")
