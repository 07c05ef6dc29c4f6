"""Are the artifacts of a change filled, and made in the order of its schema; do tasks and code wait for them?

openspec counts an artifact as done as soon as a file is there, whatever is in it and whether or not what it builds on
exists. Here an artifact is complete when openspec calls it done or skipped and none of its files is blank. One that is
not written yet is no fault: artifacts land one after another. It is one as soon as something is ahead of it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from coordspec.contracts import rule
from coordspec.errors import InputError, Issue, Place
from coordspec.findings.visible import plural
from coordspec.spec.digests import Key
from coordspec.spec.document import CHANGES, Scenario, SpecDocument, capability_of, parse_spec, shown_path
from coordspec.spec.lint import TASKS, is_blank
from coordspec.spec.lint_delta import BODIED, operation_of
from coordspec.spec.openspec_cli import Artifact, ChangeStatus
from coordspec.spec.tasks import ChangeTask, read_tasks


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

    def unwritten(self, artifact_ids: Collection[str]) -> list[str]:
        """Those of the artifacts that have no file, in the order of the schema."""
        return [name for name in self.incomplete(artifact_ids) if not self.files(name)]

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

    @cached_property
    def owed(self) -> set[str]:
        """What must be there before code is written; an artifact of the schema beside these is optional."""
        return self.basis(self.change.apply_requires)

    @cached_property
    def tasks(self) -> list[tuple[Path, ChangeTask]]:
        """Every task. Tasks stand in what a schema has finished before code is written (``apply.requires``), in an
        artifact called tasks, and in tasks.md, which openspec counts if nothing else is there.
        """
        names = [name for name in self.artifacts if name == "tasks" or name in self.change.apply_requires]
        files = [path for name in names for path in self.files(name)]
        fallback = self.folder / TASKS
        if fallback.is_file() and fallback.resolve() not in map(Path.resolve, files):
            files.append(fallback)
        return [(path, task) for path in files for task in read_tasks(text_of(path))]

    @cached_property
    def deltas(self) -> list[SpecDocument]:
        """The spec deltas that are there."""
        specs = self.folder / "specs"
        paths = [path for path in self.all_files if path.name == "spec.md" and path.parent.is_relative_to(specs)]
        return [
            parse_spec(text_of(path), shown_path(path, self.root), capability_of(path, specs)) for path in sorted(paths)
        ]

    def scenarios(self, *operations: str) -> Iterator[tuple[Key, SpecDocument, Scenario]]:
        """The scenarios of the requirements under operations such as ADDED."""
        for document in self.deltas:
            for requirement in document.requirements:
                if operation_of(requirement.section) in operations:
                    for scenario in requirement.scenarios:
                        yield (document.capability, requirement.title, scenario.title), document, scenario


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


def check_change(change: ChangeFiles, bound: Mapping[Key, str], *, complete: bool = False) -> Iterator[Issue]:
    """What is wrong with the artifacts of one change; one finding for each fault.

    ``bound`` has the digest of every scenario of the main specs that a test is bound to. All artifacts that the schema
    asks for have to be there if ``complete``.
    """
    if change.change.artifacts is None:
        reason = "; ".join(one_line(said.message) for said in change.change.status) or "openspec does not say why"
        metadata = change.folder / ".openspec.yaml"
        place = metadata if metadata.is_file() else change.folder
        yield rule("change-not-loaded").issue(Place(str(place)), {"change": change.name, "reason": reason})
        return
    for artifact in change.change.artifacts:
        yield from _blank(change, artifact)
    awaited = _awaited(change, bound)
    yield from _ahead(change, awaited, bound)
    if complete:
        yield from (_missing(change, name) for name in change.unwritten(change.owed - awaited))
    if not change.incomplete(change.owed):
        yield from _unbound(change, bound)


def next_artifacts(change: ChangeFiles) -> str:
    """What of a change is to be written next, in words; empty where nothing is."""
    names = change.unwritten(change.owed) if change.change.artifacts is not None else []
    return _listed(change, [name for name in names if not change.incomplete(change.artifacts[name].requires)])


def _blank(change: ChangeFiles, artifact: Artifact) -> Iterator[Issue]:
    for path in change.files(artifact.id):
        if path in change.blank:
            yield rule("blank-artifact").issue(Place(str(path)), {"change": change.name, "artifact": artifact.id})


def _missing(change: ChangeFiles, artifact_id: str) -> Issue:
    artifact = change.artifacts[artifact_id]
    lacking = change.incomplete(artifact.requires)
    values = {"change": change.name, "artifact": artifact.id, "output": artifact.output_path}
    values["missing"] = _listed(change, lacking)
    # Of a glob such as specs/**/*.md no file can be named: the folder of the change stands for it.
    path = change.folder if "*" in artifact.output_path else change.folder / artifact.output_path
    return rule("blocked-artifact" if lacking else "missing-artifact").issue(Place(str(path)), values)


# ---------------------------------------------------------------- what runs ahead


def _awaited(change: ChangeFiles, bound: Mapping[Key, str]) -> set[str]:
    """The artifacts that are not written although something is there that builds on them."""
    there = [name for name in change.artifacts if change.files(name) and change.complete(name)]
    basis = change.basis(there)
    if _built(change, bound) or _ticked(change):
        basis |= change.owed
    return set(change.unwritten(basis))


def _ahead(change: ChangeFiles, awaited: Collection[str], bound: Mapping[Key, str]) -> Iterator[Issue]:
    """What is furthest ahead stands for all that is: code, or else ticked tasks, or else artifacts."""
    owed = [name for name in change.unwritten(awaited) if name in change.owed]
    values: dict[str, object] = {"change": change.name, "missing": _listed(change, owed)}
    if owed and (built := _built(change, bound)):
        document, scenario = built
        place = Place(str(change.root / document.path), scenario.line)
        yield rule("code-ahead").issue(place, values | {"scenario": scenario.title})
    elif owed and (ticked := _ticked(change)):
        path, first = ticked[0]
        yield rule("task-ticked-early").issue(
            Place(str(path), first.line), values | {"tasks": plural(len(ticked), "task")}
        )
    else:
        yield from (_out_of_order(change, name) for name in change.unwritten(awaited))


def _out_of_order(change: ChangeFiles, lacking: str) -> Issue:
    there = [name for name in change.artifacts if change.files(name) and lacking in change.basis([name])]
    values = {"change": change.name, "artifact": _joined(there), "missing": _listed(change, [lacking])}
    return rule("artifact-out-of-order").issue(Place(str(change.files(there[0])[0])), values)


def _ticked(change: ChangeFiles) -> list[tuple[Path, ChangeTask]]:
    return [(path, task) for path, task in change.tasks if task.ticked]


def _built(change: ChangeFiles, bound: Mapping[Key, str]) -> tuple[SpecDocument, Scenario] | None:
    """A scenario that the change adds, and that stands in the main specs already with a test."""
    added = change.scenarios("ADDED")
    return next(((document, scenario) for key, document, scenario in added if bound.get(key) == scenario.digest), None)


def _unbound(change: ChangeFiles, bound: Mapping[Key, str]) -> Iterator[Issue]:
    """All tasks ticked, and scenarios that no test is bound to: what is called done is shown by nothing."""
    if not change.tasks or len(_ticked(change)) < len(change.tasks):
        return
    unbound = [scenario for key, _, scenario in change.scenarios(*BODIED) if bound.get(key) != scenario.digest]
    if unbound:
        path, first = change.tasks[0]
        values = {"change": change.name, "scenarios": plural(len(unbound), "scenario"), "first": unbound[0].title}
        yield rule("ticked-unbound").issue(Place(str(path), first.line), values)


def _listed(change: ChangeFiles, names: Sequence[str]) -> str:
    """``proposal (proposal.md) and design (design.md)``"""
    return _joined([f"{name} ({change.artifacts[name].output_path})" for name in names])


def _joined(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
