"""What the whole-file checks need to know of every box, as counts that add up in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from coordspec.checks.geometry import coord_number
from coordspec.contracts import record_contract, rule
from coordspec.coords import MAX_BIN

PIXEL_SIDE: int = rule("suspect-pixel-coords").params["max_side"]
LARGE_SIDE: int = rule("suspect-double-normalised").params["large_side"]
_ARITY: Final = record_contract().bbox_arity
_FULL: Final = MAX_BIN + 4  # the widest box in bins: one that ends one past the last pixel of a small image, rounded up
_LARGEST: Final = 2**31  # larger numbers are no coordinates and no sides, and need not fit a float
_TINY: int = rule("suspect-double-normalised").params["tiny"]


Box: TypeAlias = tuple[float, float, float, float]


class Boxes(NamedTuple):
    """The bbox_2d of one record: ``plain`` ones have ordered corners and an area, ``odd`` ones need not.

    Both sides are 0 where one of them is not known.
    """

    plain: Sequence[Box]
    odd: Sequence[Box]
    width: int
    height: int


_X2, _Y2 = itemgetter(2), itemgetter(3)
NO_BOXES: Final = Boxes((), (), 0, 0)


@dataclass(slots=True)
class BoxTally:
    """Counts of the bbox_2d of one or more records, read as norm1000 corners.

    boxes       with four numeric coordinates
    inverted    x1 > x2 or y1 > y2
    misfit      inverted, and no x, y, width, height inside of the frame either
    telling     records whose boxes could tell pixels from bins: a small image, or a coordinate above 999
    outside     telling, and some coordinate is above the image's width or height
    saturated   the upper left corner is pressed against the far edge
    tiny        without area, in the first few bins
    large       records with boxes in an image of which both sides are large
    far         large, and some box reaches past pixel 1000 when read as bins
    """

    boxes: int = 0
    inverted: int = 0
    misfit: int = 0
    telling: int = 0
    outside: int = 0
    saturated: int = 0
    tiny: int = 0
    large: int = 0
    far: int = 0

    def __iadd__(self, other: BoxTally) -> BoxTally:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    def __add__(self, other: BoxTally) -> BoxTally:
        total = BoxTally()
        total += self
        total += other
        return total

    def add(self, boxes: Boxes) -> None:
        """Count the boxes of one record."""
        plain, odd, width, height = boxes
        self.boxes += len(plain) + len(odd)
        for x1, y1, x2, y2 in odd:
            if x1 > x2 or y1 > y2:
                self.inverted += 1
                self.misfit += x1 + x2 > max(_FULL, width) or y1 + y2 > max(_FULL, height)
            else:
                self.saturated += MAX_BIN in (x1, y1)
            self.tiny += (x1 == x2 or y1 == y2) and max(x1, y1, x2, y2) <= _TINY
        if not width or not (plain or odd):
            return
        max_x, max_y = max(map(_X2, plain), default=0.0), max(map(_Y2, plain), default=0.0)
        for x1, y1, x2, y2 in odd:
            max_x, max_y = max(max_x, x1, x2), max(max_y, y1, y2)
        if (width <= PIXEL_SIDE and height <= PIXEL_SIDE) or max(max_x, max_y) > MAX_BIN:
            self.telling += 1
            self.outside += max_x > width or max_y > height
        if width >= LARGE_SIDE and height >= LARGE_SIDE:
            self.large += 1
            self.far += _is_far(max_x, width) or _is_far(max_y, height)


def _is_far(k: float, side: int) -> bool:
    """True if bin ``k`` lies beyond pixel 1000 of a side, also when it was rounded up."""
    return (k - 1) * (side - 1) > MAX_BIN * (MAX_BIN + 1)


def numeric_boxes(value: Any) -> Boxes:
    """The boxes of a record, sound or not; what is no box of numbers is left out."""
    if not isinstance(value, dict) or not isinstance(value.get("objects"), list):
        return NO_BOXES
    odd = [box for item in value["objects"] if (box := numeric_box(item)) is not None]
    return Boxes((), odd, *sides(value.get("width"), value.get("height")))


def sides(width: Any, height: Any) -> tuple[int, int]:
    """Width and height of an image, or two zeros if one of them is no size."""
    known = type(width) is int and type(height) is int and 0 < width < _LARGEST and 0 < height < _LARGEST
    return (width, height) if known else (0, 0)


def numeric_box(item: Any) -> Box | None:
    """The four numbers of an object's bbox_2d, or None."""
    box = item.get("bbox_2d") if isinstance(item, dict) else None
    if not isinstance(box, list) or len(box) != _ARITY:
        return None
    numbers: Any = tuple([coord_number(value) for value in box])
    return None if None in numbers or max(numbers) > _LARGEST or min(numbers) < -_LARGEST else numbers
