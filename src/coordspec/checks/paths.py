"""Rules on image paths: they are relative and stay below their root."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coordspec.checks.finding import Finding, shown, wrong_type
from coordspec.checks.text import first_control_char, is_blank
from coordspec.contracts import rule
from coordspec.errors import Pointer

_KINDS = {what: re.compile(text) for what, text in rule("image-path-not-relative").params["kinds"].items()}


def absolute_kind(path: str) -> str | None:
    """What makes a path not relative, in words, or None. Both kinds of slashes count, whatever the system."""
    return next((what for what, pattern in _KINDS.items() if pattern.match(path)), None)


def leaves_root(path: str) -> bool:
    """True if some prefix of the path stands outside of the folder it starts in."""
    depth = 0
    for part in re.split(r"[/\\]", path):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            return True
    return False


def check_image_path(path: object, at: Pointer) -> Iterator[Finding]:
    """Every rule on one image path that needs no look at the disk."""
    if not isinstance(path, str):
        yield wrong_type(at, path, "a string")
    elif is_blank(path):
        yield Finding("image-path-unusable", at, {"value": shown(path), "reason": "is blank"})
    elif first_control_char(path) is not None:
        yield Finding("image-path-unusable", at, {"value": shown(path), "reason": "holds a control character"})
    elif (what := absolute_kind(path)) is not None:
        yield Finding("image-path-not-relative", at, {"value": shown(path), "what": what})
    elif leaves_root(path):
        yield Finding("image-path-escape", at, {"value": shown(path)})
