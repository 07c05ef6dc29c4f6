"""What made a prediction file: the small JSON file beside it, and the id in its lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from coordspec.contracts import rule
from coordspec.errors import ContractError, Place
from coordspec.hashes import text_sha256
from coordspec.jsonl.parse import parse_line
from coordspec.jsonl.read import open_bytes
from coordspec.jsonl.write import write_whole
from coordspec.predictions.check import check_run, issues_of

SUFFIX: Final = ".run.json"
_ID_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Run:
    """What predictions depend on. ``settings`` is free-form JSON: decoding, limits, versions."""

    checkpoint: str
    fingerprint: str
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The first 12 hex digits of the SHA-256 of all fields as canonical JSON. It stands in every line."""
        text = json.dumps(self._fields(), sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text_sha256(text)[:_ID_DIGITS]

    def value(self) -> dict[str, Any]:
        """The run as it stands in its file."""
        return {"run": self.id, **self._fields()}

    def _fields(self) -> dict[str, Any]:
        return {
            "checkpoint": self.checkpoint,
            "fingerprint": self.fingerprint,
            "seed": self.seed,
            "settings": dict(self.settings),
        }


def run_path(predictions: str) -> Path:
    """The file beside a prediction file: ``preds.jsonl.run.json`` for ``preds.jsonl``."""
    return Path(predictions + SUFFIX)


def write_run(predictions: str, run: Run, *, overwrite: bool = False) -> None:
    """Write the file beside a prediction file, whole or not at all.

    Raises:
        InputError: it exists and ``overwrite`` is False, or it cannot be written.
    """
    with write_whole(run_path(predictions), overwrite=overwrite) as stream:
        stream.write((json.dumps(run.value(), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_run(predictions: str) -> Run | None:
    """The run of a prediction file, or None where no file is beside it.

    Raises:
        ContractError: the file is no strict JSON, breaks a rule, or its id is not that of its fields.
        InputError: the file cannot be read.
    """
    path = run_path(predictions)
    if not path.exists():
        return None
    with open_bytes(str(path)) as stream:
        data = stream.read()
    place = Place(str(path))
    parsed = parse_line(data, len(data), len(data))
    findings = [fault.finding for fault in parsed.faults]
    issues = issues_of([*findings, *(check_run(parsed.value) if parsed.usable else ())], place)
    if not issues:
        run = Run(**{name: item for name, item in parsed.value.items() if name != "run"})
        if run.id == parsed.value["run"]:
            return run
        issues = [rule("run-id").issue(place, {"value": parsed.value["run"], "expected": run.id})]
    raise ContractError(issues)
