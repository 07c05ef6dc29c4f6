"""AP and AR: equal to pycocotools, on drawn scenes and on real annotations with moved boxes."""

from __future__ import annotations

import contextlib
import io
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from coordspec.boxes import corners_from_xywh, enclosing_box, polygon_area
from coordspec.coords import bin_from_pixel, pixel_from_bin
from coordspec.evaluate.categories import Categories
from coordspec.evaluate.coco import AveragePrecision, average_precision, score_fault
from coordspec.evaluate.scenes import Geometry, make_scenes
from coordspec.predictions.record import PredictedObject
from coordspec.record import DetObject, Record
from evaluate_scenes import cat, random_scene, record

COCO_TINY = Path(__file__).resolve().parents[1].parent / "shared/data/coco_tiny/instances_val2017.json"
NAMES = ("ap", "ap_50", "ap_75", "ap_small", "ap_medium", "ap_large")
NAMES += ("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large")


def ours(records: Sequence[Record], found: Sequence[Sequence[PredictedObject]], geometry: Geometry) -> AveragePrecision:
    scenes = make_scenes(records, found, Categories())
    made = average_precision(scenes, [item.score for objects in found for item in objects], geometry)
    assert isinstance(made, AveragePrecision)
    return made


def theirs(records: Sequence[Record], found: Sequence[Sequence[PredictedObject]], geometry: Geometry) -> list[float]:
    """The twelve numbers of pycocotools, from documents written without any of our code but the codec."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    names = sorted({item.desc for r in records for item in r.objects} | {item.desc for o in found for item in o})
    images = [{"id": i, "width": r.width, "height": r.height} for i, r in enumerate(records, 1)]
    used = {item.desc for r in records for item in r.objects}
    categories = [{"id": names.index(name) + 1, "name": name} for name in names if name in used]
    annotations = []
    results = []
    for i, (r, objects) in enumerate(zip(records, found, strict=True), 1):
        annotations += [
            {**plain(item, r), "image_id": i, "category_id": names.index(item.desc) + 1} for item in r.objects
        ]
        for item in objects:
            value = plain(item, r)
            kept = {"segmentation": value["segmentation"]} if geometry is Geometry.POLYGONS else {"bbox": value["bbox"]}
            results.append({**kept, "image_id": i, "category_id": names.index(item.desc) + 1, "score": item.score})
    if geometry is Geometry.POLYGONS:
        for annotation in annotations:
            annotation["area"] = polygon_area(annotation["segmentation"][0])
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = {
            "images": images,
            "categories": categories,
            "annotations": [{**a, "id": n, "iscrowd": 0} for n, a in enumerate(annotations, 1)],
        }
        gt.createIndex()
        dt = gt.loadRes(rasterised(results, images) if geometry is Geometry.POLYGONS else results)
        evaluator = COCOeval(gt, dt, "bbox" if geometry is Geometry.BOXES else "segm")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [float(number) for number in evaluator.stats]


def rasterised(results: list[dict[str, Any]], images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from pycocotools import mask

    sizes = {image["id"]: (image["height"], image["width"]) for image in images}
    return [{**r, "segmentation": mask.frPyObjects(r["segmentation"], *sizes[r["image_id"]])[0]} for r in results]


def plain(item: Any, of: Record) -> dict[str, Any]:
    bins = item.bbox_2d or enclosing_box(item.poly)
    x1, y1, x2, y2 = (pixel_from_bin(k, s) for k, s in zip(bins, (of.width, of.height) * 2, strict=True))
    outline = item.poly or (bins[0], bins[1], bins[2], bins[1], bins[2], bins[3], bins[0], bins[3])
    points = [pixel_from_bin(k, (of.width, of.height)[i % 2]) for i, k in enumerate(outline)]
    return {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "segmentation": [points]}


def assert_equal(made: AveragePrecision, wanted: list[float]) -> None:
    numbers = {name: getattr(made, name) for name in NAMES}
    expected = {
        name: None if number == -1 else pytest.approx(number, abs=1e-6)
        for name, number in zip(NAMES, wanted, strict=True)
    }
    assert numbers == expected


@pytest.mark.parametrize("seed", range(5))
def test_boxes_equal_pycocotools(seed: int) -> None:
    rng = random.Random(seed)
    made = [random_scene(rng, f"{i}.png", 12) for i in range(30)]
    records, found = [r for r, _ in made], [p.objects for _, p in made]
    assert_equal(ours(records, found, Geometry.BOXES), theirs(records, found, Geometry.BOXES))


@pytest.mark.parametrize("seed", range(3))
def test_polygons_equal_pycocotools(seed: int) -> None:
    rng = random.Random(seed)
    records, found = [], []
    for i in range(12):
        size = rng.choice([(640, 480), (333, 500), (64, 64)])
        truth = [DetObject(rng.choice("ab"), poly=outline(rng)) for _ in range(4)]
        truth.append(DetObject("a", (100, 100, 500, 500)))
        guesses = [
            PredictedObject(t.desc, poly=tuple(min(999, k + rng.randrange(40)) for k in t.poly), score=rng.random())
            for t in truth
            if t.poly
        ]
        guesses.append(PredictedObject("a", (110, 100, 500, 480), score=rng.random()))
        records.append(record(*truth, name=f"{i}.png", size=size))
        found.append(guesses)
    assert_equal(ours(records, found, Geometry.POLYGONS), theirs(records, found, Geometry.POLYGONS))


def outline(rng: random.Random) -> tuple[int, ...]:
    x, y, size = rng.randrange(600), rng.randrange(600), rng.choice((30, 150, 390))
    return x, y, x + size, y, x + size, y + size // 2, x + size // 2, y + size, x, y + size


def test_many_categories_in_few_images_each() -> None:
    """Categories with 1 to 64 images go into groups of their own; the numbers are those of all at once."""
    rng = random.Random(7)
    records, found = [], []
    for i in range(64):
        descs = [f"c{k}" for k in range(7) if i % 2**k == 0] + [f"own {i}"]
        boxes = [(x, y, x + 90, y + 120) for x, y in ((rng.randrange(800), rng.randrange(800)) for _ in descs)]
        records.append(record(*[DetObject(d, b) for d, b in zip(descs, boxes, strict=True)], name=f"{i}.png"))
        shift = rng.randrange(40)
        found.append(
            [
                cat(b[0] + shift, *b[1:], desc=d, score=rng.random())
                for d, b in zip(descs, boxes, strict=True)
                if b[0] + shift <= b[2]
            ]
        )
    made = ours(records, found, Geometry.BOXES)
    assert len(made.by_category) == 71
    assert_equal(made, theirs(records, found, Geometry.BOXES))


def test_real_annotations_with_moved_boxes() -> None:
    if not COCO_TINY.is_file():
        pytest.skip("the COCO sample is not beside this repository")
    source = json.loads(COCO_TINY.read_text("utf-8"))
    names = {item["id"]: item["name"] for item in source["categories"]}
    by_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in source["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    rng = random.Random(3)
    records, found = [], []
    for image in source["images"]:
        size = image["width"], image["height"]
        truth = [
            DetObject(names[a["category_id"]], bins(corners_from_xywh(*a["bbox"]), size))
            for a in by_image.get(image["id"], [])
            if not a["iscrowd"]
        ]
        guesses = [cat(*moved(t.bbox_2d, rng), desc=t.desc, score=rng.random()) for t in truth if rng.random() < 0.9]
        guesses += [cat(*moved((100, 100, 300, 300), rng), desc=rng.choice(list(names.values())), score=rng.random())]
        records.append(Record((image["file_name"],), *size, tuple(truth)))
        found.append(guesses)
    made = ours(records, found, Geometry.BOXES)
    assert made.ap is not None
    assert 0.2 < made.ap < 0.9
    assert_equal(made, theirs(records, found, Geometry.BOXES))


def bins(corners: Sequence[float], size: tuple[int, int]) -> tuple[int, ...]:
    return tuple(bin_from_pixel(value, side) for value, side in zip(corners, size * 2, strict=True))


def moved(box: Sequence[int] | None, rng: random.Random) -> tuple[int, ...]:
    assert box is not None
    x1, y1, x2, y2 = (min(999, max(0, k + rng.randint(-12, 12))) for k in box)
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


@pytest.mark.parametrize("scores", [[], [0.5], [0.5, 0.6]])
def test_scores_that_rank(scores: list[float | None]) -> None:
    assert score_fault(scores) is None


def test_nothing_found() -> None:
    made = ours([record((0, 0, 900, 900))], [[]], Geometry.BOXES)
    assert (made.ap, made.ar_100, made.ap_small, made.ap_large) == (0.0, 0.0, None, 0.0)
    assert made.by_category == {"cat": 0.0}


def test_categories_without_ground_truth_change_nothing() -> None:
    truth = [record((0, 0, 100, 100)), record(name="b.png")]
    found = [[cat(0, 0, 100, 90, score=0.9)], []]
    more = [[*found[0], cat(0, 0, 100, 100, desc="dog", score=1.0)], [cat(5, 5, 9, 9, desc="ox", score=0.3)]]
    assert ours(truth, found, Geometry.BOXES) == ours(truth, more, Geometry.BOXES)


def test_only_the_hundred_best_predictions_of_a_category_count() -> None:
    truth = [record((0, 0, 100, 100))]
    noise = [cat(500, 500, 600 + i, 600, score=0.5 + i / 1000) for i in range(100)]
    assert ours(truth, [[*noise, cat(0, 0, 100, 100, score=0.1)]], Geometry.BOXES).ap == 0.0
    assert ours(truth, [[*noise[1:], cat(0, 0, 100, 100, score=0.1)]], Geometry.BOXES).ar_100 == 1.0


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(ModuleNotFoundError, match="faster_coco_eval"):
        ours([record((0, 0, 100, 100))], [[]], Geometry.BOXES)
