"""What stands in one image: chosen from a seed, and nothing else."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from coordspec.shapes.outline import KINDS, Box, Point, Span, clip, extent, in_frame, place, spans

Colour: TypeAlias = tuple[int, int, int]

COLOURS: Final[Mapping[str, Colour]] = MappingProxyType({
    "red": (215, 40, 40),
    "green": (40, 150, 60),
    "blue": (40, 75, 215),
    "yellow": (235, 200, 30),
    "purple": (145, 45, 185),
    "cyan": (30, 190, 210),
})  # fmt: skip
JITTER: Final = 12
"""How far a channel of a shape may lie from its colour's."""

MIN_SIDE, MAX_SIDE, MAX_SHAPES = 48, 1024, 20
SHAPE_SHARE: Final = (0.18, 0.5)
"""Smallest and largest side of a shape, as a share of the image's shorter side."""
MIN_SHAPE: Final = 14
"""Below this many pixels a star is a blot."""
MIN_IN_FRAME: Final = 0.6
"""A diamond of which the border cuts off half is a triangle to anyone who looks; its description would be wrong."""
CORNER_SHARE: Final = 0.3
_TRIES: Final = 40
_VERSION: Final = 1  # part of every key: raise it when the same seed begins to give other scenes


@dataclass(frozen=True, slots=True)
class SceneSpec:
    """What all scenes of a data set have in common.

    ``width`` and ``height`` are in pixels, ``max_shapes`` is the most shapes of one image. ``empty_share`` is the
    share of images without any shape. ``min_visible`` is the share of its own pixels that every shape shows, whatever
    lies on top of it or beyond the border of the image; at least ``MIN_IN_FRAME`` of them lie in the image.

    Raises:
        ValueError: a value outside of its range; the message gives the range.
    """

    width: int = 96
    height: int = 96
    max_shapes: int = 3
    empty_share: float = 0.05
    min_visible: float = 0.4

    def __post_init__(self) -> None:
        ranges: tuple[tuple[str, float, float], ...] = (
            ("width", MIN_SIDE, MAX_SIDE),
            ("height", MIN_SIDE, MAX_SIDE),
            ("max_shapes", 1, MAX_SHAPES),
            ("empty_share", 0, 1),
            ("min_visible", 0, 0.9),
        )
        for name, low, high in ranges:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}, and must be from {low} to {high}")


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape: ``outline`` in pixels, which may lie beyond the image, and its parts in the image.

    ``box`` is the first column, first row, last column and last row that the shape covers in the image, drawn alone;
    ``poly`` is its outline there, ``((x, y), …)`` clockwise from the first corner in reading order.
    """

    kind: str
    colour: str
    fill: Colour
    outline: tuple[Point, ...]
    box: Box
    poly: tuple[Point, ...]

    @property
    def desc(self) -> str:
        return f"{self.colour} {self.kind}"


@dataclass(frozen=True, slots=True)
class Background:
    """``base`` colour, brightened by up to ``slope`` along an axis (0 for x, 1 for y) and by noise of 0..``grain``.

    ``key`` seeds the noise.
    """

    base: Colour
    axis: int
    slope: int
    grain: int
    key: bytes


@dataclass(frozen=True, slots=True)
class Scene:
    """One image: ``shapes`` in the order they are painted, later ones on top."""

    width: int
    height: int
    background: Background
    shapes: tuple[Shape, ...]


class _Dice:
    """Numbers from ``Random.random`` alone: of all its methods, only that one never changes between Pythons."""

    def __init__(self, key: bytes) -> None:
        self.next = random.Random(int.from_bytes(key, "big")).random  # noqa: S311 (no secret)

    def whole(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        return low + int(self.next() * (high - low + 1))

    def pick(self, items: Sequence[str]) -> str:
        return items[self.whole(0, len(items) - 1)]


def scene(seed: int, split: str, index: int, spec: SceneSpec = SceneSpec()) -> Scene:
    """The scene of image ``index`` of a split. The same arguments give the same scene, on any machine.

    Of shapes for which no place is found after some tries, an image has fewer; an image that is not empty has one.
    """
    key = hashlib.blake2b(f"{_VERSION}/{seed}/{split}/{index}".encode(), digest_size=16).digest()
    dice = _Dice(key)
    background = _background(dice, key)
    empty = dice.next() < spec.empty_share
    return Scene(spec.width, spec.height, background, () if empty else tuple(_shapes(dice, spec)))


def _background(dice: _Dice, key: bytes) -> Background:
    darkest = 190 if dice.next() < 0.7 else 25  # noqa: PLR2004 (light grounds are more common)
    base = (dice.whole(darkest, darkest + 30), dice.whole(darkest, darkest + 30), dice.whole(darkest, darkest + 30))
    return Background(base, axis=dice.whole(0, 1), slope=dice.whole(0, 20), grain=dice.whole(1, 7), key=key)


def _shapes(dice: _Dice, spec: SceneSpec) -> Iterator[Shape]:
    wanted = dice.whole(1, spec.max_shapes)
    canvas = _Canvas(spec)
    for _ in range(wanted):
        manner = dice.next()
        found = next((shape for _ in range(_TRIES) if canvas.accepts(shape := _shape(dice, spec, manner))), None)
        if found is not None:
            yield found


def _shape(dice: _Dice, spec: SceneSpec, manner: float) -> Shape:
    kind, colour = dice.pick(list(KINDS)), dice.pick(list(COLOURS))
    half = _half(dice, spec), _half(dice, spec)
    if not KINDS[kind].stretches:
        half = (half[0], half[0])
    outline = place(kind, _centre(dice, half, spec, manner), half)
    red, green, blue = (channel + dice.whole(-JITTER, JITTER) for channel in COLOURS[colour])
    box = extent(in_frame(spans(outline), spec.width, spec.height))
    return Shape(kind, colour, (red, green, blue), outline, box, clip(outline, box))


def _half(dice: _Dice, spec: SceneSpec) -> int:
    shorter = min(spec.width, spec.height)
    low, high = (int(share * shorter) for share in SHAPE_SHARE)
    return dice.whole(max(MIN_SHAPE, low) // 2, high // 2 - 1)


def _centre(dice: _Dice, half: Point, spec: SceneSpec, manner: float) -> Point:
    """Mostly anywhere inside; one in five in a corner, one in five anywhere at all, cut by the border or not."""
    sides = (spec.width, spec.height)
    if manner < 0.6:  # noqa: PLR2004
        x, y = (dice.whole(h, side - 1 - h) for h, side in zip(half, sides, strict=True))
    elif manner < 0.8:  # noqa: PLR2004
        x, y = (_near_end(dice, h, side) for h, side in zip(half, sides, strict=True))
    else:
        x, y = (dice.whole(0, side - 1) for side in sides)
    return x, y


def _near_end(dice: _Dice, half: int, side: int) -> int:
    from_end = dice.whole(half, max(half, int(CORNER_SHARE * side)))
    return from_end if dice.next() < 0.5 else side - 1 - from_end  # noqa: PLR2004


class _Canvas:
    """Which shape each pixel shows: 0 for none, n for the n-th one accepted."""

    def __init__(self, spec: SceneSpec) -> None:
        self.spec = spec
        self.ids = bytearray(spec.width * spec.height)
        self.sizes: list[int] = []
        self.shapes: list[Shape] = []

    def accepts(self, shape: Shape) -> bool:
        """Paint the shape and say True, or leave everything as it is if it must not stand here."""
        if any(shape.colour == other.colour and _touch(shape.box, other.box) for other in self.shapes):
            return False  # two shapes of one colour would look like one
        covered = spans(shape.outline)
        ids = self._painted(covered)
        sizes = [*self.sizes, _area(covered)]
        shown = [ids.count(n) / size for n, size in enumerate(sizes, 1)]
        if min(shown) < self.spec.min_visible or shown[-1] < MIN_IN_FRAME:
            return False
        self.ids, self.sizes = ids, sizes
        self.shapes.append(shape)
        return True

    def _painted(self, covered: Sequence[Span]) -> bytearray:
        ids, width = bytearray(self.ids), self.spec.width
        number = bytes([len(self.shapes) + 1])
        for y, x1, x2 in in_frame(covered, width, self.spec.height):
            ids[y * width + x1 : y * width + x2 + 1] = number * (x2 - x1 + 1)
        return ids


def _area(covered: Sequence[Span]) -> int:
    """The number of pixels, each counted once."""
    return len({(y, x) for y, x1, x2 in covered for x in range(x1, x2 + 1)})


def _touch(a: Box, b: Box) -> bool:
    return a[0] <= b[2] + 1 and b[0] <= a[2] + 1 and a[1] <= b[3] + 1 and b[1] <= a[3] + 1
