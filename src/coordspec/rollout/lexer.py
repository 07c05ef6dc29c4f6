"""JSON values with their places in the text: strict about structure, while faults inside of strings are told later."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple

from coordspec.rollout.grammar import LEXEME
from coordspec.rollout.reasons import DropReason

_CLOSER: Final = {b"{": b"}", b"[": b"]"}
_STRING, _LITERAL = b'"', b""
_PLAIN: Final = re.compile(rb'"[ !#-\[\]-~]*+"')
_CONTROL: Final = re.compile("[\x00-\x1f]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class Node:
    """A JSON value: ``shape`` is ``{``, ``[``, ``"`` or empty (a literal), ``start`` and ``end`` are bytes.

    ``keys`` are those of an object, ``items`` its values or those of a list. ``depth`` is 1 for the outermost value.
    """

    shape: bytes
    start: int
    end: int
    depth: int
    keys: list[Node] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Node]:
        """The value itself, and all keys and values inside of it."""
        found = [self]
        for node in found:
            yield node
            found += node.keys + node.items


class Lexeme(NamedTuple):
    """A string (``"``), a mark (itself) or a literal (empty) at ``start..end``."""

    shape: bytes
    start: int
    end: int


def next_lexeme(data: bytes, at: int) -> Lexeme | None:
    """What stands at ``at`` behind white space, or None where nothing of JSON does."""
    match = LEXEME.match(data, at)
    if match is None:
        return None
    kind = match.lastgroup or ""
    start, end = match.span(kind)
    shape = {"string": _STRING, "literal": _LITERAL}.get(kind, data[start:end])
    return Lexeme(shape, start, end)


class _Expect(Enum):
    VALUE = auto()
    FIRST_ITEM = auto()  # or the end of the list
    KEY = auto()
    FIRST_KEY = auto()  # or the end of the object
    COLON = auto()
    MORE = auto()  # a comma, or the end


_MAY_CLOSE = (_Expect.FIRST_ITEM, _Expect.FIRST_KEY, _Expect.MORE)


def read_value(data: bytes, at: int) -> Node | None:
    """The value that starts at ``at`` or behind white space there; None if the text ends or breaks inside of it.

    Nesting takes a list and no recursion, so any depth can be read.
    """
    stack: list[Node] = []
    expect = _Expect.VALUE
    while (lexeme := next_lexeme(data, at)) is not None:
        shape, start, at = lexeme
        if expect in _MAY_CLOSE and shape == _CLOSER[stack[-1].shape]:
            done = stack.pop()
            done.end = at
        elif expect is _Expect.MORE or expect is _Expect.COLON:
            if shape != (b"," if expect is _Expect.MORE else b":"):
                return None
            in_object = expect is _Expect.MORE and stack[-1].shape == b"{"
            expect = _Expect.KEY if in_object else _Expect.VALUE
            continue
        elif shape not in (_STRING, _LITERAL, *_CLOSER):
            return None
        else:
            done = Node(shape, start, at, len(stack) + 1)
            if expect is _Expect.KEY or expect is _Expect.FIRST_KEY:
                if shape != _STRING:
                    return None
                stack[-1].keys.append(done)
                expect = _Expect.COLON
                continue
            if stack:
                stack[-1].items.append(done)
            if shape in _CLOSER:
                stack.append(done)
                expect = _Expect.FIRST_KEY if shape == b"{" else _Expect.FIRST_ITEM
                continue
        if not stack:
            return done
        expect = _Expect.MORE
    return None


class Text(NamedTuple):
    """What a string says, or why it says nothing; ``shown`` is for people either way."""

    value: str | None
    fault: DropReason | None
    shown: str


def read_string(data: bytes, node: Node) -> Text:
    """The text of a string."""
    raw = data[node.start : node.end]
    if _PLAIN.fullmatch(raw):
        plain = raw[1:-1].decode()
        return Text(plain, None, plain)
    shown = raw[1:-1].decode("utf-8", "backslashreplace")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return Text(None, DropReason.INVALID_UTF8, shown)
    if _CONTROL.search(text):
        return Text(None, DropReason.CONTROL_CHAR, shown)
    try:
        value: str = json.loads(text)
    except json.JSONDecodeError:
        return Text(None, DropReason.BAD_ESCAPE, shown)
    if _SURROGATE.search(value):
        return Text(None, DropReason.LONE_SURROGATE, shown)
    return Text(value, None, value)
