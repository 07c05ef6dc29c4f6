"""One-to-one assignment of predictions and ground truth."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from coordspec.boxes import DEFAULT_IOU_GATE
from coordspec.match.cost import pairwise_iou

if TYPE_CHECKING:
    from coordspec.match.cost import Matrix
    from coordspec.record import DetObject

_ROUNDING: Final = 1e-9
"""IoU of polygons is off by less. Two different ratios of areas of boxes in bins lie further apart than a gate of a few
decimals can tell."""


class Match(NamedTuple):
    """Who stands for whom, as indices.

    ``pairs`` are (prediction, ground truth) in the order of predictions; ``fp`` are the other predictions, ``fn`` the
    other ground-truth objects. Each index is in exactly one place of its side.
    """

    pairs: tuple[tuple[int, int], ...]
    fp: tuple[int, ...]
    fn: tuple[int, ...]


def match_objects(
    predictions: Sequence[DetObject], gt: Sequence[DetObject], iou_gate: float = DEFAULT_IOU_GATE
) -> Match:
    """The assignment with the smallest sum of costs 1 - IoU, without the pairs whose IoU is below ``iou_gate``.

    The gate comes after the assignment: a pair below it is not replaced by another one. A pair whose IoU equals the
    gate is a match. Where predictions, or ground-truth objects, are interchangeable (they overlap the other side in the
    same way), the first ones are matched, in their order; so is the first of several equal predictions, and the others
    are false positives. The descriptions take no part.

    Source: the matcher of DETR (Carion et al. 2020), with IoU as the only cost; contract, section 4.

    Raises:
        ValueError: ``iou_gate`` is not within 0..1.
    """
    if not 0 <= iou_gate <= 1:
        raise ValueError(f"iou_gate is {iou_gate}, not within 0..1")
    iou_PG = pairwise_iou(predictions, gt)
    rows, columns = linear_sum_assignment(1.0 - iou_PG)
    kept = iou_PG[rows, columns] >= iou_gate - _ROUNDING
    found = _first_of_equals(iou_PG, list(zip(rows[kept].tolist(), columns[kept].tolist(), strict=True)))
    found = _first_of_equals(iou_PG.T, [(g, p) for p, g in found])
    pairs = tuple(sorted((p, g) for g, p in found))
    matched_P, matched_G = {p for p, _ in pairs}, {g for _, g in pairs}
    return Match(
        pairs,
        tuple(p for p in range(len(predictions)) if p not in matched_P),
        tuple(g for g in range(len(gt)) if g not in matched_G),
    )


def _first_of_equals(iou: Matrix, pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same pairs (row, column), but of rows that are equal the first ones are taken, with columns in order."""
    groups: dict[Hashable, list[int]] = {}
    keys = [row.tobytes() for row in np.ascontiguousarray(iou)]
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    if len(groups) == len(keys):
        return pairs
    columns: dict[Hashable, list[int]] = {}
    for row, column in pairs:
        columns.setdefault(keys[row], []).append(column)
    return [pair for key, taken in columns.items() for pair in zip(groups[key], sorted(taken), strict=False)]
