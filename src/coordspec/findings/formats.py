"""The table of report formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TextIO, TypeAlias

from coordspec.findings.github import write_github
from coordspec.findings.json_format import write_json
from coordspec.findings.jsonl_format import write_jsonl
from coordspec.findings.junit import write_junit
from coordspec.findings.outcome import Outcome
from coordspec.findings.sarif import write_sarif
from coordspec.findings.text import write_text
from coordspec.findings.visible import Style, plain

Writer: TypeAlias = Callable[[Outcome, TextIO], None]

FORMATS: Final[Mapping[str, Writer]] = {
    "text": write_text,
    "json": write_json,
    "jsonl": write_jsonl,
    "sarif": write_sarif,
    "github": write_github,
    "junit": write_junit,
}
"""Writers by the name of their format. Each writes whole lines, and any stream that takes ASCII can take what it writes
(``text`` and ``github`` escape what the stream's encoding does not have)."""


def write_report(outcome: Outcome, name: str, stream: TextIO, style: Style = plain) -> None:
    """Write the outcome in the format of that name; ``style`` colours ``text`` and nothing else.

    Raises:
        KeyError: there is no format of that name; a bug of the caller.
    """
    if name == "text":
        write_text(outcome, stream, style)
    else:
        FORMATS[name](outcome, stream)
