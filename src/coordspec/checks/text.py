"""Rules on text that reaches the tokenizer: descriptions and the summary."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache

from coordspec.checks.finding import Finding, cut, shown, wrong_type
from coordspec.contracts import rule
from coordspec.errors import Pointer


def is_blank(text: str) -> bool:
    """True for text that shows nothing: empty, white space, zero-width and other invisible characters."""
    return all(c.isspace() or unicodedata.category(c) in ("Cc", "Cf", "Zs", "Zl", "Zp") for c in text)


def first_control_char(text: str) -> str | None:
    """The first control character (Unicode category Cc), or None."""
    return next((c for c in text if unicodedata.category(c) == "Cc"), None)


@cache
def _special_token_pattern() -> re.Pattern[str]:
    params = rule("special-token-desc").params
    return re.compile("|".join([params["pattern"], *map(re.escape, params["tokens"])]))


def first_special_token(text: str) -> str | None:
    """The first piece of text that a Qwen tokenizer would read as one special token, or None."""
    found = _special_token_pattern().search(text)
    return found[0] if found else None


def is_plain(text: str) -> bool:
    """True for text without any doubt about it: printable, not blank, no hint of a special token. Cheap."""
    return "<" not in text and text.isprintable() and not text.isspace() and text != ""


def blank_desc(desc: str, at: Pointer) -> Iterator[Finding]:
    if is_blank(desc):
        yield Finding("blank-desc", at, {"value": shown(desc)})


def control_char_desc(desc: str, at: Pointer) -> Iterator[Finding]:
    character = first_control_char(desc)
    if character is not None:
        values = {"value": shown(desc), "character": f"U+{ord(character):04X}"}
        yield Finding("control-char-desc", at, values)


def special_token_desc(desc: str, at: Pointer) -> Iterator[Finding]:
    token = first_special_token(desc)
    if token is not None:
        yield Finding("special-token-desc", at, {"value": shown(desc), "token": cut(token)})


DESC_CHECKS: tuple[Callable[[str, Pointer], Iterator[Finding]], ...] = (
    blank_desc,
    control_char_desc,
    special_token_desc,
)


def check_desc(desc: object, at: Pointer) -> Iterator[Finding]:
    """Every rule on the description of one object."""
    if not isinstance(desc, str):
        yield wrong_type(at, desc, "a string")
        return
    if is_plain(desc):
        return
    for check in DESC_CHECKS:
        yield from check(desc, at)


def check_summary(summary: object, at: Pointer) -> Iterator[Finding]:
    """A summary is one non-blank line: no line or paragraph separator and no control character in it."""
    if not isinstance(summary, str):
        yield wrong_type(at, summary, "a string")
    elif is_blank(summary) or first_control_char(summary) is not None or len(summary.splitlines()) > 1:
        yield Finding("bad-summary", at, {"value": shown(summary)})
