"""Rules on image files: there, readable, and as large as the record says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coordspec.checks.finding import Finding, shown
from coordspec.checks.paths import check_image_path
from coordspec.errors import Pointer
from coordspec.image_files import BROKEN, image_size, unreadable
from coordspec.validate.explain import ImageCheck


def check_images(record: Any, check: ImageCheck) -> Iterator[Finding]:
    """The rules on every image of a record whose path is sound."""
    paths = record.get("images") if isinstance(record, dict) else None
    for index, path in enumerate(paths if isinstance(paths, list) else ()):
        at = ("images", index)
        if not any(check_image_path(path, at)):
            yield from _check_file(path, at, (record.get("width"), record.get("height")), check)


def _check_file(path: str, at: Pointer, said: tuple[object, object], check: ImageCheck) -> Iterator[Finding]:
    root = check.root or Path()
    file = root / path
    try:
        if not file.is_file():
            kind = " as a file" if file.exists() else ""
            yield Finding("image-missing", at, {"value": shown(path), "under": f"{kind} under {root}"})
            return
    except OSError as error:  # a name that the file system cannot hold
        yield Finding("image-missing", at, {"value": shown(path), "under": f" under {root}: {error.strerror}"})
        return
    try:
        stored, seen = image_size(file, decode=check.decode)
    except BROKEN as error:
        yield Finding("image-unreadable", at, {"value": shown(path), "reason": unreadable(error)})
        return
    if all(type(side) is int and side > 0 for side in said) and seen != said:
        turned = "; its EXIF orientation turns it, which the size has to follow" if stored == said else ""
        values = {"value": shown(path), "actual": _sides(*seen), "expected": _sides(*said), "reason": turned}
        yield Finding("image-size-mismatch", at, values)


def _sides(width: object, height: object) -> str:
    return f"{width}×{height}"
