"""A spec delta against the main spec of its capability: what it names and nobody has, adds twice, or would lose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from coordspec.contracts import did_you_mean, rule
from coordspec.errors import Issue, Place
from coordspec.spec.document import REQUIREMENT_LEVEL, SPECS, Requirement, SpecDocument
from coordspec.spec.markdown import LineKind

BODIED: Final = ("ADDED", "MODIFIED")
"""The operations under which a requirement stands whole."""
_DELTA: Final = re.compile(r"(ADDED|MODIFIED|REMOVED|RENAMED) Requirements", re.IGNORECASE)
_NAMED: Final = re.compile(r"^\s*(?:[-*+]\s+)?(?P<side>FROM:|TO:)?\s*`?###\s*Requirement:\s*(?P<title>.+?)\s*`?\s*$")


def operation_of(section: str) -> str | None:
    """``ADDED`` for the section ``## ADDED Requirements``; None for a section that is none of a delta."""
    found = _DELTA.fullmatch(section)
    return found[1].upper() if found else None


def folded(title: str) -> str:
    """A title without what people take for no difference: case, and the width of white space."""
    return " ".join(title.split()).casefold()


@dataclass(frozen=True)
class NamedLine:
    """A line of the sections REMOVED and RENAMED that names a requirement; ``side`` is ``FROM:``, ``TO:`` or empty."""

    operation: str
    line: int
    side: str
    title: str


@dataclass(frozen=True)
class Delta:
    """A spec delta and the main spec of its capability, if there is one."""

    document: SpecDocument
    main: SpecDocument | None

    @cached_property
    def before(self) -> Mapping[str, Requirement]:
        return {requirement.title: requirement for requirement in self.main.requirements} if self.main else {}

    @cached_property
    def named(self) -> list[NamedLine]:
        document = self.document
        sections = {heading.line: heading.title for heading in document.headings if heading.level < REQUIREMENT_LEVEL}
        operation: str | None = None
        found: list[NamedLine] = []
        for line in document.scan.lines:
            if line.number in sections:
                operation = operation_of(sections[line.number])
            match = _NAMED.match(line.prose) if line.kind is LineKind.PROSE else None
            if match and operation in ("REMOVED", "RENAMED"):
                found.append(NamedLine(operation or "", line.number, match["side"] or "", match["title"]))
        return found

    @cached_property
    def renamed(self) -> Mapping[str, str]:
        """The old title of each new one."""
        pairs: dict[str, str] = {}
        source = ""
        for named in self.named:
            if named.side == "FROM:":
                source = named.title
            elif named.side == "TO:" and source:
                pairs[named.title] = source
        return pairs

    def of(self, operation: str) -> list[Requirement]:
        """The requirements under an operation, in their order."""
        return [each for each in self.document.requirements if operation_of(each.section) == operation]


def lint_against_main(document: SpecDocument, main: SpecDocument | None) -> Iterator[Issue]:
    """The findings in what a delta says of its main spec."""
    delta = Delta(document, main)
    yield from _unknown(delta)
    for requirement in delta.of("ADDED"):
        yield from _exists(delta, requirement)
    for requirement in delta.of("MODIFIED"):
        yield from _lost(delta, requirement)


def _at(delta: Delta, name: str, line: int, values: Mapping[str, object]) -> Issue:
    return rule(name).issue(Place(delta.document.path, line), values)


def _unknown(delta: Delta) -> Iterator[Issue]:
    for named in delta.named:
        if (named.operation == "REMOVED" or named.side == "FROM:") and named.title not in delta.before:
            yield _unknown_at(delta, named.operation, named.line, named.title)
    for requirement in delta.of("MODIFIED"):
        if delta.renamed.get(requirement.title, requirement.title) not in delta.before:
            yield _unknown_at(delta, "MODIFIED", requirement.line, requirement.title)


def _unknown_at(delta: Delta, operation: str, line: int, title: str) -> Issue:
    main = f"{SPECS.as_posix()}/{delta.document.capability}/spec.md"
    guess = did_you_mean(title, list(delta.before))
    values = {"operation": operation, "title": title, "main": main, "guess": guess}
    return _at(delta, "unknown-requirement", line, values)


def _exists(delta: Delta, requirement: Requirement) -> Iterator[Issue]:
    """What openspec refuses to archive. The same text is no fault: the delta was merged before it was archived."""
    gone = {named.title for named in delta.named if named.operation == "REMOVED" or named.side == "FROM:"}
    for known in delta.before.values():
        if known.title in gone or folded(known.title) != folded(requirement.title):
            continue
        if known.title != requirement.title or _whole(known) != _whole(requirement):
            where = f"{delta.main.path}:{known.line}" if delta.main else ""
            yield _at(delta, "requirement-exists", requirement.line, {"title": requirement.title, "where": where})
            return


def _whole(requirement: Requirement) -> list[tuple[str, str]]:
    return [("", requirement.body), *((scenario.title, scenario.body) for scenario in requirement.scenarios)]


def _lost(delta: Delta, requirement: Requirement) -> Iterator[Issue]:
    known = delta.before.get(delta.renamed.get(requirement.title, requirement.title))
    kept = {scenario.title for scenario in requirement.scenarios}
    for scenario in known.scenarios if known else ():
        if scenario.title not in kept:
            where = f"{delta.main.path}:{scenario.line}" if delta.main else ""
            values = {"title": requirement.title, "scenario": scenario.title, "where": where}
            yield _at(delta, "scenario-loss", requirement.line, values)
