"""From an image in pixels to a record in bins: one road for every format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from coordspec.boxes import enclosing_box, polygon_area, reading_order
from coordspec.convert.counts import Counts
from coordspec.convert.images import record_path
from coordspec.convert.options import (
    ConvertOptions,
    Crowd,
    Duplicates,
    Multipart,
    ObjectOrder,
    OutOfFrame,
)
from coordspec.convert.pixels import PixelImage, PixelObject, SourceError
from coordspec.coords import bin_from_pixel
from coordspec.errors import Place
from coordspec.record import DetObject, Record

FRAME_TOLERANCE: Final = 1.0
"""Pixels that a coordinate may lie outside of its image and still count as rounding noise, which the codec clamps."""


@dataclass(frozen=True, slots=True)
class Converter:
    """One outside format.

    ``read(source, options, counts)`` yields the images of a source in its order, outlines only if ``options.outlines``,
    and raises SourceError or InputError on the first fault. ``takes`` names the options that mean something to this
    format and not to every one, ``needs`` those of them that have to be given.
    """

    name: str
    help: str
    read: Callable[[str, ConvertOptions, Counts], Iterable[PixelImage]]
    takes: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()

    def convert(self, source: str, options: ConvertOptions) -> Conversion:
        """The records of a source. Nothing is read before the first one is asked for."""
        return Conversion(self, source, options)


@dataclass(slots=True)
class Conversion:
    """Records as they come, and counts that are complete once the last one came. It can be iterated once."""

    converter: Converter
    source: str
    options: ConvertOptions
    counts: Counts = field(default_factory=Counts)

    def __iter__(self) -> Iterator[Record]:
        """
        Raises:
            SourceError: a place of the source cannot be converted, or nothing would be written.
            InputError: the source cannot be read.
        """
        seen: set[str] = set()
        for image in self.converter.read(self.source, self.options, self.counts):
            record = assemble(image, self.options, self.counts)
            if record is not None:
                self.counts.repeated_images += image.path in seen
                seen.add(image.path)
                yield record
        if not self.counts.records:
            raise SourceError(self.source, f"holds no images{self._why_none()}, so there is no record to write")

    def _why_none(self) -> str:
        """What was left out, where that is all there was."""
        if self.counts.images_skipped:
            return " with objects, and --skip-empty leaves the others out"
        left_out = self.counts.texts or self.counts.several_images or self.counts.other_splits
        return " that a record can be made of (text, points, several images or another split)" if left_out else ""


def assemble(image: PixelImage, options: ConvertOptions, counts: Counts) -> Record | None:
    """The record of one image, or None if it is left out; ``counts`` grows by what was done.

    Raises:
        SourceError: an object cannot be converted under ``options``; the message names its place in the source.
    """
    objects = in_order(_draw_all(image, options, counts), options.order)
    if not objects and options.skip_empty:
        counts.images_skipped += 1
        return None
    counts.records += 1
    counts.objects += len(objects)
    counts.negatives += not objects
    counts.flat += sum(map(_is_flat, objects))
    path = record_path(image.path, options.image_prefix, image.where)
    return Record((path,), image.width, image.height, tuple(objects), place=Place(image.where))


def in_order(objects: Iterable[DetObject], order: ObjectOrder) -> list[DetObject]:
    """The objects sorted; ties keep their order.

    ``reading`` is top to bottom, then left to right, by the upper left corner of the enclosing box in bins; ``area`` is
    by that box's area, largest first.
    """
    if order is ObjectOrder.SOURCE:
        return list(objects)
    if order is ObjectOrder.READING:
        return sorted(objects, key=lambda item: reading_order(enclosing_box(_bins(item))))
    return sorted(objects, key=_box_area, reverse=True)


def _bins(item: DetObject) -> tuple[int, ...]:
    """The coordinates of whichever geometry the object has; ``_draw`` gives it one."""
    return item.bbox_2d or item.poly or ()


def _box_area(item: DetObject) -> int:
    x1, y1, x2, y2 = enclosing_box(_bins(item))
    return (x2 - x1) * (y2 - y1)


def _is_flat(item: DetObject) -> bool:
    return _box_area(item) == 0


def _draw_all(image: PixelImage, options: ConvertOptions, counts: Counts) -> Iterator[DetObject]:
    """The objects of an image in bins, in the order of the source. Of a dropped duplicate only the drop is counted."""
    seen: set[DetObject] = set()
    for item in image.objects:
        done: list[str] = []
        made = _draw(item, image, options, done)
        if made in seen and options.duplicates is Duplicates.DROP:
            counts.duplicates += 1
            continue
        counts.add(done)
        if made is not None:
            seen.add(made)
            yield made


def _draw(item: PixelObject, image: PixelImage, options: ConvertOptions, done: list[str]) -> DetObject | None:
    """The object in bins, or None if it is left out; ``done`` gets the names of the Counts that this is one more of."""
    if item.crowd and not _take_crowd(item, options.crowd, done):
        return None
    wants_poly = options.outlines and not item.crowd
    part = _one_part(item, options.multipart, done) if wants_poly else None
    pixels = _in_frame(item.box if part is None else part, item, image, options.out_of_frame, done)
    if pixels is None:
        return None
    sides = image.width, image.height
    bins = tuple(bin_from_pixel(pixel, sides[i % 2]) for i, pixel in enumerate(pixels))
    return DetObject(item.desc, bbox_2d=bins) if part is None else DetObject(item.desc, poly=bins)


def _take_crowd(item: PixelObject, crowd: Crowd, done: list[str]) -> bool:
    if crowd is Crowd.FAIL:
        raise SourceError(item.where, "is a crowd region; pass --crowd skip or --crowd keep, or remove it")
    done.append("crowds_kept" if crowd is Crowd.KEEP else "crowds_skipped")
    return crowd is Crowd.KEEP


def _one_part(item: PixelObject, multipart: Multipart, done: list[str]) -> tuple[float, ...] | None:
    """The one polygon that is the object's ``poly``, or None where its box is written instead."""
    if len(item.parts) == 1:
        return item.parts[0]
    if multipart is Multipart.FAIL:
        what = f"has {len(item.parts)} polygons" if item.parts else "has no polygon, but a mask or no outline at all"
        raise SourceError(item.where, f"{what}, and a poly is exactly one; pass --multipart bbox to write its box")
    if not item.parts:
        done.append("boxes_for_none")
        return None
    if multipart is Multipart.BBOX:
        done.append("boxes_for_parts")
        return None
    done.extend(["parts_left_out"] * (len(item.parts) - 1))
    return max(item.parts, key=polygon_area)


def _in_frame(
    pixels: Sequence[float], item: PixelObject, image: PixelImage, out_of_frame: OutOfFrame, done: list[str]
) -> Sequence[float] | None:
    """The geometry if it lies in its image up to ``FRAME_TOLERANCE``, cut at the border if asked for, or None."""
    box = x1, y1, x2, y2 = enclosing_box(pixels)
    width, height = image.width, image.height
    excess = max(-x1, -y1, x2 - width, y2 - height)
    if excess <= FRAME_TOLERANCE:
        return pixels
    if out_of_frame is OutOfFrame.FAIL:
        raise SourceError(item.where, _frame_fault(box, image, excess))
    if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        done.append("outside")
        return None
    done.append("clipped")
    sides = width, height
    return [min(max(pixel, 0), sides[i % 2]) for i, pixel in enumerate(pixels)]


def _frame_fault(box: tuple[float, ...], image: PixelImage, excess: float) -> str:
    corners = ", ".join(f"{value:g}" for value in box)
    return (
        f"reaches {excess:g} pixels out of its image of {image.width} x {image.height}: its corners are {corners}; "
        "correct the source, or pass --out-of-frame clip"
    )
