"""What ``openspec validate`` complains of, as findings with a line; and which findings say the same once more."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from coordspec.contracts import rule
from coordspec.errors import Issue, Place, Severity
from coordspec.spec.artifacts import ChangeFiles, one_line, text_of
from coordspec.spec.document import CHANGES, SPECS, SpecDocument, parse_spec
from coordspec.spec.lint import is_blank
from coordspec.spec.openspec_cli import Complaint, OpenSpecAnswers, ValidatedItem

_NO_DELTAS: Final = "Change must have at least one delta"
_REFUSED: Final = "Archive would refuse this delta:"
_REFUSALS: Final = ("requirement-exists", "unknown-requirement", "scenario-loss")
"""Rules of ours about what openspec's archive refuses. openspec names the first that it meets, and only in passing."""
_TITLE: Final = re.compile(r'"(?:### Requirement: )?([^"]*)"')
_INDEX: Final = re.compile(r"requirements\[(\d+)\]")

_SAME: Final[Mapping[str, Sequence[str]]] = {
    "missing-keyword": ("contain SHALL or MUST",),
    "no-scenario": ("at least one scenario",),
    "duplicate-requirement": ("Duplicate requirement in", "duplicates the requirement"),
    "misplaced-requirement": ("not a delta section", "outside the main ## Requirements section"),
    "unread-spec": ("Delta spec found at specs/spec.md",),
    "scenario-loss": ("omits scenario(s)",),
    "tasks-without-boxes": ("counts as 0 tasks",),
}
"""Our rules, and words of openspec's that complain of the same."""


@dataclass(frozen=True)
class Complaints:
    """openspec's complaints of a tree. ``asked`` are the changes that openspec could load, by name."""

    root: Path
    answers: OpenSpecAnswers
    asked: Mapping[str, ChangeFiles]
    _documents: dict[Path, SpecDocument] = field(default_factory=dict)

    def findings(self, own: Collection[Issue]) -> Iterator[Issue]:
        """The complaints as findings, but for those that are the effect of something in ``own``, or not yet a fault."""
        said_before = {said.message for change in self.answers.status.changes for said in change.status}
        for item in self.answers.validation.items or ():
            kept = [one for one in item.issues if one.message not in said_before and not self._moot(item, one, own)]
            yield from (self._finding(item, complaint) for complaint in kept)
            if not item.valid and all(complaint.level == "INFO" for complaint in item.issues):
                yield self._finding(item, Complaint("ERROR", "file", "it does not say why"))

    def _moot(self, item: ValidatedItem, complaint: Complaint, own: Collection[Issue]) -> bool:
        path, _ = self._place(item, complaint.path)
        if path.is_file() and is_blank(text_of(path), path.suffix):
            return True
        if complaint.message.startswith(_REFUSED):
            return any(issue.name in _REFUSALS and Path(issue.place.path) == path for issue in own)
        change = self.asked.get(item.id) if item.type == "change" else None
        if change is None or not complaint.message.startswith(_NO_DELTAS):
            return False
        if any(other.level == "ERROR" and other.path != "file" for other in item.issues):
            return True
        # Without specs there are no deltas: whether that is a fault depends on what is there already.
        specs = [name for name, artifact in change.artifacts.items() if artifact.output_path.startswith("specs/")]
        return bool(change.incomplete(specs))

    def _finding(self, item: ValidatedItem, complaint: Complaint) -> Issue:
        path, where = self._place(item, complaint.path)
        advice = complaint.level == "INFO" and not complaint.message.startswith(_REFUSED)
        line = complaint.line or self._line(path, complaint)
        values = {"type": item.type, "item": item.id, "where": where, "reason": one_line(complaint.message)}
        severity = Severity.ADVICE if advice else Severity.ERROR
        return rule("openspec-validate").issue(Place(str(path), line), values, severity)

    def _place(self, item: ValidatedItem, said: str) -> tuple[Path, str]:
        """The file that a complaint is about, and what it says of the place in it."""
        where = "" if said == "file" else f"{said}: "
        if item.type == "spec":
            return self.root / SPECS / item.id / "spec.md", where
        folder = self.root / CHANGES / item.id
        for path in (folder / "specs" / said, folder / said):
            if path.is_file():
                return path, ""
        return folder, where

    def _line(self, path: Path, complaint: Complaint) -> int | None:
        """The line of the requirement that a complaint names by its title, or by its number."""
        if path.name != "spec.md" or not path.is_file():
            return None
        if path not in self._documents:
            self._documents[path] = parse_spec(text_of(path), str(path), "")
        requirements = self._documents[path].requirements
        if index := _INDEX.match(complaint.path):
            inside = [each for each in requirements if each.section.lower() == "requirements"]
            return inside[int(index[1])].line if int(index[1]) < len(inside) else None
        titles = set(_TITLE.findall(complaint.message))
        return next((requirement.line for requirement in requirements if requirement.title in titles), None)


def unsaid(issues: Collection[Issue], complaints: Collection[Issue]) -> Iterator[Issue]:
    """Those of our findings that openspec has not made itself."""
    for issue in issues:
        if not any(_same(issue, complaint) for complaint in complaints):
            yield issue


def _same(issue: Issue, complaint: Issue) -> bool:
    words = _SAME.get(issue.name, ())
    if issue.place.path != complaint.place.path or not any(word in complaint.message for word in words):
        return False
    titles = _TITLE.findall(complaint.message)
    return issue.place.line in (None, complaint.place.line) or any(repr(title) in issue.message for title in titles)
