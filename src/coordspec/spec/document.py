"""A spec as a value: requirements, their scenarios, and what makes the text read differently than it looks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Final

from coordspec.errors import InputError
from coordspec.spec.markdown import (
    CASES,
    FencedBlock,
    LineKind,
    MarkdownText,
    TextLine,
    openspec_live,
    plain_lines,
    scenario_digest,
    take_apart,
)

SPECS: Final = Path("openspec/specs")
CHANGES: Final = Path("openspec/changes")
REQUIREMENT_LEVEL: Final = 3
SCENARIO_LEVEL: Final = 4
_LEVELS: Final = {"requirement": REQUIREMENT_LEVEL, "scenario": SCENARIO_LEVEL}

_HEADING: Final = re.compile(r" {0,3}(?P<marks>#{1,6})(?:[ \t]+(?P<title>.*))?$")
_OPENSPEC_HEADING: Final = re.compile(r"(?:#{1,6}\s+\S|###\s*Requirement:)", re.IGNORECASE)
_CLOSING_MARKS: Final = re.compile(r"(?:^|[ \t]+)#+[ \t]*$")
_LABEL: Final = re.compile(r"(?P<label>requirement|scenario)\s*:\s*", re.IGNORECASE)
_GLUED: Final = re.compile(r" {0,3}#{2,6}(requirement|scenario)\s*:\s*(.*)", re.IGNORECASE)
_FENCED_HEADING: Final = re.compile(r"#{3,4}[ \t]+(?:requirement|scenario)[ \t]*:", re.IGNORECASE)
_OPENING: Final = re.compile(r"(?P<mark>`{3,}|~{3,})(?P<info>.*)")


@dataclass(frozen=True, slots=True)
class SpecFault:
    """A rule of family SPC that the text breaks at a line, and what fills the rule's message."""

    rule: str
    line: int
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; ``label`` is ``requirement``, ``scenario`` or empty, ``title`` what follows it."""

    level: int
    title: str
    line: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario: all lines from its heading to the next heading of its level or above.

    ``body`` is the text as it stands, with line feeds; ``prose`` is the same without fenced blocks and comments.
    """

    title: str
    line: int
    body: str
    blocks: tuple[FencedBlock, ...] = ()
    prose: str = ""
    labelled: bool = True

    @property
    def digest(self) -> str:
        return scenario_digest(self.body)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement; ``text`` is its prose up to its first heading, ``section`` the level-2 heading above it.

    ``body`` is its own text as it stands, with line feeds: all lines up to its first scenario.
    """

    title: str
    line: int
    text: str
    body: str = ""
    scenarios: tuple[Scenario, ...] = ()
    section: str = ""
    labelled: bool = True

    @property
    def digest(self) -> str:
        return scenario_digest(self.body)


@dataclass(frozen=True, slots=True)
class SpecDocument:
    """A main spec or the spec delta of a change. ``path`` is as it is shown, ``capability`` the folder below specs/."""

    path: str
    capability: str
    requirements: tuple[Requirement, ...]
    faults: tuple[SpecFault, ...] = ()
    headings: tuple[Heading, ...] = ()
    scan: MarkdownText = field(default=MarkdownText((), (), ()), repr=False, compare=False)


def spec_files(root: Path) -> list[Path]:
    """Every ``openspec/specs/**/spec.md`` below the folder that holds ``openspec/``, by capability."""
    return specs_below(root / SPECS)


def specs_below(folder: Path) -> list[Path]:
    """Every ``spec.md`` in a capability folder below, by capability.

    As in OpenSpec, folders with a leading dot and links to folders are left out, and so is a ``spec.md`` that lies in
    no folder of its own.
    """
    found: list[Path] = []
    for where, folders, files in os.walk(folder, onerror=_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if "spec.md" in files and Path(where) != folder:
            found.append(Path(where, "spec.md"))
    return sorted(found, key=lambda path: capability_of(path, folder))


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise InputError(str(error.filename), f"cannot be listed: {error.strerror}") from error


def capability_of(path: Path, folder: Path) -> str:
    """``identity/user-auth`` for ``<folder>/identity/user-auth/spec.md``."""
    return path.parent.relative_to(folder).as_posix()


def shown_path(path: Path, root: Path) -> str:
    """The path below ``root`` with slashes, or the path itself where it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def read_text(path: Path, root: Path) -> str:
    """The text of a file.

    Raises:
        InputError: it cannot be opened, or is no UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(shown_path(path, root), f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8: byte 0x{error.object[error.start]:02x} at {error.start} ({error.reason})"
        raise InputError(shown_path(path, root), reason) from error


def read_spec(path: Path, root: Path) -> SpecDocument:
    """The spec in a file below ``root``, the folder that holds ``openspec/``. Raises as ``read_text`` does."""
    parts = path.parent.relative_to(root).parts if path.is_relative_to(root) else path.parent.parts
    capability = "/".join(parts[len(parts) - parts[::-1].index("specs") :] if "specs" in parts else parts[-1:])
    if path.is_relative_to(root / SPECS):
        capability = capability_of(path, root / SPECS)
    return parse_spec(read_text(path, root), shown_path(path, root), capability)


def parse_spec(text: str, path: str, capability: str) -> SpecDocument:
    """The spec in a text. A text that is broken gives faults, and as much of a document as can be made out."""
    texts = plain_lines(text)
    scanned = take_apart(texts)
    headings = tuple(_headings(scanned.lines))
    return SpecDocument(
        path,
        capability,
        tuple(_requirements(headings, scanned)),
        tuple(sorted(_faults(texts, scanned, headings), key=lambda fault: fault.line)),
        headings,
        scanned,
    )


def _headings(lines: Sequence[TextLine]) -> Iterator[Heading]:
    for line in lines:
        found = _HEADING.match(line.prose) if line.kind is LineKind.PROSE and "#" in line.prose else None
        if found is None:
            continue
        title = _CLOSING_MARKS.sub("", found["title"] or "").strip()
        label = _LABEL.match(title)
        yield Heading(
            len(found["marks"]),
            title[label.end() :] if label else title,
            line.number,
            label["label"].lower() if label else "",
        )


def _requirements(headings: Sequence[Heading], scanned: MarkdownText) -> Iterator[Requirement]:
    section = ""
    end = len(scanned.lines) + 1
    for index, heading in enumerate(headings):
        if heading.level < REQUIREMENT_LEVEL:
            section = heading.title
        if heading.level != REQUIREMENT_LEVEL or (heading.label != "requirement" and not _in_requirements(section)):
            continue
        inner = list(_inside(headings, index))
        stop = next((h.line for h in headings[index + 1 :]), end)
        below = _end_of(headings, index, end)
        first = next((h.line for h in inner if _is_scenario(h)), below)
        yield Requirement(
            heading.title,
            heading.line,
            _prose(scanned.lines[heading.line : stop - 1]),
            _body(scanned.lines[heading.line : first - 1]),
            tuple(_scenario(h, inner, below, scanned) for h in inner if _is_scenario(h)),
            section,
            heading.label == "requirement",
        )


def _in_requirements(section: str) -> bool:
    return section.lower() == "requirements"


def _is_scenario(heading: Heading) -> bool:
    return heading.level == SCENARIO_LEVEL


def _inside(headings: Sequence[Heading], index: int) -> Iterator[Heading]:
    for heading in headings[index + 1 :]:
        if heading.level <= headings[index].level:
            return
        yield heading


def _end_of(headings: Sequence[Heading], index: int, end: int) -> int:
    level = headings[index].level
    return next((h.line for h in headings[index + 1 :] if h.level <= level), end)


def _scenario(heading: Heading, inner: Sequence[Heading], end: int, scanned: MarkdownText) -> Scenario:
    later = (h.line for h in inner if h.line > heading.line and h.level <= SCENARIO_LEVEL)
    stop = next(later, end)
    lines = scanned.lines[heading.line : stop - 1]
    blocks = tuple(block for block in scanned.blocks if heading.line < block.line < stop)
    return Scenario(heading.title, heading.line, _body(lines), blocks, _prose(lines), heading.label == "scenario")


def _body(lines: Sequence[TextLine]) -> str:
    body = "\n".join(line.text for line in lines).strip("\n")
    return body + "\n" if body else ""


def _prose(lines: Sequence[TextLine]) -> str:
    return "\n".join(line.prose.rstrip() for line in lines if line.prose.strip())


# ---------------------------------------------------------------- what reads differently than it looks


def _faults(texts: Sequence[str], scanned: MarkdownText, headings: Sequence[Heading]) -> Iterator[SpecFault]:
    for unclosed in scanned.unclosed:
        yield SpecFault("unclosed-fence", unclosed.line, {"opening": unclosed.opening})
    yield from _disagreements(texts, scanned, headings)
    yield from _swallowed(scanned)
    for heading in headings:
        level = _LEVELS.get(heading.label, heading.level)
        if heading.level != level:
            yield SpecFault(
                "heading-level",
                heading.line,
                {
                    "found": f"{'#' * heading.level} {heading.label.capitalize()}:",
                    "wanted": f"{'#' * level} {heading.label.capitalize()}:",
                },
            )


def _disagreements(texts: Sequence[str], scanned: MarkdownText, headings: Sequence[Heading]) -> Iterator[SpecFault]:
    """Lines that are a heading to OpenSpec or to a reader of the page, and not to both."""
    ours = {heading.line for heading in headings}
    for line, live in zip(scanned.lines, openspec_live(texts), strict=True):
        text = texts[line.number - 1]
        theirs = live and bool(_OPENSPEC_HEADING.match(text))
        if theirs == (line.number in ours):
            if not theirs and line.kind is LineKind.PROSE and (found := _GLUED.match(line.prose)):
                values = {"found": line.prose.strip(), "wanted": spaced(*found.groups())}
                yield SpecFault("heading-space", line.number, values)
            continue
        if line.kind is LineKind.COMMENT:
            yield SpecFault("live-comment", line.number, {"text": text.strip()})
        else:
            yield SpecFault("heading-unclear", line.number, {"heading": text.strip(), **_who(theirs)})


def _who(theirs: bool) -> dict[str, str]:
    seen, unseen = ("OpenSpec", "a reader of the page") if theirs else ("a reader of the page", "OpenSpec")
    return {"seen": seen, "unseen": unseen}


def spaced(label: str, title: str) -> str:
    """The heading of a requirement or a scenario as it is to be written."""
    return f"{'#' * _LEVELS[label.lower()]} {label.capitalize()}: {title.strip() or 'TITLE'}"


def _swallowed(scanned: MarkdownText) -> Iterator[SpecFault]:
    """Scenarios and requirements in a block that was meant to end before them.

    A closing fence that is missing is made up for by that of the next block, whose opening one is then code. A block
    that shows such headings on purpose either has no fence of its own kind inside, or is opened with a longer one.
    """
    unclosed = {mark.line for mark in scanned.unclosed}
    for block in scanned.blocks:
        opening = _OPENING.search(scanned.lines[block.line - 1].text)
        if opening is None or block.line in unclosed:
            continue
        code = _code_of(scanned, block)
        heading = next((line for line in code if _FENCED_HEADING.match(line.text)), None)
        if heading and (block.info == CASES or any(_opens(line, opening["mark"]) for line in code)):
            values = {"heading": heading.text.strip(), "opening": opening["mark"], "opened": block.line}
            yield SpecFault("swallowed-heading", heading.number, values)


def _code_of(scanned: MarkdownText, block: FencedBlock) -> list[TextLine]:
    return list(takewhile(lambda line: line.kind is LineKind.CODE, scanned.lines[block.line :]))


def _opens(line: TextLine, mark: str) -> bool:
    """Whether a line of code would open a block like the one around it."""
    found = _OPENING.match(line.text.lstrip(" "))
    return found is not None and found["mark"].startswith(mark) and bool(found["info"].strip())
