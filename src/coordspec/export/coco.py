"""Contract files to COCO instances (https://cocodataset.org/#format-data, "object detection")."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from coordspec.boxes import polygon_area
from coordspec.errors import InputError
from coordspec.export.counts import CocoCounts
from coordspec.export.pixels import file_name, outline, xywh
from coordspec.record import DetObject, Record


def coco_instances(records: Iterable[Record], counts: CocoCounts, image_prefix: str = "") -> dict[str, Any]:
    """The records as one COCO document. Ids count from 1: of images and annotations in the order of the records, of
    categories in the order of their names, which are the distinct descs. ``image_prefix`` is taken off image paths.

    Raises:
        InputError: a path does not start with the prefix, or two records give one image two sizes.
    """
    kept = [record for record in records if _is_kept(record, counts)]
    names = sorted({item.desc for record in kept for item in record.objects})
    category_ids = {name: number for number, name in enumerate(names, 1)}
    images: dict[str, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    for record in kept:
        image = _image(record, images, counts, image_prefix)
        for item in record.objects:
            ids = {"id": len(annotations) + 1, "image_id": image["id"], "category_id": category_ids[item.desc]}
            annotations.append({**ids, **_shape(item, (record.width, record.height))})
            counts.polygons += item.poly is not None
        counts.summaries += record.summary is not None
        counts.metadata += record.metadata is not None
    counts.images, counts.annotations, counts.categories = len(images), len(annotations), len(names)
    categories = [{"id": number, "name": name} for name, number in category_ids.items()]
    return {"images": list(images.values()), "annotations": annotations, "categories": categories}


def _is_kept(record: Record, counts: CocoCounts) -> bool:
    several = len(record.images) > 1
    counts.several_images += several
    return not several


def _image(record: Record, images: dict[str, dict[str, Any]], counts: CocoCounts, prefix: str) -> dict[str, Any]:
    name = file_name(record.images[0], prefix, record.place)
    made = {"id": len(images) + 1, "file_name": name, "width": record.width, "height": record.height}
    image = images.setdefault(name, made)
    if image is not made:
        counts.joined += 1
        if (image["width"], image["height"]) != (record.width, record.height):
            size = (
                f"{record.width} x {record.height} pixels, and {image['width']} x {image['height']} in a record above"
            )
            raise InputError(str(record.place), f"the image {name!r} has {size}; correct one of them")
    return image


def _shape(item: DetObject, sides: tuple[int, int]) -> dict[str, Any]:
    """Box, outline and area in pixels. What is a box has no segmentation to tell."""
    bbox, poly = xywh(item, sides), outline(item, sides)
    area = bbox[2] * bbox[3] if poly is None else polygon_area(poly)
    parts: Sequence[list[float]] = [] if poly is None else [poly]
    return {"bbox": bbox, "area": area, "iscrowd": 0, "segmentation": parts}
