"""Prediction files to COCO results (https://cocodataset.org/#format-results, "object detection")."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from coordspec.convert.coco import checked_images, image_path
from coordspec.convert.coco_file import CocoFile
from coordspec.convert.descs import category_desc
from coordspec.convert.pixels import SourceError
from coordspec.errors import InputError
from coordspec.evaluate.categories import Categories
from coordspec.export.counts import ResultCounts
from coordspec.export.pixels import file_name, has_more, outline, xywh
from coordspec.predictions.record import PredictedObject, Prediction


@dataclass(frozen=True, slots=True)
class ResultOptions:
    """How to write results. ``default_score`` is that of objects without one; None refuses them."""

    image_prefix: str = ""
    categories: Categories = field(default_factory=Categories)
    default_score: float | None = None


@dataclass(frozen=True, slots=True)
class KnownImage:
    """An image of an instances file."""

    id: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Instances:
    """Ids of a COCO instances file: images by file name, categories by what their descs mean."""

    path: str
    images: Mapping[str, KnownImage]
    category_ids: Mapping[str, int]

    @classmethod
    def open(cls, path: str, categories: Categories) -> Instances:
        """
        Raises:
            SourceError: an image or category breaks the format, or two of them cannot be told apart by their names.
            InputError: the file cannot be read.
        """
        file = CocoFile.open(path)
        images: dict[str, KnownImage] = {}
        for number, image in checked_images(file).values():
            where = file.images.where(number, image.id)
            known = KnownImage(image.id, image.width, image.height)
            if images.setdefault(image_path(image, where), known) is not known:
                raise SourceError(where, "has the file name of an image above, so results could belong to either")
        ids: dict[str, int] = {}
        for number, category in enumerate(file.categories):
            where = file.categories.where(number, category.id)
            meant = categories.of(category_desc(category.name, f"{where}: name"))
            if ids.setdefault(meant, category.id) != category.id:
                raise SourceError(where, f"means the same as the category {ids[meant]}, so results could be of either")
        return cls(path, images, ids)


def coco_results(
    predictions: Iterable[Prediction], instances: Instances, options: ResultOptions, counts: ResultCounts
) -> Iterator[dict[str, Any]]:
    """One result for each predicted object whose desc is a category, in the order of the predictions.

    Raises:
        InputError: a prediction is for an image that the instances do not have, or has another size; an object has no
            score, and there is no default. The place is file and line.
    """
    seen: set[int] = set()
    for item in predictions:
        if len(item.images) > 1:
            counts.several_images += 1
            continue
        image = _image(item, instances, options.image_prefix)
        counts.repeated += image.id in seen
        seen.add(image.id)
        counts.dropped += len(item.dropped)
        for number, found in enumerate(item.objects):
            category_id = instances.category_ids.get(options.categories.of(found.desc))
            if category_id is None:
                counts.without_category += 1
                continue
            score = _score(found, f"{item.place}: objects[{number}]", options.default_score, counts)
            counts.results += 1
            yield {"image_id": image.id, "category_id": category_id, **_shape(found, image, counts), "score": score}
    counts.unpredicted = len(instances.images) - len(seen)


def _image(item: Prediction, instances: Instances, prefix: str) -> KnownImage:
    name = file_name(item.images[0], prefix, item.place)
    image = instances.images.get(name)
    if image is None:
        reason = f"the image {name!r} is none of {instances.path}; see --image-prefix"
        raise InputError(str(item.place), reason)
    if (image.width, image.height) != (item.width, item.height):
        sizes = f"{item.width} x {item.height} pixels, and {image.width} x {image.height} in {instances.path}"
        raise InputError(str(item.place), f"the image {name!r} has {sizes}; these are two data sets")
    return image


def _score(item: PredictedObject, where: str, default: float | None, counts: ResultCounts) -> float:
    if item.score is not None:
        return item.score
    if default is None:
        raise InputError(where, "has no score, and COCO ranks results by it; pass --default-score to give it one")
    counts.default_scores += 1
    return default


def _shape(item: PredictedObject, image: KnownImage, counts: ResultCounts) -> dict[str, Any]:
    sides = image.width, image.height
    poly = outline(item, sides)
    counts.polygons += poly is not None
    counts.part_scores += has_more(item)
    return {"bbox": xywh(item, sides), **({} if poly is None else {"segmentation": [poly]})}
