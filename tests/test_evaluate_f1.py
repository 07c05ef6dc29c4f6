"""F1 without scores: against a reference that tries every matching, and properties that hold for any scenes."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coordspec.boxes import IOU_THRESHOLDS
from coordspec.errors import InputError
from coordspec.evaluate.assign import assign
from coordspec.evaluate.categories import Categories
from coordspec.evaluate.f1 import match, score_free
from coordspec.evaluate.overlaps import Pairs, overlaps, repeats, same_category
from coordspec.evaluate.scenes import MAX_SIDE, Geometry, make_scenes
from coordspec.predictions.record import PredictedObject
from coordspec.record import DetObject, Record
from evaluate_scenes import cat, naive_matches, prediction, random_scene, record


def compare_with_the_reference(count: int, most: int, seed: int) -> None:
    rng = random.Random(seed)
    made = [random_scene(rng, f"{i}.png", most) for i in range(count)]
    records, objects = [r for r, _ in made], [p.objects for _, p in made]
    for aware in (True, False):
        table = score_free(records, objects, class_aware=aware)
        scenes = make_scenes(records, objects, Categories())
        pairs = overlaps(scenes, Geometry.BOXES, IOU_THRESHOLDS[0])
        matches = match(same_category(scenes, pairs) if aware else pairs, IOU_THRESHOLDS)
        for t, threshold in enumerate(IOU_THRESHOLDS):
            wanted = [
                naive_matches(r.objects, found, threshold, aware) for r, found in zip(records, objects, strict=True)
            ]
            assert table.matched_gt[t] == table.matched_predictions[t] == sum(n for n, _ in wanted)
            assert matches.at[t].iou_P.sum() == pytest.approx(sum(total for _, total in wanted), abs=1e-9)
    assert table.gt == sum(len(r.objects) for r in records)
    assert table.predictions == sum(map(len, objects))


def test_random_scenes_against_every_matching() -> None:
    compare_with_the_reference(500, 5, seed=1)


@pytest.mark.nightly
def test_many_random_scenes_against_every_matching() -> None:
    compare_with_the_reference(10_000, 5, seed=2)


@pytest.mark.parametrize("threshold", IOU_THRESHOLDS)
def test_an_iou_on_a_threshold_reaches_it(threshold: float) -> None:
    percent = round(threshold * 100)
    table = score_free([record((0, 0, 100, 100))], [[cat(0, 0, 100, percent)]], [threshold])
    assert table.matched_gt == (1,)
    assert score_free([record((0, 0, 100, 100))], [[cat(0, 0, 100, percent - 1)]], [threshold]).matched_gt == (0,)


@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_order_and_threshold(seed: int, rng: random.Random) -> None:
    """Shuffling changes no count; a higher threshold never finds more; swapping the sides swaps the counts."""
    made = [random_scene(random.Random(seed + i), f"{i}.png") for i in range(3)]
    records, objects = [r for r, _ in made], [list(p.objects) for _, p in made]
    table = score_free(records, objects)
    assert list(table.matched_gt) == sorted(table.matched_gt, reverse=True)
    mixed = [Record(r.images, r.width, r.height, tuple(rng.sample(r.objects, len(r.objects)))) for r in records]
    order = rng.sample(range(3), 3)
    shuffled = [rng.sample(objects[i], len(objects[i])) for i in order]
    assert score_free([mixed[i] for i in order], shuffled) == table
    swapped = score_free(
        [Record(r.images, r.width, r.height, tuple(map(bare, o))) for r, o in zip(records, objects, strict=True)],
        [r.objects for r in records],
    )
    assert (swapped.matched_gt, swapped.gt, swapped.predictions) == (table.matched_gt, table.predictions, table.gt)


def bare(item: PredictedObject) -> DetObject:
    return DetObject(item.desc, item.bbox_2d, item.poly)


def test_many_copies_and_long_chains() -> None:
    """Components of the overlap graph that are stars, chains and blocks."""
    star = score_free([record((0, 0, 100, 100))], [[cat(0, 0, 100, 100 - i) for i in range(30)]])
    assert (star.matched_gt[0], star.matched_predictions[-1], star.predictions) == (1, 1, 30)
    chain = record(*[(20 * i, 0, 20 * i + 100, 100) for i in range(20)])
    moved = [cat(20 * i + 10, 0, 20 * i + 110, 100) for i in range(20)]
    assert score_free([chain], [moved], [0.7]).matched_gt == (20,)


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(50, 100)), max_size=14, unique_by=lambda e: e[:2]
    )
)
@example([(0, 0, 60), (1, 0, 100), (1, 1, 60), (2, 1, 100), (2, 2, 60)])  # three pairs, though two weigh more
@settings(max_examples=200)
def test_assign_is_a_matching_and_the_best_one(edges: list[tuple[int, int, int]]) -> None:
    pairs = Pairs(
        *(np.array([e[i] for e in edges], dtype=np.intp) for i in (0, 1)), np.array([e[2] / 100 for e in edges])
    )
    chosen = assign(pairs, 0.6)
    assert len(set(pairs.gt_P[chosen].tolist())) == len(set(pairs.predicted_P[chosen].tolist())) == len(chosen)
    assert (pairs.iou_P[chosen] >= 0.6).all()
    assert chosen.tolist() == sorted(chosen.tolist())
    weights = {(a, b): iou / 100 for a, b, iou in edges if iou >= 60}
    assert (len(chosen), pytest.approx(pairs.iou_P[chosen].sum())) == brute_force(sorted(weights), weights)


def brute_force(edges: list[tuple[int, int]], weights: dict[tuple[int, int], float]) -> tuple[int, float]:
    """Take the first edge or leave it, and so on."""
    if not edges:
        return 0, 0.0
    (a, b), rest = edges[0], edges[1:]
    count, total = brute_force([e for e in rest if e[0] != a and e[1] != b], weights)
    return max((count + 1, total + weights[a, b]), brute_force(rest, weights))


def test_polygons_are_compared_as_polygons() -> None:
    square = DetObject("cat", poly=(0, 0, 100, 0, 100, 100, 0, 100))
    triangle = PredictedObject("cat", poly=(0, 0, 100, 0, 100, 100))
    assert score_free([record(square)], [[triangle]], [0.5, 0.55]).matched_gt == (1, 1)
    as_polygons = score_free([record(square)], [[triangle]], [0.5, 0.55], geometry=Geometry.POLYGONS)
    assert as_polygons.matched_gt == (1, 0)
    boxed = score_free([record(square)], [[cat(0, 0, 100, 100)]], [1.0], geometry=Geometry.POLYGONS)
    assert boxed.matched_gt == (1,)


def test_categories_come_from_a_table() -> None:
    truth = [record((0, 0, 9, 9))]
    found = [[cat(0, 0, 9, 9, desc="Kitty")]]
    assert score_free(truth, found).matched_gt[0] == 0
    assert score_free(truth, found, categories=Categories({"kitty": "cat"})).matched_gt[0] == 1


def test_nothing() -> None:
    table = score_free([], [])
    assert (table.gt, table.predictions, table.f1_mean, table.f1(0.5), table.precision(0.5)) == (
        0,
        0,
        None,
        None,
        None,
    )
    assert table.matched_gt == (0,) * 10


@pytest.mark.parametrize("thresholds", [[], [0.0], [0.5, 1.01], [-1.0]])
def test_thresholds_that_mean_nothing(thresholds: list[float]) -> None:
    with pytest.raises(ValueError, match="IoU thresholds are above 0 and at most 1"):
        score_free([], [], thresholds)


def test_bad_calls() -> None:
    with pytest.raises(ValueError, match="1 records and the predictions of 0"):
        score_free([record()], [])
    with pytest.raises(ValueError, match="the object 'cat' has no geometry"):
        score_free([record(DetObject("cat"))], [[]])
    for size in ((MAX_SIDE + 1, 1), (1, 10**400)):
        with pytest.raises(
            InputError, match=r"a.png: the image is too large to evaluate: no side may have more than 65535"
        ):
            score_free([record(size=size)], [[]])


def test_repeats_are_pairs_of_one_image_and_category() -> None:
    box = (0, 0, 100, 100)
    records = [record(), record(name="b.png")]
    found = [[cat(*box), cat(*box, desc="dog"), cat(*box), cat(*box)], [cat(*box)]]
    scenes = make_scenes(records, found, Categories())
    pairs = repeats(scenes.predicted, Geometry.BOXES, 0.9)
    assert list(zip(pairs.gt_P.tolist(), pairs.predicted_P.tolist(), strict=True)) == [(0, 2), (0, 3), (2, 3)]


def test_a_prediction_file_and_plain_objects_give_the_same() -> None:
    made = record((0, 0, 9, 9))
    assert score_free([made], [prediction(made, (0, 0, 9, 9)).objects]) == score_free([made], [made.objects])
