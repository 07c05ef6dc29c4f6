"""What coordspec says about a fault, and where the fault is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

Pointer: TypeAlias = tuple[str | int, ...]
"""The way from a JSON document's root to a value: keys and list indices."""


class Severity(StrEnum):
    """How much a finding weighs; only ``error`` makes a command fail."""

    ERROR = "error"
    WARNING = "warning"
    ADVICE = "advice"


def json_pointer(at: Pointer) -> str:
    """RFC 6901 text of a pointer: ``/objects/3/bbox_2d/2``; the root is the empty string."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in at)


def dotted_path(at: Pointer) -> str:
    """Readable text of a pointer: ``objects[3].bbox_2d[2]``; the root is the empty string."""
    text = ""
    for step in at:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands.

    ``line`` and ``column`` count from 1, the column in Unicode code points; ``byte_offset`` counts from 0 in the
    (decompressed) file. All are None where the place is a whole file or a value in memory.
    """

    path: str
    line: int | None = None
    column: int | None = None
    byte_offset: int | None = None
    at: Pointer | None = None

    @property
    def pointer(self) -> str | None:
        return None if self.at is None else json_pointer(self.at)

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding: which rule, where, what is wrong and what to write instead."""

    code: str
    name: str
    severity: Severity
    place: Place
    message: str
    hint: str

    def __str__(self) -> str:
        """``objects[3].bbox_2d[2]: 1000 is above the maximum 999 (GEO003)``"""
        path = dotted_path(self.place.at) if self.place.at else ""
        return f"{path}: {self.message} ({self.code})" if path else f"{self.message} ({self.code})"


class CoordspecError(Exception):
    """Base of every error that a command shows to a person without a traceback."""


class ContractError(CoordspecError, ValueError):
    """Data that breaks the contract reached a place that takes none but valid data."""

    def __init__(self, issues: Iterable[Issue]) -> None:
        self.issues = tuple(issues)
        super().__init__("\n".join(f"{i.place}: {i}" if str(i.place) else str(i) for i in self.issues))

    def __reduce__(self) -> tuple[type[ContractError], tuple[tuple[Issue, ...]]]:
        return type(self), (self.issues,)  # worker processes send these to their parent


class InputError(CoordspecError):
    """A file, folder or stream that a command was told to use cannot be used."""

    def __init__(self, subject: str, reason: str) -> None:
        self.subject = subject
        self.reason = reason
        super().__init__(f"{subject}: {reason}")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str]]:
        return type(self), (self.subject, self.reason)  # worker processes send these to their parent
