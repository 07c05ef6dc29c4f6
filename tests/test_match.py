"""Costs and assignment, against slow and obvious references."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordspec.coords import BINS
from coordspec.match import match_objects, pairwise_iou
from coordspec.record import DetObject
from rollouts import thing

corner = st.integers(0, 12)


def box(x1: int, y1: int, x2: int, y2: int) -> DetObject:
    return DetObject("x", bbox_2d=(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))


boxes = st.lists(st.builds(box, corner, corner, corner, corner), max_size=5)
things = st.lists(st.builds(lambda seed: thing(random.Random(seed)), st.integers(0, 10**6)), max_size=4)


def cells(item: DetObject) -> set[tuple[int, int]]:
    x1, y1, x2, y2 = item.bbox_2d or (0, 0, 0, 0)
    return set(itertools.product(range(x1, x2), range(y1, y2)))


@given(boxes, boxes)
def test_boxes_against_counted_cells(predictions: list[DetObject], gt: list[DetObject]) -> None:
    iou = pairwise_iou(predictions, gt)
    assert iou.shape == (len(predictions), len(gt))
    for (p, one), (g, other) in itertools.product(enumerate(predictions), enumerate(gt)):
        both = cells(one) | cells(other)
        expected = len(cells(one) & cells(other)) / len(both) if both else float(one.bbox_2d == other.bbox_2d)
        assert iou[p, g] == expected


@given(boxes, boxes)
def test_a_box_as_polygon_has_the_same_iou(predictions: list[DetObject], gt: list[DetObject]) -> None:
    def outline(item: DetObject) -> DetObject:
        x1, y1, x2, y2 = item.bbox_2d or (0, 0, 0, 0)
        return DetObject("x", poly=(x1, y1, x2, y1, x2, y2, x1, y2))

    def with_area(items: list[DetObject]) -> list[DetObject]:
        return [item for item in items if cells(item)]

    predictions, gt = with_area(predictions), with_area(gt)
    as_boxes = pairwise_iou(predictions, gt)
    for one, other in ((predictions, [*map(outline, gt)]), ([*map(outline, predictions)], gt)):
        assert np.allclose(pairwise_iou(one, other), as_boxes, atol=1e-12)
    assert np.allclose(pairwise_iou([*map(outline, predictions)], [*map(outline, gt)]), as_boxes, atol=1e-12)


@given(things, things)
def test_iou_of_anything_is_a_share(predictions: list[DetObject], gt: list[DetObject]) -> None:
    iou = pairwise_iou(predictions, gt)
    assert ((iou >= 0) & (iou <= 1)).all()
    assert np.allclose(iou, pairwise_iou(gt, predictions).T, atol=1e-12)
    if predictions:
        assert (np.diag(pairwise_iou(predictions, predictions)) == 1).all()


SQUARE = DetObject("x", poly=(0, 0, 10, 0, 10, 10, 0, 10))


@pytest.mark.parametrize(
    ("what", "one", "other", "iou"),
    [
        ("half of a square", (0, 0, 10, 0, 0, 10), (0, 0, 10, 0, 10, 10, 0, 10), 0.5),
        ("two halves", (0, 0, 10, 0, 0, 10), (10, 10, 10, 0, 0, 10), 0.0),
        ("another start and direction", (0, 10, 10, 10, 10, 0, 0, 0), (0, 0, 10, 0, 10, 10, 0, 10), 1.0),
        ("a bow tie covers two triangles", (0, 0, 10, 10, 10, 0, 0, 10), (0, 0, 10, 0, 10, 10, 0, 10), 0.5),
        (
            "twice around the middle is outside, by the even-odd rule",
            (0, 0, 6, 0, 6, 6, 2, 6, 2, 2, 4, 2, 4, 8, 0, 8),
            (0, 0, 6, 0, 6, 6, 2, 6, 2, 2, 4, 2, 4, 8, 0, 8),
            1.0,
        ),
        ("no area", (1, 1, 5, 5, 9, 9), (0, 0, 10, 0, 10, 10, 0, 10), 0.0),
        ("no area on both sides", (1, 1, 5, 5, 9, 9), (1, 1, 9, 9, 5, 5), 0.0),
        ("no area, the same", (1, 1, 5, 5, 9, 9), (1, 1, 5, 5, 9, 9), 1.0),
        ("a point", (1, 1, 1, 1, 1, 1), (1, 1, 1, 1, 1, 1), 1.0),
        ("a spike without area", (0, 0, 10, 0, 10, 10, 0, 10, 0, 20, 0, 10), (0, 0, 10, 0, 10, 10, 0, 10), 1.0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_polygons(what: str, one: tuple[int, ...], other: tuple[int, ...], iou: float) -> None:
    found = pairwise_iou([DetObject("x", poly=one)], [DetObject("x", poly=other)])[0, 0]
    assert found == pytest.approx(iou, abs=1e-12)


def test_a_box_and_a_polygon() -> None:
    assert pairwise_iou([box(0, 0, 10, 10)], [SQUARE])[0, 0] == 1
    assert pairwise_iou([box(5, 0, 15, 10)], [SQUARE])[0, 0] == pytest.approx(1 / 3)


def brute_force(iou: np.ndarray) -> float:
    """The largest sum of IoU of any assignment."""
    rows, columns = iou.shape
    if rows > columns:
        return brute_force(iou.T)
    return max(sum(iou[row, column] for row, column in enumerate(choice)) for choice in
               itertools.permutations(range(columns), rows))  # fmt: skip


@given(boxes, boxes)
def test_the_assignment_is_the_best_one(predictions: list[DetObject], gt: list[DetObject]) -> None:
    match = match_objects(predictions, gt, iou_gate=0.0)
    iou = pairwise_iou(predictions, gt)
    assert sum(iou[pair] for pair in match.pairs) == pytest.approx(brute_force(iou))
    assert len(match.pairs) == min(len(predictions), len(gt))


@given(boxes, boxes, st.floats(0, 1))
def test_every_index_is_in_one_place(predictions: list[DetObject], gt: list[DetObject], gate: float) -> None:
    match = match_objects(predictions, gt, gate)
    assert sorted([*(p for p, _ in match.pairs), *match.fp]) == list(range(len(predictions)))
    assert sorted([*(g for _, g in match.pairs), *match.fn]) == list(range(len(gt)))
    assert match.pairs == tuple(sorted(match.pairs))
    iou = pairwise_iou(predictions, gt)
    assert all(iou[pair] >= gate - 1e-9 for pair in match.pairs)
    whole = match_objects(predictions, gt, 0.0)
    assert len(match.pairs) == sum(iou[pair] >= gate - 1e-9 for pair in whole.pairs)
    assert match == match_objects(list(predictions), list(gt), gate)


def test_the_first_of_equal_predictions_is_matched() -> None:
    for count in range(1, 6):
        match = match_objects([box(50, 50, 60, 60), *[box(0, 0, 10, 10)] * count], [box(0, 0, 10, 10)])
        assert match.pairs == ((1, 0),)
        assert match.fp == (0, *range(2, count + 1))


def test_the_first_of_equal_predictions_is_matched_where_scipy_takes_another() -> None:
    twice, third = box(2, 0, 12, 10), box(0, 0, 10, 10)
    gt = [box(0, 0, 10, 12), third]
    assert match_objects([twice, twice, third], gt) == (((0, 0), (2, 1)), (1,), ())
    assert match_objects(gt, [twice, twice, third]) == (((0, 0), (1, 2)), (), (1,))


def test_equal_objects_are_matched_in_their_order() -> None:
    same = box(0, 0, 10, 10)
    assert match_objects([same], [same, same, same]) == (((0, 0),), (), (1, 2))
    assert match_objects([same] * 3, [same] * 3).pairs == ((0, 0), (1, 1), (2, 2))
    assert match_objects([same] * 2, [same, box(0, 0, 10, 11), same]).pairs == ((0, 0), (1, 2))


@pytest.mark.parametrize(("gate", "matched"), [(0.25, True), (0.2500001, False), (0.249, True)])
def test_a_pair_at_the_gate_is_a_match(gate: float, matched: bool) -> None:
    triangle = DetObject("x", poly=(0, 0, 100, 0, 0, 50))  # a quarter of the square
    square = DetObject("x", poly=(0, 0, 100, 0, 100, 100, 0, 100))
    assert bool(match_objects([triangle], [square], gate).pairs) is matched


@pytest.mark.parametrize("gate", [-0.1, 1.1, float("nan")])
def test_a_gate_that_is_none(gate: float) -> None:
    with pytest.raises(ValueError, match=r"iou_gate is .*, not within 0\.\.1"):
        match_objects([], [], gate)


def test_the_largest_boxes() -> None:
    far = BINS - 1
    assert pairwise_iou([box(0, 0, far, far)], [box(0, 0, far, far - 1)])[0, 0] == (far - 1) / far
