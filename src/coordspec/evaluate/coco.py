"""COCO's AP and AR through faster-coco-eval, in pixels.

Source of the measures: https://cocodataset.org/#detection-eval. AP of a category depends on the images alone that have
it, on either side. So each category gets images of its own, numbered from 1, and categories with about as many images
are evaluated together: the numbers stay the same, and thousands of rare categories cost no more than their objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Final

import numpy as np

from coordspec.boxes import polygon_area
from coordspec.evaluate.scenes import Floats, Geometry, Ints, Scenes, Side, categories_in

MAX_DETECTIONS: Final = (1, 10, 100)
_TOGETHER: Final = 128
_AREAS: Final = ("all", "small", "medium", "large")
_IOU_TYPES: Final = {Geometry.BOXES: "bbox", Geometry.POLYGONS: "segm"}


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """COCO's twelve numbers; None where no ground-truth object is of that size.

    ``ap`` is the mean over IoU 0.5 to 0.95, ``ar_1`` and ``ar_10`` allow that many predictions of a category in an
    image, all others 100. ``by_category`` has the AP of every category of the ground truth.
    """

    ap: float | None
    ap_50: float | None
    ap_75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar_1: float | None
    ar_10: float | None
    ar_100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None
    by_category: Mapping[str, float]

    def value(self) -> dict[str, Any]:
        """The twelve numbers as JSON."""
        return {name: number for name, number in asdict(self).items() if name != "by_category"}


@dataclass(frozen=True, slots=True)
class Refused:
    """A number that would mean nothing, and why."""

    reason: str


def score_fault(scores: Sequence[float | None]) -> str | None:
    """Why AP cannot be computed from these scores, or None. AP ranks predictions, so there has to be a ranking."""
    missing = sum(score is None for score in scores)
    if missing:
        return f"{missing} of {len(scores)} predictions have no score, and AP ranks predictions by their scores"
    if len(scores) > 1 and len(set(scores)) == 1:
        return f"all {len(scores)} predictions have the score {scores[0]:g}, and AP ranks predictions by their scores"
    return None


def average_precision(scenes: Scenes, scores: Sequence[float | None], geometry: Geometry) -> AveragePrecision | Refused:
    """COCO's numbers of all images; ``scores`` belong to ``scenes.predicted`` by their order.

    Sizes are those of the ground truth's enclosing boxes, or of its outlines. Categories that no ground truth has count
    for nothing, as in COCO.

    Raises:
        ModuleNotFoundError: faster-coco-eval, of the extra ``eval``, is not installed.
    """
    fault = score_fault(scores)
    if fault is not None:
        return Refused(fault)
    if not len(scenes.gt):
        return Refused("there is no ground-truth object")
    gt = _annotations(scenes, scenes.gt, geometry)
    predicted = _annotations(scenes, scenes.predicted, geometry)
    for annotation, score in zip(predicted, scores, strict=True):
        annotation["score"] = score
    parts = [_evaluated(chunk, geometry) for chunk in _chunks(scenes, gt, predicted)]
    ids = [number for numbers, _, _ in parts for number in numbers]
    precision_TCA = np.concatenate([precision for _, precision, _ in parts], axis=1)
    recall_TCAM = np.concatenate([recall for _, _, recall in parts], axis=1)
    own_C = _own_means(precision_TCA[:, :, 0])
    ap = {area: _mean(precision_TCA[:, :, a]) for a, area in enumerate(_AREAS)}
    ar = {area: _mean(recall_TCAM[:, :, a, -1]) for a, area in enumerate(_AREAS)}
    return AveragePrecision(
        ap=ap["all"],
        ap_50=_mean(precision_TCA[0, :, 0]),
        ap_75=_mean(precision_TCA[5, :, 0]),
        ap_small=ap["small"],
        ap_medium=ap["medium"],
        ap_large=ap["large"],
        ar_1=_mean(recall_TCAM[:, :, 0, 0]),
        ar_10=_mean(recall_TCAM[:, :, 0, 1]),
        ar_100=ar["all"],
        ar_small=ar["small"],
        ar_medium=ar["medium"],
        ar_large=ar["large"],
        by_category={scenes.categories[number]: own for number, own in sorted(zip(ids, own_C, strict=True))},
    )


def _mean(values: Floats) -> float | None:
    """Mean of the values that are known; COCO writes -1 for those that are not."""
    known = values[values > -1]
    return float(known.mean()) if len(known) else None


def _own_means(precision_TC: Floats) -> list[float]:
    return [float(column.mean()) for column in precision_TC.T]


@dataclass(slots=True)
class _Chunk:
    """Categories that are evaluated together: two COCO documents, and the numbers of the categories."""

    categories: list[int]
    gt: list[dict[str, Any]]
    predicted: list[dict[str, Any]]
    images: int


def _chunks(scenes: Scenes, gt: Sequence[dict[str, Any]], predicted: Sequence[dict[str, Any]]) -> Iterator[_Chunk]:
    """Categories of the ground truth, in groups with about as many images; annotations are those of both sides."""
    gt_of, predicted_of = _by_category(scenes.gt), _by_category(scenes.predicted)
    images_of = {
        c: np.union1d(scenes.gt.image_N[gt_of[c]], scenes.predicted.image_N[predicted_of.get(c, _NONE)])
        for c in categories_in(scenes.gt)
    }
    groups: dict[int, list[int]] = {}
    for c, images in images_of.items():
        groups.setdefault(len(images).bit_length(), []).append(c)
    for group in groups.values():
        todo = iter(group)
        while together := list(islice(todo, _TOGETHER)):
            chunk = _Chunk(together, [], [], max(len(images_of[c]) for c in together))
            for c in together:
                own = {image: number for number, image in enumerate(images_of[c].tolist(), 1)}
                chunk.gt += _renumbered(gt, gt_of[c], own)
                chunk.predicted += _renumbered(predicted, predicted_of.get(c, _NONE), own)
            yield chunk


_NONE: Final[Ints] = np.zeros(0, np.intp)


def _by_category(side: Side) -> dict[int, Ints]:
    """Numbers of the objects of each category, in their order."""
    order = np.argsort(side.category_N, kind="stable")
    names, starts = np.unique(side.category_N[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True)) if len(order) else {}


def _renumbered(
    annotations: Sequence[dict[str, Any]], numbers: Ints, own: Mapping[int, int]
) -> Iterator[dict[str, Any]]:
    """Some annotations with the image ids of their category."""
    for number in numbers.tolist():
        annotation = annotations[number]
        yield {**annotation, "image_id": own[annotation["image_id"]]}


def _annotations(scenes: Scenes, side: Side, geometry: Geometry) -> list[dict[str, Any]]:
    """The objects of one side as COCO annotations in pixels, with indices for ids."""
    x1, y1, x2, y2 = side.box_N4.T
    boxes = np.stack([x1, y1, x2 - x1, y2 - y1], axis=1).tolist()
    ids = zip(side.image_N.tolist(), side.category_N.tolist(), boxes, strict=True)
    made = [{"image_id": i, "category_id": c, "bbox": b, "area": b[2] * b[3], "iscrowd": 0} for i, c, b in ids]
    if geometry is Geometry.POLYGONS:
        for annotation, outline in zip(made, scenes.outlines(side), strict=True):
            annotation["area"] = polygon_area(outline)
            annotation["segmentation"] = _mask(outline, scenes.sizes[annotation["image_id"]])
    return made


def _mask(outline: list[float], size: tuple[int, int]) -> dict[str, Any]:
    """The run-length mask of an outline in an image of that width and height."""
    from faster_coco_eval.core import mask  # type: ignore[import-untyped] # noqa: PLC0415 (an extra)

    made: dict[str, Any] = mask.frPyObjects([outline], size[1], size[0])[0]
    return made


def _evaluated(chunk: _Chunk, geometry: Geometry) -> tuple[list[int], Floats, Floats]:
    """Categories, their precision [thresholds, categories, areas] averaged over recall, and recall [..., limits]."""
    coco, evaluator = _package()
    images = [{"id": number, "width": 1, "height": 1} for number in range(1, chunk.images + 1)]
    frame = {"images": images, "categories": [{"id": c, "name": str(c)} for c in chunk.categories]}
    documents = [
        coco({**frame, "annotations": [{**item, "id": number} for number, item in enumerate(side, 1)]})
        for side in (chunk.gt, chunk.predicted)
    ]
    run = evaluator(*documents, _IOU_TYPES[geometry])
    run.params.maxDets = list(MAX_DETECTIONS)
    run.evaluate()
    run.accumulate()
    return list(run.params.catIds), run.eval["precision"][..., -1].mean(axis=1), run.eval["recall"]


def _package() -> tuple[Any, Any]:
    from faster_coco_eval import COCO, COCOeval_faster  # type: ignore[import-untyped] # noqa: PLC0415 (an extra)

    return COCO, COCOeval_faster
