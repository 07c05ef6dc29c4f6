"""What a conversion can be told. A default exists here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class WrittenGeometry(StrEnum):
    """Which geometry an object is written with."""

    BBOX = "bbox"
    POLY = "poly"


class ObjectOrder(StrEnum):
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


class VocOrigin(StrEnum):
    """The number that a VOC file gives to the first column and row of pixels."""

    ONE = "1"
    ZERO = "0"


class Difficult(StrEnum):
    """What becomes of an object that VOC marks as difficult."""

    KEEP = "keep"
    SKIP = "skip"


class QwenCoords(StrEnum):
    """What the numbers of a ``bbox_2d`` mean that a Qwen model writes, or is taught to write."""

    PIXEL = "pixel"
    NORM1000 = "norm1000"


class Expressions(StrEnum):
    """Which of the expressions that refer to one object are written."""

    FIRST = "first"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """How to convert. Each format takes some of the options and has no use for the others (``Converter.takes``).

    ``image_prefix`` is a folder put before every image path; ``image_root`` is the folder that such a path starts in,
    for formats that do not say how large an image is. ``classes`` and ``instances`` name files beside the source,
    ``split`` the one part of a source that is wanted. All five are empty for none. ``qwen_coords`` has no default:
    nothing in a file tells the two apart.
    """

    geometry: WrittenGeometry = WrittenGeometry.BBOX
    order: ObjectOrder = ObjectOrder.READING
    crowd: Crowd = Crowd.SKIP
    multipart: Multipart = Multipart.BBOX
    duplicates: Duplicates = Duplicates.DROP
    out_of_frame: OutOfFrame = OutOfFrame.FAIL
    image_prefix: str = ""
    skip_empty: bool = False
    image_root: str = ""
    classes: str = ""
    voc_origin: VocOrigin = VocOrigin.ONE
    difficult: Difficult = Difficult.KEEP
    qwen_coords: QwenCoords | None = None
    instances: str = ""
    expressions: Expressions = Expressions.FIRST
    split: str = ""

    @property
    def outlines(self) -> bool:
        """True if outlines are asked for."""
        return self.geometry is WrittenGeometry.POLY
