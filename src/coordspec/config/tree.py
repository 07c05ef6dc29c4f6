"""A config as it was written: every key and value with its place, and the places that set it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from coordspec.checks.finding import cut, shown
from coordspec.errors import Place, Pointer

Scalar: TypeAlias = str | int | float | bool | datetime.date | None


@dataclass(frozen=True, slots=True)
class YamlNode:
    """A value and where it starts. ``text`` is how a scalar is written; ``plain`` is True if it has no quotes."""

    value: Scalar | Mapping[str, YamlEntry] | tuple[YamlNode, ...]
    place: Place
    text: str = ""
    plain: bool = False


@dataclass(frozen=True, slots=True)
class YamlEntry:
    """A key with its value. ``chain`` holds the places of the key in every file that sets it, the winner first."""

    node: YamlNode
    chain: tuple[Place, ...]

    @property
    def key(self) -> Place:
        return self.chain[0]


Mapped: TypeAlias = dict[str, YamlEntry]

EMPTY: Final[Mapping[str, YamlEntry]] = {}


def plain_value(node: YamlNode) -> Any:
    """The value without places: dicts, lists and scalars."""
    if isinstance(node.value, Mapping):
        return {key: plain_value(entry.node) for key, entry in node.value.items()}
    if isinstance(node.value, tuple):
        return [plain_value(item) for item in node.value]
    return node.value


def find(root: YamlNode, at: Pointer) -> YamlEntry | None:
    """The entry at a pointer, or None; an item of a list counts as an entry whose key stands where the item does."""
    entry = YamlEntry(root, (root.place,))
    for step in at:
        value = entry.node.value
        if isinstance(value, Mapping) and step in value:
            entry = value[str(step)]
        elif isinstance(value, tuple) and isinstance(step, int) and step < len(value):
            entry = YamlEntry(value[step], (value[step].place,))
        else:
            return None
    return entry


def nearest(root: YamlNode, at: Pointer) -> tuple[Pointer, YamlEntry]:
    """The longest part of a pointer that is there, and the entry at it."""
    for length in range(len(at), 0, -1):
        entry = find(root, at[:length])
        if entry is not None:
            return at[:length], entry
    return (), YamlEntry(root, (root.place,))


def walk(node: YamlNode, at: Pointer = ()) -> Iterator[tuple[Pointer, YamlEntry]]:
    """Every entry below a node with its pointer, items of lists too, in the order in which they are written."""
    if isinstance(node.value, Mapping):
        for key, entry in node.value.items():
            yield (*at, key), entry
            yield from walk(entry.node, (*at, key))
    elif isinstance(node.value, tuple):
        for index, item in enumerate(node.value):
            yield (*at, index), YamlEntry(item, (item.place,))
            yield from walk(item, (*at, index))


def merge(parent: YamlNode, child: YamlNode) -> YamlNode:
    """Both as one: mappings are merged, everything else is the child's; chains remember what was overridden."""
    if not (isinstance(parent.value, Mapping) and isinstance(child.value, Mapping)):
        return child
    merged: Mapped = dict(parent.value)
    for key, entry in child.value.items():
        before = merged.get(key)
        if before is not None:
            chain = tuple(dict.fromkeys((*entry.chain, *before.chain)))
            entry = YamlEntry(merge(before.node, entry.node), chain)  # noqa: PLW2901 (the same entry, now with its past)
        merged[key] = entry
    return replace(child, value=merged)


def shown_node(node: YamlNode) -> str:
    """The value as a message shows it: strings in quotes, other scalars as they are written."""
    if isinstance(node.value, str):
        return shown(node.value)
    if isinstance(node.value, Mapping):
        return cut("{" + ", ".join(f"{key}: …" for key in node.value) + "}")
    if isinstance(node.value, tuple):
        return cut("[" + ", ".join(map(shown_node, node.value)) + "]")
    return cut(node.text) or "null"


def kind(node: YamlNode) -> str:
    """What a value is, in words: ``an integer``, ``a date``, ``a mapping``."""
    if isinstance(node.value, Mapping):
        return "a mapping"
    if isinstance(node.value, tuple):
        return "a list"
    return next(words for type_, words in _KINDS if isinstance(node.value, type_))


_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a number"),
    (str, "a string"),
    (datetime.date, "a date"),
    (type(None), "an empty value"),
)
