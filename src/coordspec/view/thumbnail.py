"""Images small enough to stand in a page, decoded and encoded anew."""

from __future__ import annotations

import base64
import io
import warnings
from typing import TYPE_CHECKING, Final, NamedTuple

from PIL import Image, ImageOps

from coordspec.config.inputs import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from coordspec.contracts import rule
from coordspec.errors import Place
from coordspec.findings.visible import shown
from coordspec.image_files import BROKEN
from coordspec.validate.images import check_images
from coordspec.validate.options import ImageCheck

if TYPE_CHECKING:
    from coordspec.view.sample import Picture

MAX_BYTES: Final = 300_000
"""The most bytes that one image takes in a page, before Base64."""

_TRIES: Final = ((1024, 82), (896, 72), (640, 60), (320, 50), (160, 40))
"""Longest side in pixels and JPEG quality, until the image is small enough; the last one always is."""

_SIZE: Final = "image-size-mismatch"


class Thumbnail(NamedTuple):
    """A data URI of a JPEG, None where there is no image to show, and what is wrong with the image, if anything."""

    uri: str | None
    note: str | None


def thumbnail(picture: Picture) -> Thumbnail:
    """The image of a sample, upright, RGB, without its metadata.

    An image that is missing, broken, too large to decode or of another size than the record says gives a note, and no
    error: the target can be looked at without it.
    """
    value = {"images": [picture.path], "width": picture.width, "height": picture.height}
    found = next(check_images(value, ImageCheck(picture.root)), None)
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
                image.thumbnail((_TRIES[0][0], _TRIES[0][0]))
                upright = ImageOps.exif_transpose(image).convert("RGB")
    except BROKEN as error:
        return Thumbnail(None, shown(f"the image cannot be read: {error or type(error).__name__}"))
    return Thumbnail("data:image/jpeg;base64," + base64.b64encode(_jpeg(upright)).decode("ascii"), note)


def _jpeg(image: Image.Image) -> bytes:
    for side, quality in _TRIES:
        small = image.copy()
        small.thumbnail((side, side))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
        if buffer.tell() <= MAX_BYTES:
            break
    return buffer.getvalue()
