"""A copy of a data file with ten faults that real files have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _swap_corners(record: dict[str, Any]) -> None:
    box = record["objects"][0]["bbox_2d"]
    box[:] = box[2:] + box[:2]


def _legacy_key(record: dict[str, Any]) -> None:
    item = record["objects"][0]
    item["bbox"] = item.pop("bbox_2d")


def _out_of_range(record: dict[str, Any]) -> None:
    record["objects"][0]["bbox_2d"][2] = 1280


def _no_geometry(record: dict[str, Any]) -> None:
    del record["objects"][0]["bbox_2d"]


def _special_token(record: dict[str, Any]) -> None:
    record["objects"][0]["desc"] += "<|im_end|>"


def _wrong_size(record: dict[str, Any]) -> None:
    record["width"] += 1


def _missing_image(record: dict[str, Any]) -> None:
    record["images"] = ["images/val/nowhere.png"]


BREAKS: tuple[Callable[[dict[str, Any]], None], ...] = (
    _swap_corners,
    _legacy_key,
    _out_of_range,
    _no_geometry,
    _special_token,
    _wrong_size,
    _missing_image,
)


def break_copy(source: Path, target: Path) -> int:
    """Write a copy in which the first records with objects have one fault each; returns how many lines changed."""
    left = list(BREAKS)
    lines: list[str] = []
    for line in source.read_text("utf-8").splitlines():
        record = json.loads(line)
        if left and record["objects"]:
            left.pop(0)(record)
        lines.append(json.dumps(record, ensure_ascii=False))
    lines.insert(10, lines[9].replace('"width": ', '"width": 1, "width": '))
    lines.insert(20, lines[19][: len(lines[19]) // 2])
    lines.insert(30, "")
    target.write_text("\n".join(lines) + "\n", "utf-8")
    return len(BREAKS) - len(left) + 3
