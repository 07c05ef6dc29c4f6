"""All numbers of one evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from coordspec.boxes import DUPLICATE_IOU, IOU_THRESHOLDS, polygon_area
from coordspec.evaluate import bootstrap, buckets
from coordspec.evaluate.bootstrap import Interval
from coordspec.evaluate.calibration import CoordCalibration, Reliability, coord_calibration, reliability
from coordspec.evaluate.coco import AveragePrecision, Refused, average_precision
from coordspec.evaluate.f1 import F1Table, Matches, match, mean_iou
from coordspec.evaluate.options import DEFAULTS, EvalOptions
from coordspec.evaluate.outputs import Outputs, count_outputs
from coordspec.evaluate.overlaps import overlaps, repeats, same_category
from coordspec.evaluate.scenes import Floats, Geometry, Scenes, Side, make_scenes
from coordspec.notes import Note, silent
from coordspec.outcomes import share
from coordspec.predictions.record import PredictedObject, Prediction
from coordspec.record import Record

TOP_UNKNOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Scores:
    """The numbers of one geometry. Buckets are class-aware; ``iou`` is the mean over class-aware matches at 0.5."""

    class_aware: F1Table
    class_agnostic: F1Table
    iou: float | None
    intervals: Mapping[str, Mapping[str, Interval | None]]
    average_precision: AveragePrecision | Refused
    by_category: Mapping[str, F1Table]
    by_size: Mapping[str, F1Table]
    by_crowd: Mapping[str, F1Table]

    def value(self) -> dict[str, Any]:
        """The numbers as JSON."""
        ap = self.average_precision
        known = ap if isinstance(ap, AveragePrecision) else None
        return {
            "class_aware": _whole(self.class_aware, self.intervals.get("class_aware")),
            "class_agnostic": _whole(self.class_agnostic, self.intervals.get("class_agnostic")),
            "mean_iou": self.iou,
            "average_precision": None if known is None else known.value(),
            "average_precision_refused": ap.reason if isinstance(ap, Refused) else None,
            "by_category": {
                name: {**table.value(), "ap": None if known is None else known.by_category.get(name)}
                for name, table in self.by_category.items()
            },
            "by_size": {name: table.value() for name, table in self.by_size.items()},
            "by_crowd": {name: table.value() for name, table in self.by_crowd.items()},
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What ``evaluate`` found; ``value`` says what each number means."""

    images: int
    missing: int
    strays: int
    options: EvalOptions
    outputs: Outputs
    boxes: Scores
    polygons: Scores | None
    duplicates: int
    images_with_duplicates: int
    unknown: Mapping[str, int]
    calibration: Mapping[str, Reliability | None]
    coords: CoordCalibration | None

    def value(self) -> dict[str, Any]:
        """The evaluation as JSON. Keys are stable; new ones may be added. docs/evaluation/EVAL.md explains them."""
        predictions = self.boxes.class_aware.predictions
        top = sorted(self.unknown.items(), key=lambda item: (-item[1], item[0]))
        return {
            "images": {"evaluated": self.images, "missing": self.missing, "stray_predictions": self.strays},
            "outputs": self.outputs.value(),
            "boxes": self.boxes.value(),
            "polygons": None if self.polygons is None else self.polygons.value(),
            "duplicates": {
                "iou": DUPLICATE_IOU,
                "predictions": self.duplicates,
                "rate": share(self.duplicates, predictions),
                "images": self.images_with_duplicates,
            },
            "unknown_categories": {
                "predictions": sum(self.unknown.values()),
                "categories": len(self.unknown),
                "top": [{"category": name, "predictions": count} for name, count in top[:TOP_UNKNOWN]],
            },
            "calibration": {
                **{name: None if item is None else item.value() for name, item in self.calibration.items()},
                "coords": None if self.coords is None else self.coords.value(),
            },
            "bootstrap": {
                "resamples": self.options.resamples,
                "seed": self.options.seed,
                "level": bootstrap.LEVEL,
                "unit": "image",
            },
        }


