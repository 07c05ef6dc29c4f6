"""What the tests of ``coordspec mask`` share: a small data set with rollouts of every kind, in a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from coordspec.record import CoordForm, DetObject, Record
from coordspec.rollout.tokens import TokenTable
from coordspec.target import build_target, target_to_json
from qwen_tokenizer import ids_of, table, tiny

NAME = "tiny"
CAT = DetObject("black cat", bbox_2d=(100, 100, 400, 500))
DOG = DetObject("dog", bbox_2d=(600, 200, 900, 800))
BOWL = DetObject("碗", poly=(200, 700, 400, 700, 300, 900))
RECORD = Record(("images/a.png",), 64, 48, (CAT, DOG, BOWL))
END = "<|im_end|>"


def entry(number: int, item: DetObject, **other: Any) -> str:
    """An entry of a rollout; ``other`` are fields beside or in place of the object's."""
    fields = {**item.fields(CoordForm.TOKEN), **other}
    return f'"object_{number}": ' + json.dumps(fields, ensure_ascii=False)


def near(item: DetObject) -> DetObject:
    """About the same box."""
    x1, y1, x2, y2 = item.bbox_2d or ()
    return DetObject(item.desc, bbox_2d=(x1 + 8, y1, x2, y2 - 9))


WRONG = DetObject("pink <b>square</b>", bbox_2d=(500, 20, 640, 90))
ROLLOUT = "{" + ", ".join([entry(1, near(CAT)), entry(2, WRONG), entry(7, DOG, score=1)]) + "} and so on" + END
"""One match, one false positive, one dropped entry, and text behind the close; the dog and the bowl are missed."""


@cache
def tokenizer_text() -> str:
    return str(tiny().to_str())


def tokens() -> TokenTable:
    return table(NAME)


def write_images(folder: Path, *records: Record) -> None:
    """A picture for every record."""
    for number, record in enumerate(records):
        file = folder / record.images[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (record.width, record.height), (90 + number, 140, 160)).save(file)


def write_data(folder: Path, *records: Record, name: str = "data.jsonl") -> None:
    (folder / "tokenizer.json").write_text(tokenizer_text(), "utf-8")
    (folder / name).write_text("".join(record.line(CoordForm.INT) + "\n" for record in records), "utf-8")


def write_rollouts(folder: Path, *lines: Mapping[str, Any] | str, name: str = "rollouts.jsonl") -> None:
    """Lines of a rollout file; a plain string is the text of one."""
    values = [{"text": line} if isinstance(line, str) else line for line in lines]
    (folder / name).write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")


def write_set(folder: Path, rollouts: Sequence[str] = (ROLLOUT,), record: Record = RECORD) -> None:
    """As many records as rollouts, each with its image."""
    records = [
        Record((f"images/{number}.png",), record.width, record.height, record.objects)
        for number in range(len(rollouts))
    ]
    write_images(folder, *records)
    write_data(folder, *records)
    write_rollouts(folder, *rollouts)


def dump_line(sample: str = "train.jsonl:7", text: str = ROLLOUT, gt: Sequence[DetObject] = RECORD.objects) -> str:
    """A dumped target."""
    ids = ids_of(text, NAME)
    return target_to_json(sample, build_target(ids, gt, tokens()), gt, tokens(), ids)
