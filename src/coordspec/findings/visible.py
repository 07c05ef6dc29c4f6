"""Text from data made safe to show: what a terminal, a log or an XML reader would obey or drop becomes an escape."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal, TextIO, TypeAlias

from coordspec.errors import Issue, dotted_path

SHOWN_CHARS: Final = 1000
"""The longest message, hint or place that is shown to a person. It takes keys and values of the data, which may be as
long as a line; the JSON forms are not cut."""

Role: TypeAlias = Literal["error", "warning", "advice", "path", "dim", "ok"]
Style: TypeAlias = Callable[[str, Role], str]
"""Colours a piece of text for its role. The library has no colours; a command that has some passes such a function."""

# Cc; ALM, LRM, RLM; line and paragraph separator; bidi embeddings, overrides and isolates; BOM; what XML 1.0 excludes.
_HIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]")


def plain(text: str, _role: Role) -> str:
    """The style of no colours."""
    return text


def visible(text: str) -> str:
    r"""The text with every control character, bidi control and lone surrogate as an escape: ``\x1b``, ``\u202e``.

    The result is one line, encodes as UTF-8, holds no terminal escape sequence and nothing that XML 1.0 excludes.
    Backslashes that stand in the text stay single, so an escape is for the eye and not to be decoded again.
    """
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def shown(text: str, limit: int = SHOWN_CHARS) -> str:
    """``visible`` text of at most ``limit`` characters, with … where something was left out."""
    escaped = visible(text[: limit + 1])
    return escaped if len(escaped) <= limit else escaped[: limit - 1] + "…"


def encodable(text: str) -> str:
    """The text with lone surrogates as escapes, so that UTF-8 and every strict JSON reader can hold it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def sentence(issue: Issue) -> str:
    """``objects[3].bbox_2d[2]: 1000 is above the maximum 999``, safe to show."""
    path = dotted_path(issue.place.at) if issue.place.at else ""
    return f"{shown(path)}: {shown(issue.message)}" if path else shown(issue.message)


def plural(count: int, noun: str) -> str:
    """``1 error``, ``2 errors``"""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def write_line(stream: TextIO, line: str = "") -> None:
    """Write a line; characters that the stream's encoding does not have become escapes instead of an error."""
    encoding = stream.encoding or "utf-8"
    stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
