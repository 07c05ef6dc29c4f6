"""COCO and LVIS instances.

Sources: the data format page of COCO (https://cocodataset.org/#format-data, "object detection"), and LVIS (Gupta,
Dollár, Girshick, "LVIS: A Dataset for Large Vocabulary Instance Segmentation", 2019,
https://www.lvisdataset.org/dataset), whose images may have a ``coco_url`` in place of a ``file_name``, and whose
annotations have no ``iscrowd``.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Container, Iterator, Sequence
from math import isfinite
from typing import Any, Final

import msgspec

from coordspec.boxes import corners_from_xywh
from coordspec.checks.paths import check_image_path
from coordspec.contracts import record_contract
from coordspec.convert.assemble import Converter
from coordspec.convert.coco_file import Annotation, CocoFile, Image, plain_reason
from coordspec.convert.counts import Counts
from coordspec.convert.descs import category_desc
from coordspec.convert.options import ConvertOptions
from coordspec.convert.pixels import PixelImage, PixelObject, SourceError, refuse, side_fault

_POLY_MIN: Final = record_contract().poly_min
_XYWH: Final = 4
_URL_PARTS: Final = 2
_decode_polygons = msgspec.json.Decoder(list[tuple[float, ...]]).decode


OUTLINE_OPTIONS: Final = frozenset({"geometry", "multipart"})
"""The options of formats that have outlines."""


def read_coco(path: str, options: ConvertOptions, counts: Counts) -> Iterator[PixelImage]:
    """The images of a COCO or LVIS instances file, in its order, each with its objects.

    The file is mapped, not loaded, and its annotations are decoded one at a time. All ids, sizes, names and boxes are
    checked before the first image comes; outlines only as they are read, and only if they are asked for.

    Raises:
        SourceError: the first place that breaks the format.
        InputError: the file cannot be read.
    """
    file = CocoFile.open(path)
    descs = _descs(file, counts)
    images = checked_images(file)
    by_image = _by_image(file, images, descs)
    for number, image in images.values():
        annotations = ((i, file.annotations.item(i)) for i in by_image.get(image.id, ()))
        objects = [pixel_object(file, i, a, descs[a.category_id], options) for i, a in annotations]
        where = file.images.where(number, image.id)
        yield PixelImage(image_path(image, where), image.width, image.height, objects, where)


def _descs(file: CocoFile, counts: Counts) -> dict[int, str]:
    """Descriptions by category id."""
    descs: dict[int, str] = {}
    seen: set[str] = set()
    for number, category in enumerate(file.categories):
        where = file.categories.where(number, category.id)
        if category.id in descs:
            raise SourceError(where, f"a category with the id {category.id} stands above already")
        desc = category_desc(category.name, f"{where}: name")
        counts.shared_descs += desc in seen
        seen.add(desc)
        descs[category.id] = desc
    return descs


def checked_images(file: CocoFile) -> dict[int, tuple[int, Image]]:
    """Number in the file and image, by image id.

    Raises:
        SourceError: an id stands twice, or a size or path is none.
    """
    images: dict[int, tuple[int, Image]] = {}
    for number, image in enumerate(file.images):
        where = file.images.where(number, image.id)
        if image.id in images:
            raise SourceError(where, f"an image with the id {image.id} stands above already")
        fault = side_fault("width", image.width) or side_fault("height", image.height)
        if fault is not None:
            raise SourceError(where, fault)
        # A path that leaves its root may be meant: an image prefix can bring it back, which is checked behind that.
        findings = (f for f in check_image_path(image_path(image, where), ()) if f.rule != "image-path-escape")
        refuse(findings, f"{where}: image path")
        images[image.id] = number, image
    return images


def image_path(image: Image, where: str) -> str:
    """``file_name``, or the last two parts of ``coco_url``, such as ``train2017/000000391895.jpg`` (LVIS v1).

    Raises:
        SourceError: there is neither; ``where`` is the place of the image.
    """
    if image.file_name is not None:
        return image.file_name
    if image.coco_url is None:
        raise SourceError(where, "file_name is missing, and so is coco_url, which it could be read from")
    below_host = re.split(r"[?#]", image.coco_url.partition("://")[2])[0].split("/")[1:]
    parts = [part for part in below_host if part][-_URL_PARTS:]
    if len(parts) < _URL_PARTS:
        raise SourceError(where, "file_name is missing, and coco_url does not end with a folder and a file name")
    return "/".join(parts)


def _by_image(file: CocoFile, images: dict[int, Any], descs: dict[int, str]) -> dict[int, array[int]]:
    """Numbers of the annotations by image id; every annotation is checked on the way."""
    by_image: dict[int, array[int]] = {}
    for number, annotation in enumerate(file.annotations):
        fault = annotation_fault(annotation, images, descs)
        if fault is not None:
            raise SourceError(file.annotations.where(number), fault)
        by_image.setdefault(annotation.image_id, array("L")).append(number)
    return by_image


def annotation_fault(annotation: Annotation, images: Container[int], categories: Container[int]) -> str | None:
    """What is wrong with an annotation of a file that has these image ids and category ids, or None."""
    if annotation.image_id not in images:
        return f"image_id {annotation.image_id} is the id of no image of the file"
    if annotation.category_id not in categories:
        return f"category_id {annotation.category_id} is the id of no category of the file"
    if len(annotation.bbox) != _XYWH:
        return f"bbox has {len(annotation.bbox)} numbers, not {_XYWH}"
    _, _, width, height = annotation.bbox
    if width < 0 or height < 0:
        return f"bbox has the size {width:g} x {height:g}; it is x, y, width, height, and no size is below 0"
    if not all(map(isfinite, corners_from_xywh(*annotation.bbox))):
        return "bbox ends beyond the largest number there is"
    if annotation.iscrowd not in (0, 1):
        return f"iscrowd is {annotation.iscrowd}, not 0 or 1"
    return None


def pixel_object(
    file: CocoFile, number: int, annotation: Annotation, desc: str, options: ConvertOptions
) -> PixelObject:
    """An annotation without fault, in pixels.

    Raises:
        SourceError: outlines are asked for, and its outline is none.
    """
    where = file.annotations.where(number, annotation.id)
    parts = _polygons(annotation.segmentation, where) if options.outlines else ()
    box = corners_from_xywh(*annotation.bbox)
    return PixelObject(desc, box, where, parts, crowd=annotation.iscrowd == 1)


def _polygons(segmentation: msgspec.Raw, where: str) -> Sequence[tuple[float, ...]]:
    """The flat polygons of an outline; none for a mask (RLE), ``null`` or nothing."""
    text = bytes(segmentation)
    if not text.startswith(b"["):
        if text.startswith(b"{") or text in (b"", b"null"):
            return ()
        raise SourceError(where, "segmentation is neither a list of polygons nor a mask (RLE)")
    try:
        parts = _decode_polygons(text)
    except msgspec.ValidationError as error:
        raise SourceError(where, f"segmentation{plain_reason(error)}") from error
    for index, part in enumerate(parts):
        if len(part) < _POLY_MIN or len(part) % 2:
            reason = f"has {len(part)} numbers; a polygon is x, y, x, y, … of at least {_POLY_MIN}"
            raise SourceError(where, f"segmentation[{index}] {reason}; correct it, or pass --geometry bbox")
    return parts


COCO: Final = Converter("coco", "COCO or LVIS instances, one JSON file", read_coco, OUTLINE_OPTIONS | {"crowd"})
