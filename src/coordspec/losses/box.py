"""SmoothL1 and CIoU of decoded boxes and polygons, for Stage-2.

N objects · M points · a box is ``x1, y1, x2, y2`` and a point ``x, y``, in unit coordinates.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor

TINY: Final = 1e-7
"""Areas and squared lengths below this count as this where something is divided by them. A bin squared is 1e-6."""


class BoxTerms(NamedTuple):
    """The two terms of every object, unweighted, float32 or float64."""

    smooth_l1_N: Tensor
    """Mean over the object's coordinates of SmoothL1, 0 or more."""
    ciou_N: Tensor
    """``1 - CIoU``, a loss: 0 for equal boxes that have an area, 1 + distance term + aspect term for disjoint ones."""


def box_terms(pred_N4: Tensor, gt_N4: Tensor, *, smoothl1_beta: float = 1.0) -> BoxTerms:
    """SmoothL1 and 1 - CIoU of N pairs of boxes.

    Corners may come in any order: an inverted box is the same as its mirror image. Computed in float32, or in float64
    if an input is. Value and gradient are finite, whether boxes are points, lines, equal or far apart (up to 1e9); an
    input that is not finite gives terms that are not.

    Args:
        pred_N4: decoded boxes; the gradient flows into these (and into ``gt_N4`` if it asks for one).
        gt_N4: boxes of the ground truth.
        smoothl1_beta: error up to which SmoothL1 is quadratic; 0 gives plain L1.

    Raises:
        ValueError: the shapes are not the same [N, 4], or ``smoothl1_beta`` is negative.
    """
    if pred_N4.shape != gt_N4.shape or pred_N4.shape[1:] != (4,):
        raise ValueError(f"boxes have the shape [N, 4], not {list(pred_N4.shape)} and {list(gt_N4.shape)}")
    pred_N4, gt_N4 = map(_ordered, _precise(pred_N4, gt_N4))
    return BoxTerms(_smooth_l1(pred_N4, gt_N4, smoothl1_beta).mean(1), _ciou_loss(pred_N4, gt_N4))


def object_terms(
    pred_M2: Tensor,
    pred_object_M: Tensor,
    gt_M2: Tensor,
    gt_object_M: Tensor,
    pointwise_N: Tensor,
    *,
    smoothl1_beta: float = 1.0,
) -> BoxTerms:
    """SmoothL1 and 1 - CIoU of N objects that are given by their points, boxes and polygons alike.

    A box is its two corners. CIoU is that of the enclosing boxes. SmoothL1 is that of the enclosing boxes too, unless
    ``pointwise_N`` says that the object's points correspond one to one (the polygon of an injected object): then it is
    the mean over all of its coordinates. The two sides need not have equally many points otherwise.

    Args:
        pred_M2: decoded points.
        pred_object_M: the object, 0..N-1, that each of them belongs to.
        gt_M2: points of the ground truth.
        gt_object_M: the object of each of these.
        pointwise_N: booleans.
        smoothl1_beta: as for ``box_terms``.

    Raises:
        ValueError: an object has no point, a point no object, or a pointwise object not as many points on both sides.
    """
    objects = len(pointwise_N)
    pred_M2, gt_M2 = _precise(pred_M2, gt_M2)
    of_boxes = box_terms(
        enclosing_boxes(pred_M2, pred_object_M, objects),
        enclosing_boxes(gt_M2, gt_object_M, objects),
        smoothl1_beta=smoothl1_beta,
    )
    pred_kept, pred_of = _points_of(pred_M2, pred_object_M, pointwise_N)
    gt_kept, gt_of = _points_of(gt_M2, gt_object_M, pointwise_N)
    if not torch.equal(pred_of, gt_of):
        raise ValueError("a pointwise object has not as many decoded points as points of the ground truth")
    each = _smooth_l1(pred_kept, gt_kept, smoothl1_beta).mean(1)
    total_N = each.new_zeros(objects).index_add(0, pred_of, each)
    count_N = torch.bincount(pred_of, minlength=objects).clamp(min=1)
    return BoxTerms(torch.where(pointwise_N, total_N / count_N, of_boxes.smooth_l1_N), of_boxes.ciou_N)


def enclosing_boxes(points_M2: Tensor, object_M: Tensor, objects: int) -> Tensor:
    """The smallest box around each object's points: [objects, 4], differentiable in the points.

    Where several points share an extreme, they share its gradient equally.

    Raises:
        ValueError: an object has no point, or a point's object is not in 0..objects-1.
    """
    counts = torch.bincount(object_M, minlength=objects)
    if len(counts) != objects:
        raise ValueError(f"a point belongs to object {len(counts) - 1}, of only {objects} objects")
    if not bool(counts.all()):
        raise ValueError(f"object {int(counts.argmin())} has no point")
    index_M2 = object_M[:, None].expand_as(points_M2)
    empty_N2 = points_M2.new_zeros(objects, 2)
    low_N2 = empty_N2.scatter_reduce(0, index_M2, points_M2, "amin", include_self=False)
    high_N2 = empty_N2.scatter_reduce(0, index_M2, points_M2, "amax", include_self=False)
    return torch.cat((low_N2, high_N2), dim=1)


