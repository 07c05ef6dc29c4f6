"""The gate: everything that must hold of an OpenSpec folder and its tests before a tree is merged, in one run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from coordspec.contracts import rule
from coordspec.errors import InputError, Issue, Place, Severity
from coordspec.findings.outcome import Outcome
from coordspec.findings.visible import plural
from coordspec.spec.artifacts import ChangeFiles, check_change, next_artifacts
from coordspec.spec.complaints import Complaints, unsaid
from coordspec.spec.coverage import OUTCOMES, Coverage, CoverageRow, coverage
from coordspec.spec.digests import DIGESTS, Key
from coordspec.spec.document import CHANGES, SPECS, spec_files
from coordspec.spec.lint import lint_tree
from coordspec.spec.openspec_cli import TIMEOUT_S, OpenSpecAnswers, Status, ask_openspec, find_openspec
from coordspec.spec.resolve import Unread


@dataclass
class _Run:
    """What the gate has found so far."""

    root: Path
    issues: list[Issue] = field(default_factory=list)
    unreadable: list[InputError] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, issues: Iterable[Issue]) -> None:
        """Take the findings of one check; what it cannot read stops this check and no other."""
        try:
            self.issues.extend(issues)
        except InputError as error:
            self.unreadable.append(InputError(_from_here(self.root, error.subject), error.reason))


def gate(root: Path, openspec: Path | None = None, timeout_s: float = TIMEOUT_S, *, complete: bool = False) -> Outcome:
    """Every reason why the tree below ``root`` must not be merged; it passes if the outcome has no error.

    ``openspec`` is the executable, searched for if it is None. Where it cannot be asked, it is among the outcome's
    ``unreadable``, and the checks that do without it are still run. Changes have to have all their artifacts if
    ``complete``; otherwise one that is not written yet is a note.
    """
    run = _Run(root)
    answers: OpenSpecAnswers | None = None
    reason = _root_fault(root)
    if reason is None:
        try:
            answers = ask_openspec(find_openspec(root, openspec), root, timeout_s)
        except InputError as error:
            run.unreadable.append(error)
        else:
            reason = _other_root(root, answers.status)
    if reason is None:
        _check_all(run, answers, complete)
    else:
        run.issues.append(
            rule("no-openspec-root").issue(Place(str(root)), {"root": root.name or root, "reason": reason})
        )
    return _outcome(run)


# ---------------------------------------------------------------- the root


def _root_fault(root: Path) -> str | None:
    """Why there is no root in this very folder; openspec itself would take one in a folder above."""
    folder = root / "openspec"
    if not folder.is_dir():
        return "it holds no folder openspec/"
    if any((folder / name).is_dir() for name in ("specs", "changes")):
        return None
    if any((folder / name).is_file() for name in ("config.yaml", "config.yml")):
        return None
    return "its openspec/ holds neither config.yaml nor specs/ nor changes/"


def _other_root(root: Path, status: Status) -> str | None:
    """Why openspec does not take this folder as the root."""
    if status.root is None or status.status:
        return "; ".join(said.message for said in status.status) or "openspec names none"
    if status.root.source != "nearest" or Path(status.root.path).resolve() != root.resolve():
        return f"openspec takes {status.root.path} instead ({status.root.source})"
    return None


def change_folders(root: Path) -> list[Path]:
    """The active changes, by name: what openspec takes for one, so no links, nothing hidden and no archive."""
    folder = root / CHANGES
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted(
        entry
        for entry in entries
        if entry.is_dir() and not entry.is_symlink() and entry.name != "archive" and not entry.name.startswith(".")
    )


def _nothing_specified(root: Path) -> Iterator[Issue]:
    if not spec_files(root) and not change_folders(root):
        folder = root / "openspec"
        yield rule("nothing-specified").issue(Place(str(folder)), {"root": folder.name + "/"})


# ---------------------------------------------------------------- all checks of a root


def _check_all(run: _Run, answers: OpenSpecAnswers | None, complete: bool) -> None:
    """What can be checked without openspec, and where it has answered, what it says and what it means for changes."""
    run.add(_nothing_specified(run.root))
    lint = _Run(run.root, unreadable=run.unreadable)
    lint.add(_lint(run.root))
    found = _coverage(run)
    if answers is None:
        run.issues += lint.issues
    else:
        run.remarks.insert(0, f"openspec {answers.version}")
        run.add(_version(run.root, answers.version))
        for said in answers.validation.status:
            run.unreadable.append(InputError("openspec validate", said.message))
        changes = {change.change_name: ChangeFiles(run.root, change) for change in answers.status.changes}
        bound = {row.key: row.digest for row in found.rows if row.binding is not None} if found else {}
        for change in changes.values():
            run.add(_change(run, change, bound, complete))
        blank = {issue.place.path for issue in run.issues if issue.name == "blank-artifact"}
        own = [i for i in lint.issues if i.name != "empty-artifact" or i.place.path not in blank]
        asked = {name: change for name, change in changes.items() if change.change.artifacts is not None}
        complaints = _Run(run.root, unreadable=run.unreadable)
        complaints.add(Complaints(run.root, answers, asked).findings(own))
        run.issues += [*complaints.issues, *unsaid(own, complaints.issues)]
    if found:
        run.add(_covered(run.root, found))


def _change(run: _Run, change: ChangeFiles, bound: Mapping[Key, str], complete: bool) -> Iterator[Issue]:
    yield from check_change(change, bound, complete=complete)
    if to_come := next_artifacts(change):
        run.remarks.append(f"the change {change.name} waits for {to_come}")


def _version(root: Path, version: str) -> Iterator[Issue]:
    facts = rule("openspec-version").params
    if not version.startswith(facts["series"] + "."):
        yield rule("openspec-version").issue(Place(str(root / "package.json")), {**facts, "version": version})


# ---------------------------------------------------------------- lint and coverage


def _lint(root: Path) -> Iterator[Issue]:
    for issue in lint_tree(root):
        yield replace(issue, place=replace(issue.place, path=_from_here(root, issue.place.path)))


def _from_here(root: Path, path: str) -> str:
    """A path that is shown from the root on, as one from the current folder on."""
    return path if Path(path).is_relative_to(root) else str(root / path)


def _coverage(run: _Run) -> Coverage | None:
    """What the tests show; None where a file cannot be read."""
    try:
        found = coverage(run.root, run.root / OUTCOMES)
    except InputError as error:
        run.unreadable.append(InputError(_from_here(run.root, error.subject), error.reason))
        return None
    run.remarks.append(f"{found.covered} of {plural(found.total, 'scenario')} covered")
    return found


def _covered(root: Path, found: Coverage) -> Iterator[Issue]:
    for fault in found.faults:
        yield _binding_fault(root, fault)
    for unread in found.unread:
        yield _not_read(root, unread)
    if found.total and not (root / OUTCOMES).is_file():
        scenarios = plural(found.total, "scenario")
        yield rule("tests-not-run").issue(Place(str(root / OUTCOMES)), {"scenarios": scenarios})
        return
    for row in found.rows:
        if not row.covered:
            yield _not_covered(root, row)


def _not_read(root: Path, unread: Unread) -> Issue:
    capability, requirement, scenario = unread.key
    path, line = (root / SPECS / capability / "spec.md", unread.line) if unread.digest else (root / DIGESTS, None)
    what = f"the table of the scenario {scenario!r}" if scenario else "its sentence"
    reason = f"{what} is not what was read" if unread.digest else f"{DIGESTS} holds a digest of it, and it is gone"
    return rule("not-read").issue(
        Place(str(path), line), {"capability": capability, "requirement": requirement, "reason": reason}
    )


def _binding_fault(root: Path, said: str) -> Issue:
    match = _PLACED.fullmatch(said)
    if match is None:
        return rule("binding-fault").issue(Place(str(root)), {"reason": said})
    place = Place(_from_here(root, match["path"]), int(match["line"]))
    return rule("binding-fault").issue(place, {"reason": f"{match['function'] or 'this'} {match['reason']}"})


_PLACED: Final = re.compile(r"(?P<path>[^:]+):(?P<line>\d+)(?: \((?P<function>[^)]*)\))?: (?P<reason>.*)", re.DOTALL)
_REASONS: Final = {
    "stale": "the scenario was edited after {binding} was bound to it",
    "unread": "nobody has read it as a table of {binding} (`pytest --update-digests`)",
    "ambiguous": "nobody can say which of {binding} stands for it",
    "broken": "{binding} cannot be run",
}


def _not_covered(root: Path, row: CoverageRow) -> Issue:
    values = {"capability": row.capability, "requirement": row.requirement, "scenario": row.scenario}
    if row.binding is None:
        reason = "nothing is bound to it"
    elif row.outcome is None:
        reason = f"{row.binding} was not run since one of the two changed"
    else:
        reason = _REASONS.get(row.outcome, "{binding} ended as {outcome}").format(
            binding=row.binding, outcome=row.outcome
        )
    place = Place(_from_here(root, row.path), row.line)
    return rule("scenario-not-covered").issue(place, {**values, "reason": reason})


# ---------------------------------------------------------------- the outcome


def _outcome(run: _Run) -> Outcome:
    """Specs and changes are what is valid or not; a finding belongs to the one whose file or folder it is in."""
    specs, changes = spec_files(run.root), change_folders(run.root)
    inside = [path for folder in changes for path in sorted(folder.rglob("*")) if path.is_file()]
    issues = sorted(run.issues, key=lambda issue: (issue.place.path, issue.place.line or 0))
    errors = [issue for issue in issues if issue.severity is Severity.ERROR]
    faulty = [Path(issue.place.path) for issue in errors]
    invalid = sum(1 for part in (*specs, *changes) if any(path.is_relative_to(part) for path in faulty))
    total = len(specs) + len(changes)
    looked_at = f"{plural(len(specs), 'spec')} and {plural(len(changes), 'change')} are the records of this report"
    return Outcome(
        files=tuple(map(str, (*specs, *inside))),
        records=total,
        valid=total - invalid,
        invalid=invalid,
        errors=len(errors),
        warnings=sum(1 for issue in issues if issue.severity is Severity.WARNING),
        by_rule=Counter(issue.name for issue in issues),
        issues=tuple(issues),
        unreadable=tuple(run.unreadable),
        notes=(looked_at, *run.remarks),
    )