def evaluate(
    records: Sequence[Record],
    predictions: Sequence[Prediction | None],
    options: EvalOptions = DEFAULTS,
    *,
    strays: int = 0,
    note: Note = silent,
) -> Evaluation:
    """Every number about predictions; ``predictions[i]`` is that for ``records[i]``.

    A record whose prediction is None has no predicted objects, and is counted as missing. ``strays`` is the number of
    predictions that belong to no record; it is only carried along.

    Raises:
        ValueError: the two sequences differ in length.
        InputError: an image is too large to evaluate.
        ModuleNotFoundError: AP is wanted, and faster-coco-eval is not installed.
    """
    present = [item for item in predictions if item is not None]
    listed = [() if item is None else item.objects for item in predictions]
    objects = [item for found in listed for item in found]
    scenes = make_scenes(records, listed, options.categories)
    boxes, aware, agnostic = _scores(scenes, Geometry.BOXES, objects, options, note)
    outlined = scenes.gt.has_polygons and scenes.predicted.has_polygons
    twice = repeats(scenes.predicted, Geometry.BOXES, DUPLICATE_IOU)
    later = np.unique(twice.predicted_P)
    known = set(scenes.gt.category_N.tolist())
    unknown = Counter(scenes.categories[c] for c in scenes.predicted.category_N.tolist() if c not in known)
    gt = [item for record in records for item in record.objects]
    return Evaluation(
        images=len(records),
        missing=len(predictions) - len(present),
        strays=strays,
        options=options,
        outputs=count_outputs(present),
        boxes=boxes,
        polygons=_scores(scenes, Geometry.POLYGONS, objects, options, note)[0] if outlined else None,
        duplicates=len(later),
        images_with_duplicates=len(np.unique(scenes.predicted.image_N[later])),
        unknown=unknown,
        calibration=_calibration(scenes, objects, aware, agnostic),
        coords=coord_calibration(gt, objects, aware.at[0]),
    )


def _scores(
    scenes: Scenes, geometry: Geometry, objects: Sequence[PredictedObject], options: EvalOptions, note: Note
) -> tuple[Scores, Matches, Matches]:
    """The numbers of one geometry, and the matches, class-aware and class-agnostic, that they come from."""
    note(f"matching {geometry}", 0, None)
    pairs = overlaps(scenes, geometry, IOU_THRESHOLDS[0])
    aware, agnostic = match(same_category(scenes, pairs), IOU_THRESHOLDS), match(pairs, IOU_THRESHOLDS)
    counts = len(scenes.gt), len(scenes.predicted)
    drawn: dict[str, Mapping[str, Interval | None]] = {}
    if options.resamples and len(scenes):
        note(f"intervals of {geometry}", 0, None)
        for name, matches in (("class_aware", aware), ("class_agnostic", agnostic)):
            drawn[name] = bootstrap.intervals(scenes, matches, options.resamples, options.seed)
    ap: AveragePrecision | Refused = Refused("not asked for")
    if options.average_precision:
        note(f"AP of {geometry}", 0, None)
        ap = average_precision(scenes, [item.score for item in objects], geometry)
    areas = _areas(scenes, scenes.gt, geometry), _areas(scenes, scenes.predicted, geometry)
    scores = Scores(
        class_aware=aware.table(*counts),
        class_agnostic=agnostic.table(*counts),
        iou=mean_iou(aware.at[0]),
        intervals=drawn,
        average_precision=ap,
        by_category=buckets.by_category(scenes, aware),
        by_size=buckets.by_size(aware, areas),
        by_crowd=buckets.by_crowd(scenes, aware),
    )
    return scores, aware, agnostic


def _areas(scenes: Scenes, side: Side, geometry: Geometry) -> Floats:
    if geometry is Geometry.BOXES:
        return side.box_areas()
    return np.array([polygon_area(outline) for outline in scenes.outlines(side)], dtype=np.float64)


def _calibration(
    scenes: Scenes, objects: Sequence[PredictedObject], aware: Matches, agnostic: Matches
) -> dict[str, Reliability | None]:
    """The whole score against being right, that of the place against any match, that of the desc among those.

    All at IoU 0.5. Predictions without the score in question are left out.
    """
    right_N, placed_N, named_N = (np.zeros(len(objects), dtype=np.bool_) for _ in range(3))
    right_N[aware.at[0].predicted_P] = True
    any_pairs = agnostic.at[0]
    placed_N[any_pairs.predicted_P] = True
    same_P = scenes.gt.category_N[any_pairs.gt_P] == scenes.predicted.category_N[any_pairs.predicted_P]
    named_N[any_pairs.predicted_P[same_P]] = True
    return {
        "score": _reliability((item.score for item in objects), right_N, np.ones_like(right_N)),
        "score_coord": _reliability((item.score_coord for item in objects), placed_N, np.ones_like(right_N)),
        "score_desc": _reliability((item.score_desc for item in objects), named_N, placed_N),
    }


def _reliability(scores: Iterable[float | None], right_N: Any, asked_N: Any) -> Reliability | None:
    score_N = np.array([np.nan if score is None else score for score in scores], dtype=np.float64)
    use_N = ~np.isnan(score_N) & asked_N
    return reliability(score_N[use_N], right_N[use_N])


def _whole(table: F1Table, drawn: Mapping[str, Interval | None] | None) -> dict[str, Any]:
    return {
        **table.value(),
        "by_threshold": table.by_threshold(),
        "intervals": None if drawn is None else bootstrap.values(drawn),
    }
