"""A strict JSON reader that keeps positions and reports what other readers let through.

It is the slow half of ``parse``: the definition of what strict JSON is here, used where something is wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from coordspec.checks.finding import Finding, cut
from coordspec.contracts import rule
from coordspec.errors import Pointer

MAX_DEPTH: Final[int] = rule("too-deep").params["max_depth"]
MAX_DIGITS: Final[int] = rule("huge-number").params["max_digits"]

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"-?(?:NaN|Infinity|nan|inf)\b")
_CHUNK = re.compile(r'[^"\\\x00-\x1f]*')
_HEX4 = re.compile(r"[0-9A-Fa-f]{4}")
_WORD = re.compile(r"[^\s,:\[\]{}\"]+")
_LITERALS: Final = {"true": True, "false": False, "null": None}
_ESCAPES: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(slots=True)
class Scan:
    """What a line holds. ``faults`` pairs each finding with the index of the character it is about.

    ``usable`` is False where the line is no strict JSON value, so that ``value`` says nothing.
    """

    value: Any = None
    usable: bool = False
    faults: list[tuple[Finding, int]] = field(default_factory=list)


class _Stop(Exception):  # noqa: N818 (it ends a scan, and never leaves this module)
    """The text cannot be read any further."""


def scan(text: str) -> Scan:
    """Read one JSON value with nothing but white space around it. Never raises on any text."""
    return _Scanner(text).run()


class _Scanner:
    """A reader by recursive descent, one method for each form of RFC 8259.

    What leaves the structure readable (a repeated key, a lone surrogate, NaN) is noted and reading goes on, as people
    want all faults of a line at once. What does not raises ``_Stop``: a guess about the rest would be wrong findings.
    Every method takes the index where its form begins and returns the one behind it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.result = Scan()
        self.usable = True

    def run(self) -> Scan:
        try:
            value, end = self.value(self.space(0), (), 0)
            end = self.space(end)
            if end < len(self.text):
                raise self.invalid("more text after the end of the value", end, ())
        except _Stop:
            return self.result
        self.result.value = value
        self.result.usable = self.usable
        return self.result

    def fault(self, name: str, index: int, at: Pointer, **values: object) -> None:
        self.result.faults.append((Finding(name, at, values), index))

    def invalid(self, reason: str, index: int, at: Pointer) -> _Stop:
        self.fault("invalid-json", index, at, reason=reason)
        return _Stop()

    def space(self, index: int) -> int:
        match = _SPACE.match(self.text, index)
        assert match  # the pattern matches the empty string
        return match.end()

    def value(self, index: int, at: Pointer, depth: int) -> tuple[Any, int]:
        start = self.text[index : index + 1]
        if start == '"':
            return self.string(index, at)
        if start in ("{", "["):
            # checked here and not by the recursion limit of Python, which depends on who calls
            if depth == MAX_DEPTH:
                self.fault("too-deep", index, at, limit=MAX_DEPTH)
                raise _Stop
            read = self.object if start == "{" else self.array
            return read(index, at, depth + 1)
        return self.scalar(index, at)

    def object(self, index: int, at: Pointer, depth: int) -> tuple[dict[str, Any], int]:
        members: dict[str, Any] = {}
        index = self.space(index + 1)
        if self.text[index : index + 1] == "}":
            return members, index + 1
        while True:
            if self.text[index : index + 1] != '"':
                raise self.invalid(f"a key in double quotes was expected, not {self.here(index)}", index, at)
            key_start = index
            key, index = self.string(index, at)
            if key in members:  # the last one is the value, as in Python's json, for the checks that follow
                self.fault("duplicate-key", key_start, (*at, key), value=repr_key(key))
            index = self.space(index)
            if self.text[index : index + 1] != ":":
                raise self.invalid(f"a colon was expected after the key, not {self.here(index)}", index, at)
            members[key], index = self.value(self.space(index + 1), (*at, key), depth)
            index = self.space(index)
            end = self.text[index : index + 1]
            if end == "}":
                return members, index + 1
            if end != ",":
                raise self.invalid(f"a comma or a closing brace was expected, not {self.here(index)}", index, at)
            index = self.space(index + 1)

    def array(self, index: int, at: Pointer, depth: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        index = self.space(index + 1)
        if self.text[index : index + 1] == "]":
            return items, index + 1
        while True:
            item, index = self.value(index, (*at, len(items)), depth)
            items.append(item)
            index = self.space(index)
            end = self.text[index : index + 1]
            if end == "]":
                return items, index + 1
            if end != ",":
                raise self.invalid(f"a comma or a closing bracket was expected, not {self.here(index)}", index, at)
            index = self.space(index + 1)

    def scalar(self, index: int, at: Pointer) -> tuple[Any, int]:
        # before numbers, because -Infinity begins like one
        not_finite = _NOT_FINITE.match(self.text, index)
        if not_finite:
            self.fault("non-finite-number", index, at, value=not_finite[0])
            self.usable = False
            return None, not_finite.end()
        match = _NUMBER.match(self.text, index)
        if match:
            return self.number(match, at), match.end()
        word = _WORD.match(self.text, index)
        if word and word[0] in _LITERALS:
            return _LITERALS[word[0]], word.end()
        raise self.invalid(f"a value was expected, not {self.here(index)}", index, at)

    def number(self, match: re.Match[str], at: Pointer) -> int | float | None:
        text = match[0]
        if match[1] or match[2]:
            number = float(text)
            if number - number != 0:
                self.fault("non-finite-number", match.start(), at, value=cut(text))
                self.usable = False
            return number
        # int() takes quadratic time, and Python refuses more than 4,300 digits by a setting of the process
        digits = len(text.lstrip("-"))
        if digits > MAX_DIGITS:
            self.fault("huge-number", match.start(), at, value=cut(text), digits=digits, limit=MAX_DIGITS)
            self.usable = False
            return None
        return int(text)

    def string(self, index: int, at: Pointer) -> tuple[str, int]:
        start, index = index, index + 1
        parts: list[str] = []
        while True:
            chunk = _CHUNK.match(self.text, index)
            assert chunk  # the pattern matches the empty string
            parts.append(chunk[0])
            index = chunk.end()
            end = self.text[index : index + 1]
            if end == '"':
                return "".join(parts), index + 1
            if end == "\\":
                part, index = self.escape(index, at)
                parts.append(part)
            elif end:
                raise self.invalid(f"the control character U+{ord(end):04X} in a string must be escaped", index, at)
            else:
                raise self.invalid("a string is not closed", start, at)

    def escape(self, index: int, at: Pointer) -> tuple[str, int]:
        letter = self.text[index + 1 : index + 2]
        if letter in _ESCAPES:
            return _ESCAPES[letter], index + 2
        unit = self.hex4(index)
        if unit is None:
            raise self.invalid(f"{self.text[index : index + 2]} is not an escape of JSON", index, at)
        # a surrogate pair is one character; half of one is kept, so that the value says what the line says
        low = self.hex4(index + 6) if self.text[index + 6 : index + 8] == "\\u" else None
        if 0xD800 <= unit < 0xDC00 and low is not None and 0xDC00 <= low < 0xE000:  # noqa: PLR2004 (Unicode, 3.9)
            return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)), index + 12
        if 0xD800 <= unit < 0xE000:  # noqa: PLR2004
            self.fault("lone-surrogate", index, at, value=self.text[index : index + 6])
        return chr(unit), index + 6

    def hex4(self, index: int) -> int | None:
        if self.text[index + 1 : index + 2] != "u":
            return None
        match = _HEX4.match(self.text, index + 2)
        return int(match[0], 16) if match else None

    def here(self, index: int) -> str:
        """What stands at ``index``, for a message."""
        word = _WORD.match(self.text, index)
        if word:
            return repr(cut(word[0]))
        return repr(self.text[index]) if index < len(self.text) else "the end of the line"


def repr_key(key: str) -> str:
    """A key as it is shown in a message; lone surrogates stay escaped."""
    return cut('"' + key.encode("utf-8", "backslashreplace").decode() + '"')
