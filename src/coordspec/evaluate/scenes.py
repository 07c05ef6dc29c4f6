"""Records and predictions side by side as flat arrays.

Dims of array names: I images, N objects of one side, P pairs, C categories, T thresholds, B resamples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from coordspec.boxes import enclosing_box
from coordspec.coords import pixels_from_bins
from coordspec.errors import InputError
from coordspec.evaluate.categories import Categories
from coordspec.record import DetObject, Record

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.intp]
Bools: TypeAlias = npt.NDArray[np.bool_]

MAX_SIDE: Final = (1 << 16) - 1
"""The longest side of an image that is evaluated: COCO's masks count the pixels of an image in 32 bits."""


class Geometry(StrEnum):
    """What is compared: enclosing boxes, or polygons, where a box counts as its rectangle."""

    BOXES = "boxes"
    POLYGONS = "polygons"


class EvaluatedObject(Protocol):
    """What evaluation needs of an object: DetObject and PredictedObject have it. Exactly one geometry is not None."""

    @property
    def desc(self) -> str: ...
    @property
    def bbox_2d(self) -> tuple[int, ...] | None: ...
    @property
    def poly(self) -> tuple[int, ...] | None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """The ground truth or the predictions of all images, N objects in the order of images.

    ``objects`` are in bins, ``boxed`` the same with enclosing boxes in place of polygons, ``box_N4`` these boxes in
    pixels. ``image_N`` and ``category_N`` are indices. The objects of image i are ``starts_I[i]`` to
    ``starts_I[i + 1]``.
    """

    objects: tuple[DetObject, ...]
    boxed: tuple[DetObject, ...]
    box_N4: Floats
    image_N: Ints
    category_N: Ints
    starts_I: Ints

    def __len__(self) -> int:
        return len(self.objects)

    def shapes(self, geometry: Geometry) -> tuple[DetObject, ...]:
        """The objects as they are compared."""
        return self.boxed if geometry is Geometry.BOXES else self.objects

    @property
    def has_polygons(self) -> bool:
        return any(item.poly is not None for item in self.objects)

    def box_areas(self) -> Floats:
        """Area of the enclosing boxes, in square pixels, [N]."""
        size_N2 = self.box_N4[:, 2:] - self.box_N4[:, :2]
        area_N: Floats = size_N2[:, 0] * size_N2[:, 1]
        return area_N


@dataclass(frozen=True, slots=True, eq=False)
class Scenes:
    """I images with their ground truth and predictions. Categories are sorted, and indexed by ``Side.category_N``."""

    sizes: tuple[tuple[int, int], ...]
    categories: tuple[str, ...]
    gt: Side
    predicted: Side

    def __len__(self) -> int:
        return len(self.sizes)

    def outlines(self, side: Side) -> list[list[float]]:
        """The polygons of one side's objects in pixels, flat; of a box its rectangle."""
        return [
            pixels_from_bins(_outline(item), _repeated(self.sizes[image], item)).tolist()
            for item, image in zip(side.objects, side.image_N.tolist(), strict=True)
        ]


def make_scenes(
    records: Sequence[Record], predictions: Sequence[Sequence[EvaluatedObject]], categories: Categories
) -> Scenes:
    """The scenes of records and of the objects that were predicted for each of them, in the same order.

    Raises:
        ValueError: the two differ in length.
        InputError: an image is wider or higher than ``MAX_SIDE``.
    """
    if len(records) != len(predictions):
        raise ValueError(f"{len(records)} records and the predictions of {len(predictions)}")
    for record in records:
        if max(record.width, record.height) > MAX_SIDE:
            raise InputError(
                str(record.place) or ", ".join(record.images),
                f"the image is too large to evaluate: no side may have more than {MAX_SIDE} pixels",
            )
    gt = [record.objects for record in records]
    descs = {item.desc for objects in (*gt, *predictions) for item in objects}
    of_desc = {desc: categories.of(desc) for desc in descs}
    names = tuple(sorted(set(of_desc.values())))
    rank = {name: number for number, name in enumerate(names)}
    index = {desc: rank[name] for desc, name in of_desc.items()}
    sizes = tuple((record.width, record.height) for record in records)
    return Scenes(sizes, names, _side(gt, sizes, index), _side(predictions, sizes, index))


def _side(
    listed: Sequence[Sequence[EvaluatedObject]], sizes: Sequence[tuple[int, int]], index: Mapping[str, int]
) -> Side:
    objects = tuple(DetObject(item.desc, item.bbox_2d, item.poly) for found in listed for item in found)
    boxed = tuple(as_box(item) for item in objects)
    counts_I = np.array([len(found) for found in listed], dtype=np.intp)
    image_N = np.repeat(np.arange(len(listed), dtype=np.intp), counts_I)
    sizes_I2 = np.array(sizes, dtype=np.int64).reshape(-1, 2)
    bins_N4 = np.array([item.bbox_2d for item in boxed], dtype=np.int64).reshape(-1, 4)
    return Side(
        objects,
        boxed,
        pixels_from_bins(bins_N4, np.tile(sizes_I2[image_N], 2)),
        image_N,
        np.array([index[item.desc] for item in objects], dtype=np.intp),
        np.concatenate([np.zeros(1, np.intp), counts_I.cumsum()]),
    )


def as_box(item: EvaluatedObject) -> DetObject:
    """The object with its enclosing box as its geometry."""
    if item.bbox_2d is not None:
        return DetObject(item.desc, item.bbox_2d)
    if item.poly is None:
        raise ValueError(f"the object {item.desc!r} has no geometry")
    return DetObject(item.desc, enclosing_box(item.poly))


def _outline(item: DetObject) -> tuple[int, ...]:
    if item.poly is not None:
        return item.poly
    assert item.bbox_2d is not None
    x1, y1, x2, y2 = item.bbox_2d
    return x1, y1, x2, y1, x2, y2, x1, y2


def _repeated(size: tuple[int, int], item: DetObject) -> list[int]:
    return list(size) * (len(_outline(item)) // 2)


def categories_in(side: Side) -> Iterable[int]:
    """Indices of the categories that a side has, sorted."""
    found: Iterable[int] = np.unique(side.category_N).tolist()
    return found
