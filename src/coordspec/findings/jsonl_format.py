"""An outcome as JSON lines: one finding a line, and the summary as the last line."""

from __future__ import annotations

from typing import TextIO

from coordspec import __version__
from coordspec.findings.json_format import issue_value, json_line, remarks_value, summary_value
from coordspec.findings.outcome import Outcome


def write_jsonl(outcome: Outcome, stream: TextIO) -> None:
    """The findings as in ``json``; the last line, and no other, has the key ``summary``."""
    for issue in outcome.issues:
        stream.write(json_line(issue_value(issue)))
    last = {"summary": summary_value(outcome), "truncated": outcome.truncated, "version": __version__}
    stream.write(json_line({**last, **remarks_value(outcome)}))
