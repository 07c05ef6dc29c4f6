"""ODVG: JSON Lines of detection and of grounding, as open-set detectors of the Grounding DINO family are trained on.

Source of the format: Open-GroundingDino (https://github.com/longzw1997/Open-GroundingDino, data_format.md) and MM
Grounding DINO (https://github.com/open-mmlab/mmdetection, configs/mm_grounding_dino/dataset_prepare.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from coordspec.convert.assemble import Converter
from coordspec.convert.class_names import read_class_names
from coordspec.convert.counts import Counts
from coordspec.convert.descs import category_desc, phrase_desc
from coordspec.convert.entries import read_entries
from coordspec.convert.nodes import EntryNode
from coordspec.convert.options import ConvertOptions
from coordspec.convert.pixels import PixelImage, PixelObject, side_fault

_KINDS: Final = ("detection", "grounding")
_SHAPE: Final = "an entry has filename, width, height, and detection (instances) or grounding (caption, regions)"


def read_odvg(source: str, options: ConvertOptions, counts: Counts) -> Iterator[PixelImage]:
    """The images of the entries, boxes as corners in pixels.

    Raises:
        SourceError: the first place that breaks the format.
        InputError: a file cannot be read.
    """
    names = read_class_names(options.classes, counts) if options.classes else {}
    for entry in read_entries(source):
        kind = entry.one_of(_KINDS, _SHAPE)
        if kind == "detection":
            objects = [_instance(item, names) for item in entry.get(kind).get("instances").items()]
        else:
            objects = [made for region in entry.get(kind).get("regions").items() for made in _region(region)]
            counts.captions += entry.get(kind).has("caption")
        width, height = _side(entry.get("width")), _side(entry.get("height"))
        yield PixelImage(entry.get("filename").text(), width, height, objects, entry.source)


def _side(node: EntryNode) -> int:
    fault = side_fault(str(node.at[-1]), node.integer())
    if fault is not None:
        raise node.fault(fault)
    return node.integer()


def _instance(item: EntryNode, names: Mapping[int, str]) -> PixelObject:
    if item.has("category"):
        category = item.get("category")
        desc = category_desc(category.text(), category.where)
    else:
        label = item.get("label")
        if label.integer() not in names:
            raise label.fault(f"there is no category, and no name for the label {label.value}; see --classes")
        desc = names[label.integer()]
    return PixelObject(desc, item.get("bbox").corners(), item.where)


def _region(region: EntryNode) -> Iterator[PixelObject]:
    """One object for each box of a region: Open-GroundingDino has one, MM Grounding DINO may have a list."""
    phrase = region.get("phrase")
    desc = phrase_desc(phrase.text(), phrase.where)
    bbox = region.get("bbox")
    boxes = bbox.items() if bbox.items() and isinstance(bbox.items()[0].value, list) else [bbox]
    for box in boxes:
        yield PixelObject(desc, box.corners(), box.where)


ODVG: Final = Converter(
    "odvg", "JSON Lines of detection and grounding (Grounding DINO)", read_odvg, frozenset({"classes"})
)
