"""Folders of drawn scenes: PNG images and a contract file for each split."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from coordspec.boxes import reading_order
from coordspec.coords import bin_from_pixel
from coordspec.errors import InputError
from coordspec.jsonl.write import write_whole
from coordspec.record import CoordForm, DetObject, Record
from coordspec.shapes.draw import draw
from coordspec.shapes.scene import Scene, SceneSpec, Shape, scene

DIGITS: Final = 6
MAX_IMAGES: Final = 10**DIGITS


class ShapeGeometry(StrEnum):
    """How objects are annotated."""

    BBOX = "bbox"
    POLY = "poly"


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """A data set: ``counts`` are the images of each split by its name, 1 to 1,000,000 each."""

    counts: Mapping[str, int]
    seed: int = 0
    scenes: SceneSpec = field(default=SceneSpec())
    form: CoordForm = CoordForm.INT
    geometry: ShapeGeometry = ShapeGeometry.BBOX


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """What was written for one split; ``empty`` of the ``images`` have no object."""

    split: str
    images: int
    objects: int
    empty: int


def write_dataset(folder: Path, spec: DatasetSpec, *, overwrite: bool = False) -> list[SplitSummary]:
    """Write ``SPLIT.jsonl`` and ``images/SPLIT/000000.png`` … for every split, image paths relative to ``folder``.

    A JSONL file appears when all of its images are there. Files of other names are left alone, ``overwrite`` or not.

    Raises:
        InputError: ``folder`` is a file, or has something in it and ``overwrite`` is False, or cannot be written to.
        ValueError: a split of no images or of more than ``MAX_IMAGES``.
    """
    for split, count in spec.counts.items():
        if not 1 <= count <= MAX_IMAGES:
            raise ValueError(f"{split} has {count} images, and must have from 1 to {MAX_IMAGES}")
    _prepare(folder, [f"images/{split}" for split in spec.counts], overwrite)
    return [_write_split(folder, split, spec, overwrite) for split in spec.counts]


def _prepare(folder: Path, below: list[str], overwrite: bool) -> None:
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(str(folder), "is a file; name a folder")
        if folder.is_dir() and not overwrite and any(folder.iterdir()):
            raise InputError(str(folder), "is not empty; name another folder, or pass --overwrite")
        for name in below:
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(str(folder), f"cannot be written to: {error.strerror or error}") from error


def _write_split(folder: Path, split: str, spec: DatasetSpec, overwrite: bool) -> SplitSummary:
    objects = empty = 0
    with write_whole(folder / f"{split}.jsonl", overwrite=overwrite) as stream:
        for index in range(spec.counts[split]):
            one = scene(spec.seed, split, index, spec.scenes)
            name = f"images/{split}/{index:0{DIGITS}d}.png"
            # thousands of files, which the seed draws again: waiting for the disk took as long as drawing
            with write_whole(folder / name, overwrite=overwrite, synced=False) as file:
                file.write(png_bytes(one))
            stream.write(record(one, name, spec.geometry).line(spec.form).encode() + b"\n")
            objects += len(one.shapes)
            empty += not one.shapes
    return SplitSummary(split, spec.counts[split], objects, empty)


def png_bytes(one: Scene) -> bytes:
    """The scene as a PNG file: the same bytes wherever the zlib that Pillow is built with is the same."""
    buffer = io.BytesIO()
    draw(one).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def record(one: Scene, image: str, geometry: ShapeGeometry) -> Record:
    """The annotation of a scene: its objects in reading order of their boxes; ``image`` is the path to name."""
    shapes = sorted(one.shapes, key=lambda shape: reading_order(shape.box))
    objects = tuple(_object(shape, one, geometry) for shape in shapes)
    return Record((image,), one.width, one.height, objects)


def _object(shape: Shape, one: Scene, geometry: ShapeGeometry) -> DetObject:
    sides = (one.width, one.height)
    flat = shape.box if geometry is ShapeGeometry.BBOX else [value for point in shape.poly for value in point]
    bins = tuple(bin_from_pixel(value, sides[i % 2]) for i, value in enumerate(flat))
    return DetObject(shape.desc, bbox_2d=bins) if geometry is ShapeGeometry.BBOX else DetObject(shape.desc, poly=bins)
