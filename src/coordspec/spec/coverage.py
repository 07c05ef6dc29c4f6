"""Which scenarios are shown to hold by a test that passed, and the file that keeps what became of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from coordspec.errors import InputError
from coordspec.jsonl.write import write_whole
from coordspec.spec.digests import Key
from coordspec.spec.resolve import BoundScenario, Unread, resolve_tree
from coordspec.spec.sources import DEFAULT_BINDINGS


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """One scenario. ``binding`` is None where nothing is bound to it.

    ``outcome`` is None where it was never run as it now stands: the text or the binding has changed since. It is
    ``stale``, ``unread`` (a table without a digest), ``ambiguous`` or ``broken`` where it cannot be run.
    """

    capability: str
    requirement: str
    scenario: str
    path: str
    line: int
    binding: str | None
    outcome: str | None
    digest: str = ""

    @property
    def key(self) -> Key:
        return (self.capability, self.requirement, self.scenario)

    @property
    def covered(self) -> bool:
        """Only a test that passed counts: a skipped one, or one that was expected to fail, shows nothing."""
        return self.binding is not None and self.outcome == PASSED


@dataclass(frozen=True, slots=True)
class Coverage:
    """Every scenario in the order of the specs; ``faults`` are bindings to no scenario, and files of no use.

    ``unread`` are requirements whose sentence was not read as it stands, and digests of what is not there any more.
    """

    rows: tuple[CoverageRow, ...]
    faults: tuple[str, ...] = ()
    unread: tuple[Unread, ...] = ()

    @property
    def covered(self) -> int:
        return sum(row.covered for row in self.rows)

    @property
    def total(self) -> int:
        return len(self.rows)

    @property
    def complete(self) -> bool:
        return self.covered == self.total and not self.faults and not self.unread


def coverage(root: Path, outcomes: Path, bindings: Sequence[str | Path] | None = None) -> Coverage:
    """The coverage of ``root/openspec/specs`` by the tests whose outcomes are in a file.

    ``bindings`` are the files and folders that hold bindings; if None, those that the last run of pytest read, or
    ``tests`` where none is recorded.

    Raises:
        InputError: a file cannot be read.
    """
    last = read_outcomes(outcomes)
    if bindings is None:
        bindings = last.bindings or [name for name in DEFAULT_BINDINGS if (root / name).is_dir()]
    _, resolution = resolve_tree(root, bindings)
    rows = tuple(_row(resolved, last.ran.get(resolved.key)) for resolved in resolution.scenarios)
    faults = (*resolution.faults, *(orphan.message for orphan in resolution.orphans))
    return Coverage(rows, faults, resolution.unread)


def _row(resolved: BoundScenario, ran: Ran | None) -> CoverageRow:
    place = (resolved.document.path, resolved.scenario.line)
    return CoverageRow(*resolved.key, *place, resolved.binding, _outcome(resolved, ran), resolved.scenario.digest)


def _outcome(resolved: BoundScenario, ran: Ran | None) -> str | None:
    if resolved.conflict:
        return "ambiguous"
    if resolved.gap:
        if resolved.stale:
            return "stale" if resolved.read is not None else "unread"
        return "broken" if resolved.binding else None
    if ran is None or (ran.digest, ran.binding) != (resolved.scenario.digest, resolved.binding):
        return None
    return ran.outcome


# ---------------------------------------------------------------- outcomes of the last run

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
