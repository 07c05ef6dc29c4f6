"""JSON Lines, or one JSON list, as entries that know their place."""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from typing import Final

import msgspec

from coordspec.contracts import rule
from coordspec.convert.coco_file import file_bytes, json_fault
from coordspec.convert.nodes import EntryNode
from coordspec.convert.pixels import SourceError
from coordspec.errors import InputError
from coordspec.jsonl.inputs import MAX_LINE_BYTES
from coordspec.jsonl.parse import WHITE_SPACE, parse_line

SHAPE: Final = "write one JSON object a line (JSON Lines), or one list of them"
_PICKLE: Final = b"\x80"
_PICKLE_SUFFIXES: Final = (".p", ".pkl", ".pickle")


def read_entries(path: str) -> Iterator[EntryNode]:
    """The entries of a file in its order; blank lines are passed over. Each is strict JSON, as in a contract file.

    Raises:
        SourceError: an entry is no strict JSON; the place is file and line, or the number in the list.
        InputError: the file cannot be read, or is a pickle.
    """
    data = file_bytes(path)
    if path.endswith(_PICKLE_SUFFIXES) or data[:1] == _PICKLE:
        raise InputError(path, "is a pickle, which runs what is in it when it is read; name the same as JSON")
    if _starts_a_list(data):
        yield from _listed(path, data)
        return
    stream = data if isinstance(data, mmap.mmap) else io.BytesIO(data)
    for number, line in enumerate(iter(stream.readline, b""), 1):
        if line.strip(WHITE_SPACE):
            yield parsed(line.removesuffix(b"\n"), f"{path}:{number}")


def parsed(text: bytes, where: str) -> EntryNode:
    """Strict JSON as a node.

    Raises:
        SourceError: it is none; ``where`` is its place.
    """
    result = parse_line(text, len(text), MAX_LINE_BYTES)
    for fault in result.faults:
        broken = rule(fault.finding.rule)
        raise SourceError(where, f"{broken.message.format_map(fault.finding.values)} ({broken.code})")
    return EntryNode(result.value, where)


def _starts_a_list(data: bytes | mmap.mmap) -> bool:
    start = 0
    while data[start : start + 1] and data[start : start + 1] in WHITE_SPACE:
        start += 1
    return data[start : start + 1] == b"["


def _listed(path: str, data: bytes | mmap.mmap) -> Iterator[EntryNode]:
    try:
        items = msgspec.json.decode(data, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(path, f"is not valid JSON: {json_fault(data, error)}; {SHAPE}") from error
    for number, item in enumerate(items):
        yield parsed(bytes(item), f"{path}: [{number}]")


def one_image(entry: EntryNode) -> EntryNode | None:
    """The path of the one image of an entry: ``image``, or the one item of ``images``. None if there are several.

    Raises:
        SourceError: there is no image, or its path is no string.
    """
    name = entry.one_of(("image", "images"), "name the one image of the entry")
    node = entry.get(name)
    listed = node.items() if isinstance(node.value, list) else [node]
    if not listed:
        raise node.fault("is empty; name the one image of the entry")
    if len(listed) > 1:
        return None
    path = listed[0].get("path") if isinstance(listed[0].value, dict) else listed[0]
    path.text()
    return path
