"""The box terms against plain loops in float64, and their gradients against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coordspec.losses.box import box_terms, enclosing_boxes, object_terms

F64 = torch.float64


# ------------------------------------------------------------------------------------------------- what is the truth


def ordered(box):
    x1, y1, x2, y2 = box
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def smooth_l1(error, beta):
    error = abs(error)
    return 0.5 * error**2 / beta if error < beta else error - 0.5 * beta


def mean_smooth_l1(pred, gt, beta=1.0):
    return sum(smooth_l1(p - g, beta) for p, g in zip(pred, gt, strict=True)) / len(pred)


def iou(a, b):
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / area if area > 0 else 0.0


def aspect_gap(a, b):
    """v of the paper, for boxes with a height."""
    return 4 / math.pi**2 * (math.atan((b[2] - b[0]) / (b[3] - b[1])) - math.atan((a[2] - a[0]) / (a[3] - a[1]))) ** 2


def alpha(a, b):
    v = aspect_gap(a, b)
    return v / (1 - iou(a, b) + v) if v > 0 else 0.0


def ciou_loss(pred, gt, weight=None):
    """1 - CIoU as the paper has it; ``weight`` holds its α, which it treats as a constant."""
    a, b = ordered(pred), ordered(gt)
    centres = ((a[0] + a[2] - b[0] - b[2]) / 2) ** 2 + ((a[1] + a[3] - b[1] - b[3]) / 2) ** 2
    diagonal = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    return 1 - iou(a, b) + centres / diagonal + (alpha(a, b) if weight is None else weight) * aspect_gap(a, b)


def terms(pred, gt, dtype=F64, **options):
    made = box_terms(torch.tensor(pred, dtype=dtype), torch.tensor(gt, dtype=dtype), **options)
    return made.smooth_l1_N.tolist(), made.ciou_N.tolist()


def with_gradient(pred, gt, dtype=F64, **options):
    pred_n4 = torch.tensor(pred, dtype=dtype, requires_grad=True)
    gt_n4 = torch.tensor(gt, dtype=dtype, requires_grad=True)
    made = box_terms(pred_n4, gt_n4, **options)
    return made, torch.autograd.grad(made.smooth_l1_N.sum() + made.ciou_N.sum(), (pred_n4, gt_n4))


# ------------------------------------------------------------------------------------------------------------ values

BY_HAND = [
    ("inverted ground truth", [0, 0, 0.5, 0.5], [1, 0.5, 0.5, 1], 0.125, 1.25),
    ("one bin, equal", [0, 0, 1 / 999, 1 / 999], [0, 0, 1 / 999, 1 / 999], 0.0, 0.0),
    ("one bin, apart", [0, 0, 1 / 999, 1 / 999], [1 / 999, 0, 2 / 999, 1 / 999], 0.25 / 999**2, 1.2),
    ("points one bin apart", [0, 0, 0, 0], [1 / 999, 0, 1 / 999, 0], 0.25 / 999**2, 2.0),
    ("equal points", [0.3, 0.4, 0.3, 0.4], [0.3, 0.4, 0.3, 0.4], 0.0, 1.0),
    ("two points", [0, 0, 0, 0], [1, 1, 1, 1], 0.5, 2.0),
    ("equal lines", [0.2, 0.4, 0.8, 0.4], [0.2, 0.4, 0.8, 0.4], 0.0, 1.0),
    ("crossed lines", [0, 0.5, 1, 0.5], [0.5, 0, 0.5, 1], 0.125, 1 + 0.5),  # v is 1 and α is 1/2
    ("point in a box", [0.5, 0.5, 0.5, 0.5], [0, 0, 1, 1], 0.125, 1.0),
    ("box around a point", [0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5], 0.125, 1.0),
]


@pytest.mark.parametrize(
    ("pred", "gt", "l1", "ciou"), [case[1:] for case in BY_HAND], ids=[case[0] for case in BY_HAND]
)
@pytest.mark.parametrize("dtype", [F64, torch.float32])
def test_by_hand(pred, gt, l1, ciou, dtype):
    smooth, loss = terms([pred], [gt], dtype)
    assert smooth == pytest.approx([l1], abs=1e-6)
    assert loss == pytest.approx([ciou], abs=1e-6)


bins = st.integers(0, 999)
boxes_of_bins = st.tuples(bins, bins, bins, bins).filter(lambda b: b[0] != b[2] and b[1] != b[3])
whole_boxes = boxes_of_bins.map(lambda box: [k / 999 for k in box])  # with an area, corners in any order
pairs = st.lists(st.tuples(whole_boxes, whole_boxes), min_size=1, max_size=5)


@given(pairs, st.sampled_from([0.01, 0.1, 1.0, 3.0]))
def test_any_boxes_with_an_area(items, beta):
    pred, gt = zip(*items, strict=True)
    smooth, loss = terms(pred, gt, smoothl1_beta=beta)
    assert smooth == pytest.approx([mean_smooth_l1(ordered(p), ordered(g), beta) for p, g in items], abs=1e-12)
    assert loss == pytest.approx([ciou_loss(p, g) for p, g in items], abs=1e-12)
    smooth, loss = terms(pred, gt, torch.float32, smoothl1_beta=beta)
    assert smooth == pytest.approx([mean_smooth_l1(ordered(p), ordered(g), beta) for p, g in items], abs=2e-6)
    assert loss == pytest.approx([ciou_loss(p, g) for p, g in items], abs=1e-3)  # of a bin's width, float32 keeps 1e-4


def test_beta_zero_is_l1():
    assert terms([[0, 0, 0.5, 0.5]], [[0, 0.2, 0.5, 0.9]], smoothl1_beta=0)[0] == pytest.approx([(0.2 + 0.4) / 4])


@given(pairs)
def test_the_loss_is_zero_for_equal_boxes_alone_and_grows_as_a_box_moves_away(items):
    boxes = [p for p, _ in items]
    same = torch.tensor(boxes, dtype=F64)
    assert terms(boxes, boxes)[1] == pytest.approx([0.0] * len(boxes), abs=1e-12)
    last = torch.zeros(len(boxes), dtype=F64)
    for step in (0.001, 0.01, 0.1, 1.0):
        loss = box_terms(same + step, same).ciou_N
        assert (loss > last).all()
        last = loss


# --------------------------------------------------------------------------------------------------------- gradients


@given(whole_boxes, whole_boxes, st.sampled_from([0.05, 1.0]))
def test_gradient_against_finite_differences(pred, gt, beta):
    weight = alpha(ordered(pred), ordered(gt))  # a constant for the gradient, and so for the differences

    def loss(pred, gt):
        return mean_smooth_l1(ordered(pred), ordered(gt), beta) + ciou_loss(pred, gt, weight)

    _, gradients = with_gradient([pred], [gt], smoothl1_beta=beta)
    boxes = [list(pred), list(gt)]
    for which, k in ((w, k) for w in range(2) for k in range(4)):
        slopes = []
        for step in (1e-7, -1e-7):
            moved = [list(box) for box in boxes]
            moved[which][k] += step
            slopes.append((loss(*moved) - loss(*boxes)) / step)
        got = gradients[which][0, k].item()
        # where two edges coincide the loss has a kink, and any slope between its sides is one
        assert min(slopes) - 1e-3 * (1 + abs(got)) <= got <= max(slopes) + 1e-3 * (1 + abs(got))


def test_alpha_passes_no_gradient():
    pred, gt = [0.1, 0.1, 0.4, 0.8], [0.1, 0.2, 0.9, 0.7]
    _, (gradient, _) = with_gradient([pred], [gt])
    moved = [pred[0], pred[1], pred[2] + 1e-6, pred[3]]
    through_alpha = (ciou_loss(moved, gt) - ciou_loss(moved, gt, alpha(ordered(pred), ordered(gt)))) / 1e-6
    assert abs(through_alpha) > 1e-2
    fixed = (ciou_loss(moved, gt, alpha(ordered(pred), ordered(gt))) - ciou_loss(pred, gt)) / 1e-6
    smooth = (mean_smooth_l1(moved, gt) - mean_smooth_l1(pred, gt)) / 1e-6
    assert gradient[0, 2].item() == pytest.approx(fixed + smooth, abs=1e-5)


# -------------------------------------------------------------------------------------------------------- never NaN

ODD = [0.0, -0.0, 1.0, 0.5, 1e-45, 1e-38, 1e-30, 1e-20, 1e-8, 3e-4, 1 / 999, 0.5 + 6e-8, -1.0, 1e9, -1e9]
coordinate = st.sampled_from(ODD) | st.floats(-2, 2, width=32) | st.floats(0, 2**-10, width=32)
any_box = st.tuples(coordinate, coordinate, coordinate, coordinate)
point = st.tuples(coordinate, coordinate).map(lambda p: (*p, *p))
line = st.tuples(coordinate, coordinate, coordinate).map(lambda p: (p[0], p[1], p[2], p[1]))
odd_pair = st.tuples(any_box | point | line, any_box | point | line) | (any_box | point | line).map(lambda b: (b, b))


@given(
    st.lists(odd_pair, max_size=4),
    st.sampled_from([F64, torch.float32, torch.bfloat16]),
    st.sampled_from([0.0, 1e-3, 1.0]),
)
@settings(max_examples=200)
def test_value_and_gradient_are_finite(items, dtype, beta):
    pred, gt = [list(p) for p, _ in items], [list(g) for _, g in items]
    shape = (len(items), 4)
    pred_n4 = torch.tensor(pred, dtype=dtype).reshape(shape).requires_grad_()
    gt_n4 = torch.tensor(gt, dtype=dtype).reshape(shape).requires_grad_()
    made = box_terms(pred_n4, gt_n4, smoothl1_beta=beta)
    for values in (*made, *torch.autograd.grad(made.smooth_l1_N.sum() + made.ciou_N.sum(), (pred_n4, gt_n4))):
        assert torch.isfinite(values).all()
    assert (made.smooth_l1_N >= 0).all()
    assert (made.ciou_N >= -1e-6).all()
    assert (made.ciou_N <= 2.501).all()


def test_many_pairs_with_shared_and_nearly_shared_edges():
    some = [0.0, 1e-30, 0.25, 0.25 + 2e-8, 0.5, 1.0]
    boxes = torch.cartesian_prod(*[torch.tensor(some)] * 4)
    left = boxes.repeat_interleave(36, 0).requires_grad_()
    right = boxes[torch.arange(0, 1296, 36)].repeat(1296, 1).requires_grad_()
    made = box_terms(left, right)
    for values in (*made, *torch.autograd.grad(made.smooth_l1_N.sum() + made.ciou_N.sum(), (left, right))):
        assert torch.isfinite(values).all()


@pytest.mark.parametrize(
    "gt", [[0.5, 0.5, 0.5, 0.5], [0.5, 0.2, 0.5, 0.9], [0.2, 0.2, 0.9, 0.9]], ids=["point", "line", "box"]
)
def test_gradients_at_a_ground_truth_of_bins_stay_small(gt):
    torch.manual_seed(0)
    pred = torch.tensor(gt) + torch.randn(2000, 4) * torch.logspace(-9, 0, 2000)[:, None]
    _, (gradient, _) = with_gradient(pred.tolist(), [gt] * 2000, torch.float32)
    assert gradient.abs().max() < 1e4


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(8))
def test_what_is_no_number_is_not_laundered(bad, place):
    for boxes in ([0.1, 0.2, 0.5, 0.7, 0.3, 0.3, 0.9, 0.8], [0.5] * 8):
        values = [*boxes]
        values[place] = bad
        smooth, loss = terms([values[:4], [0, 0, 1, 1]], [values[4:], [0, 0, 1, 1]])
        assert not math.isfinite(smooth[0])
        assert not math.isfinite(loss[0])
        assert (smooth[1], loss[1]) == (0.0, 0.0)


# -------------------------------------------------------------------------------------------------- types and shapes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_sum_is_float32_inside(dtype):
    pred, gt = torch.rand(20, 4).to(dtype), torch.rand(20, 4).to(dtype)
    made, wanted = box_terms(pred, gt), box_terms(pred.double(), gt.double())
    assert (made.smooth_l1_N.dtype, made.ciou_N.dtype) == (torch.float32, torch.float32)
    assert torch.allclose(made.smooth_l1_N.double(), wanted.smooth_l1_N, atol=1e-6)
    assert torch.allclose(made.ciou_N.double(), wanted.ciou_N, atol=1e-4)


def test_mixed_types():
    pred = torch.rand(3, 4, requires_grad=True)
    made = box_terms(pred, torch.rand(3, 4, dtype=F64))
    assert made.ciou_N.dtype == F64
    made.ciou_N.sum().backward()
    assert pred.grad.dtype == torch.float32
    assert box_terms(pred, torch.tensor([[0, 0, 1, 1]] * 3)).ciou_N.dtype == torch.float32


def test_no_boxes():
    pred = torch.zeros(0, 4, requires_grad=True)
    made = box_terms(pred, torch.zeros(0, 4))
    assert [t.shape for t in made] == [(0,), (0,)]
    (made.smooth_l1_N.sum() + made.ciou_N.sum()).backward()
    assert pred.grad.shape == (0, 4)


@pytest.mark.parametrize(
    ("pred", "gt"),
    [((2, 4), (3, 4)), ((4,), (4,)), ((), ()), ((2, 3), (2, 3)), ((2, 1, 4), (2, 1, 4)), ((1, 4), (2, 4))],
)
def test_other_shapes_are_refused(pred, gt):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        box_terms(torch.zeros(pred), torch.zeros(gt))
    assert str(caught.value) == f"boxes have the shape [N, 4], not {list(pred)} and {list(gt)}"


def test_a_beta_that_is_no_length():
    with pytest.raises(ValueError, match=r"^smoothl1_beta is an error, 0 or more, not -0\.5$"):
        box_terms(torch.zeros(1, 4), torch.zeros(1, 4), smoothl1_beta=-0.5)


# --------------------------------------------------------------------------------------------- objects by their points

TRIANGLE = [[0.1, 0.1], [0.5, 0.2], [0.3, 0.6]]
SQUARE = [[0.2, 0.2], [0.8, 0.2], [0.8, 0.8], [0.2, 0.8]]
BOX = [[0.5, 0.5], [0.9, 0.7]]


def objects(*shapes):
    """All points and the object of each: first of every object its first point, and so on."""
    points = sorted((j, k, point) for k, shape in enumerate(shapes) for j, point in enumerate(shape))
    return torch.tensor([point for _, _, point in points], dtype=F64), torch.tensor([k for _, k, _ in points])


def flattened(shape):
    return [coordinate for point in shape for coordinate in point]


def around(shape):
    xs, ys = zip(*shape, strict=True)
    return [min(xs), min(ys), max(xs), max(ys)]


def test_enclosing_boxes():
    points, of = objects(TRIANGLE, BOX, SQUARE)
    assert enclosing_boxes(points, of, 3).tolist() == [around(TRIANGLE), around(BOX), around(SQUARE)]
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(1))
    assert enclosing_boxes(points[order], of[order], 3).tolist() == [around(TRIANGLE), around(BOX), around(SQUARE)]
    assert enclosing_boxes(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), 0).shape == (0, 4)


def test_enclosing_boxes_pass_the_gradient_to_the_points_at_the_border():
    points = torch.tensor([*TRIANGLE, *SQUARE], requires_grad=True)
    enclosing_boxes(points, torch.tensor([0] * 3 + [1] * 4), 2).sum().backward()
    assert points.grad.tolist() == [[1, 1], [1, 0], [0, 1], *[[0.5, 0.5]] * 4]


@pytest.mark.parametrize(
    ("of", "count", "message"),
    [([0, 0, 2], 3, "object 1 has no point"), ([0, 0, 3], 3, "a point belongs to object 3, of only 3 objects")],
)
def test_points_without_object_and_objects_without_point(of, count, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        enclosing_boxes(torch.rand(3, 2), torch.tensor(of), count)


def test_boxes_by_their_points_are_boxes():
    torch.manual_seed(0)
    pred, gt = torch.rand(30, 4), torch.rand(30, 4)
    of = torch.arange(30).repeat_interleave(2)
    made = object_terms(
        pred.reshape(60, 2), of, gt.reshape(60, 2), of, torch.zeros(30, dtype=torch.bool), smoothl1_beta=0.1
    )
    for got, wanted in zip(made, box_terms(pred, gt, smoothl1_beta=0.1), strict=True):
        assert torch.allclose(got, wanted)


def test_polygons():
    turned = [[y, x] for x, y in TRIANGLE]
    flat = [[x, x] for x, _ in SQUARE]
    pairs = [(SQUARE, TRIANGLE), (BOX, BOX), (TRIANGLE, turned), (SQUARE, flat)]
    pointwise = [False, False, True, True]
    made = object_terms(*objects(*(p for p, _ in pairs)), *objects(*(g for _, g in pairs)), torch.tensor(pointwise))
    assert made.smooth_l1_N.tolist() == pytest.approx(
        [
            mean_smooth_l1(flattened(p), flattened(g)) if each else mean_smooth_l1(around(p), around(g))
            for (p, g), each in zip(pairs, pointwise, strict=True)
        ]
    )
    assert made.ciou_N.tolist() == pytest.approx([ciou_loss(around(p), around(g)) for p, g in pairs])


def test_every_coordinate_of_a_pointwise_polygon_has_a_gradient():
    inner = [[0.2, 0.2], [0.8, 0.2], [0.5, 0.5], [0.8, 0.8], [0.2, 0.8]]
    pred, of = objects(inner)
    gt = pred + 0.1
    pred.requires_grad_()
    for pointwise in (True, False):
        made = object_terms(pred, of, gt, of, torch.tensor([pointwise]))
        (gradient,) = torch.autograd.grad(made.smooth_l1_N.sum(), pred)
        assert bool((gradient[2] != 0).all()) is pointwise


def test_the_order_of_objects_does_not_matter_but_that_of_points_does():
    points, of, both = torch.tensor([*SQUARE, *TRIANGLE]), torch.tensor([0] * 4 + [1] * 3), torch.tensor([True, True])
    for order, moves in (([4, 0, 1, 5, 2, 6, 3], False), ([1, 2, 3, 0, 4, 5, 6], True)):
        made = object_terms(points[order], of[order], points, of, both)
        assert bool((made.smooth_l1_N > 0.01).any()) is moves
        assert made.ciou_N.tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


def test_no_objects():
    none = torch.zeros(0, 2, requires_grad=True)
    of = torch.zeros(0, dtype=torch.long)
    made = object_terms(none, of, none, of, torch.zeros(0, dtype=torch.bool))
    assert [t.shape for t in made] == [(0,), (0,)]
    (made.smooth_l1_N.sum() + made.ciou_N.sum()).backward()


def test_pointwise_objects_need_as_many_points():
    pred, pred_of = objects(SQUARE, BOX)
    gt, gt_of = objects(TRIANGLE, BOX)
    with pytest.raises(ValueError, match=r"^a pointwise object has not as many decoded points as points of the"):
        object_terms(pred, pred_of, gt, gt_of, torch.tensor([True, False]))
    object_terms(pred, pred_of, gt, gt_of, torch.tensor([False, True]))
