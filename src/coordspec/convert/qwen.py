"""Grounding as Qwen's models write it: a JSON list of ``{"bbox_2d": [x1, y1, x2, y2], "label": …}`` for an image.

Source of the format: the cookbooks of Qwen2.5-VL and Qwen3-VL ("Universal Recognition", "2D grounding") and the data
of qwen-vl-finetune (https://github.com/QwenLM/Qwen3-VL). Qwen2.5-VL writes pixels of the image as the model got it,
Qwen3-VL shares of 1000 of its width and height.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from coordspec.convert.assemble import Converter
from coordspec.convert.counts import Counts
from coordspec.convert.descs import phrase_desc
from coordspec.convert.entries import one_image, parsed, read_entries
from coordspec.convert.images import sized
from coordspec.convert.nodes import EntryNode
from coordspec.convert.options import ConvertOptions, QwenCoords
from coordspec.convert.pixels import PixelImage, PixelObject

_FORMS: Final = ("conversations", "messages", "objects")
_SHAPE: Final = "an entry has image, and conversations, messages or objects"
_ANSWERERS: Final = ("gpt", "assistant")
_FENCE: Final = re.compile(r"```(?:json)?\s*\n?(.*?)```", re.DOTALL)
_BOX, _POINT = "bbox_2d", "point_2d"
_NORM: Final = 1000


def read_qwen(source: str, options: ConvertOptions, counts: Counts) -> Iterator[PixelImage]:
    """The images of the entries, each with the boxes of all answers about it.

    Raises:
        SourceError: the first place that breaks the format.
        InputError: the file cannot be read.
        ValueError: ``options.qwen_coords`` is not given.
    """
    if options.qwen_coords is None:
        raise ValueError("qwen_coords has to say whether the boxes are pixels or shares of 1000")
    for entry in read_entries(source):
        image = one_image(entry) if entry.has("image") or entry.has("images") else None
        if image is None:
            name = "several_images" if entry.has("images") or entry.has("image") else "texts"
            counts.add([name])
            continue
        items = _items(entry)
        boxes = [item for item in items or () if item.has(_BOX) or not item.has(_POINT)]
        counts.points += len(items or ()) - len(boxes)
        if items is None or (items and not boxes):
            counts.texts += 1
            continue
        path, width, height = sized(image.text(), source, options, image.where)
        objects = [_object(item, (width, height), options.qwen_coords) for item in boxes]
        yield PixelImage(path, width, height, objects, entry.source)


def _items(entry: EntryNode) -> list[EntryNode] | None:
    """What the answers list, or None where no answer is JSON."""
    form = entry.one_of(_FORMS, _SHAPE)
    if form == "objects":
        return entry.get(form).items()
    listed = [items for answer in _answers(entry.get(form)) if (items := _answered(answer)) is not None]
    return [item for items in listed for item in items] if listed else None


def _answers(turns: EntryNode) -> Iterator[EntryNode]:
    """The texts that the model wrote: turns from ``gpt``, or of the role ``assistant``."""
    for turn in turns.items():
        who, what = ("from", "value") if turns.at[-1] == "conversations" else ("role", "content")
        if turn.get(who).text() not in _ANSWERERS:
            continue
        content = turn.get(what)
        if isinstance(content.value, list):
            yield from (part.get("text") for part in content.items() if part.has("text"))
        else:
            yield content


def _answered(answer: EntryNode) -> list[EntryNode] | None:
    """The items of an answer that is JSON, in a fence or not; None for one that is text."""
    text = answer.text().strip()
    fenced = _FENCE.search(text)
    body = fenced[1].strip() if fenced else text
    if not body.startswith(("[", "{")):
        if _BOX in text:
            raise answer.fault(f"{_BOX} stands inside of other text; an answer is JSON, in a ```json fence or not")
        return None
    value = parsed(body.encode(), answer.where)
    return value.items() if isinstance(value.value, list) else [value]


def _object(item: EntryNode, sides: Sequence[int], coords: QwenCoords) -> PixelObject:
    if not item.has("label"):
        raise item.fault("label is missing; the name of the object stands in the question at best, and is not guessed")
    box = item.get(_BOX)
    numbers = box.corners()
    label = item.get("label")
    if coords is QwenCoords.NORM1000:
        outside = next((number for number in numbers if not 0 <= number <= _NORM), None)
        if outside is not None:
            raise box.fault(f"{outside:g} is no share of {_NORM}; pass --qwen-coords pixel if it is a pixel")
        numbers = tuple(number * sides[i % 2] / _NORM for i, number in enumerate(numbers))
    return PixelObject(phrase_desc(label.text(), label.where), numbers, item.where)


QWEN: Final = Converter(
    "qwen",
    "JSON of Qwen's models, bbox_2d and label",
    read_qwen,
    takes=frozenset({"image_root", "qwen_coords"}),
    needs=frozenset({"qwen_coords"}),
)
