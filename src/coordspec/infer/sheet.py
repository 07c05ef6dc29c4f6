"""A contact sheet: images with their ground truth and what was predicted, in one picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from coordspec.config.sections import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from coordspec.coords import pixel_from_bin
from coordspec.errors import InputError
from coordspec.evaluate.judge import Judged
from coordspec.evaluate.options import IOU
from coordspec.findings.visible import plural, visible
from coordspec.predictions.record import PredictedObject
from coordspec.record import DetObject
from coordspec.samples.images import ImageLimits, open_images, root_of

_LIMITS: Final = ImageLimits(MAX_IMAGE_PIXELS, MAX_IMAGE_BYTES)
_Colour: TypeAlias = tuple[int, int, int]
_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont
_PAPER: Final[_Colour] = (250, 250, 250)
_INK: Final[_Colour] = (30, 30, 30)
_RIGHT: Final[_Colour] = (0, 135, 62)
_WRONG: Final[_Colour] = (205, 30, 30)
_TRUTH: Final[_Colour] = (255, 255, 255)
_EDGE: Final[_Colour] = (0, 0, 0)
_MARGIN: Final = 12
_FONT_SIZE: Final = 13
_LINE: Final = _FONT_SIZE + 5
_DASH: Final = 6
_WIDTH: Final = 3
_KEY: Final = (
    (f"right: same words, IoU from {IOU}", _RIGHT, False),
    ("x wrong", _WRONG, False),
    ("ground truth", _TRUTH, True),
)
_KEY_LINE: Final = 30
_GAP: Final = 6
_LABEL_SHARE: Final = 0.6
"""How much of an image's width a label may take."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How many images stand in a row, and the side of the square that each of them is fitted into, in pixels.

    ``font`` is a file of a TrueType font; the one that comes with Pillow, for None, has ASCII letters only.
    """

    columns: int = 4
    cell: int = 240
    font: Path | None = None


def draw_sheet(judged: Sequence[Judged], image_root: Path | None, layout: Layout, title: str) -> Image.Image:
    """The sheet: a line of title, a key to the colours, then the first image of every record with its boxes.

    The same input gives the same pixels under one version of Pillow.

    Raises:
        ContractError: an image is missing, broken or too large.
        InputError: the font cannot be read.
    """
    font = _font(layout.font)
    rows = -(-len(judged) // layout.columns)
    pitch = layout.cell + _MARGIN
    head = _MARGIN + 2 * _LINE + _MARGIN
    width = max(layout.columns * pitch, font.getlength(visible(title)) + _MARGIN, _key_width(font))
    size = _MARGIN + math.ceil(width), head + rows * (pitch + _LINE)
    sheet = Image.new("RGB", size, _PAPER)
    _draw_head(sheet, title, font)
    for number, item in enumerate(judged):
        row, column = divmod(number, layout.columns)
        left, top = _MARGIN + column * pitch, head + row * (pitch + _LINE)
        image = open_images(item.record, root_of(item.record, image_root), _LIMITS)[0]
        cell = _draw_cell(image, item, layout.cell, font)
        sheet.paste(cell, (left, top))
        ImageDraw.Draw(sheet).text((left, top + layout.cell + 2), _caption(item, layout.cell, font), _INK, font)
    return sheet


def _draw_head(sheet: Image.Image, title: str, font: _Font) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), visible(title), _INK, font)
    left, top = float(_MARGIN), _MARGIN + _LINE
    for text, colour, dashed in _KEY:
        middle = top + _LINE // 2
        _line(draw, (left, middle), (left + _KEY_LINE, middle), colour, dashed=dashed)
        draw.text((left + _KEY_LINE + _GAP, top), text, _INK, font)
        left += _key_part(text, font)


def _key_part(text: str, font: _Font) -> float:
    return _KEY_LINE + _GAP + font.getlength(text) + 2 * _MARGIN


def _key_width(font: _Font) -> float:
    return sum(_key_part(text, font) for text, _, _ in _KEY)


def _caption(item: Judged, width: int, font: _Font) -> str:
    """The name of the image and how many objects were found, cut to a width in pixels."""
    name = visible(Path(item.record.images[0]).name)
    if item.prediction is None:
        found = "no prediction"
    else:
        wrong = item.right.count(False)
        found = f"{sum(item.found)} of {plural(len(item.found), 'object')}" + (f", {wrong} wrong" if wrong else "")
        found += ", cut short" if item.prediction.truncated or item.prediction.fallback else ""
    while name and font.getlength(f"{name}  {found}") > width:
        name = name[:-2] + "…" if len(name) > 1 else ""
    return f"{name}  {found}"


def _draw_cell(image: Image.Image, item: Judged, side: int, font: _Font) -> Image.Image:
    """The image, fitted into a square, with its boxes: predictions first, so that ground truth stays to be seen."""
    scale = side / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    cell = Image.new("RGB", (side, side), _PAPER)
    cell.paste(image.resize((width, height), Image.Resampling.LANCZOS))
    draw = ImageDraw.Draw(cell)
    predicted = () if item.prediction is None else item.prediction.objects
    for found, right in zip(predicted, item.right, strict=True):
        _outline(draw, _points(found, width, height), _RIGHT if right else _WRONG, dashed=False)
    for truth in item.record.objects:
        _outline(draw, _points(truth, width, height), _TRUTH, dashed=True)
    for found, right in zip(predicted, item.right, strict=True):
        _label(draw, _points(found, width, height), found.desc, (width, height), font, right=right)
    return cell


def _points(item: DetObject | PredictedObject, width: int, height: int) -> list[tuple[float, float]]:
    """The corners of a box or polygon in the pixels of a cell."""
    flat = item.poly
    if flat is None:
        assert item.bbox_2d is not None, "an object has one geometry"
        x1, y1, x2, y2 = item.bbox_2d
        flat = x1, y1, x2, y1, x2, y2, x1, y2
    xs, ys = flat[0::2], flat[1::2]
    return [(pixel_from_bin(x, width), pixel_from_bin(y, height)) for x, y in zip(xs, ys, strict=True)]


def _outline(
    draw: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], colour: _Colour, *, dashed: bool
) -> None:
    for start, end in zip(points, [*points[1:], points[0]], strict=True):
        _line(draw, start, end, colour, dashed=dashed)


def _line(
    draw: ImageDraw.ImageDraw,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: _Colour,
    *,
    dashed: bool,
) -> None:
    """A thick line, or a thin one of dashes in two colours, which is seen on any ground."""
    if not dashed:
        draw.line([start, end], colour, _WIDTH)
        return
    draw.line([start, end], _EDGE, 1)
    for a, b in _dashes(start, end):
        draw.line([a, b], colour, 1)


def _dashes(
    start: tuple[float, float], end: tuple[float, float]
) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
    for at in np.arange(0, length, 2 * _DASH):
        first, last = at / length, min(1.0, (at + _DASH) / length)
        yield (
            (start[0] + (end[0] - start[0]) * first, start[1] + (end[1] - start[1]) * first),
            (start[0] + (end[0] - start[0]) * last, start[1] + (end[1] - start[1]) * last),
        )


def _label(
    draw: ImageDraw.ImageDraw,
    points: Sequence[tuple[float, float]],
    desc: str,
    size: tuple[int, int],
    font: _Font,
    *,
    right: bool,
) -> None:
    """The desc on a ground of the box's colour, on top of its upper left corner where the image has room there."""
    text = visible(desc) if right else f"x {visible(desc)}"
    while len(text) > 1 and font.getlength(text) > _LABEL_SHARE * size[0]:
        text = text[:-2] + "…"
    width = font.getlength(text) + 4
    left = max(0.0, min(*(x for x, _ in points), size[0] - width))
    top = max(0.0, min(y for _, y in points) - _LINE)
    colour = _RIGHT if right else _WRONG
    draw.rectangle((left, top, left + width, top + _LINE - 2), fill=colour)
    draw.text((left + 2, top), text, _TRUTH, font)


def _font(path: Path | None) -> _Font:
    """A TrueType font, or the one that comes with Pillow.

    Raises:
        InputError: the file is no font that can be read.
    """
    if path is None:
        return ImageFont.load_default(_FONT_SIZE)
    try:
        return ImageFont.truetype(path, _FONT_SIZE)
    except OSError as error:
        raise InputError(str(path), f"is no font that can be read: {error}") from error
