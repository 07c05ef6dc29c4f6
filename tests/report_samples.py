"""What the tests of reports share: small data files, predictions and runs in the working directory, and their pages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from coordspec.predictions.record import PredictedObject, Prediction
from coordspec.record import CoordForm, DetObject, Record
from evaluate_scenes import prediction

SIZE = (64, 48)
CAT_BOX, DOG_BOX, FAR_BOX = (100, 100, 400, 400), (500, 500, 900, 900), (0, 0, 50, 50)
CAT, DOG = DetObject("cat", CAT_BOX), DetObject("dog", DOG_BOX)
EVIL = "<script>document.title='pwned'</script><!--\"'&lt;\u2028\u202e"
"""What a page must show as text; a data file and a path may hold all of it."""
EVIL_SHOWN = EVIL.replace("\u2028", "\\u2028").replace("\u202e", "\\u202e")


def record(*objects: DetObject, name: str = "a.png", size: tuple[int, int] = SIZE) -> Record:
    return Record((name,), *size, objects)


def found(item: DetObject, **fields: Any) -> PredictedObject:
    """The object as it would be predicted exactly."""
    return PredictedObject(item.desc, item.bbox_2d, item.poly, **fields)


def write_records(*records: Record, name: str = "data.jsonl") -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("".join(item.line(CoordForm.INT) + "\n" for item in records), "utf-8")


def write_predictions(*predictions: Prediction, name: str = "preds.jsonl") -> None:
    Path(name).write_text("".join(item.line() + "\n" for item in predictions), "utf-8")


def write_images(*records: Record, root: str = ".") -> None:
    """An image of its own colour for each record."""
    for number, item in enumerate(records):
        file = Path(root) / item.images[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (item.width, item.height), (40 * number % 256, 90, 140)).save(file)


def write_scenes(*scenes: tuple[Record, Sequence[PredictedObject] | None], **fields: Any) -> None:
    """``data.jsonl``, ``preds.jsonl`` and images; objects that are None are a record without a prediction."""
    records = [item for item, _ in scenes]
    write_records(*records)
    write_images(*records)
    made = [prediction(item, *guess, index=i, **fields) for i, (item, guess) in enumerate(scenes) if guess is not None]
    write_predictions(*made)


def write_run(
    lines: Sequence[Mapping[str, Any]], config: Mapping[str, Any] | None = None, step: int = 20, folder: str = "run"
) -> None:
    """A run folder with a checkpoint."""
    checkpoint = Path(folder) / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "run.json").write_text(json.dumps({"config": config or {}, "python": "3.11"}))
    (Path(folder) / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def data_of(page: Path | str) -> dict[str, Any]:
    """The data in a page, as a browser finds it: scripts end at the first closing tag."""
    text = page.read_text("utf-8") if isinstance(page, Path) else page
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    value: dict[str, Any] = json.loads(found[1])
    return value


def facts(value: Mapping[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in value["facts"]}


def charts(value: Mapping[str, Any]) -> dict[str, Any]:
    """The charts by title; none may stand twice."""
    listed = [chart for group in value["charts"] for chart in group["charts"]]
    made = {chart["title"]: chart for chart in listed}
    assert len(made) == len(listed)
    return made


def table(value: Mapping[str, Any], title: str) -> list[list[Any]]:
    (rows,) = [item["rows"] for item in value["tables"] if item["title"] == title]
    made: list[list[Any]] = rows
    return made
