"""A COCO file as three sequences of typed items, decoded one at a time from mapped memory."""

from __future__ import annotations

import io
import mmap
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec

from coordspec.checks.finding import shown
from coordspec.contracts import rule
from coordspec.convert.pixels import SourceError
from coordspec.errors import InputError
from coordspec.jsonl.parse import parse_line
from coordspec.jsonl.read import open_bytes

SHAPE: Final = "a COCO instances file is one object with the lists images, annotations and categories"
_SHOWN_BYTES: Final = 20
_ZIP: Final = b"PK\x03\x04"


class Image(msgspec.Struct, gc=False, frozen=True):
    """The fields of a COCO image that a record needs; sizes in pixels."""

    id: int
    width: int
    height: int
    file_name: str | None = None
    coco_url: str | None = None


class Category(msgspec.Struct, gc=False, frozen=True):
    """The fields of a COCO category that a record needs."""

    id: int
    name: str


class Annotation(msgspec.Struct, gc=False, frozen=True):
    """The fields of a COCO annotation that an object needs.

    ``bbox`` should be x, y, width, height in pixels. ``segmentation`` stays undecoded: a list of flat polygons, a mask
    in run-length encoding, or nothing.
    """

    image_id: int
    category_id: int
    bbox: tuple[float, ...]
    id: int | None = None
    iscrowd: int = 0
    segmentation: msgspec.Raw = msgspec.Raw()


class _Named(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw()


class _Document(msgspec.Struct):
    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    categories: list[msgspec.Raw]


T = TypeVar("T", Image, Category, Annotation)


class Items(Generic[T]):
    """One list of the file. Items stay bytes of the file until they are asked for."""

    def __init__(self, path: str, name: str, raws: list[msgspec.Raw], kind: type[T]) -> None:
        self._path, self._name, self._raws = path, name, raws
        self._decode: Callable[[msgspec.Raw], T] = msgspec.json.Decoder(kind).decode

    def __len__(self) -> int:
        return len(self._raws)

    def __iter__(self) -> Iterator[T]:
        return map(self.item, range(len(self._raws)))

    def item(self, number: int) -> T:
        """The item of that number, from 0.

        Raises:
            SourceError: it lacks a field, or a field has the wrong type; the message names the place.
        """
        try:
            return self._decode(self._raws[number])
        except msgspec.ValidationError as error:
            raise SourceError(self.where(number), plain_reason(error)) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # UTF-8: the first since 0.23
            raise SourceError(self.where(number), self._text_fault(number)) from error

    def _text_fault(self, number: int) -> str:
        """What the strict reader of contract lines says about an item whose text is no UTF-8, or nested too deep."""
        data = bytes(self._raws[number])
        finding = parse_line(data, len(data), len(data)).faults[0].finding
        broken = rule(finding.rule)
        return f"{broken.message.format_map(finding.values)} ({broken.code})"

    def where(self, number: int, known: int | None = None) -> str:
        """``instances.json: annotations[123] (id 508910)``; the id as far as it can be read."""
        named = self._id(number) if known is None else str(known)
        return f"{self._path}: {self._name}[{number}]{f' (id {named})' if named else ''}"

    def _id(self, number: int) -> str:
        try:
            named = msgspec.json.decode(self._raws[number], type=_Named).id
        except (msgspec.ValidationError, RecursionError):
            return ""
        text = bytes(named).decode("utf-8", "replace")
        return text if re.fullmatch(r'-?[0-9.]{1,20}|"[^"\\]{1,40}"', text) else ""


def plain_reason(error: msgspec.ValidationError) -> str:
    """The message without msgspec's marks: ``bbox[2]: expected float, got null``; ``bbox is missing``."""
    what, _, path = str(error).partition(" - at `$")
    path = path.strip(".`")
    missing = re.fullmatch(r"Object missing required field `(.*)`", what)
    if missing:
        return f"{path}.{missing[1]} is missing" if path else f"{missing[1]} is missing"
    text = what.replace("`", "").replace(" | null", "")
    text = text[:1].lower() + text[1:]
    return f"{path}: {text}" if path else text


@dataclass(frozen=True, slots=True)
class CocoFile:
    """A COCO or LVIS instances file."""

    images: Items[Image]
    annotations: Items[Annotation]
    categories: Items[Category]

    @classmethod
    def open(cls, path: str) -> CocoFile:
        """
        Raises:
            InputError: the file cannot be read, or is no JSON.
            SourceError: it is JSON of another shape.
        """
        document = _document(path)
        return cls(
            Items(path, "images", document.images, Image),
            Items(path, "annotations", document.annotations, Annotation),
            Items(path, "categories", document.categories, Category),
        )


def _document(path: str) -> _Document:
    data = file_bytes(path)
    if not len(data):
        raise InputError(path, f"is empty; {SHAPE}")
    if data[: len(_ZIP)] == _ZIP:
        raise InputError(path, "is a ZIP archive; unpack it, and name the JSON file in it")
    try:
        return msgspec.json.decode(data, type=_Document)
    except RecursionError as error:
        raise InputError(path, f"is nested too deep to be read; {SHAPE}") from error
    except msgspec.ValidationError as error:
        raise SourceError(path, f"{plain_reason(error)}; {SHAPE}") from error
    except msgspec.DecodeError as error:
        raise InputError(path, f"is not valid JSON: {json_fault(data, error)}") from error


def json_fault(data: bytes | mmap.mmap, error: Exception) -> str:
    """The reason of a decoder, with the text at the byte that it names: ``invalid character (byte 31), at "NaN]}"``."""
    reason = str(error).removeprefix("JSON is malformed: ")
    reason = reason[:1].lower() + reason[1:]
    found = re.search(r"\(byte ([0-9]+)\)", reason)
    if found is None:
        return reason
    start = int(found[1])
    return f"{reason}, at {shown(data[start : start + _SHOWN_BYTES].decode('utf-8', 'backslashreplace'))}"


def file_bytes(path: str) -> bytes | mmap.mmap:
    """The whole file; a plain one is mapped, so that the system can take the memory back.

    What comes from a pipe, from standard input (``-``) or compressed (.gz, .zst) has to be held in memory.

    Raises:
        InputError: the file cannot be read.
    """
    with open_bytes(path) as stream:
        if isinstance(stream, io.FileIO) and os.fstat(stream.fileno()).st_size:  # a pipe has the size 0
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        return stream.read()
