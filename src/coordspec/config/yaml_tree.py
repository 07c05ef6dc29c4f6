"""A config as it was written: every key and value with its place, and the places that set it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeAlias

import yaml

from coordspec.checks.finding import cut, shown
from coordspec.contracts import rule
from coordspec.errors import Issue, Place, Pointer

# ---------------------------------------------------------------- the tree


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


# ---------------------------------------------------------------- from text


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG: Final = "tag:yaml.org,2002:"
_STR, _MERGE = _TAG + "str", _TAG + "merge"
_SCALAR_TAGS: Final = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null"))
_MERGE_KEY: Final = "<<"
_FORMS: Final = {
    _TAG + "bool": "true or false",
    _TAG + "float": "a number",
    _TAG + "int": "an integer",
    _TAG + "merge": "a merge key",
    _TAG + "null": "null",
    _TAG + "timestamp": "a date",
    _TAG + "value": "a default value",
}


class Parsed(NamedTuple):
    """What a text holds; ``root`` is None where it cannot be read to its end."""

    root: YamlNode | None
    issues: list[Issue]


class _Refused(Exception):  # noqa: N818 (it never leaves this module)
    """The rest of the text says nothing; the findings have the reason."""


def parse_yaml(text: str, path: str) -> Parsed:
    """Read one YAML document; ``path`` is its file as findings name it. Never raises, whatever the text is."""
    builder = _Builder(text, path)
    try:
        return Parsed(builder.document(), builder.issues)
    except yaml.MarkedYAMLError as error:
        builder.report_syntax(error)
    except _Refused:
        pass
    return Parsed(None, builder.issues)


class _Builder:
    """Reads events and makes nodes of them. Faults that leave the rest readable are collected in ``issues``."""

    def __init__(self, text: str, path: str) -> None:
        self.path = path
        self.issues: list[Issue] = []
        self._text = text
        self._loader = _Loader(text)
        self._anchors: dict[str, tuple[YamlNode, int] | None] = {}
        self._count = 0
        self._ascii = text.isascii()
        self._index = self._byte = 0

    def document(self) -> YamlNode:
        """The root of the only document.

        Raises:
            yaml.MarkedYAMLError: the text is no YAML.
            _Refused: it breaks a limit, or has no single document.
        """
        next_event = self._loader.get_event
        next_event()
        if self._loader.check_event(yaml.StreamEndEvent):
            raise self._refuse("config-root", Place(self.path, 1, 1, 0), type="empty")
        next_event()
        root = self._node(next_event(), ())
        next_event()
        if not self._loader.check_event(yaml.StreamEndEvent):
            self._add("config-documents", self._place(self._loader.peek_event().start_mark))
        return root

    def report_syntax(self, error: yaml.MarkedYAMLError) -> None:
        """The finding on a text that is no YAML."""
        mark = error.problem_mark or error.context_mark
        assert mark is not None
        line = self._text[mark.index - mark.column :].split("\n", 1)[0] if mark.index >= mark.column else ""
        place = self._place(mark)
        if "tab" in (error.problem or "") or line[mark.column : mark.column + 1] == "\t":
            self._add("config-tab", place)
            return
        context = error.context_mark
        where = f" {error.context}, which starts in line {context.line + 1}" if context and error.context else ""
        self._add("config-yaml", place, reason=f"{error.problem}{where}")

    # ------------------------------------------------------------------------------------------------ nodes

    def _node(self, event: Any, at: Pointer) -> YamlNode:
        place = self._place(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, place, at)
        if len(at) >= _limit("max_depth") and not isinstance(event, yaml.ScalarEvent):
            raise self._refuse("config-too-deep", place, limit=_limit("max_depth"))
        before = self._count
        self._grow(1, place)
        if event.anchor is not None:
            if event.anchor in self._anchors:
                raise self._refuse("config-yaml", place, reason=f"the anchor &{event.anchor} stands twice")
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, place, at)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event, "seq", place, at)
            node = YamlNode(self._items(at), place)
        else:
            self._check_tag(event, "map", place, at)
            node = YamlNode(self._entries(at), place)
        if event.anchor is not None:
            self._anchors[event.anchor] = node, self._count - before
        return node

    def _alias(self, event: Any, place: Place, at: Pointer) -> YamlNode:
        if event.anchor not in self._anchors:
            raise self._refuse("config-yaml", place, reason=f"nothing is anchored as &{event.anchor}")
        known = self._anchors[event.anchor]
        if known is None:
            raise self._refuse("config-alias-cycle", place, at, alias=f"*{event.anchor}")
        node, count = known
        self._grow(count, place)
        return YamlNode(node.value, place, node.text, node.plain)

    def _items(self, at: Pointer) -> tuple[YamlNode, ...]:
        items: list[YamlNode] = []
        while not isinstance(event := self._loader.get_event(), yaml.SequenceEndEvent):
            items.append(self._node(event, (*at, len(items))))
        return tuple(items)

    def _entries(self, at: Pointer) -> Mapped:
        own: Mapped = {}
        shared: Mapped = {}
        merged: Place | None = None
        while not isinstance(event := self._loader.get_event(), yaml.MappingEndEvent):
            if _is_merge(event):
                place = self._place(event.start_mark)
                if merged is not None:
                    self._add("config-duplicate-key", place, at, value=shown(_MERGE_KEY), first=merged.line)
                merged = place
                for entries in self._shared(self._node(self._loader.get_event(), (*at, _MERGE_KEY)), at):
                    shared |= entries
                continue
            key = self._node(event, (*at, ""))
            known = isinstance(key.value, str)
            name = key.value if isinstance(key.value, str) else ""
            value = self._node(self._loader.get_event(), (*at, name))
            if not known:
                text = cut(key.text) or shown_node(key)
                self._add("config-key-type", key.place, (*at, text), value=text, type=kind(key))
            elif name in own:
                first = own[name].key.line
                self._add("config-duplicate-key", key.place, (*at, name), value=shown(name), first=first)
            else:
                own[name] = YamlEntry(value, (key.place,))
        return shared | own

    def _shared(self, node: YamlNode, at: Pointer) -> list[Mapped]:
        """What a merge key brings in, the weakest first: of a list, the first mapping wins."""
        nodes = node.value[::-1] if isinstance(node.value, tuple) else (node,)
        found = [item.value for item in nodes if isinstance(item.value, dict)]
        if len(found) != len(nodes):
            self._add("config-merge-key", node.place, (*at, _MERGE_KEY), type=kind(node))
        return found

    # ------------------------------------------------------------------------------------------------ scalars

    def _scalar(self, event: Any, place: Place, at: Pointer) -> YamlNode:
        text, plain = event.value, not event.style
        tag = event.tag
        if tag in (None, "!"):
            tag = self._loader.resolve(yaml.ScalarNode, text, event.implicit)
        if tag == _STR:
            return YamlNode(text, place, text, plain)
        if event.tag in (None, "!") or tag in _SCALAR_TAGS:
            return YamlNode(self._construct(tag, event, place, at), place, text, plain)
        self._check_tag(event, "str", place, at)
        return YamlNode(text, place, text, plain)

    def _construct(self, tag: str, event: Any, place: Place, at: Pointer) -> Any:
        """The value that ``yaml.safe_load`` gives; where it fails, a finding and the text itself."""
        text = event.value
        if len(text) > _limit("max_digits"):
            self._add("config-scalar", place, at, value=cut(text), type=_FORMS.get(tag, tag))
            return text
        try:
            make = self._loader.yaml_constructors[tag]
            return make(self._loader, yaml.ScalarNode(tag, text, event.start_mark, event.end_mark))
        except (ValueError, KeyError, IndexError, OverflowError, AttributeError):
            self._add("config-scalar", place, at, value=cut(text), type=_FORMS.get(tag, tag))
            return text

    def _check_tag(self, event: Any, name: str, place: Place, at: Pointer) -> None:
        if event.tag not in (None, "!", _TAG + name):
            self._add("config-tag", place, at, value=shown(event.tag.replace(_TAG, "!!", 1)))

    # ------------------------------------------------------------------------------------------------ places, findings

    def _grow(self, count: int, place: Place) -> None:
        self._count += count
        if self._count > _limit("max_values"):
            raise self._refuse("config-too-many-values", place, limit=_limit("max_values"))

    def _place(self, mark: Any) -> Place:
        """The place of a mark. Marks nearly always come in order, so bytes are counted from the last one on."""
        if self._ascii:
            return Place(self.path, mark.line + 1, mark.column + 1, mark.index)
        if mark.index < self._index:
            self._index = self._byte = 0
        self._byte += len(self._text[self._index : mark.index].encode())
        self._index = mark.index
        return Place(self.path, mark.line + 1, mark.column + 1, self._byte)

    def _add(self, name: str, place: Place, at: Pointer | None = None, **values: object) -> None:
        whole = Place(place.path, place.line, place.column, place.byte_offset, at)
        self.issues.append(rule(name).issue(whole, values))

    def _refuse(self, name: str, place: Place, at: Pointer | None = None, **values: object) -> _Refused:
        self._add(name, place, at, **values)
        return _Refused()


def _is_merge(event: Any) -> bool:
    return isinstance(event, yaml.ScalarEvent) and (
        event.tag == _MERGE or (event.value == _MERGE_KEY and event.tag is None and bool(event.implicit[0]))
    )


_LIMIT_RULES: Final = {
    "max_depth": "config-too-deep",
    "max_values": "config-too-many-values",
    "max_digits": "config-scalar",
}


def _limit(name: str) -> int:
    limit: int = rule(_LIMIT_RULES[name]).params[name]
    return limit
