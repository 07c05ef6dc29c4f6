"""The same counts for a part of the objects: a category, a size, images with so many objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from coordspec.evaluate.f1 import F1Table, Matches
from coordspec.evaluate.scenes import Floats, Ints, Scenes
from coordspec.stats import OBJECT_STEPS, PIXEL_CLASSES, PIXEL_STEPS

SIZES: Final = PIXEL_CLASSES
"""COCO's classes of areas in square pixels: small below 32 x 32, large from 96 x 96."""


def by_category(scenes: Scenes, matches: Matches) -> Mapping[str, F1Table]:
    """A table for each category of either side, by name."""
    groups = scenes.gt.category_N, scenes.predicted.category_N
    return _tables(scenes.categories, *groups, matches)


def by_size(matches: Matches, areas: tuple[Floats, Floats]) -> Mapping[str, F1Table]:
    """A table for each size. ``areas`` are those of ground truth and predictions, and every object counts with its own.

    So recall is about ground truth of that size, and precision about predictions of that size.
    """
    gt_N, predicted_N = (np.searchsorted(PIXEL_STEPS, area_N, side="right") for area_N in areas)
    return _tables(SIZES, gt_N, predicted_N, matches)


def by_crowd(scenes: Scenes, matches: Matches) -> Mapping[str, F1Table]:
    """A table for images with so many ground-truth objects; ranges that no image is in are left out."""
    level_I = np.searchsorted(OBJECT_STEPS, np.diff(scenes.gt.starts_I), side="right") - 1
    groups = level_I[scenes.gt.image_N], level_I[scenes.predicted.image_N]
    tables = _tables(_crowd_names(), *groups, matches)
    present = {_crowd_names()[level] for level in np.unique(level_I).tolist()}
    return {name: table for name, table in tables.items() if name in present}


def _crowd_names() -> list[str]:
    """``0``, ``1``, ``2``, ``3-5``, …, ``101+``"""
    ends = [*(step - 1 for step in OBJECT_STEPS[1:]), None]
    pairs = zip(OBJECT_STEPS, ends, strict=True)
    return [f"{low}+" if high is None else str(low) if low == high else f"{low}-{high}" for low, high in pairs]


def _tables(names: Sequence[str], gt_N: Ints, predicted_N: Ints, matches: Matches) -> Mapping[str, F1Table]:
    """Counts by group, every object in its own."""
    count = len(names)
    gt = np.bincount(gt_N, minlength=count).tolist()
    predictions = np.bincount(predicted_N, minlength=count).tolist()
    matched_gt = np.stack([np.bincount(gt_N[pairs.gt_P], minlength=count) for pairs in matches.at], axis=1)
    matched = np.stack([np.bincount(predicted_N[pairs.predicted_P], minlength=count) for pairs in matches.at], axis=1)
    return {
        name: F1Table(
            matches.thresholds, gt[g], predictions[g], tuple(matched_gt[g].tolist()), tuple(matched[g].tolist())
        )
        for g, name in enumerate(names)
    }
