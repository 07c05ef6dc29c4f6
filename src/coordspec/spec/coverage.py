"""Which scenarios are shown to hold by a test that passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coordspec.spec.outcomes import PASSED, Ran, read_outcomes
from coordspec.spec.resolve import Resolved, resolve_tree
from coordspec.spec.sources import DEFAULT_BINDINGS


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario. ``binding`` is None where nothing is bound to it.

    ``outcome`` is None where it was never run as it now stands: the text or the binding has changed since. It is
    ``stale``, ``ambiguous`` or ``broken`` where it cannot be run.
    """

    capability: str
    requirement: str
    scenario: str
    path: str
    line: int
    binding: str | None
    outcome: str | None

    @property
    def covered(self) -> bool:
        """Only a test that passed counts: a skipped one, or one that was expected to fail, shows nothing."""
        return self.binding is not None and self.outcome == PASSED


@dataclass(frozen=True, slots=True)
class Coverage:
    """Every scenario in the order of the specs; ``faults`` are bindings to no scenario, and files of no use."""

    rows: tuple[Row, ...]
    faults: tuple[str, ...] = ()

    @property
    def covered(self) -> int:
        return sum(row.covered for row in self.rows)

    @property
    def total(self) -> int:
        return len(self.rows)

    @property
    def complete(self) -> bool:
        return self.covered == self.total and not self.faults


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
    return Coverage(rows, (*resolution.faults, *(orphan.message for orphan in resolution.orphans)))


def _row(resolved: Resolved, ran: Ran | None) -> Row:
    return Row(*resolved.key, resolved.document.path, resolved.scenario.line, resolved.binding, _outcome(resolved, ran))


def _outcome(resolved: Resolved, ran: Ran | None) -> str | None:
    if resolved.conflict:
        return "ambiguous"
    if resolved.gap:
        return "stale" if resolved.stale else "broken" if resolved.binding else None
    if ran is None or (ran.digest, ran.binding) != (resolved.scenario.digest, resolved.binding):
        return None
    return ran.outcome
