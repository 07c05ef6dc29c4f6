"""How long a report takes to make, and its page to open, in headless Chromium.

    python benchmarks/bench_report.py [--images 1000] [--objects 10] [--thumbnail 384] [--rounds 5]

Drawn photographs: smooth colours with fine noise, 640 x 480 pixels, as JPEG of about 100 kB. Each has about ``objects``
boxes, and as many predictions whose corners moved by up to 30 bins, some of them with other words. A page counts as
open when two frames were drawn behind its load event; each round is a fresh browser.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from coordspec.predictions.record import PredictedObject, Prediction
from coordspec.record import CoordForm, DetObject, Record
from coordspec.report.options import DEFAULTS, ReportOptions
from coordspec.report.predictions import predictions_report

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from browser import DESKTOP, FLAGS, executable

WIDTH, HEIGHT, SHIFT = 640, 480, 30
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"


def write_files(folder: Path, images: int, objects: int) -> None:
    rng = np.random.default_rng(0)
    records, predictions = [], []
    for index in range(images):
        name = f"{index:06d}.jpg"
        smooth = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((WIDTH, HEIGHT), 3)
        noise = rng.integers(-12, 13, (HEIGHT, WIDTH, 1))
        Image.fromarray(np.clip(np.asarray(smooth) + noise, 0, 255).astype(np.uint8)).save(folder / name, quality=88)
        count = int(rng.poisson(objects))
        boxes = np.sort(rng.integers(0, 1000, (count, 2, 2)), axis=1).reshape(count, 4)
        moved = np.clip(boxes + rng.integers(-SHIFT, SHIFT + 1, boxes.shape), 0, 999)
        moved = np.sort(moved.reshape(count, 2, 2), axis=1).reshape(count, 4)
        descs = [f"category {c}" for c in rng.integers(80, size=count)]
        guessed = [desc if rng.random() < 0.8 else "category 0" for desc in descs]
        truth = tuple(DetObject(desc, tuple(box)) for desc, box in zip(descs, boxes.tolist(), strict=True))
        found = tuple(
            PredictedObject(desc, tuple(box), score=round(float(rng.random()), 4))
            for desc, box in zip(guessed, moved.tolist(), strict=True)
        )
        records.append(Record((name,), WIDTH, HEIGHT, truth))
        predictions.append(Prediction(index, (name,), WIDTH, HEIGHT, found, text="{}" * 500, tokens=1))
    (folder / "data.jsonl").write_text("".join(record.line(CoordForm.INT) + "\n" for record in records))
    (folder / "preds.jsonl").write_text("".join(item.line() + "\n" for item in predictions))


def opening(page: Page, file: Path) -> tuple[float, float]:
    """Seconds until the page is drawn, from the start of the navigation; seconds until a search is."""
    page.goto(file.as_uri())
    opened = page.evaluate(DRAWN) / 1000
    start = page.evaluate("performance.now()")
    page.locator("#search").fill("category 7")
    return opened, (page.evaluate(DRAWN) - start) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--objects", type=int, default=10)
    parser.add_argument("--thumbnail", type=int, default=DEFAULTS.side)
    parser.add_argument("--rounds", type=int, default=5)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, words.images, words.objects)
        sizes = [file.stat().st_size for file in folder.glob("*.jpg")]
        print(f"{words.images} images, {statistics.mean(sizes) / 1e3:.0f} kB each on average")
        start = time.perf_counter()
        options = ReportOptions(max_images=words.images, side=words.thumbnail)
        report = predictions_report(str(folder / "preds.jsonl"), str(folder / "data.jsonl"), options)
        file = folder / "page.html"
        file.write_bytes(report.html().encode())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"made in {time.perf_counter() - start:.1f} s, {file.stat().st_size / 1e6:.1f} MB, peak {peak:.0f} MiB")
        opened, searched = [], []
        with sync_playwright() as playwright:
            for _ in range(words.rounds):
                browser = playwright.chromium.launch(executable_path=executable(), args=list(FLAGS))
                page = browser.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
                seconds = opening(page, file)
                opened.append(seconds[0])
                searched.append(seconds[1])
                browser.close()
        print(f"opened in {statistics.median(opened):.2f} s (median), {max(opened):.2f} s (slowest)")
        print(f"searched in {statistics.median(searched):.2f} s (median), {max(searched):.2f} s (slowest)")


if __name__ == "__main__":
    main()
