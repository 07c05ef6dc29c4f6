"""RefCOCO, RefCOCO+ and RefCOCOg: expressions that refer to annotations of a COCO instances file.

Source of the format: https://github.com/lichengunc/refer. Its ``refs(….).p`` is a pickle, which runs what is in it
when it is read; the same list as JSON is read here. ``instances.json`` beside it is a COCO instances file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from coordspec.convert.assemble import Converter
from coordspec.convert.coco import OUTLINE_OPTIONS, annotation_fault, checked_images, image_path, pixel_object
from coordspec.convert.coco_file import Annotation, CocoFile
from coordspec.convert.counts import Counts
from coordspec.convert.descs import phrase_desc
from coordspec.convert.entries import read_entries
from coordspec.convert.nodes import EntryNode
from coordspec.convert.options import ConvertOptions, Expressions
from coordspec.convert.pixels import PixelImage, PixelObject, SourceError
from coordspec.jsonl.inputs import STDIN

INSTANCES: Final = "instances.json"


def read_refcoco(source: str, options: ConvertOptions, counts: Counts) -> Iterator[PixelImage]:
    """The images that are referred to, in the order of the first reference, each with the objects of its references.

    Raises:
        SourceError: the first place that breaks the format.
        InputError: a file cannot be read.
    """
    refs_of = _by_image(source, options.split, counts)
    beside = "" if source == STDIN else Path(source).parent
    file = CocoFile.open(options.instances or str(Path(beside) / INSTANCES))
    images = checked_images(file)
    wanted = {ref.get("ann_id").integer() for refs in refs_of.values() for ref in refs}
    annotations = _annotations(file, wanted, frozenset(images))
    for image_id, refs in refs_of.items():
        if image_id not in images:
            raise refs[0].get("image_id").fault(f"{image_id} is the id of no image of the instances file")
        number, image = images[image_id]
        where = file.images.where(number, image_id)
        objects = [made for ref in refs for made in _objects(ref, file, annotations, options, counts)]
        yield PixelImage(image_path(image, where), image.width, image.height, objects, where)


def _by_image(source: str, split: str, counts: Counts) -> dict[int, list[EntryNode]]:
    """The references of the wanted split by image id."""
    refs_of: dict[int, list[EntryNode]] = {}
    for ref in read_entries(source):
        if split and ref.get("split").text() != split:
            counts.other_splits += 1
            continue
        refs_of.setdefault(ref.get("image_id").integer(), []).append(ref)
    return refs_of


def _annotations(file: CocoFile, wanted: set[int], images: frozenset[int]) -> dict[int, tuple[int, Annotation]]:
    """Number in the file and annotation, by id, of the annotations that are referred to."""
    categories = {category.id for category in file.categories}
    found: dict[int, tuple[int, Annotation]] = {}
    for number, annotation in enumerate(file.annotations):
        if annotation.id is None or annotation.id not in wanted:
            continue
        where = file.annotations.where(number, annotation.id)
        fault = annotation_fault(annotation, images, categories)
        if fault is not None:
            raise SourceError(where, fault)
        if annotation.id in found:
            raise SourceError(where, f"an annotation with the id {annotation.id} stands above already")
        found[annotation.id] = number, annotation
    return found


def _objects(
    ref: EntryNode,
    file: CocoFile,
    annotations: Mapping[int, tuple[int, Annotation]],
    options: ConvertOptions,
    counts: Counts,
) -> Iterator[PixelObject]:
    """The object of a reference, once for each expression that is wanted."""
    ann_id = ref.get("ann_id")
    if ann_id.value not in annotations:
        raise ann_id.fault(f"{ann_id.value} is the id of no annotation of the instances file")
    number, annotation = annotations[ann_id.value]
    if annotation.image_id != ref.get("image_id").value:
        raise ann_id.fault(f"the annotation {ann_id.value} is one of the image {annotation.image_id}")
    sentences = ref.get("sentences")
    if not sentences.items():
        raise sentences.fault("is empty, so nothing refers to the object")
    texts = [sentence.get("sent") for sentence in sentences.items()]
    chosen = texts[:1] if options.expressions is Expressions.FIRST else texts
    counts.phrases += len(texts) - len(chosen)
    for text in chosen:
        yield pixel_object(file, number, annotation, phrase_desc(text.text(), text.where), options)


REFCOCO: Final = Converter(
    "refcoco",
    "references as JSON, beside a COCO instances file",
    read_refcoco,
    OUTLINE_OPTIONS | {"crowd", "instances", "expressions", "split"},
)
