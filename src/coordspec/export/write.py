"""Writing JSON documents item by item."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from coordspec.jsonl.output import ByteSink


def write_list(stream: ByteSink, items: Iterable[Any]) -> None:
    """A JSON list, one item a line."""
    start = "["
    for item in items:
        stream.write(f"{start}\n{_dumped(item)}".encode())
        start = ","
    stream.write(b"[]\n" if start == "[" else b"\n]\n")


def write_lists(stream: ByteSink, document: Mapping[str, Iterable[Any]]) -> None:
    """A JSON object of lists."""
    start = "{"
    for name, items in document.items():
        stream.write(f"{start}{_dumped(name)}: ".encode())
        write_list(stream, items)
        start = ","
    stream.write(b"}\n")


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
