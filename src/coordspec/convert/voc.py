"""Pascal VOC: one XML file for each image.

Source of the format: Everingham, Winn, "The PASCAL Visual Object Classes Challenge 2012 Development Kit", section 4
(http://host.robots.ox.ac.uk/pascal/VOC/voc2012/). Its pixels count from 1, and a box ends with its last pixel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from coordspec.boxes import enclosing_box
from coordspec.checks.finding import shown
from coordspec.convert.assemble import Converter
from coordspec.convert.counts import Counts
from coordspec.convert.descs import category_desc
from coordspec.convert.folders import files_below
from coordspec.convert.options import ConvertOptions, Difficult, VocOrigin
from coordspec.convert.pixels import PixelImage, PixelObject, side_fault
from coordspec.convert.xml_file import Element, read_xml
from coordspec.errors import InputError

_ROOT: Final = "annotation"
_CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{0,30})?")
_INTEGER: Final = re.compile(r"[0-9]{1,15}")
_ROTATED: Final = "robndbox"


def read_voc(source: str, options: ConvertOptions, counts: Counts) -> Iterator[PixelImage]:
    """The image of an XML file, or of every XML file below a folder, by their path.

    Raises:
        SourceError: the first place that breaks the format; file and line.
        InputError: a file or folder cannot be read.
    """
    if Path(source).is_dir():
        files = [str(Path(source) / path) for path in files_below(source, (".xml",))]
        if not files:
            raise InputError(source, "has no .xml file; name the folder with the annotations")
    else:
        files = [source]
    for file in files:
        yield _image(read_xml(file), options, counts)


def _image(root: Element, options: ConvertOptions, counts: Counts) -> PixelImage:
    if root.name != _ROOT:
        hint = "CVAT has a form of its own; export as PASCAL VOC there" if root.name == "annotations" else "no VOC file"
        raise root.fault(f"the root element is {shown(root.name)}, not {_ROOT}; {hint}")
    name = root.get("filename")
    size = root.get("size")
    width, height = _side(size.get("width")), _side(size.get("height"))
    objects = [made for item in root.all("object") if (made := _object(item, options, counts)) is not None]
    return PixelImage(name.text.strip(), width, height, objects, name.where)


def _side(element: Element) -> int:
    text = element.text.strip()
    if not _INTEGER.fullmatch(text):
        raise element.fault(f"{element.name} is {shown(text)}, not a number of pixels")
    fault = side_fault(element.name, int(text))
    if fault is not None:
        raise element.fault(f"{fault}; write the size of the image")
    return int(text)


def _object(item: Element, options: ConvertOptions, counts: Counts) -> PixelObject | None:
    name = item.get("name")
    desc = category_desc(name.text, f"{name.where}: name")
    if item.find("bndbox") is None and item.find(_ROTATED) is not None:
        raise item.fault(f"has a rotated box ({_ROTATED}), and a record has boxes along the axes; write bndbox")
    box = _box(item.get("bndbox"), options.voc_origin)
    if _flag(item, "difficult"):
        if options.difficult is Difficult.SKIP:
            counts.difficult_skipped += 1
            return None
        counts.difficult_kept += 1
    counts.object_parts += len(item.all("part"))
    return PixelObject(desc, box, item.where)


def _flag(item: Element, name: str) -> bool:
    element = item.find(name)
    text = "0" if element is None else element.text.strip()
    if text not in ("0", "1"):
        raise (element or item).fault(f"{name} is {shown(text)}, not 0 or 1")
    return text == "1"


def _box(bndbox: Element, origin: VocOrigin) -> tuple[float, ...]:
    """Corners in pixels that count from 0. The last pixel of a box, counted from 1, is where the box ends from 0."""
    numbers = tuple(_number(bndbox.get(name)) for name in _CORNERS)
    if enclosing_box(numbers) != numbers:
        listed = ", ".join(f"{number:g}" for number in numbers)
        raise bndbox.fault(f"the box {listed} is inverted: it is xmin, ymin, xmax, ymax")
    if origin is VocOrigin.ZERO:
        return numbers
    xmin, ymin, xmax, ymax = numbers
    if min(xmin, ymin) < 1:
        low = f"{min(xmin, ymin):g}"
        raise bndbox.fault(f"{low} is below 1, the first pixel of VOC; pass --voc-origin 0 if pixels count from 0")
    return xmin - 1, ymin - 1, xmax, ymax


def _number(element: Element) -> float:
    text = element.text.strip()
    if not _NUMBER.fullmatch(text):
        raise element.fault(f"{element.name} is {shown(text)}, not a number")
    return float(text)


VOC: Final = Converter(
    "voc", "Pascal VOC, one XML file or a folder of them", read_voc, frozenset({"voc_origin", "difficult"})
)
