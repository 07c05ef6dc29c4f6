"""Rules on image files: there, readable, and as large as the record says."""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from coordspec.checks.finding import Finding, shown
from coordspec.checks.paths import check_image_path
from coordspec.errors import Pointer
from coordspec.validate.options import ImageCheck

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it has to say of a file is in the finding

# What Pillow's plugins raise on broken files: NotImplementedError is a RuntimeError, UnidentifiedImageError an OSError.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, Image.DecompressionBombError)
_ORIENTATION, _SWAPPED = (
    0x0112,
    (5, 6, 7, 8),
)  # EXIF 2.32, section 4.6.4: the tag, and the values that turn by 90 degrees


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
    except UnidentifiedImageError:
        yield Finding("image-unreadable", at, {"value": shown(path), "reason": "it is no image of a known format"})
        return
    except BROKEN as error:
        yield Finding("image-unreadable", at, {"value": shown(path), "reason": str(error) or type(error).__name__})
        return
    if all(type(side) is int and side > 0 for side in said) and seen != said:
        turned = "; its EXIF orientation turns it, which the size has to follow" if stored == said else ""
        values = {"value": shown(path), "actual": _sides(*seen), "expected": _sides(*said), "reason": turned}
        yield Finding("image-size-mismatch", at, values)


def image_size(file: Path, *, decode: bool = False) -> tuple[tuple[int, int], tuple[int, int]]:
    """Width and height of an image as stored, and as seen once its EXIF orientation is applied, in pixels.

    The second is what a loader gives to the model (``transformers.image_utils.load_image`` applies the orientation), so
    it is the one that a record has to state. With ``decode`` all pixels are read, which finds truncated files.

    Raises:
        OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, DecompressionBombError: no sound image.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large images and odd metadata; neither makes them unreadable
        with Image.open(file) as image:
            if image.format == "EPS":
                raise ValueError("EPS is a program and not an image of pixels; it is not run")
            if decode:
                image.load()
            seen = decode or image.format != "PNG" or "exif" in image.info  # else Pillow decodes a PNG in search of it
            turned = seen and image.getexif().get(_ORIENTATION) in _SWAPPED
            width, height = image.size
    return (width, height), (height, width) if turned else (width, height)


def _sides(width: object, height: object) -> str:
    return f"{width}×{height}"
