"""What the page shows of one record: image, objects, outcome, raw output, findings. All text in it is safe to show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from coordspec.errors import Issue
from coordspec.evaluate.categories import Categories
from coordspec.findings.visible import sentence, shown
from coordspec.pages.thumbnail import Picture, small, thumbnail
from coordspec.predictions.record import PredictedObject, Prediction
from coordspec.record import DetObject, Record
from coordspec.report.options import ReportOptions

if TYPE_CHECKING:
    from coordspec.evaluate.judge import Judged

TEXT_CHARS: Final = 4000
"""The longest raw output that is shown."""
DESC_CHARS: Final = 200
_FLATTEST: Final = 50
_DIGITS: Final = 3


def data_card(number: int, record: Record, issues: Iterable[Issue], options: ReportOptions) -> dict[str, Any]:
    """A record of a data file, the ``number``-th from 0."""
    objects = [_object("gt", item, options.categories) for item in record.objects]
    return {**_about(number, record, issues, options), "objects": objects}


def judged_card(number: int, judged: Judged, issues: Iterable[Issue], options: ReportOptions) -> dict[str, Any]:
    """A record with its prediction: objects of a match and missed ones, then right predictions and wrong ones."""
    prediction = judged.prediction
    score = judged.counts.f1
    return {
        **_about(number, judged.record, issues, options),
        "objects": _judged_objects(judged, options.categories),
        "f1": None if score is None else round(score, _DIGITS),
        "missing": prediction is None,
        **({} if prediction is None else _output(prediction)),
    }


def _about(number: int, record: Record, issues: Iterable[Issue], options: ReportOptions) -> dict[str, Any]:
    root = Path(record.place.path).parent if options.image_root is None else options.image_root
    picture = Picture(root, record.images[0], record.width, record.height, len(record.images) - 1)
    found = thumbnail(picture, small(options.side))
    # Sides may be integers that no float holds.
    ratio = min(max(Fraction(record.width, record.height), Fraction(1, _FLATTEST)), Fraction(_FLATTEST))
    return {
        "number": number,
        "place": shown(str(record.place)),
        "path": shown(picture.path),
        "size": shown(f"{picture.width}×{picture.height}", 60),
        "ratio": round(float(ratio), _DIGITS),
        "reduced": max(record.width, record.height) > options.side,
        "more": picture.more,
        "image": found.uri,
        "note": found.note,
        "findings": [f"{issue.code} {sentence(issue)}" for issue in issues],
    }


def _object(outcome: str, item: DetObject | PredictedObject, categories: Categories, **more: object) -> dict[str, Any]:
    geometry = {"bbox_2d": item.bbox_2d} if item.poly is None else {"poly": item.poly}
    category = shown(categories.of(item.desc), DESC_CHARS)
    desc = shown(item.desc, DESC_CHARS)
    return {"outcome": outcome, "category": category, "desc": desc, **geometry, **more}


def _judged_objects(judged: Judged, categories: Categories) -> list[dict[str, Any]]:
    record, prediction = judged.record, judged.prediction
    predicted = () if prediction is None else prediction.objects
    nearest = _nearest(record.objects, predicted)
    by_gt = {match.gt: match for match in judged.matches}
    by_predicted = {match.predicted: match for match in judged.matches}
    found: list[dict[str, Any]] = []
    for number, wanted in enumerate(record.objects):
        match = by_gt.get(number)
        partner = None if match is None else len(record.objects) + match.predicted
        found.append(_object("fn" if match is None else "gt", wanted, categories, partner=partner))
    for number, item in enumerate(predicted):
        match = by_predicted.get(number)
        scores = {name: _rounded(getattr(item, name)) for name in ("score", "score_coord", "score_desc")}
        scores = {name: score for name, score in scores.items() if score is not None}
        if match is not None:
            more: dict[str, Any] = {"partner": match.gt, "iou": _rounded(match.iou)}
            found.append(_object("matched", item, categories, **more, **scores))
        else:
            found.append(_object("fp", item, categories, **nearest[number], **scores))
    return found


def _nearest(objects: Sequence[DetObject], predicted: Sequence[PredictedObject]) -> list[dict[str, Any]]:
    """For each prediction the object that it overlaps most, whatever its category, and the IoU of the boxes."""
    if not objects or not predicted:
        return [{} for _ in predicted]
    from coordspec.evaluate.scenes import as_box  # noqa: PLC0415 (needs packages of an extra, which data files do not)
    from coordspec.match import pairwise_iou  # noqa: PLC0415

    overlap = pairwise_iou([as_box(item) for item in predicted], [as_box(item) for item in objects])
    rows = ((row, int(row.argmax())) for row in overlap)
    return [{"nearest": best, "iou": _rounded(float(row[best]))} if row[best] > 0 else {} for row, best in rows]


def _output(prediction: Prediction) -> dict[str, Any]:
    text = prediction.text
    return {
        "truncated": prediction.truncated,
        "fallback": None if prediction.fallback is None else shown(prediction.fallback),
        "dropped": [{"key": shown(key, DESC_CHARS), "reason": shown(reason)} for key, reason in prediction.dropped],
        "text": None if text is None else shown(text, TEXT_CHARS),
        "chars": None if text is None else len(text),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def by_line(issues: Iterable[Issue]) -> Mapping[int | None, list[Issue]]:
    """Findings by the line that they are about."""
    found: dict[int | None, list[Issue]] = {}
    for issue in issues:
        found.setdefault(issue.place.line, []).append(issue)
    return found
