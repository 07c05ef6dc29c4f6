"""From the image paths of a record to pixels, held to the rules of ``coordspec validate --check-images``."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, ImageOps

from coordspec.checks.finding import Finding, shown
from coordspec.checks.paths import check_image_path
from coordspec.contracts import rule
from coordspec.errors import ContractError, Place
from coordspec.image_files import BROKEN, unreadable
from coordspec.record import Record
from coordspec.validate.explain import ImageCheck
from coordspec.validate.images import check_images

_DEEP: Final = ("I", "F")
"""Modes of more than 8 bits a channel, and how the names of all others of them start: converting one clips at 255."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The largest image that is decoded, in pixels and in bytes of its file.

    Pillow's own limit, ``Image.MAX_IMAGE_PIXELS``, is left alone and holds too.
    """

    max_pixels: int
    max_bytes: int


def root_of(record: Record, image_root: Path | None) -> Path:
    """The folder that a record's image paths are relative to."""
    return Path(record.place.path).parent if image_root is None else image_root


def open_images(record: Record, root: Path, limits: ImageLimits) -> list[Image.Image]:
    """The images of a record in their order: upright by their EXIF orientation, RGB, every one width × height.

    Raises:
        ContractError: an image is missing, unreadable, over a limit or of another size than the record says; its path
            leaves ``root``.
    """
    value = {"images": list(record.images), "width": record.width, "height": record.height}
    paths = [f for i, path in enumerate(record.images) for f in check_image_path(path, ("images", i))]
    _refuse([*paths, *check_images(value, ImageCheck(root))], record.place)
    refuse_large(record, root, limits)
    return [_load(root, path, index, record.place) for index, path in enumerate(record.images)]


def refuse_large(record: Record, root: Path, limits: ImageLimits) -> None:
    """
    Raises:
        ContractError: an image is over a limit, by the size that the record says and by the size of its file.
    """
    _refuse(list(_check_limits(record, root, limits)), record.place)


def _check_limits(record: Record, root: Path, limits: ImageLimits) -> Iterator[Finding]:
    pixels = record.width * record.height
    for index, path in enumerate(record.images):
        if pixels > limits.max_pixels:
            reason = f"it has {pixels} pixels, and data.max_image_pixels is {limits.max_pixels}"
            yield _unreadable(path, index, reason)
        try:
            size = (root / path).stat().st_size
        except OSError as error:
            yield _unreadable(path, index, error.strerror or str(error))
            continue
        if size > limits.max_bytes:
            reason = f"the file has {size} bytes, and data.max_image_bytes is {limits.max_bytes}"
            yield _unreadable(path, index, reason)


def _load(root: Path, path: str, index: int, place: Place) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which makes no image unreadable
            with Image.open(root / path) as image:
                image.load()
                deep = image.mode in _DEEP or image.mode.startswith("I;")
                if not deep:
                    return ImageOps.exif_transpose(image).convert("RGB")
                reason = f"its channels have more than 8 bits (mode {image.mode}), and converting them would clip"
    except BROKEN as error:
        reason = unreadable(error)
    _refuse([_unreadable(path, index, reason)], place)
    raise AssertionError("a finding was raised")


def _unreadable(path: str, index: int, reason: str) -> Finding:
    return Finding("image-unreadable", ("images", index), {"value": shown(path), "reason": reason})


def _refuse(findings: list[Finding], place: Place) -> None:
    """Raise ContractError if there is any finding."""
    if findings:
        raise ContractError(
            rule(f.rule).issue(Place(place.path, place.line, at=f.at, byte_offset=place.byte_offset), f.values)
            for f in findings
        )
