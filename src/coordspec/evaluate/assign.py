"""One prediction to one ground-truth object, without scores."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from coordspec.evaluate.overlaps import ROUNDING, Pairs
from coordspec.evaluate.scenes import Ints


def assign(pairs: Pairs, threshold: float) -> Ints:
    """Indices of the pairs that are matched at an IoU threshold, in ascending order.

    Only pairs with an IoU of at least ``threshold`` can be matched, and every object at most once. Of all such
    matchings it is one with the most pairs, and of those one with the largest sum of IoUs. So the number of matches
    depends on the boxes alone, not on the order in which they are listed. Which of several equally good matchings is
    taken is deterministic.
    """
    able_P = np.flatnonzero(pairs.iou_P >= threshold - ROUNDING)
    if not len(able_P):
        return able_P
    gt_P, row_P = np.unique(pairs.gt_P[able_P], return_inverse=True)
    predicted_P, column_P = np.unique(pairs.predicted_P[able_P], return_inverse=True)
    lonely_P = (np.bincount(row_P)[row_P] == 1) & (np.bincount(column_P)[column_P] == 1)
    chosen = [able_P[lonely_P]]
    rest_P = np.flatnonzero(~lonely_P)
    if len(rest_P):
        nodes = len(gt_P) + len(predicted_P)
        edges = (np.ones(len(rest_P), np.int8), (row_P[rest_P], len(gt_P) + column_P[rest_P]))
        _, label = connected_components(coo_array(edges, shape=(nodes, nodes)), directed=False)
        label_P = label[row_P[rest_P]]
        order_P = np.argsort(label_P, kind="stable")
        cuts = np.flatnonzero(np.diff(label_P[order_P])) + 1
        chosen += [_of_component(pairs, part) for part in np.split(able_P[rest_P[order_P]], cuts)]
    return np.sort(np.concatenate(chosen))


def _of_component(pairs: Pairs, part_P: Ints) -> Ints:
    """The matched ones among pairs that hang together."""
    gt, row_P = np.unique(pairs.gt_P[part_P], return_inverse=True)
    predicted, column_P = np.unique(pairs.predicted_P[part_P], return_inverse=True)
    iou_P = pairs.iou_P[part_P]
    if len(gt) == 1 or len(predicted) == 1:
        return part_P[[iou_P.argmax()]]
    weight_NM = np.zeros((len(gt), len(predicted)))
    # One more pair outweighs every sum of IoUs that it can cost.
    weight_NM[row_P, column_P] = iou_P + min(len(gt), len(predicted))
    number_NM = np.full(weight_NM.shape, -1, dtype=np.intp)
    number_NM[row_P, column_P] = part_P
    taken = number_NM[linear_sum_assignment(weight_NM, maximize=True)]
    kept: Ints = taken[taken >= 0]
    return kept
