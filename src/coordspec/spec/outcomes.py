"""What became of every scenario when it was last run, kept in a file below the folder that holds ``openspec/``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from coordspec.errors import InputError
from coordspec.jsonl.write import write_whole
from coordspec.spec.resolve import Key

OUTCOMES: Final = Path(".coordspec/outcomes.json")
PASSED: Final = "passed"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Ran:
    """How a scenario ended: passed, failed, error, skipped, xfailed or xpassed; for which text, by which binding."""

    outcome: str
    digest: str
    binding: str


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The file. ``bindings`` are the files and folders that the last run read bindings from, relative to the root."""

    ran: Mapping[Key, Ran] = field(default_factory=dict)
    bindings: tuple[str, ...] = ()


def read_outcomes(path: Path) -> Outcomes:
    """The outcomes in a file; none where there is no file.

    Raises:
        InputError: the file is there and is something else.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Outcomes()
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(str(path), f"is no file of outcomes ({error}); delete it and run pytest") from error
    try:
        if value["version"] != _VERSION:
            raise InputError(str(path), f"is of version {value['version']!r}; delete it and run pytest")
        ran = {_key(row): Ran(row["outcome"], row["digest"], row["binding"]) for row in value["scenarios"]}
        return Outcomes(ran, tuple(value["bindings"]))
    except (KeyError, TypeError) as error:
        raise InputError(str(path), "is no file of outcomes; delete it and run pytest") from error


def _key(row: Mapping[str, Any]) -> Key:
    return (row["capability"], row["requirement"], row["scenario"])


def update_outcomes(path: Path, ran: Mapping[Key, Ran], bindings: Sequence[str]) -> None:
    """Write what ran over what is known of it; the rest of the file stays. The file appears whole or not at all."""
    merged = dict(sorted({**read_outcomes(path).ran, **ran}.items()))
    rows = [
        {"capability": key[0], "requirement": key[1], "scenario": key[2], "outcome": end.outcome, "digest": end.digest,
         "binding": end.binding}
        for key, end in merged.items()
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"version": _VERSION, "bindings": list(bindings), "scenarios": rows}, indent=1)
    with write_whole(path, overwrite=True) as stream:
        stream.write(text.encode() + b"\n")
