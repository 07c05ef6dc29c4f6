"""JSON text in which single objects are replaced, and every other character stays."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from coordspec.jsonl.parse import ValuePlace, locate

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


class RawFloat(float):
    """A float that remembers how it was written: 1.0, 1.00 and 1e0 stay what they are."""

    text: str

    def __new__(cls, text: str) -> RawFloat:
        number = super().__new__(cls, text)
        number.text = text
        return number


def _integer(text: str) -> int | RawFloat:
    """No integer of Python is -0; all others keep their text."""
    return RawFloat(text) if text == "-0" else int(text)


_raw_decode = json.JSONDecoder(parse_float=RawFloat, parse_int=_integer).raw_decode


class Piece(NamedTuple):
    """A value and the characters ``start`` to ``end`` of the text that it is written in."""

    value: Any
    start: int
    end: int


def list_items(body: bytes, key: str) -> tuple[str, list[Piece]]:
    """The text of a line, and the items of the list that stands under ``key`` in it.

    ``body`` is a line that ``parse_line`` found usable, without byte order mark; it is an object, ``key`` is in it once
    and holds a list. Numbers with a fraction or an exponent are ``RawFloat``.
    """
    text = body.decode()
    target = ValuePlace((key,))
    start = len(body[: locate(body, [target])[target]].decode())
    return text, list(_items(text, start))


def _items(text: str, start: int) -> Iterator[Piece]:
    index = _behind(text, start + 1)
    while text[index] != "]":
        value, end = _raw_decode(text, index)
        yield Piece(value, index, end)
        index = _behind(text, end)


def _behind(text: str, index: int) -> int:
    """The index of the next item or of the closing bracket; what stands between is known to be right."""
    while text[index] in " \t\r\n,":
        index += 1
    return index


def replaced(text: str, pieces: list[Piece]) -> str:
    """The text with the JSON of each piece's value in its place; pieces are in order and do not overlap."""
    parts: list[str] = []
    done = 0
    for value, start, end in pieces:
        parts += [text[done:start], render(value)]
        done = end
    return "".join([*parts, text[done:]])


def render(value: object) -> str:
    """JSON like ``json.dumps(value, ensure_ascii=False)``, but floats as they were written.

    Lone surrogates are escapes, since UTF-8 cannot hold them.
    """
    if isinstance(value, RawFloat):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{render(key)}: {render(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(render, value)) + "]"
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))
