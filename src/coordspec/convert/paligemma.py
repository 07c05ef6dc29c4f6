"""PaliGemma: JSON Lines whose suffix holds ``<locDDDD>`` tokens.

Source of the format: the model card of PaliGemma and big_vision (https://github.com/google-research/big_vision,
big_vision/configs/proj/paligemma). An object is ``<locY1><locX1><locY2><locX2> name``; objects are separated by
``;``. A token is one of 1024, 0000 to 1023, in 1024ths of the height for y and of the width for x. With ``segment`` as
the task 16 tokens ``<segDDD>`` follow the box, codes of a mask that only the model's own decoder can draw.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from coordspec.checks.finding import shown
from coordspec.convert.assemble import Converter
from coordspec.convert.counts import Counts
from coordspec.convert.descs import phrase_desc
from coordspec.convert.entries import one_image, read_entries
from coordspec.convert.images import sized
from coordspec.convert.nodes import EntryNode
from coordspec.convert.options import ConvertOptions
from coordspec.convert.pixels import PixelImage, PixelObject

LOCS: Final = 1024
_LOC: Final = "<loc"
_TASKS: Final = ("detect", "segment")
_OBJECT: Final = re.compile(r"\s*((?:<loc[0-9]{4}>){4})\s*((?:<seg[0-9]{3}>){16})?\s*(.*?)\s*", re.DOTALL)
_SHAPE: Final = "an object is <locY1><locX1><locY2><locX2> name"


def read_paligemma(source: str, options: ConvertOptions, counts: Counts) -> Iterator[PixelImage]:
    """The images of the entries whose suffix holds boxes, or nothing where the task is to find some.

    Raises:
        SourceError: the first place that breaks the format.
        InputError: the file cannot be read.
    """
    for entry in read_entries(source):
        suffix = entry.get("suffix")
        if not _is_detection(entry, suffix.text()):
            counts.texts += 1
            continue
        image = one_image(entry)
        if image is None:
            counts.several_images += 1
            continue
        path, width, height = sized(image.text(), source, options, image.where)
        parts = suffix.text().split(";") if suffix.text().strip() else []
        objects = [_object(part, suffix, i, (width, height), counts) for i, part in enumerate(parts)]
        yield PixelImage(path, width, height, objects, entry.source)


def _is_detection(entry: EntryNode, suffix: str) -> bool:
    words = entry.get("prefix").text().split() if entry.has("prefix") else []
    return _LOC in suffix or (not suffix.strip() and words[:1] in [[task] for task in _TASKS])


def _object(part: str, suffix: EntryNode, number: int, sides: tuple[int, int], counts: Counts) -> PixelObject:
    where = f"{suffix.where}: object {number + 1}"
    found = _OBJECT.fullmatch(part)
    if found is None or _LOC in found[3]:
        raise suffix.fault(f"object {number + 1} is {shown(part.strip())}; {_SHAPE}")
    y1, x1, y2, x2 = (int(loc) for loc in re.findall("[0-9]{4}", found[1]))
    if max(x1, y1, x2, y2) >= LOCS:
        raise suffix.fault(f"object {number + 1} has <loc{max(x1, y1, x2, y2):04}>; the last one is <loc{LOCS - 1}>")
    if x1 > x2 or y1 > y2:
        raise suffix.fault(f"object {number + 1} has an inverted box, {found[1]}; {_SHAPE}")
    counts.mask_codes += found[2] is not None
    box = tuple(loc * sides[i % 2] / LOCS for i, loc in enumerate((x1, y1, x2, y2)))
    return PixelObject(phrase_desc(found[3], where), box, where)


PALIGEMMA: Final = Converter(
    "paligemma", "JSON Lines with <loc0000> tokens in suffix", read_paligemma, frozenset({"image_root"})
)
