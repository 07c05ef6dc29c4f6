"""From a file to its tree: text that is UTF-8 and YAML, one document, a mapping, nothing hidden in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from coordspec.config.positions import parse_yaml
from coordspec.config.tree import EMPTY, YamlEntry, YamlNode, kind, walk
from coordspec.contracts import rule
from coordspec.errors import InputError, Issue, Place

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
