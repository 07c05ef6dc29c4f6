"""The files of a training run that others than the run itself read: names, metrics, checkpoints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from coordspec.errors import InputError
from coordspec.jsonl.parse import parse_line

METRICS: Final = "metrics.jsonl"
"""In the folder of a run: one JSON object a line, ``step`` and numbers by name."""
PROVENANCE: Final = "run.json"
"""In a checkpoint, what it came from: config, contracts, packages, seeds, data."""
CHECKPOINT: Final = "checkpoint-"
"""What the name of a checkpoint's folder starts with; the number of optimizer steps follows."""
FINAL: Final = "final"
"""The folder of a run with the model as its last step left it: a checkpoint to load, without the optimizer's state."""
_MOST: Final = 1 << 53
"""The largest integer in metrics, in size: that up to which every integer is a float."""


def read_metrics(run_dir: Path) -> list[dict[str, float]]:
    """The lines of a run's metrics; none where there is no file. A number in them may be NaN or infinite.

    Half a line at the end, which a killed run leaves, is left out.

    Raises:
        InputError: the file cannot be read, or a line of it is no object of numbers with a whole ``step``.
    """
    path = run_dir / METRICS
    if not path.exists():
        return []
    try:
        *lines, _ = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(str(path), error.strerror or str(error)) from error
    return [_metrics(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]


def _metrics(line: bytes, place: str) -> dict[str, float]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(place, f"is no JSON: {error}") from error
    if not isinstance(value, dict) or type(value.get("step")) is not int:
        raise InputError(place, 'is no JSON object with a whole number "step"')
    wrong = next((name for name, number in value.items() if not _is_number(number)), None)
    if wrong is not None:
        raise InputError(place, f"{json.dumps(wrong)} is no number")
    return value


def _is_number(value: object) -> bool:
    return type(value) is float or (type(value) is int and abs(value) <= _MOST)


def read_provenance(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint says about where it came from.

    Raises:
        InputError: the file cannot be read, or holds no JSON object.
    """
    path = checkpoint / PROVENANCE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error}") from error
    parsed = parse_line(data, len(data), len(data))
    if parsed.faults:
        raise InputError(str(path), f"cannot be read: it is no strict JSON ({parsed.faults[0].finding.rule})")
    if not isinstance(parsed.value, dict):
        raise InputError(str(path), "holds no JSON object")
    return parsed.value


def checkpoints(run_dir: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    found = [path for path in run_dir.glob(f"{CHECKPOINT}*") if re.fullmatch(rf"{CHECKPOINT}[0-9]+", path.name)]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """The optimizer steps behind a checkpoint, from its name."""
    return int(checkpoint.name.removeprefix(CHECKPOINT))
