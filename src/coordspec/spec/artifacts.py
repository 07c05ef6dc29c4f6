"""Are the artifacts of a change there, filled, and made in the order of its schema; which of its tasks are ticked?

openspec counts an artifact as done as soon as a file is there, whatever is in it and whether or not what it builds on
exists. Here an artifact is complete when openspec calls it done or skipped and none of its files is blank.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from coordspec.contracts import rule
from coordspec.errors import InputError, Issue, Place
from coordspec.spec.document import CHANGES
from coordspec.spec.lint import is_blank
from coordspec.spec.markdown import LineKind, MarkdownText, TextLine, plain_lines, take_apart
from coordspec.spec.openspec_cli import Artifact, ChangeStatus


@dataclass(frozen=True)
class ChangeFiles:
    """A change as openspec sees it, and its files below ``root``."""

    root: Path
    change: ChangeStatus

    @property
    def name(self) -> str:
        return self.change.change_name

    @property
    def folder(self) -> Path:
        return self.root / CHANGES / self.name

    @cached_property
    def artifacts(self) -> Mapping[str, Artifact]:
        """In the order in which the schema has them made."""
        return {artifact.id: artifact for artifact in self.change.artifacts or ()}

    def files(self, artifact_id: str) -> list[Path]:
        """The files of an artifact that are there."""
        paths = self.change.artifact_paths.get(artifact_id)
        absolute = paths.existing_output_paths if paths else []
        return [self.root / os.path.relpath(path, self.root.resolve()) for path in absolute]

    @cached_property
    def all_files(self) -> list[Path]:
        return [path for artifact_id in self.artifacts for path in self.files(artifact_id)]

    @cached_property
    def blank(self) -> frozenset[Path]:
        """Files that say nothing: no bytes, white space, or a template that nobody filled in."""
        return frozenset(path for path in self.all_files if is_blank(text_of(path), path.suffix))

    def complete(self, artifact_id: str) -> bool:
        artifact = self.artifacts[artifact_id]
        if artifact.status == "skipped":
            return True
        return artifact.status == "done" and self.blank.isdisjoint(self.files(artifact_id))

    def incomplete(self, artifact_ids: Collection[str]) -> list[str]:
        """Those of the artifacts that are not complete, in the order of the schema."""
        return [name for name in self.artifacts if name in artifact_ids and not self.complete(name)]

    def basis(self, artifact_ids: Iterable[str]) -> set[str]:
        """The artifacts and everything that they build on."""
        found: set[str] = set()
        new = list(artifact_ids)
        while new:
            artifact_id = new.pop()
            if artifact_id not in found:
                found.add(artifact_id)
                new += self.artifacts[artifact_id].requires
        return found


def text_of(path: Path) -> str:
    """The text of a file without byte order mark; bytes that are no UTF-8 count as characters.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8", "replace").removeprefix("\ufeff")
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror or error}") from error


def one_line(message: str) -> str:
    """What openspec says, as a part of a sentence."""
    return " ".join(message.split()).rstrip(".")


def check_change(change: ChangeFiles) -> Iterator[Issue]:
    """What is wrong with the artifacts of one change."""
    if change.change.artifacts is None:
        reason = "; ".join(one_line(said.message) for said in change.change.status) or "openspec does not say why"
        metadata = change.folder / ".openspec.yaml"
        place = metadata if metadata.is_file() else change.folder
        yield rule("change-not-loaded").issue(Place(str(place)), {"change": change.name, "reason": reason})
        return
    for artifact in change.artifacts.values():
        if artifact.status in ("ready", "blocked"):
            yield _missing(change, artifact)
        elif artifact.status == "done":
            yield from _blank(change, artifact)
            yield from _out_of_order(change, artifact)
    yield from _ticked_early(change)


def _missing(change: ChangeFiles, artifact: Artifact) -> Issue:
    lacking = change.incomplete(artifact.requires)
    values = {"change": change.name, "artifact": artifact.id, "output": artifact.output_path}
    values["missing"] = _listed(change, lacking)
    # Of a glob such as specs/**/*.md no file can be named: the folder of the change stands for it.
    path = change.folder if "*" in artifact.output_path else change.folder / artifact.output_path
    return rule("blocked-artifact" if lacking else "missing-artifact").issue(Place(str(path)), values)


def _blank(change: ChangeFiles, artifact: Artifact) -> Iterator[Issue]:
    for path in change.files(artifact.id):
        if path in change.blank:
            yield rule("blank-artifact").issue(Place(str(path)), {"change": change.name, "artifact": artifact.id})


def _out_of_order(change: ChangeFiles, artifact: Artifact) -> Iterator[Issue]:
    lacking = change.incomplete(artifact.requires)
    if not lacking or not change.complete(artifact.id):
        return
    values = {"change": change.name, "artifact": artifact.id, "missing": _listed(change, lacking)}
    yield rule("artifact-out-of-order").issue(Place(str(change.files(artifact.id)[0])), values)


def _ticked_early(change: ChangeFiles) -> Iterator[Issue]:
    """Work done before it was planned. Tasks stand in what a schema has finished before code is written
    (``apply.requires``), in an artifact called tasks, and in tasks.md, which openspec counts if nothing else is there.
    """
    tasks = [name for name in change.artifacts if name == "tasks" or name in change.change.apply_requires]
    lacking = change.incomplete(change.basis(tasks))
    files = [path for name in tasks for path in change.files(name)]
    fallback = change.folder / "tasks.md"
    if fallback.is_file() and fallback.resolve() not in map(Path.resolve, files):
        files.append(fallback)
    for path in files:
        ticked = ticked_lines(text_of(path))
        if lacking and ticked:
            word = "task" if len(ticked) == 1 else "tasks"
            values = {"change": change.name, "tasks": f"{len(ticked)} {word}", "missing": _listed(change, lacking)}
            yield rule("task-ticked-early").issue(Place(str(path), ticked[0]), values)


def _listed(change: ChangeFiles, names: Sequence[str]) -> str:
    """``proposal (proposal.md) and design (design.md)``"""
    said = [f"{name} ({change.artifacts[name].output_path})" for name in names]
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


# ---------------------------------------------------------------- ticked tasks

_TICKED: Final = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])\s*\[\s*[xX]\s*\](?![(\[])")


def ticked_lines(text: str) -> list[int]:
    """Numbers of the lines, from 1, that hold a ticked task: ``- [x]``, ``* [X]``, ``1. [x]``, at any depth.

    What stands in a fence that is closed is an example and no task. An unclosed fence hides nothing, nor does a
    comment: openspec counts every line, and a gate must not be opened by a stray fence.
    """
    return [line.number for line in _live(take_apart(plain_lines(text))) if _TICKED.match(line.text)]


def _live(scanned: MarkdownText) -> Iterator[TextLine]:
    unclosed = {mark.line for mark in scanned.unclosed}
    fence = 0  # the last line that is a fence: the opening one, where code follows
    for line in scanned.lines:
        if line.kind is LineKind.FENCE:
            fence = line.number
        elif line.kind is not LineKind.CODE or fence in unclosed:
            yield line
