"""What OpenSpec lets through: texts that it reads in another way than a person does, scenarios that promise nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coordspec.contracts import rule
from coordspec.errors import Issue, Place
from coordspec.spec.cases import CasesError, read_cases
from coordspec.spec.document import (
    CHANGES,
    REQUIREMENT_LEVEL,
    SPECS,
    Requirement,
    Scenario,
    SpecDocument,
    capability_of,
    parse_spec,
    read_text,
    shown_path,
    spaced,
)
from coordspec.spec.lint_delta import BODIED, folded, lint_against_main, operation_of
from coordspec.spec.markdown import CASES, LineKind
from coordspec.spec.tasks import read_tasks

_STEP: Final = re.compile(
    # Bold, a step may begin in the middle of a line: "**WHEN** it is asked, **THEN** it answers".
    r"(?:\*\*|__)\s*(?P<word>[A-Za-z]+)|^\s*(?:[-*+]\s+|\d+[.)]\s+|\|\s*)?(?P<plain>WHEN|THEN)\b",
    re.MULTILINE,
)
_KEYWORD: Final = re.compile(r"\b(?:SHALL|MUST)\b")
_SPACED: Final = re.compile(r" {0,3}#+[ \t]+\w+:\s+\S")
_ARTIFACTS: Final = (".md", ".yaml", ".yml")
TASKS: Final = "tasks.md"


def lint_tree(root: Path) -> list[Issue]:
    """The findings of family SPC below ``root``, the folder of ``openspec/``: specs, open changes, archived tasks.

    Places are paths below ``root`` with slashes, in the order of files and lines.

    Raises:
        InputError: a file cannot be read or is not UTF-8.
    """
    issues: list[Issue] = []
    mains: dict[str, SpecDocument] = {}
    for path in artifacts(root):
        text = read_text(path, root)
        shown = shown_path(path, root)
        if is_blank(text, path.suffix):
            issues.append(rule("empty-artifact").issue(Place(shown), {}))
        elif path.name == "spec.md":
            issues += _lint_spec(_Text(root, path, shown, text), mains)
        elif path.parent.parent == root / CHANGES and path.name == TASKS and not read_tasks(text):
            issues.append(rule("tasks-without-boxes").issue(Place(shown), {}))
    for path in archived_tasks(root):
        issues += _unticked(shown_path(path, root), read_text(path, root))
    return issues


def _unticked(shown: str, text: str) -> Iterator[Issue]:
    for task in read_tasks(text):
        if not task.ticked:
            yield rule("archived-unticked").issue(Place(shown, task.line), {"task": task.text})


def artifacts(root: Path) -> list[Path]:
    """The files of ``openspec/`` that a person writes: main specs before open changes; what is archived is history."""
    top = root / SPECS.parent
    found = [path for path in (top / "config.yaml", top / "config.yml", top / "project.md") if path.is_file()]
    for folder in (root / SPECS, *_open_changes(root)):
        below: list[Path] = []
        for where, folders, files in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            below += [Path(where, name) for name in files if _is_artifact(name)]
        found += sorted(below)
    return found


def archived_tasks(root: Path) -> list[Path]:
    """The tasks of the changes that are archived, by the name of the change."""
    return sorted(path for path in (root / CHANGES / "archive").glob(f"*/{TASKS}") if path.is_file())


def _is_artifact(name: str) -> bool:
    return name.endswith(_ARTIFACTS) and (not name.startswith(".") or name == ".openspec.yaml")


def _open_changes(root: Path) -> list[Path]:
    folder = root / CHANGES
    names = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in names if path.is_dir() and path.name != "archive" and not path.name.startswith(".")]


def is_blank(text: str, suffix: str) -> bool:
    """Whether a file says nothing: no text, or only comments and headings, as a template that nobody filled in."""
    if suffix != ".md":
        lines = map(str.strip, text.removeprefix("\ufeff").splitlines())
        return all(not line or line.startswith("#") for line in lines)
    document = parse_spec(text, "", "")
    headings = {heading.line for heading in document.headings}
    return not any(
        line.kind is LineKind.CODE or (line.prose.strip() and line.number not in headings)
        for line in document.scan.lines
    )


@dataclass(frozen=True, slots=True)
class _Text:
    """A spec.md and where it lies."""

    root: Path
    path: Path
    shown: str
    text: str


def _lint_spec(text: _Text, mains: dict[str, SpecDocument]) -> Iterable[Issue]:
    specs = text.root / SPECS
    main = text.path.is_relative_to(specs)
    change = None if main else next(c for c in _open_changes(text.root) if text.path.is_relative_to(c))
    folder = specs if change is None else change / "specs"
    if not text.path.parent.is_relative_to(folder) or text.path.parent == folder:
        return [rule("unread-spec").issue(Place(text.shown), {})]
    document = parse_spec(text.text, text.shown, capability_of(text.path, folder))
    if main:
        mains[document.capability] = document
        found = lint_main(document)
    else:
        found = lint_delta(document, mains.get(document.capability))
    return sorted(found, key=lambda issue: issue.place.line or 0)


def lint_main(document: SpecDocument) -> Iterator[Issue]:
    """The findings in a main spec."""
    yield from _faults(document)
    for requirement in document.requirements:
        if requirement.section.lower() == "requirements":
            yield from _lint_requirement(document, requirement)
        else:
            yield _at(document, "misplaced-requirement", requirement.line, _misplaced(requirement, "## Requirements"))
    yield from _duplicates(document, document.requirements)
    yield from _labels(document)


def lint_delta(document: SpecDocument, main: SpecDocument | None) -> Iterator[Issue]:
    """The findings in the spec delta of a change; ``main`` is the main spec of its capability, if there is one."""
    yield from _faults(document)
    for requirement in document.requirements:
        operation = operation_of(requirement.section)
        if operation in BODIED:
            yield from _lint_requirement(document, requirement)
        elif operation is None:
            wanted = "## ADDED Requirements, or MODIFIED, REMOVED or RENAMED"
            yield _at(document, "misplaced-requirement", requirement.line, _misplaced(requirement, wanted))
    for operation in BODIED:
        yield from _duplicates(document, [r for r in document.requirements if operation_of(r.section) == operation])
    yield from _labels(document)
    yield from lint_against_main(document, main)


def _at(document: SpecDocument, name: str, line: int, values: dict[str, object]) -> Issue:
    return rule(name).issue(Place(document.path, line), values)


def _faults(document: SpecDocument) -> Iterator[Issue]:
    for fault in document.faults:
        yield rule(fault.rule).issue(Place(document.path, fault.line), fault.values)


def _misplaced(requirement: Requirement, wanted: str) -> dict[str, object]:
    where = f"under '## {requirement.section}'" if requirement.section else "above every section"
    return {"title": requirement.title, "where": where, "wanted": wanted}


# ---------------------------------------------------------------- requirements and scenarios


def _lint_requirement(document: SpecDocument, requirement: Requirement) -> Iterator[Issue]:
    named: dict[str, object] = {"title": requirement.title}
    if not _KEYWORD.search(requirement.text):
        yield _at(document, "missing-keyword", requirement.line, named)
    if not requirement.scenarios:
        yield _at(document, "no-scenario", requirement.line, named)
    first: dict[str, int] = {}
    for scenario in requirement.scenarios:
        line = first.setdefault(folded(scenario.title), scenario.line)
        if line != scenario.line:
            yield _at(document, "duplicate-scenario", scenario.line, {"title": scenario.title, "first": line})
        yield from _lint_scenario(document, scenario)


def _lint_scenario(document: SpecDocument, scenario: Scenario) -> Iterator[Issue]:
    words = {(step["word"] or step["plain"]).upper() for step in _STEP.finditer(scenario.prose)}
    if missing := [word for word in ("WHEN", "THEN") if word not in words]:
        values: dict[str, object] = {"title": scenario.title, "missing": " and no ".join(missing)}
        yield _at(document, "missing-step", scenario.line, values)
    broken = {fault.values.get("opened", fault.line) for fault in document.faults}
    for block in scenario.blocks:
        if "coordspec" not in block.info.lower() or block.line in broken:
            continue
        if block.info != CASES:
            reason = f"its info string is {block.info!r}, not {CASES!r}"
            yield _at(document, "broken-block", block.line, {"reason": reason})
            continue
        try:
            read_cases(block)
        except CasesError as error:
            yield _at(document, "broken-block", error.line, {"reason": error.reason})


def _duplicates(document: SpecDocument, requirements: Sequence[Requirement]) -> Iterator[Issue]:
    first: dict[str, int] = {}
    for requirement in requirements:
        line = first.setdefault(folded(requirement.title), requirement.line)
        if line != requirement.line:
            yield _at(document, "duplicate-requirement", requirement.line, {"title": requirement.title, "first": line})


def _labels(document: SpecDocument) -> Iterator[Issue]:
    """Headings at the level of a requirement or a scenario that do not say so."""
    section = ""
    for heading in document.headings:
        if heading.level < REQUIREMENT_LEVEL:
            section = heading.title
        counts = section.lower() == "requirements" or operation_of(section) is not None
        if counts and heading.level == REQUIREMENT_LEVEL and not heading.label:
            values: dict[str, object] = {"found": f"### {heading.title}", "wanted": f"### Requirement: {heading.title}"}
            yield _at(document, "heading-label", heading.line, values)
        text = document.scan.lines[heading.line - 1].prose
        if heading.label and not _SPACED.match(text):
            values = {"found": text.strip(), "wanted": spaced(heading.label, heading.title)}
            yield _at(document, "heading-space", heading.line, values)
    for requirement in document.requirements:
        for scenario in requirement.scenarios:
            if not scenario.labelled:
                values = {"found": f"#### {scenario.title}", "wanted": f"#### Scenario: {scenario.title}"}
                yield _at(document, "heading-label", scenario.line, values)
