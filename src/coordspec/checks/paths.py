"""Rules on image paths: they are relative and stay below their root."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coordspec.checks.finding import Finding, shown, wrong_type
from coordspec.checks.text import first_control_char, is_blank
from coordspec.errors import Pointer

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|(?:data|file):", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")


def absolute_kind(path: str) -> str | None:
    """What makes a path not relative, in words, or None. Both kinds of slashes count, whatever the system."""
    if path.startswith(("/", "\\")):
        return "an absolute path"
    if _DRIVE.match(path):
        return "a path with a drive letter"
    if _URL.match(path):
        return "a URL"
    return None


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
