"""Objects in pixels, and images by the name that another tool knows them by."""

from __future__ import annotations

from collections.abc import Sequence

from coordspec.boxes import enclosing_box
from coordspec.coords import pixel_from_bin
from coordspec.errors import InputError, Place
from coordspec.predictions.record import PredictedObject
from coordspec.record import DetObject

Located = DetObject | PredictedObject


def pixels(bins: Sequence[int], sides: tuple[int, int]) -> list[float]:
    """Coordinates x, y, x, y, … in pixels of an image with this width and height."""
    return [pixel_from_bin(k, sides[i % 2]) for i, k in enumerate(bins)]


def outline(item: Located, sides: tuple[int, int]) -> list[float] | None:
    """The flat polygon of an object in pixels, None where it has a box."""
    return None if item.poly is None else pixels(item.poly, sides)


def corners(item: Located, sides: tuple[int, int]) -> tuple[float, float, float, float]:
    """The enclosing box of an object in pixels."""
    return enclosing_box(pixels(item.bbox_2d or item.poly or (), sides))


def xywh(item: Located, sides: tuple[int, int]) -> list[float]:
    """The enclosing box of an object as x, y, width, height in pixels."""
    x1, y1, x2, y2 = corners(item, sides)
    return [x1, y1, x2 - x1, y2 - y1]


def has_more(item: PredictedObject) -> bool:
    """True if the object holds more than its score says."""
    return any(part is not None for part in (item.score_coord, item.score_desc, item.coords))


def file_name(path: str, prefix: str, place: Place) -> str:
    """The path without the folder ``prefix`` in front of it.

    Raises:
        InputError: it does not start with that folder.
    """
    if not prefix:
        return path
    folder = f"{prefix.rstrip('/')}/"
    if not path.startswith(folder):
        raise InputError(str(place), f"the image path {path!r} does not start with {folder}; see --image-prefix")
    return path.removeprefix(folder)
