"""An evaluation as tables for people, the same for the terminal and for Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from coordspec.boxes import IOU_THRESHOLDS
from coordspec.evaluate.options import IOU
from coordspec.findings.visible import visible
from coordspec.stats import PIXEL_CLASSES

Cell: TypeAlias = str | int
TOP_CATEGORIES: Final = 20
_ALL: Final = f"{IOU}:{IOU_THRESHOLDS[-1]}"
_MEASURES: Final = {
    "f1_50": f"F1 at {IOU}",
    "f1_95": f"F1 at {IOU_THRESHOLDS[-1]}",
    "f1_mean": f"F1 at {_ALL}",
    "precision_50": f"precision at {IOU}",
    "recall_50": f"recall at {IOU}",
}
_AP_ROWS: Final = {
    "ap": f"AP at {_ALL}",
    "ap_50": f"AP at {IOU}",
    "ap_75": "AP at 0.75",
    **{f"ap_{size}": f"AP {size}" for size in PIXEL_CLASSES},
    **{f"ar_{limit}": f"AR, {limit} predictions" for limit in ("1", "10", "100")},
    **{f"ar_{size}": f"AR {size}" for size in PIXEL_CLASSES},
}
_BUCKET_COLUMNS: Final = ("GT", "pred", "F1 .5", "F1 .95", "F1 .5:.95", "prec .5", "rec .5")
_OUTPUT_ROWS: Final = {
    "outputs": ("outputs", None),
    "parsed": ("parsed", "parse_rate"),
    "whole": ("parsed whole, nothing dropped", "whole_rate"),
    "truncated": ("truncated", "truncation_rate"),
    "dropped": ("entries dropped", "drop_rate"),
}


class Sheet(NamedTuple):
    """A table: the first column is text, the others are numbers as they are shown."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]


def sheets(value: Mapping[str, Any]) -> Iterator[Sheet]:
    """The tables of ``Evaluation.value``."""
    yield Sheet("Images and outputs", ("", "count", "share"), list(_outputs(value)))
    for name in ("boxes", "polygons"):
        if value[name] is not None:
            yield from _geometry(name.capitalize(), value[name], value["bootstrap"])
    yield from _calibration(value["calibration"])


def markdown(made: Iterable[Sheet]) -> str:
    """The tables as Markdown, ending with a line feed; no cell is read as markup."""
    blocks = []
    for title, columns, rows in made:
        head = [f"| {' | '.join(columns)} |", f"|{' --- |' + ' ---: |' * (len(columns) - 1)}"]
        body = [f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in rows]
        blocks.append("\n".join([f"## {title}", "", *head, *body]))
    return "\n\n".join(blocks) + "\n"


def _escaped(cell: Cell) -> str:
    text = f"{cell:,}" if isinstance(cell, int) else visible(cell)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)


def _outputs(value: Mapping[str, Any]) -> Iterator[tuple[Cell, ...]]:
    images, outputs, twice = value["images"], value["outputs"], value["duplicates"]
    yield "images evaluated", images["evaluated"], ""
    yield "without a prediction", images["missing"], ""
    yield "predictions for no record", images["stray_predictions"], ""
    for key, (name, rate) in _OUTPUT_ROWS.items():
        yield name, outputs[key], "" if rate is None else _number(outputs[rate])
    for kind in ("fallbacks", "drop_reasons"):
        yield from ((f"  {reason}", count, "") for reason, count in outputs[kind].items())
    yield "duplicate predictions", twice["predictions"], _number(twice["rate"])
    unknown = value["unknown_categories"]
    yield f"of {unknown['categories']} categories without ground truth", unknown["predictions"], ""
    if outputs["tokens"] is not None:
        yield "tokens", outputs["tokens"], ""


def _geometry(name: str, scores: Mapping[str, Any], drawn: Mapping[str, Any]) -> Iterator[Sheet]:
    level = f"{drawn['level']:.0%} interval" if drawn["resamples"] else ""
    kinds = ("class-aware", "class-agnostic")
    columns = ("", *(column for kind in kinds for column in (kind, level) if column))
    yield Sheet(f"{name}: F1 without scores", columns, list(_f1_rows(scores)))
    ap = scores["average_precision"]
    if ap is not None:
        rows = [(_AP_ROWS[key], _number(number)) for key, number in ap.items()]
        yield Sheet(f"{name}: COCO AP and AR", ("", "value"), rows)
    yield Sheet(f"{name} by size", ("", *_BUCKET_COLUMNS), _buckets(scores["by_size"].items()))
    yield Sheet(f"{name} by objects in the image", ("", *_BUCKET_COLUMNS), _buckets(scores["by_crowd"].items()))
    ordered = sorted(scores["by_category"].items(), key=lambda item: (-item[1]["ground_truth"], item[0]))
    title = f"{name} by category (the first {min(len(ordered), TOP_CATEGORIES)} of {len(ordered)})"
    top = ordered[:TOP_CATEGORIES]
    with_ap = [(*row, _number(table["ap"])) for row, (_, table) in zip(_buckets(top), top, strict=True)]
    yield Sheet(title, ("", *_BUCKET_COLUMNS, "AP"), with_ap)


def _f1_rows(scores: Mapping[str, Any]) -> Iterator[tuple[Cell, ...]]:
    for key, name in _MEASURES.items():
        row: list[Cell] = [name]
        for kind in ("class_aware", "class_agnostic"):
            row.append(_number(scores[kind][key]))
            drawn = scores[kind]["intervals"]
            if drawn is not None:
                row.append("-" if drawn[key] is None else " to ".join(map(_number, drawn[key])))
        yield tuple(row)
    empty = [""] * (len(row) - 2)
    yield ("mean IoU of matches", _number(scores["mean_iou"]), *empty)


def _buckets(tables: Iterable[tuple[str, Mapping[str, Any]]]) -> list[tuple[Cell, ...]]:
    keys = ("f1_50", "f1_95", "f1_mean", "precision_50", "recall_50")
    return [
        (name, table["ground_truth"], table["predictions"], *(_number(table[key]) for key in keys))
        for name, table in tables
    ]


def _calibration(value: Mapping[str, Any]) -> Iterator[Sheet]:
    known = {name: item for name, item in value.items() if name != "coords" and item is not None}
    if known:
        rows = [
            (name, item["predictions"], _number(item["mean_score"]), _number(item["right"]), _number(item["ece"]))
            for name, item in known.items()
        ]
        yield Sheet("Calibration of scores", ("", "predictions", "mean score", "right", "ECE"), rows)
    coords = value["coords"]
    if coords is not None:
        rows_of_coords: list[tuple[Cell, ...]] = [("coordinates", coords["coordinates"])]
        rows_of_coords += [
            (f"within the central {item['mass']:.0%}", _number(item["covered"])) for item in coords["coverage"]
        ]
        rows_of_coords += [
            (name, f"{coords[key]:.2f} bins")
            for key, name in (
                ("mean_std", "mean standard deviation"),
                ("written_error", "mean error of the written bin"),
                ("expected_error", "mean error of the expected bin"),
            )
        ]
        yield Sheet("Distributions at coordinates of matched boxes", ("", "value"), rows_of_coords)


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}"
