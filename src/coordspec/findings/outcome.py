"""The result of one checking command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from coordspec.errors import InputError, Issue

MAX_LISTED: Final = 1000
"""How many findings a checking command lists, unless a person says otherwise; all are counted."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was looked at, how often each rule was broken, and the findings that are listed.

    Counts are complete; ``issues`` may be cut (``truncated``), in the order of files and of places in them. ``records``
    is ``valid + invalid``: a record is invalid if it has a finding at error level. ``by_rule`` counts by rule name.
    ``unreadable`` are inputs that could not be read to their end. ``notes`` are sentences a person should read beside
    the counts (a sample was taken, a baseline was applied).
    """

    files: tuple[str, ...]
    records: int
    valid: int
    invalid: int
    errors: int
    warnings: int
    by_rule: Mapping[str, int]
    issues: tuple[Issue, ...] = ()
    truncated: bool = False
    unreadable: tuple[InputError, ...] = ()
    notes: tuple[str, ...] = field(default=())
