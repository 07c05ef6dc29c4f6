"""What a conversion can be told, and what it counts. A default exists here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from enum import StrEnum


class Geometry(StrEnum):
    """Which geometry an object is written with."""

    BBOX = "bbox"
    POLY = "poly"


class Order(StrEnum):
    """The order of the objects of one image."""

    READING = "reading"
    SOURCE = "source"
    AREA = "area"


class Crowd(StrEnum):
    """What becomes of a region that stands for a crowd of objects (COCO ``iscrowd: 1``)."""

    SKIP = "skip"
    KEEP = "keep"
    FAIL = "fail"


class Multipart(StrEnum):
    """What becomes of an object whose outline is no single polygon, where polygons are asked for."""

    BBOX = "bbox"
    LARGEST = "largest"
    FAIL = "fail"


class Duplicates(StrEnum):
    """What becomes of an object with the desc and the bins of an earlier one of the same image."""

    DROP = "drop"
    KEEP = "keep"


class OutOfFrame(StrEnum):
    """What becomes of a geometry that reaches out of its image."""

    FAIL = "fail"
    CLIP = "clip"


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """How to convert. ``image_prefix`` is a folder put before every image path, empty for none."""

    geometry: Geometry = Geometry.BBOX
    order: Order = Order.READING
    crowd: Crowd = Crowd.SKIP
    multipart: Multipart = Multipart.BBOX
    duplicates: Duplicates = Duplicates.DROP
    out_of_frame: OutOfFrame = OutOfFrame.FAIL
    image_prefix: str = ""
    skip_empty: bool = False


def _count(text: str) -> int:
    """A dataclass field that counts from 0 and is reported as ``text``."""
    counter: int = field(default=0, metadata={"text": text})
    return counter


@dataclass(slots=True)
class Counts:
    """What a conversion wrote, and everything in which that differs from the source."""

    records: int = _count("records")
    objects: int = _count("objects")
    negatives: int = _count("records without objects (negatives)")
    images_skipped: int = _count("images without objects left out (--skip-empty)")
    crowds_skipped: int = _count("crowd regions left out (--crowd keep writes their boxes)")
    crowds_kept: int = _count("crowd regions written as boxes (--crowd)")
    boxes_for_parts: int = _count("boxes in place of outlines of several polygons (--multipart)")
    boxes_for_none: int = _count("boxes in place of masks or missing outlines, which have no polygon")
    parts_left_out: int = _count("smaller polygons left out of outlines of several (--multipart largest)")
    clipped: int = _count("geometries cut at the border of their image (--out-of-frame clip)")
    outside: int = _count("objects left out that lie outside of their image (--out-of-frame clip)")
    duplicates: int = _count("duplicate objects dropped (--duplicates keep writes them)")
    flat: int = _count("objects without width or height in bins; validate warns about them")
    shared_descs: int = _count("categories with the desc of an earlier category")

    def add(self, names: Iterable[str]) -> None:
        """Count each name once for every time it stands in ``names``."""
        for name in names:
            setattr(self, name, getattr(self, name) + 1)

    def report(self) -> list[tuple[str, int]]:
        """What is counted, and how often, for every count above 0; records and objects always."""
        listed = ((f.metadata["text"], getattr(self, f.name), f.name) for f in fields(self))
        return [(text, number) for text, number, name in listed if number or name in ("records", "objects")]
