"""What a check returns, and how values are named and shown in messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from coordspec.errors import Pointer

SHOWN_CHARS = 60

_encode = json.JSONEncoder(ensure_ascii=False).encode


class CoordSpace(StrEnum):
    """What the numbers of a geometry mean."""

    NORM1000 = "norm1000"
    PIXEL = "pixel"


class Finding(NamedTuple):
    """A rule broken at a place inside one record; it has no file or line yet.

    ``on_key`` is True where the key itself is at fault (an unknown field), not the value behind it.
    """

    rule: str
    at: Pointer
    values: Mapping[str, object]
    on_key: bool = False


def shown(value: object) -> str:
    """The value as JSON, cut to a readable length."""
    return cut(_encode(value))


def cut(text: str) -> str:
    """The text, at most ``SHOWN_CHARS`` long, with … where something was left out."""
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"


def type_name(value: object) -> str:
    """What a JSON value is, in words: ``an integer``, ``a string``, ``null``."""
    return _TYPE_NAMES[type(value)]


_TYPE_NAMES: Mapping[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    str: "a string",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def wrong_type(at: Pointer, value: object, expected: str) -> Finding:
    """The finding that ``value`` should have been ``expected`` (``a list``, ``a string``, …)."""
    return Finding("wrong-type", at, {"value": shown(value), "type": type_name(value), "expected": expected})
