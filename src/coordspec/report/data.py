"""The report on a data file: what is in it, what the validator finds, what it looks like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from coordspec.checks.finding import CoordSpace
from coordspec.errors import InputError, Issue
from coordspec.findings.outcome import Outcome
from coordspec.findings.visible import plural, shown
from coordspec.notes import Note, counting, silent
from coordspec.record import Record, read_records
from coordspec.report.cards import by_line, data_card
from coordspec.report.charts import MAX_BARS, bars, share_labels
from coordspec.report.findings import findings_value, validated
from coordspec.report.options import OF_PREDICTIONS, Order, ReportOptions
from coordspec.report.page import ReportPage, fact, gallery, picture_notes
from coordspec.stats import Stats, collect
from coordspec.validate.run import known_bytes


def data_report(path: str, options: ReportOptions, note: Note = silent) -> ReportPage:
    """The report on a contract file. Lines that break the contract are findings and have no card.

    Raises:
        InputError: the file cannot be read, or no line of it is a sound record.
        ValueError: the order is one of predictions.
    """
    order = options.order or Order.FILE
    if order in OF_PREDICTIONS:
        raise ValueError(f"the order {order} is one of predictions")
    outcome = validated(path, options.max_line_bytes, note)
    on_read = counting(note, "counting", known_bytes([path]))
    stats = collect([path], CoordSpace.NORM1000, options.max_line_bytes, on_read)
    if not stats.records:
        raise InputError(path, "holds no record that keeps the contract; `coordspec validate` says what is wrong")
    found = by_line(outcome.issues)
    chosen = _chosen(path, found if order is Order.FINDINGS else {}, options)
    cards, on_card = [], counting(note, "making pictures", len(chosen))
    for number, record in sorted(chosen, key=lambda item: _rank(item, found, order)):
        cards.append(data_card(number, record, found.get(record.place.line, ()), options))
        on_card(1)
    return ReportPage(
        _value(path, outcome=outcome, stats=stats, cards=cards, order=order, options=options), outcome.errors
    )


def data_charts(stats: Stats) -> list[dict[str, Any]]:
    """What a data file holds, as bars."""
    value = stats.value()
    counts = value["objects_per_record"]["histogram"]
    top = value["descs"]["top"][:MAX_BARS]
    of_all = f"{len(top)} of {value['descs']['distinct']:,} descs" if value["descs"]["distinct"] > len(top) else ""
    return [
        bars("Objects in an image", [(_between(b["from"], b["to"]), b["records"], None) for b in counts], of="images"),
        bars(
            "Sizes of objects",
            [(label, b["boxes"], None) for label, b in zip(share_labels(), value["box_area_share"], strict=True)],
            of="objects",
            about="Enclosing boxes by their share of the image's area.",
        ),
        bars("Descs", [(item["desc"], item["count"], None) for item in top], of="objects", about=of_all),
    ]


def _value(
    path: str,
    *,
    outcome: Outcome,
    stats: Stats,
    cards: list[dict[str, Any]],
    order: Order,
    options: ReportOptions,
) -> Mapping[str, Any]:
    notes = picture_notes(cards)
    if stats.unusable:
        notes.append(f"{plural(stats.unusable, 'line')} that broke the contract left out of all but the findings.")
    value = stats.value()
    return {
        "kind": "data",
        "title": shown(path),
        "about": "A data file, and what coordspec validate finds in it",
        "notes": notes,
        "facts": [
            fact("records", stats.records),
            fact("objects", stats.objects),
            fact("objects a record", value["objects_per_record"]["mean"]),
            fact("distinct descs", value["descs"]["distinct"]),
            fact("without objects", value["negatives"]),
            fact("errors", outcome.errors),
            fact("warnings", outcome.warnings),
        ],
        "charts": [{"title": "What is in it", "open": True, "charts": data_charts(stats)}],
        "tables": [],
        "findings": findings_value(outcome),
        "gallery": gallery(cards, stats.records, order, options, judged=False),
    }


def _chosen(path: str, first: Mapping[int | None, list[Issue]], options: ReportOptions) -> list[tuple[int, Record]]:
    """The records with findings in ``first``, then others, in all as many as are shown; each with its number."""
    named: list[tuple[int, Record]] = []
    others: list[tuple[int, Record]] = []
    lines = read_records(path, options.max_line_bytes)  # what it refuses the validator lists
    for number, record in enumerate(item for item in lines if isinstance(item, Record)):
        (named if record.place.line in first else others).append((number, record))
        del others[options.max_images :]
        if not first and len(others) == options.max_images:
            break
    named.sort(key=lambda item: (-len(first[item[1].place.line]), item[0]))
    return [*named, *others][: options.max_images]


def _rank(item: tuple[int, Record], found: Mapping[int | None, list[Issue]], order: Order) -> tuple[int, int]:
    number, record = item
    return (-len(found.get(record.place.line, ())) if order is Order.FINDINGS else 0, number)


def _between(low: int, high: int | None) -> str:
    if high is None:
        return f"{low} or more"
    return str(low) if low == high else f"{low} to {high}"
