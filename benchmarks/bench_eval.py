"""Time and memory of an evaluation, against faster-coco-eval as it comes, in one run.

    python benchmarks/bench_eval.py [--images 5000] [--objects 20] [--categories 80 1200] [--rounds 3]

Generated scenes: about ``objects`` boxes an image, as many predictions, each a ground-truth box whose corners moved by
up to 9 bins. CPU time of one process, medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from coordspec.contracts import rule
from coordspec.coords import pixel_from_bin
from coordspec.evaluate.categories import Categories
from coordspec.evaluate.coco import AveragePrecision, average_precision
from coordspec.evaluate.f1 import score_free
from coordspec.evaluate.join import join
from coordspec.evaluate.options import EvalOptions
from coordspec.evaluate.scenes import Geometry, make_scenes
from coordspec.evaluate.summary import evaluate
from coordspec.predictions.files import read_predictions
from coordspec.predictions.record import PredictedObject, Prediction
from coordspec.record import CoordForm, DetObject, Record, all_records

LIMIT = rule("too-long").params["max_line_bytes"]
WIDTH, HEIGHT, SHIFT = 640, 480, 9


def scenes(images: int, objects: int, categories: int, seed: int) -> tuple[list[Record], list[Prediction]]:
    rng = np.random.default_rng(seed)
    records, predictions = [], []
    for index in range(images):
        count = int(rng.poisson(objects))
        boxes = np.sort(rng.integers(0, 1000, (count, 2, 2)), axis=1).reshape(count, 4)
        moved = np.clip(boxes + rng.integers(-SHIFT, SHIFT + 1, boxes.shape), 0, 999)
        moved = np.sort(moved.reshape(count, 2, 2), axis=1).reshape(count, 4)
        descs = [f"category {c}" for c in rng.integers(categories, size=count)]
        name = (f"{index:06d}.jpg",)
        truth = [DetObject(desc, tuple(box)) for desc, box in zip(descs, boxes.tolist(), strict=True)]
        found = [
            PredictedObject(desc, tuple(box), score=round(float(rng.random()), 4))
            for desc, box in zip(descs, moved.tolist(), strict=True)
        ]
        records.append(Record(name, WIDTH, HEIGHT, tuple(truth)))
        predictions.append(Prediction(index, name, WIDTH, HEIGHT, tuple(found), text="{}", tokens=1))
    return records, predictions


def plain(records: Sequence[Record], predictions: Sequence[Prediction]) -> Callable[[], float]:
    """faster-coco-eval on the whole set at once, loading left out."""
    names = sorted({item.desc for record in records for item in record.objects})
    ids = {name: number for number, name in enumerate(names, 1)}

    def annotation(image: int, item: DetObject | PredictedObject) -> dict[str, Any]:
        x1, y1, x2, y2 = item.bbox_2d or ()
        x, y, right, bottom = (pixel_from_bin(k, s) for k, s in zip((x1, y1, x2, y2), (WIDTH, HEIGHT) * 2, strict=True))
        box = [x, y, right - x, bottom - y]
        return {"image_id": image, "category_id": ids[item.desc], "bbox": box, "area": box[2] * box[3], "iscrowd": 0}

    frame = {
        "images": [{"id": i, "width": WIDTH, "height": HEIGHT} for i in range(len(records))],
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }
    truth = [annotation(i, item) for i, record in enumerate(records) for item in record.objects]
    found = [
        {**annotation(i, item), "score": item.score}
        for i, prediction in enumerate(predictions)
        for item in prediction.objects
    ]
    sides = [
        COCO({**frame, "annotations": [{**item, "id": number} for number, item in enumerate(side, 1)]})
        for side in (truth, found)
    ]

    def run() -> float:
        evaluator = COCOeval_faster(*sides, "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        precision = evaluator.eval["precision"][:, :, :, 0, -1]
        return float(precision[precision > -1].mean())

    return run


def timed(run: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    times = []
    for _ in range(rounds):
        start = time.process_time()
        result = run()
        times.append(time.process_time() - start)
    return statistics.median(times), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--objects", type=int, default=20)
    parser.add_argument("--categories", type=int, nargs="+", default=[80, 1200])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for categories in options.categories:
        records, predictions = scenes(options.images, options.objects, categories, seed=0)
        results = bench(records, predictions, options.rounds)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        results = {"categories": categories, **results, "peak memory so far, MiB": round(memory)}
        print(json.dumps(results, indent=2))


def bench(records: Sequence[Record], predictions: Sequence[Prediction], rounds: int) -> dict[str, Any]:
    objects = [prediction.objects for prediction in predictions]
    ready = make_scenes(records, objects, Categories())
    scores = [item.score for found in objects for item in found]
    without_ap = EvalOptions(average_precision=False)
    with tempfile.TemporaryDirectory() as folder:
        data, preds = Path(folder, "data.jsonl"), Path(folder, "preds.jsonl")
        data.write_text("".join(record.line(CoordForm.INT) + "\n" for record in records))
        preds.write_text("".join(prediction.line() + "\n" for prediction in predictions))
        steps: dict[str, Callable[[], Any]] = {
            "reading and joining both files": lambda: join(
                all_records(str(data), LIMIT), read_predictions(str(preds), LIMIT).predictions
            ),
            "score-free F1": lambda: score_free(records, objects),
            "AP and AR": lambda: average_precision(ready, scores, Geometry.BOXES),
            "faster-coco-eval as it comes": plain(records, predictions),
            "everything but AP": lambda: evaluate(records, predictions, without_ap),
            "everything": lambda: evaluate(records, predictions),
        }
        done = {name: timed(run, rounds) for name, run in steps.items()}
    ours, peers = done["AP and AR"][1], done["faster-coco-eval as it comes"][1]
    assert isinstance(ours, AveragePrecision)
    assert ours.ap is not None
    assert abs(ours.ap - peers) < 1e-9, (ours.ap, peers)
    return {"predictions": len(scores), "CPU seconds": {name: round(seconds, 2) for name, (seconds, _) in done.items()}}


if __name__ == "__main__":
    main()