def _precise(pred: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
    dtype = torch.promote_types(torch.promote_types(pred.dtype, gt.dtype), torch.float32)
    return pred.to(dtype), gt.to(dtype)


def _ordered(box_N4: Tensor) -> Tensor:
    """The upper left corner first."""
    one_N2, other_N2 = box_N4[:, :2], box_N4[:, 2:]
    return torch.cat((torch.minimum(one_N2, other_N2), torch.maximum(one_N2, other_N2)), dim=1)


def _smooth_l1(pred: Tensor, gt: Tensor, smoothl1_beta: float) -> Tensor:
    """SmoothL1 of every coordinate (Girshick, Fast R-CNN, 2015)."""
    if smoothl1_beta < 0:
        raise ValueError(f"smoothl1_beta is an error, 0 or more, not {smoothl1_beta}")
    return F.smooth_l1_loss(pred, gt, reduction="none", beta=smoothl1_beta)


def _ciou_loss(pred_N4: Tensor, gt_N4: Tensor) -> Tensor:
    """``1 - IoU + d² / c² + α v`` of ordered boxes (Zheng et al., Distance-IoU Loss, AAAI 2020, equations 7 to 11).

    d is the distance of the centres, c the diagonal of the enclosing box, ``v = 4/π² (atan(w_gt/h_gt) - atan(w/h))²``,
    and ``α = v / ((1 - IoU) + v)`` a weight that takes part in the value and passes no gradient. Where the formula
    divides by 0: IoU is 0 where a box has no area, d²/c² of equal points is 0, and a point has the aspect ratio of
    whatever it is compared with. Every guard is an equality or a bound, which NaN passes.
    """
    iou_N = _iou(pred_N4, gt_N4)
    span_N2 = torch.maximum(pred_N4[:, 2:], gt_N4[:, 2:]) - torch.minimum(pred_N4[:, :2], gt_N4[:, :2])
    apart_N2 = (pred_N4[:, :2] + pred_N4[:, 2:] - gt_N4[:, :2] - gt_N4[:, 2:]) / 2
    distance_N = apart_N2.square().sum(1) / span_N2.square().sum(1).clamp(min=TINY)
    v_N = (4 / math.pi**2) * _angle_between(pred_N4, gt_N4).square()
    with torch.no_grad():
        alpha_N = v_N / ((1 - iou_N) + v_N + (v_N == 0))
    return 1 - iou_N + distance_N + alpha_N * v_N


def _iou(pred_N4: Tensor, gt_N4: Tensor) -> Tensor:
    """Intersection over union, and 0 with no gradient where the ground truth has no area."""
    overlap_N2 = torch.minimum(pred_N4[:, 2:], gt_N4[:, 2:]) - torch.maximum(pred_N4[:, :2], gt_N4[:, :2])
    gt_area_N = (gt_N4[:, 2:] - gt_N4[:, :2]).prod(1)
    shared_N = overlap_N2.clamp(min=0).prod(1) * (gt_area_N != 0)
    union_N = (pred_N4[:, 2:] - pred_N4[:, :2]).prod(1) + gt_area_N - shared_N
    return shared_N / union_N.clamp(min=TINY)


def _angle_between(pred_N4: Tensor, gt_N4: Tensor) -> Tensor:
    """``atan(w_gt/h_gt) - atan(w/h)``, by atan2, which knows lines; 0 where a box is a point."""
    sides_N2, gt_sides_N2 = pred_N4[:, 2:] - pred_N4[:, :2], gt_N4[:, 2:] - gt_N4[:, :2]
    point_N = torch.minimum(sides_N2.square().sum(1), gt_sides_N2.square().sum(1)) < TINY
    safe_N2 = torch.where(point_N[:, None], torch.ones_like(sides_N2), sides_N2)
    gt_safe_N2 = torch.where(point_N[:, None], torch.ones_like(sides_N2), gt_sides_N2)
    return torch.atan2(gt_safe_N2[:, 0], gt_safe_N2[:, 1]) - torch.atan2(safe_N2[:, 0], safe_N2[:, 1])


def _points_of(points_M2: Tensor, object_M: Tensor, chosen_N: Tensor) -> tuple[Tensor, Tensor]:
    """The points of the chosen objects, object by object, and the object of each."""
    order = torch.argsort(object_M, stable=True)
    order = order[chosen_N[object_M[order]]]
    return points_M2[order], object_M[order]
