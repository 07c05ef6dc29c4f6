"""``extends``: a config and everything it builds on, as one tree in which every value knows the files that set it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from coordspec.checks.finding import shown
from coordspec.config.beside import beside, identity
from coordspec.config.load import Source, read_source
from coordspec.config.tree import EMPTY, YamlEntry, YamlNode, kind, merge
from coordspec.contracts import rule
from coordspec.errors import InputError, Issue, Place

EXTENDS = "extends"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A config with all that it extends.

    ``files`` are those that were read, the config itself first. ``extended_by`` leads from every other file to the
    place of the name that brought it in. Where ``whole`` is False, some file could not be read or found, and a key
    that is missing may stand there.
    """

    root: YamlNode
    files: tuple[str, ...]
    extended_by: Mapping[str, Place]
    issues: tuple[Issue, ...]
    whole: bool


def resolve(path: str) -> Resolved:
    """Read a config and what it extends: the child wins over its parents, a later parent over an earlier one.

    Raises:
        InputError: the config itself cannot be opened. A parent that cannot is a finding.
    """
    chain = _Chain()
    source = read_source(path)
    root = chain.resolve(source, (source.path,))
    return Resolved(root, tuple(chain.files), chain.extended_by, tuple(chain.issues), chain.whole)


@dataclass(slots=True)
class _Chain:
    """What is known while the files are read. Each is read and merged once, however many extend it."""

    issues: list[Issue] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    extended_by: dict[str, Place] = field(default_factory=dict)
    merged: dict[str, YamlNode] = field(default_factory=dict)
    whole: bool = True

    def resolve(self, source: Source, trail: tuple[str, ...]) -> YamlNode:
        """The tree of a file over those of its parents; ``trail`` are the files on the way here, it being the last."""
        self.files.append(source.path)
        self.issues += source.issues
        self.whole = self.whole and source.whole
        own = YamlNode(
            {key: entry for key, entry in source.entries.items() if key != EXTENDS}, Place(source.path, 1, 1, 0)
        )
        tree = YamlNode(EMPTY, own.place)
        if EXTENDS in source.entries:
            for name in self._names(source.entries[EXTENDS]):
                tree = merge(tree, self._parent(name, trail))
        tree = merge(tree, own)
        self.merged[identity(source.path)] = tree
        return tree

    def _names(self, entry: YamlEntry) -> Iterator[YamlNode]:
        """The nodes of ``extends`` that name a file; whatever else stands there is a finding."""
        node, limit = entry.node, rule("extends-too-many").params["max_files"]
        items = node.value if isinstance(node.value, tuple) and node.value else (node,)
        if len(items) > limit:
            self._fault("extends-too-many", items[limit], count=len(items), limit=limit)
            return
        for item in items:
            if isinstance(item.value, str) and item.value:
                yield item
            else:
                words = "an empty " + kind(item).partition(" ")[2] if item.value in ("", ()) else kind(item)
                self._fault("extends-type", item, type=words)

    def _parent(self, name: YamlNode, trail: tuple[str, ...]) -> YamlNode:
        nothing = YamlNode(EMPTY, name.place)
        if not _is_file_name(str(name.value)):
            self._fault("extends-missing", name, path=shown(name.value), reason="no file can be called so")
            return nothing
        path = beside(trail[-1], str(name.value))
        this = identity(path)
        on_trail = [identity(file) for file in trail]
        if this in on_trail:
            cycle = [*trail[on_trail.index(this) :], path]
            self._fault("extends-cycle", name, chain=" → ".join(cycle))
            return nothing
        if this in self.merged:
            return self.merged[this]
        limit = rule("extends-too-many").params["max_files"]
        if len(self.files) >= limit:
            self._fault("extends-too-many", name, count=len(self.files) + 1, limit=limit)
            return nothing
        try:
            source = read_source(path)
        except InputError as error:
            self._fault("extends-missing", name, path=path, reason=error.reason)
            return nothing
        self.extended_by[path] = name.place
        return self.resolve(source, (*trail, path))

    def _fault(self, rule_name: str, node: YamlNode, **values: object) -> None:
        self.whole = False
        place = node.place
        at = Place(place.path, place.line, place.column, place.byte_offset, (EXTENDS,))
        self.issues.append(rule(rule_name).issue(at, values))


def _is_file_name(name: str) -> bool:
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        return False
