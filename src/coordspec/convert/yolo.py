"""YOLO: a folder of images, one text file of labels for each, and a file of class names.

Source of the format: the pages "Object Detection Datasets" and "Instance Segmentation Datasets" of Ultralytics
(https://docs.ultralytics.com/datasets/), which keep the rows of Darknet. A row is ``class x y width height``, centre
and size as shares of the image's width and height, or ``class x1 y1 x2 y2 x3 y3 …``, an outline in such shares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from coordspec.boxes import enclosing_box
from coordspec.checks.finding import shown
from coordspec.contracts import record_contract
from coordspec.convert.assemble import Converter
from coordspec.convert.class_names import read_class_names
from coordspec.convert.coco import OUTLINE_OPTIONS
from coordspec.convert.counts import Counts
from coordspec.convert.folders import files_below
from coordspec.convert.images import file_size, record_path
from coordspec.convert.options import ConvertOptions
from coordspec.convert.pixels import PixelImage, PixelObject, SourceError
from coordspec.errors import InputError
from coordspec.jsonl.read import open_bytes

IMAGE_SUFFIXES: Final = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
CLASS_FILES: Final = ("classes.txt", "obj.names", "data.yaml", "data.yml")
SHAPE: Final = "a row is `class x y width height`, or `class x1 y1 x2 y2 x3 y3 …`"
_IMAGES, _LABELS, _SUFFIX = "images", "labels", ".txt"
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BOX: Final = 4
_SLACK: Final = 0.01
"""How far a share may lie outside of 0 to 1 and still be one; the frame of the image is held elsewhere."""


def read_yolo(source: str, options: ConvertOptions, counts: Counts) -> Iterator[PixelImage]:
    """The images below a folder, by their path, each with the rows of its label file.

    The label file of an image is the one with its name and ``.txt``, in the folder whose path has ``labels`` in place
    of the last ``images``, or beside the image where no folder is called so. An image without one has no objects.

    Raises:
        SourceError: the first place that breaks the format.
        InputError: the folder, or a file in it, cannot be read.
    """
    if not Path(source).is_dir():
        raise InputError(source, "is no folder; name the folder with the images")
    names_file = options.classes or str(_class_file(Path(source)))
    names = read_class_names(names_file, counts)
    images = [(path, _label_file(Path(source), path)) for path in files_below(source, IMAGE_SUFFIXES)]
    counts.orphans += _orphans(source, {label for _, label in images}, Path(names_file))
    for path, label in images:
        where = str(Path(source) / path)
        record_path(path.as_posix(), options.image_prefix, where)
        width, height = file_size(Path(source) / path, where)
        counts.unlabelled += not label.is_file()
        rows = _rows(label) if label.is_file() else ()
        objects = [_object(row, names, (width, height), place) for place, row in rows]
        yield PixelImage(path.as_posix(), width, height, objects, where)


def _class_file(folder: Path) -> Path:
    found = [folder / name for name in CLASS_FILES if (folder / name).is_file()]
    if len(found) != 1:
        what = " and ".join(path.name for path in found) if found else f"none of {', '.join(CLASS_FILES)}"
        raise InputError(str(folder), f"has {what}; name the file with the class names with --classes")
    return found[0]


def _label_file(folder: Path, image: Path) -> Path:
    parts = list((folder / image).parent.parts)
    if _IMAGES in parts:
        parts[len(parts) - 1 - parts[::-1].index(_IMAGES)] = _LABELS
    return Path(*parts) / f"{image.stem}{_SUFFIX}"


def _orphans(source: str, labels: set[Path], names_file: Path) -> int:
    """How many label files belong to no image: text files in the folders of label files, but for class names."""
    folders = {label.parent for label in labels if label.is_file()}
    texts = (Path(source) / path for path in files_below(source, (_SUFFIX,)))
    others = (path for path in texts if path.parent in folders and path not in labels)
    return sum(path.name not in CLASS_FILES and path != names_file for path in others)


def _rows(label: Path) -> Iterator[tuple[str, list[str]]]:
    """Place and words of every row that is not blank."""
    with open_bytes(str(label)) as stream:
        data = stream.read()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise SourceError(str(label), f"is not UTF-8: {error.reason} at byte {error.start}") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield f"{label}:{number}", line.split()


def _object(row: Sequence[str], names: Mapping[int, str], sides: tuple[int, int], where: str) -> PixelObject:
    number, *words = row
    if not (number.isascii() and number.isdigit()):
        raise SourceError(where, f"{shown(number)} is no class number; {SHAPE}")
    desc = names.get(int(number)) if len(number) < len(str(1 << 63)) else None
    if desc is None:
        raise SourceError(where, f"the class {number[:20]} has no name; there are {len(names)} classes")
    shares = [_share(word, where) for word in words]
    pixels = [share * sides[i % 2] for i, share in enumerate(shares)]
    if len(pixels) == _BOX:
        x, y, width, height = pixels
        if width < 0 or height < 0:
            raise SourceError(where, f"the size {words[2]} x {words[3]} is below 0; {SHAPE}")
        return PixelObject(desc, (x - width / 2, y - height / 2, x + width / 2, y + height / 2), where)
    if len(pixels) < record_contract().poly_min or len(pixels) % 2:
        raise SourceError(where, f"has {len(pixels)} numbers behind the class{_hint(len(pixels))}; {SHAPE}")
    return PixelObject(desc, enclosing_box(pixels), where, (tuple(pixels),))


def _hint(count: int) -> str:
    return ", the fifth of which may be a confidence: predictions are no annotations" if count == _BOX + 1 else ""


def _share(word: str, where: str) -> float:
    if not _NUMBER.fullmatch(word):
        raise SourceError(where, f"{shown(word)} is no number; {SHAPE}")
    share = float(word)
    if not -_SLACK <= share <= 1 + _SLACK:
        reason = f"{word[:20]} is no share of a width or height, which is from 0 to 1; pixels are not read"
        raise SourceError(where, reason)
    return share


YOLO: Final = Converter("yolo", "folder of images and text files", read_yolo, OUTLINE_OPTIONS | {"classes"})
