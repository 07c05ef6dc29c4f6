"""What a path holds: records, predictions, or a training run."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any, Final

from coordspec.errors import InputError
from coordspec.findings.visible import shown
from coordspec.jsonl.inputs import STDIN, SUFFIXES
from coordspec.jsonl.parse import parse_line
from coordspec.jsonl.read import read_lines
from coordspec.run_files import FINAL, METRICS, PROVENANCE, checkpoints

PROBED: Final = 100
"""Lines of a file that are looked at; the first one that says what it is decides."""
_NAMED: Final = 3
_KINDS: Final = "a contract file, a prediction file, or the folder of a run of `coordspec train`"


class ReportKind(StrEnum):
    """What a report is about."""

    DATA = "data"
    PREDICTIONS = "predictions"
    RUN = "run"


def kind_of(path: str, max_line_bytes: int) -> ReportKind:
    """What a file or folder holds.

    Raises:
        InputError: it cannot be read, or holds nothing that a report can be made of.
    """
    if path == STDIN:
        raise InputError(path, "a report reads its files more than once; name a file")
    if Path(path).is_dir():
        return _kind_of_folder(Path(path))
    empty = True
    for value in _values(path, max_line_bytes):
        empty = False
        if isinstance(value, dict) and (kind := _kind_of_value(path, value)) is not None:
            return kind
    if empty:
        raise InputError(path, "holds no line of JSON, so there is nothing to show; `coordspec validate` says more")
    raise InputError(path, f"holds neither records nor predictions in its first {PROBED} lines; name {_KINDS}")


def _values(path: str, max_line_bytes: int) -> Iterator[Any]:
    for line in islice(read_lines(path, max_line_bytes), PROBED):
        parsed = parse_line(line.data, line.length, max_line_bytes)
        if parsed.usable:
            yield parsed.value


def _kind_of_value(path: str, value: dict[str, Any]) -> ReportKind | None:
    if "target" in value:
        raise InputError(path, "holds dumped targets; `coordspec mask` shows them")
    if {"index", "dropped"} <= value.keys():
        return ReportKind.PREDICTIONS
    return ReportKind.DATA if "images" in value or "objects" in value else None


def _kind_of_folder(folder: Path) -> ReportKind:
    if (folder / METRICS).is_file() or checkpoints(folder) or (folder / FINAL / PROVENANCE).is_file():
        return ReportKind.RUN
    if (folder / PROVENANCE).is_file():
        raise InputError(str(folder), f"is a checkpoint; name the folder of its run, {shown(str(folder.parent))}")
    files = sorted(str(file) for file in folder.iterdir() if file.name.endswith(SUFFIXES))
    if files:
        named = ", ".join([*map(shown, files[:_NAMED]), *["…"] * (len(files) > _NAMED)])
        raise InputError(str(folder), f"is no run of `coordspec train`; name one of its files: {named}")
    raise InputError(str(folder), f"holds no {METRICS} and no checkpoint; name {_KINDS}")
