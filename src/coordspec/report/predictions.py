"""The report on a prediction file and its data: the numbers of `coordspec eval`, and every image behind them."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from coordspec.boxes import IOU_THRESHOLDS
from coordspec.coords import MAX_BIN
from coordspec.errors import InputError, Issue
from coordspec.evaluate.join import Joined, join
from coordspec.evaluate.judge import Judged, judge, match_counts
from coordspec.evaluate.options import IOU, EvalOptions
from coordspec.evaluate.scenes import as_box
from coordspec.evaluate.summary import Evaluation, evaluate
from coordspec.findings.visible import plural, shown
from coordspec.notes import Note, counting, silent
from coordspec.outcomes import MatchCounts
from coordspec.pages.marks import MARKS
from coordspec.predictions.files import PredictionFile, read_predictions
from coordspec.record import DetObject, all_records
from coordspec.report.cards import by_line, judged_card
from coordspec.report.charts import bars, lines, reliability_chart, share_labels
from coordspec.report.findings import findings_value, validated
from coordspec.report.options import Order, ReportOptions
from coordspec.report.page import ReportPage, fact, gallery, picture_notes, table
from coordspec.report.settings import flat
from coordspec.rollout.reasons import DropReason
from coordspec.stats import SHARE_STEPS
from coordspec.validate.run import known_bytes

MAX_CATEGORIES: Final = 200
"""Rows of the table by category."""
_CALIBRATION: Final = {
    "score": ("Scores", f"Right: same category, IoU from {IOU}."),
    "score_coord": ("Scores of the place", f"Right: IoU from {IOU} with any object."),
    "score_desc": ("Scores of the words", f"Of predictions with IoU from {IOU}; right: same category."),
}


def predictions_report(preds: str, data: str, options: ReportOptions, note: Note = silent) -> ReportPage:
    """The report on predictions and their ground truth, which are joined and counted as `coordspec eval` does.

    Raises:
        ContractError: a line of either file breaks a rule at error level.
        InputError: a file cannot be read, is too large to evaluate, or nothing in the two belongs together.
        ModuleNotFoundError: a package of the extra ``eval`` is not installed.
    """
    on_read = counting(note, "reading predictions", known_bytes([preds]))
    file = read_predictions(preds, options.max_line_bytes, on_read)
    records = all_records(data, options.max_line_bytes, counting(note, "reading data", known_bytes([data])))
    if not records:
        raise InputError(data, "holds no record, so there is nothing to show")
    joined = join(records, file.predictions)
    if len(joined.missing) == len(records):
        raise InputError(preds, f"holds no prediction for a record of {data}")
    used = joined.without_missing() if options.partial else joined
    lost = [] if options.partial else joined.issues(data)
    note("matching", 0, None)
    judged = judge(used.records, used.predictions, options.categories, options.iou)
    outcome = validated(data, options.max_line_bytes, note)
    order = options.order or Order.F1
    of_data = [issue for issue in lost if issue.place.path == data]
    found = by_line([*of_data, *outcome.issues])
    chosen = ranked(judged, order, found)[: options.max_images]
    cards, on_card = [], counting(note, "making pictures", len(chosen))
    for number in chosen:
        cards.append(judged_card(number, judged[number], found.get(judged[number].record.place.line, ()), options))
        on_card(1)
    evaluation = evaluate(
        used.records,
        used.predictions,
        EvalOptions(options.categories, resamples=0, average_precision=False),
        strays=len(joined.strays),
        note=note,
    )
    value = {
        "kind": "predictions",
        "title": shown(preds),
        "about": shown(f"Predictions for {data}"),
        "notes": [*_notes(joined, options), *picture_notes(cards)],
        "facts": _facts(judged, evaluation, options),
        "charts": [{"title": "How good they are", "open": True, "charts": _charts(judged, evaluation, options)}],
        "tables": [_categories(judged, options), _outputs(evaluation), *_run(file)],
        "findings": findings_value(outcome, lost),
        "gallery": gallery(cards, len(judged), order, options, judged=True),
        "reasons": {reason.value: reason.meaning.replace("`", "") for reason in DropReason},
    }
    return ReportPage(value, outcome.errors + len(lost))


def ranked(judged: Sequence[Judged], order: Order, found: Mapping[int | None, Sequence[Issue]]) -> list[int]:
    """Numbers of the records, the worst first; records that are alike stay in their order.

    A record with neither objects nor predictions has no F1, and comes last with the perfect ones.
    """
    worst: Mapping[Order, Callable[[Judged], float]] = {
        Order.FILE: lambda _: 0,
        Order.FINDINGS: lambda item: -len(found.get(item.record.place.line, ())),
        Order.F1: lambda item: 1 if (score := item.counts.f1) is None else score,
        Order.FP: lambda item: -item.fp,
        Order.FN: lambda item: -item.fn,
    }
    return sorted(range(len(judged)), key=lambda number: worst[order](judged[number]))


def _notes(joined: Joined, options: ReportOptions) -> Iterator[str]:
    missing = len(joined.missing)
    if missing and options.partial:
        yield f"{plural(missing, 'record')} without a prediction left out (--partial)."
    elif missing:
        yield f"{plural(missing, 'record')} without a prediction counted as empty."
    if joined.strays:
        yield f"{plural(len(joined.strays), 'prediction')} for no record of the data left out."


def _facts(judged: Sequence[Judged], evaluation: Evaluation, options: ReportOptions) -> list[dict[str, Any]]:
    table = evaluation.boxes.class_aware
    counts = match_counts(judged)
    return [
        fact("F1", counts.f1, f"same category, IoU from {options.iou:g}"),
        fact("precision", counts.precision),
        fact("recall", counts.recall),
        fact("mean F1", table.f1_mean, f"IoU {IOU} to {IOU_THRESHOLDS[-1]}"),
        fact("F1 of boxes", evaluation.boxes.class_agnostic.f1_mean, "any category, the same mean"),
        fact("images", evaluation.images),
        fact("objects", table.gt),
        fact("predictions", table.predictions),
        fact("outputs read whole", evaluation.outputs.counts.whole_rate),
    ]


def _charts(judged: Sequence[Judged], evaluation: Evaluation, options: ReportOptions) -> list[dict[str, Any]]:
    boxes = evaluation.boxes
    aware, agnostic = boxes.class_aware.by_threshold(), boxes.class_agnostic.by_threshold()
    rows = {"F1": (aware, "f1"), "precision": (aware, "precision"), "recall": (aware, "recall")}
    rows["F1, any category"] = (agnostic, "f1")
    series = {
        name: [(row["iou"], row[key]) for row in listed if row[key] is not None] for name, (listed, key) in rows.items()
    }
    kinds = [
        reliability_chart(title, found.value(), about)
        for name, (title, about) in _CALIBRATION.items()
        if (found := evaluation.calibration[name]) is not None
    ]
    return [
        lines("F1 by IoU threshold", series, x="IoU threshold", span=(0, 1)),
        _sizes(judged, options),
        *kinds,
    ]


def _sizes(judged: Sequence[Judged], options: ReportOptions) -> dict[str, Any]:
    """Objects by the share of the image that their enclosing boxes take, and how many of them were found."""
    labels = share_labels()
    counts, found = Counter[int](), Counter[int]()
    for item in judged:
        for wanted, hit in zip(item.record.objects, item.found, strict=True):
            bucket = min(bisect_right(SHARE_STEPS, _share(wanted)), len(labels)) - 1
            counts[bucket] += 1
            found[bucket] += hit
    return bars(
        "Objects by size, and those found",
        [(label, counts[number], found[number]) for number, label in enumerate(labels)],
        of="objects",
        part="found",
        about=f"Enclosing boxes by their share of the image's area; found at IoU {options.iou:g}.",
    )


def _share(item: DetObject) -> float:
    box = as_box(item).bbox_2d
    assert box is not None, "a box has corners"
    return float((box[2] - box[0]) * (box[3] - box[1]) / MAX_BIN**2)


def _categories(judged: Sequence[Judged], options: ReportOptions) -> dict[str, Any]:
    counts, found, wrong = Counter[str](), Counter[str](), Counter[str]()
    for item in judged:
        for wanted, hit in zip(item.record.objects, item.found, strict=True):
            name = options.categories.of(wanted.desc)
            counts[name] += 1
            found[name] += hit
        predicted = () if item.prediction is None else item.prediction.objects
        wrong.update(
            options.categories.of(guess.desc) for guess, right in zip(predicted, item.right, strict=True) if not right
        )
    names = sorted({*counts, *wrong}, key=lambda name: (-counts[name], -wrong[name], name))
    rows = [
        (
            shown(name),
            counts[name],
            found[name],
            counts[name] - found[name],
            wrong[name],
            _f1(found[name], counts[name], wrong[name]),
        )
        for name in names[:MAX_CATEGORIES]
    ]
    note = f"{len(rows)} of {len(names):,} categories, those with the most objects." if len(rows) < len(names) else ""
    words = {"matched": "found", "fn": "missed", "fp": "false positives"}
    outcomes = [f"{MARKS[outcome].glyph} {word}" for outcome, word in words.items()]
    columns = ["category", "objects", *outcomes, "F1"]
    return table("By category", columns, rows, note)


def _f1(matched: int, gt: int, fp: int) -> float | None:
    score = MatchCounts.of_pairs(matched, gt, matched + fp).f1
    return None if score is None else round(score, 3)


def _outputs(evaluation: Evaluation) -> dict[str, Any]:
    value = evaluation.outputs.value()
    rows: list[tuple[str, Any]] = [
        ("outputs", value["outputs"]),
        ("read whole", value["whole"]),
        ("cut short", value["truncated"]),
        ("not read at all", value["outputs"] - value["parsed"]),
        ("entries", value["entries"]),
        ("dropped entries", value["dropped"]),
        *((f"dropped: {shown(reason)}", count) for reason, count in value["drop_reasons"].items()),
        ("written twice", evaluation.duplicates),
        ("predictions of categories that no object has", sum(evaluation.unknown.values())),
        ("records without a prediction", evaluation.missing),
        ("tokens", value["tokens"]),
    ]
    return table("Outputs", ["", ""], rows)


def _run(file: PredictionFile) -> Iterator[dict[str, Any]]:
    """What made the predictions, where that is known."""
    if file.run is None:
        return
    rows = [(name, shown(str(value))) for name, value in file.run.value().items() if name != "settings"]
    yield table("Made by", ["", ""], [*rows, *flat(file.run.settings)])
