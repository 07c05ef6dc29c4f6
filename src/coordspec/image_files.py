"""The size of an image file, and what Pillow raises on a broken one."""

from __future__ import annotations

import logging
import struct
import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it has to say of a file, the caller says

# What Pillow's plugins raise on broken files: NotImplementedError is a RuntimeError, UnidentifiedImageError an OSError.
# ZeroDivisionError is that of DDS in Pillow 11.0, AttributeError that of SPIDER up to Pillow 13.0, MemoryError that of
# a JPEG 2000 file with a box that says it is larger than any memory; in Pillow 11.0 that is an OverflowError, too.
BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, Image.DecompressionBombError),
    *(ZeroDivisionError, AttributeError, MemoryError, OverflowError),
)
# EXIF 2.32, section 4.6.4: the tag, and the values that turn by 90 degrees
_ORIENTATION, _SWAPPED = 0x0112, (5, 6, 7, 8)


def unreadable(error: Exception) -> str:
    """What is wrong with a file, by one of ``BROKEN``; without the path, which only some versions of Pillow name."""
    if isinstance(error, UnidentifiedImageError):
        return "it is no image of a known format"
    if isinstance(error, (MemoryError, OverflowError)):
        return "it asks for more memory than there is"
    return str(error) or type(error).__name__


def image_size(file: Path, *, decode: bool = False) -> tuple[tuple[int, int], tuple[int, int]]:
    """Width and height of an image as stored, and as seen once its EXIF orientation is applied, in pixels.

    The second is what a loader gives to the model (``transformers.image_utils.load_image`` applies the orientation), so
    it is the one that a record has to state. With ``decode`` all pixels are read, which finds truncated files.

    Raises:
        OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, DecompressionBombError,
        ZeroDivisionError, AttributeError, MemoryError, OverflowError: no sound image.
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
