"""Draw the picture of docs/evaluation/REPORT.md from a real run of the command, the page in a real Chromium.

python tools/make_report_pictures.py
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import sync_playwright

from coordspec.contracts import rule
from coordspec.coords import MAX_BIN
from coordspec.evaluate.join import read_records
from coordspec.predictions.record import PredictedObject, Prediction
from coordspec.record import DetObject, Record
from coordspec_cli.main import run

TARGET: Final = Path(__file__).resolve().parent.parent / "docs" / "images" / "report-page.png"
WINDOW: Final = {"width": 1320, "height": 1420}
FLAGS: Final = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
MISSED, MISNAMED, OFF = 0.12, 0.1, 0.15
"""Shares of objects that the model passes over, calls by another name, or puts in the wrong place."""


def guess(item: DetObject, rng: random.Random) -> PredictedObject:
    """What a model might write for an object that it sees."""
    x1, y1, x2, y2 = item.bbox_2d or ()
    off = rng.random() < OFF
    shift = 130 if off else 14
    box = [min(MAX_BIN, max(0, k + rng.randint(-shift, shift))) for k in (x1, y1, x2, y2)]
    corners = min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3])
    desc = "red star" if rng.random() < MISNAMED else item.desc
    likely = 0.25 if off or desc != item.desc else 0.6
    return PredictedObject(desc, corners, score=round(min(1.0, likely + 0.4 * rng.random()), 3))


def predicted(index: int, record: Record, rng: random.Random) -> Prediction:
    objects = tuple(guess(item, rng) for item in record.objects if rng.random() >= MISSED)
    return Prediction(index, record.images, record.width, record.height, objects)


def prepare() -> None:
    """A data set and predictions in the working directory."""
    with contextlib.redirect_stdout(io.StringIO()):
        words = ["--train", "1", "--val", "60", "--width", "480", "--height", "360", "--max-shapes", "6", "--seed", "3"]
        run(["shapes", "-o", "shapes", *words])
    rng = random.Random(1)
    records = read_records("shapes/val.jsonl", rule("too-long").params["max_line_bytes"])
    lines = [predicted(index, record, rng).line() for index, record in enumerate(records)]
    Path("preds.jsonl").write_text("".join(line + "\n" for line in lines), "utf-8")


def picture(page: Path, target: Path) -> None:
    """The page as it opens."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        window = browser.new_page(viewport=WINDOW)
        window.goto(page.absolute().as_uri())
        window.wait_for_timeout(500)
        data = window.screenshot()
        browser.close()
    Image.open(io.BytesIO(data)).convert("RGB").quantize(128).save(target, optimize=True)


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as name:
        before = Path.cwd()
        os.chdir(name)
        try:
            prepare()
            run(["report", "preds.jsonl", "shapes/val.jsonl", "-o", "page.html"])
            picture(Path("page.html"), TARGET)
        finally:
            os.chdir(before)
    print(f"{TARGET}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
