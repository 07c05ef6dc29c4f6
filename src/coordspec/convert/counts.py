"""Counting what a command wrote, and everything in which that differs from what it read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields


def count(text: str, *, always: bool = False) -> int:
    """A dataclass field that counts from 0 and is reported as ``text``: if it is above 0, or ``always``."""
    counter: int = field(default=0, metadata={"text": text, "always": always})
    return counter


@dataclass(slots=True)
class Tally:
    """Base of the counts of a command; every field is made by ``count``."""

    def add(self, names: Iterable[str]) -> None:
        """Count each name once for every time it stands in ``names``."""
        for name in names:
            setattr(self, name, getattr(self, name) + 1)

    def report(self) -> list[tuple[str, int]]:
        """What is counted, and how often, for every count that has something to say."""
        listed = ((f.metadata, getattr(self, f.name)) for f in fields(self))
        return [(meta["text"], number) for meta, number in listed if number or meta["always"]]


@dataclass(slots=True)
class Counts(Tally):
    """What a conversion wrote, and everything in which that differs from the source."""

    records: int = count("records", always=True)
    objects: int = count("objects", always=True)
    negatives: int = count("records without objects (negatives)")
    unlabelled: int = count("images without a label file, taken for images without objects")
    orphans: int = count("label files without an image left out")
    repeated_images: int = count("records of an image that an earlier record has too")
    images_skipped: int = count("images without objects left out (--skip-empty)")
    texts: int = count("entries without a box left out (text, or points alone)")
    several_images: int = count("entries of several images left out; a record is about one")
    other_splits: int = count("objects of other splits left out (--split)")
    points: int = count("points left out; a record holds boxes and outlines")
    object_parts: int = count("parts of objects left out, such as heads and hands")
    difficult_skipped: int = count("difficult objects left out (--difficult)")
    difficult_kept: int = count("difficult objects written like any other (--difficult skip leaves them out)")
    captions: int = count("captions left out; the phrases of their regions are written")
    phrases: int = count("further expressions of an object left out (--expressions all writes them)")
    mask_codes: int = count("mask codes (<seg…>) left out; the boxes are written")
    crowds_skipped: int = count("crowd regions left out (--crowd keep writes their boxes)")
    crowds_kept: int = count("crowd regions written as boxes (--crowd)")
    boxes_for_parts: int = count("boxes in place of outlines of several polygons (--multipart)")
    boxes_for_none: int = count("boxes in place of masks or missing outlines, which have no polygon")
    parts_left_out: int = count("smaller polygons left out of outlines of several (--multipart largest)")
    clipped: int = count("geometries cut at the border of their image (--out-of-frame clip)")
    outside: int = count("objects left out that lie outside of their image (--out-of-frame clip)")
    duplicates: int = count("duplicate objects dropped (--duplicates keep writes them)")
    flat: int = count("objects without width or height in bins; validate warns about them")
    shared_descs: int = count("categories with the desc of an earlier category")
