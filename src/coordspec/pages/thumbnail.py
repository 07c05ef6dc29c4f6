"""Images small enough to stand in a page, decoded and encoded anew."""

from __future__ import annotations

import base64
import io
import warnings
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from PIL import Image, ImageOps

from coordspec.checks.paths import check_image_path
from coordspec.config.sections import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from coordspec.contracts import rule
from coordspec.errors import Place
from coordspec.findings.visible import shown
from coordspec.image_files import BROKEN, unreadable
from coordspec.validate.explain import ImageCheck
from coordspec.validate.images import check_images

_SIZE: Final = "image-size-mismatch"


class Picture(NamedTuple):
    """The image of a record: its path below a folder, as the record names it, width and height in pixels.

    ``more`` is the number of further images of the record, which are not shown.
    """

    root: Path
    path: str
    width: int
    height: int
    more: int

    @property
    def file(self) -> Path:
        return self.root / self.path


class Size(NamedTuple):
    """How large an image may be in a page: at most ``max_bytes``, before Base64.

    ``tries`` are longest sides in pixels and qualities of JPEG, until the image is small enough; the last one always
    has to be.
    """

    max_bytes: int
    tries: tuple[tuple[int, int], ...]


LARGE: Final = Size(300_000, ((1024, 82), (896, 72), (640, 60), (320, 50), (160, 40)))
"""For pages that show one image at a time."""


BYTES_OF_SIDE: Final = 128


def small(side: int) -> Size:
    """For pages that show many images: ``side`` pixels, 96 or more, and at most ``BYTES_OF_SIDE`` bytes for each."""
    return Size(BYTES_OF_SIDE * side, ((side, 78), (side, 55), (side * 3 // 4, 45), (side // 2, 30), (side // 4, 20)))


class Thumbnail(NamedTuple):
    """A data URI of a JPEG, None where there is no image to show, and what is wrong with the image, if anything."""

    uri: str | None
    note: str | None


def thumbnail(picture: Picture, size: Size = LARGE) -> Thumbnail:
    """The image of a record, upright, RGB, without its metadata.

    An image that is missing, broken, too large to decode or of another size than the record says, and a path that
    leaves the folder, give a note, and no error: the boxes can be looked at without it.
    """
    value = {"images": [picture.path], "width": picture.width, "height": picture.height}
    paths = check_image_path(picture.path, ("images", 0))
    found = next(chain(paths, check_images(value, ImageCheck(picture.root))), None)
    note = None if found is None else shown(rule(found.rule).issue(Place(""), found.values).message)
    if found is not None and found.rule != _SIZE:
        return Thumbnail(None, note)
    try:
        if picture.file.stat().st_size > MAX_IMAGE_BYTES:
            return Thumbnail(None, f"the file is larger than {MAX_IMAGE_BYTES} bytes and was not read")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata, which makes no image unreadable
            with Image.open(picture.file) as image:
                if image.width * image.height > MAX_IMAGE_PIXELS:
                    return Thumbnail(None, f"the image has more than {MAX_IMAGE_PIXELS} pixels and was not decoded")
                longest = size.tries[0][0]
                image.thumbnail((longest, longest))
                upright = ImageOps.exif_transpose(image).convert("RGB")
    except BROKEN as error:
        return Thumbnail(None, shown(f"the image cannot be read: {unreadable(error)}"))
    return Thumbnail("data:image/jpeg;base64," + base64.b64encode(_jpeg(upright, size)).decode("ascii"), note)


def _jpeg(image: Image.Image, size: Size) -> bytes:
    for side, quality in size.tries:
        small = image.copy()
        small.thumbnail((side, side))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
        if buffer.tell() <= size.max_bytes:
            break
    return buffer.getvalue()
