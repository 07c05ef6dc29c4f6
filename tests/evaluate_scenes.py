"""What the tests of evaluation share: scenes by hand, random scenes, and a naive reference for F1."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

from coordspec.predictions.record import PredictedObject, Prediction
from coordspec.record import DetObject, Record

SIZE = (640, 480)
Box = tuple[int, int, int, int]


def record(*objects: DetObject | Sequence[int], name: str = "a.png", size: tuple[int, int] = SIZE) -> Record:
    """A record of objects; a bare box is a ``cat``."""
    made = [item if isinstance(item, DetObject) else DetObject("cat", tuple(item)) for item in objects]
    return Record((name,), *size, tuple(made))


def cat(*box: int, score: float | None = None, desc: str = "cat", **more: Any) -> PredictedObject:
    return PredictedObject(desc, box, score=score, **more)


def prediction(of: Record, *objects: PredictedObject | Sequence[int], index: int = 0, **fields: Any) -> Prediction:
    """The prediction for a record; a bare box is a ``cat`` without score."""
    made = [item if isinstance(item, PredictedObject) else cat(*item) for item in objects]
    return Prediction(index, of.images, of.width, of.height, tuple(made), **fields)


def random_scene(rng: random.Random, name: str, most: int = 6) -> tuple[Record, Prediction]:
    """A crowded scene of few places, so that boxes repeat, touch and overlap in many ways."""
    truth = [DetObject(rng.choice("ab"), _box(rng)) for _ in range(rng.randrange(most))]
    found: list[PredictedObject] = []
    for item in truth:
        for _ in range(rng.choice((0, 1, 1, 2))):
            desc = rng.choice((item.desc, item.desc, rng.choice("abc")))
            found.append(PredictedObject(desc, _shifted(item.bbox_2d or (), rng), score=rng.random()))
    found += [PredictedObject(rng.choice("abc"), _box(rng), score=rng.random()) for _ in range(rng.randrange(3))]
    rng.shuffle(found)
    made = Record((name,), *SIZE, tuple(truth))
    return made, prediction(made, *found[:most])


def _box(rng: random.Random) -> Box:
    x, y = rng.randrange(0, 600, 50), rng.randrange(0, 600, 50)
    return x, y, x + rng.choice((0, 20, 60, 100, 300)), y + rng.choice((20, 60, 100, 300))


def _shifted(box: Sequence[int], rng: random.Random) -> Box:
    shift = rng.choice((0, 0, 2, 5, 20))
    x1, y1, x2, y2 = (min(999, max(0, k + rng.randint(-shift, shift))) for k in box)
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def naive_iou(a: Sequence[int], b: Sequence[int]) -> float:
    if tuple(a) == tuple(b):
        return 1.0
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union else 0.0


def naive_matches(truth: Sequence[Any], found: Sequence[Any], threshold: float, aware: bool) -> tuple[int, float]:
    """The most pairs of a one-to-one matching, and of such matchings the largest sum of IoUs: all are tried."""
    best = (0, 0.0)
    short, long = sorted((truth, found), key=len)
    for chosen in itertools.permutations(range(len(long)), len(short)):
        pairs = [(short[i], long[j]) for i, j in enumerate(chosen)]
        ious = [naive_iou(a.bbox_2d, b.bbox_2d) for a, b in pairs if not aware or a.desc == b.desc]
        kept = [iou for iou in ious if iou >= threshold]
        best = max(best, (len(kept), sum(kept)))
    return best
