"""Grounding of ms-swift 3: messages with ``<ref-object>`` and ``<bbox>``, and what they stand for in ``objects``.

Source of the format: the page "Custom Dataset", section "Grounding", of ms-swift
(https://swift.readthedocs.io/en/latest/Customization/Custom-dataset.html). ``objects.ref`` fills the ``<ref-object>``
of all messages in their order, ``objects.bbox`` the ``<bbox>``. ``bbox_type`` is ``real`` (pixels, the default) or
``norm1`` (shares of width and height); an item of ``bbox`` with two numbers is a point.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from coordspec.convert.assemble import Converter
from coordspec.convert.counts import Counts
from coordspec.convert.descs import phrase_desc
from coordspec.convert.entries import one_image, read_entries
from coordspec.convert.images import sized
from coordspec.convert.nodes import EntryNode
from coordspec.convert.options import ConvertOptions
from coordspec.convert.pixels import PixelImage, PixelObject

REF, BBOX = "<ref-object>", "<bbox>"
_HOLDER: Final = re.compile(f"{REF}|{BBOX}")
_JSON_ITEM: Final = re.compile(r"\{[^{}]*\}")
_POINT: Final = 2
_TYPES: Final = ("real", "norm1")


def read_swift(source: str, options: ConvertOptions, counts: Counts) -> Iterator[PixelImage]:
    """The images of the entries that have boxes.

    Raises:
        SourceError: the first place that breaks the format.
        InputError: the file cannot be read.
    """
    for entry in read_entries(source):
        entry.get("messages")
        grounding = entry.get("objects") if entry.has("objects") else None
        if grounding is not None and isinstance(grounding.value, list | str):
            raise grounding.fault(
                "is the form of ms-swift 2; that of ms-swift 3 is an object with the lists ref and bbox"
            )
        boxes = grounding.get("bbox").items() if grounding is not None else []
        image = one_image(entry) if entry.has("images") or entry.has("image") else None
        points = sum(len(box.items()) == _POINT for box in boxes)
        counts.points += points
        if grounding is None or len(boxes) == points:
            counts.texts += 1
        elif image is None:
            counts.several_images += 1
        else:
            path, width, height = sized(image.text(), source, options, image.where)
            yield PixelImage(path, width, height, _objects(entry, grounding, (width, height)), entry.source)


def _objects(entry: EntryNode, grounding: EntryNode, sides: Sequence[int]) -> list[PixelObject]:
    refs, boxes = grounding.get("ref").items(), grounding.get("bbox").items()
    kind = grounding.get("bbox_type").text() if grounding.has("bbox_type") else _TYPES[0]
    if kind not in _TYPES:
        raise grounding.get("bbox_type").fault(f"{kind[:20]!r} is none of {', '.join(_TYPES)}")
    if grounding.has("image_id"):
        other = next((node for node in grounding.get("image_id").items() if node.integer() != 0), None)
        if other is not None:
            raise other.fault(f"is {other.value}, and the entry has one image, which has the number 0")
    named = _named(entry, len(refs), len(boxes))
    return [
        _object(refs[ref], box, sides if kind == "norm1" else (1, 1))
        for ref, box in zip(named, boxes, strict=True)
        if len(box.items()) != _POINT
    ]


def _object(ref: EntryNode, box: EntryNode, scale: Sequence[int]) -> PixelObject:
    numbers = box.corners()
    pixels = tuple(number * scale[i % 2] for i, number in enumerate(numbers))
    return PixelObject(phrase_desc(ref.text(), ref.where), pixels, box.where)


def _named(entry: EntryNode, refs: int, boxes: int) -> list[int]:
    """For each ``<bbox>``, in order, the number of the ``<ref-object>`` that names it.

    That is the last one before it; where both stand in one JSON object ``{"bbox_2d": <bbox>, "label": "<ref-object>"}``
    the one of that object.
    """
    named: list[int] = []
    seen = 0
    for text in _texts(entry.get("messages")):
        for piece in _pieces(text.text()):
            own = seen if piece.count(REF) == 1 and piece.startswith("{") else None
            for holder in _HOLDER.findall(piece):
                seen += holder == REF
                if holder == BBOX:
                    named.append(seen - 1 if own is None else own)
    for name, found, listed in (("ref", seen, refs), ("bbox", len(named), boxes)):
        if found != listed:
            holder = REF if name == "ref" else BBOX
            raise entry.get("objects").fault(f"{name} has {listed} items, and the messages have {found} {holder}")
    if -1 in named:
        raise entry.get("messages").fault(f"a {BBOX} stands before any {REF}, so nothing names it")
    return named


def _texts(messages: EntryNode) -> Iterator[EntryNode]:
    for message in messages.items():
        content = message.get("content")
        if isinstance(content.value, list):
            yield from (part.get("text") for part in content.items() if part.has("text"))
        else:
            yield content


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces: each innermost ``{…}`` alone, and what stands between them."""
    end = 0
    for item in _JSON_ITEM.finditer(text):
        yield text[end : item.start()]
        yield item[0]
        end = item.end()
    yield text[end:]


SWIFT: Final = Converter("swift", "ms-swift 3 grounding, JSON Lines", read_swift, frozenset({"image_root"}))
