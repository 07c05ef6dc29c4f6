"""From the paths that a person typed to one tree: files are found, read, and merged with those that they extend."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

from coordspec.checks.finding import shown
from coordspec.config.yaml_tree import EMPTY, YamlEntry, YamlNode, kind, merge, parse_yaml, walk
from coordspec.contracts import rule
from coordspec.errors import InputError, Issue, Place, Pointer, Severity

# ---------------------------------------------------------------- paths that stand in a config


def beside(file: str, path: str) -> str:
    """The path as seen from where ``file`` was named, without detours where the short path means the same file."""
    joined = os.path.join(os.path.dirname(file), path)  # noqa: PTH118, PTH120 (kept as it was typed)
    short = os.path.normpath(joined)
    return short if identity(short) == identity(joined) else joined


def identity(path: str) -> str:
    """The same for every way to name a file. A text that can name none stands for itself."""
    try:
        return os.path.realpath(path)
    except ValueError:  # a NUL, or half of a surrogate pair
        return path


# ---------------------------------------------------------------- the configs that are meant


_SUFFIXES: Final = (".yaml", ".yml")


def config_files(words: Iterable[str]) -> list[str]:
    """Files, and folders that are searched for ``*.yaml`` and ``*.yml``; each file once, in this order.

    A file that does not exist stays in the list, for the check to report it.

    Raises:
        InputError: a folder holds no config.
    """
    found: dict[str, str] = {}
    for word in words:
        for path in _expand(word):
            found.setdefault(identity(path), path)
    return list(found.values())


def _expand(word: str) -> list[str]:
    if not Path(word).is_dir():
        return [word]
    files = sorted(str(path) for path in Path(word).rglob("*") if path.suffix in _SUFFIXES and path.is_file())
    if not files:
        raise InputError(word, f"no {' or '.join(_SUFFIXES)} file in this folder")
    return files


# ---------------------------------------------------------------- from a file to its tree


_BOM: Final = "\ufeff"
_INTERPOLATION: Final = re.compile(r"\$\{[^}]*\}?")
# What YAML does not allow in its text, but for NUL, which says that the file is no text at all.
_CONTROL: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Source:
    """One config file. ``entries`` are its keys; where ``whole`` is False, some of the file could not be read."""

    path: str
    entries: Mapping[str, YamlEntry] = field(default_factory=lambda: EMPTY)
    issues: tuple[Issue, ...] = ()
    whole: bool = True


def read_source(path: str) -> Source:
    """Read one config file by itself, without what it extends.

    Raises:
        InputError: there is no such file, or it cannot be opened.
    """
    data = _read(path)
    limit: int = rule("config-too-long").params["max_bytes"]
    if len(data) > limit:
        return _unreadable("config-too-long", Place(path), limit=limit)
    if b"\0" in data:
        at = data.index(b"\0")
        return _unreadable("config-binary", _byte_place(path, data[:at], at), value="0x00")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = _byte_place(path, data[: error.start], error.start)
        return _unreadable("config-encoding", place, value=f"0x{data[error.start]:02X}", reason=error.reason)
    if text.startswith(_BOM):
        return _unreadable("config-byte-order-mark", Place(path, 1, 1, 0))
    control = _CONTROL.search(text)
    if control is not None:
        before = text[: control.start()].encode()
        place = _byte_place(path, before, len(before))
        return _unreadable("config-control-character", place, value=f"U+{ord(control[0]):04X}")
    return _parsed(text, path)


def _read(path: str) -> bytes:
    limit: int = rule("config-too-long").params["max_bytes"]
    try:
        if Path(path).is_dir():
            raise InputError(path, "is a folder; name a config file")
        with Path(path).open("rb") as stream:
            return stream.read(limit + 1)
    except FileNotFoundError as error:
        raise InputError(path, "no such file or folder") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(path, getattr(error, "strerror", None) or str(error)) from error


def _parsed(text: str, path: str) -> Source:
    root, issues = parse_yaml(text, path)
    if root is None:
        return Source(path, issues=tuple(issues), whole=False)
    if not isinstance(root.value, Mapping):
        empty = root.value is None and not root.text
        issues.append(rule("config-root").issue(root.place, {"type": "empty" if empty else kind(root)}))
        return Source(path, issues=tuple(issues), whole=False)
    return Source(path, root.value, (*issues, *_interpolations(root)))


def _interpolations(root: YamlNode) -> Iterator[Issue]:
    """Values that want to be filled in from outside of the file."""
    for at, entry in walk(root):
        value = entry.node.value
        found = _INTERPOLATION.search(value) if isinstance(value, str) else None
        if found is not None:
            yield rule("config-interpolation").issue(replace(entry.node.place, at=at), {"value": found[0]})


def _unreadable(name: str, place: Place, **values: object) -> Source:
    return Source(place.path, issues=(rule(name).issue(place, values),), whole=False)


def _byte_place(path: str, before: bytes, offset: int) -> Place:
    """The place behind these bytes, which are UTF-8 as far as lines and columns can be counted in them."""
    lines = before.decode("utf-8", "replace").split("\n")
    return Place(path, len(lines), len(lines[-1]) + 1, offset)


# ---------------------------------------------------------------- ``extends``


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


# ---------------------------------------------------------------- what is wrong, and which files made it so


class Fault(NamedTuple):
    """A rule broken at an entry of the resolved config: at its key where ``on_key`` is True, else at its value."""

    rule: str
    at: Pointer
    entry: YamlEntry
    values: Mapping[str, object]
    on_key: bool = False
    severity: Severity | None = None

    @property
    def weight(self) -> Severity:
        return self.severity or rule(self.rule).severity


def issue_of(fault: Fault, resolved: Resolved) -> Issue:
    """The finding of a fault, with the chain of files that set the value behind its message."""
    place = fault.entry.key if fault.on_key else fault.entry.node.place
    made = rule(fault.rule).issue(replace(place, at=fault.at), fault.values, fault.severity)
    return _behind(made, [*_overridden(fault.entry), *_extended(place.path, resolved)])


def with_origin(issue: Issue, resolved: Resolved) -> Issue:
    """A finding on the text of a file, with the files that extend it behind its message."""
    return _behind(issue, list(_extended(issue.place.path, resolved)))


def _behind(issue: Issue, remarks: list[str]) -> Issue:
    return replace(issue, message=f"{issue.message} ({'; '.join(remarks)})") if remarks else issue


def _overridden(entry: YamlEntry) -> Iterator[str]:
    """``stage2.yaml:12 overrides base.yaml:70``, and that what it overrides itself."""
    if len(entry.chain) > 1:
        yield " overrides ".join(f"{place.path}:{place.line}" for place in entry.chain)


def _extended(path: str, resolved: Resolved) -> Iterator[str]:
    """``run.yaml:1 extends it``, and so on up to the config that was checked."""
    what = "it"
    while (name := resolved.extended_by.get(path)) is not None:
        yield f"{name.path}:{name.line} extends {what}"
        path = what = name.path


def place_of(entry: YamlEntry, seen_from: Place) -> str:
    """Where an entry stands, as short as it can be said in a finding at another place."""
    key = entry.key
    return f"line {key.line}" if key.path == seen_from.path else f"{key.path}:{key.line}"
