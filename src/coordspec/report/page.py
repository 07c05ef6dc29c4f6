"""A report as JSON, and as one page of HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from coordspec.findings.visible import plural
from coordspec.pages import html
from coordspec.pages.html import html_page, resource
from coordspec.pages.marks import MARKS, page_data
from coordspec.report.options import Order, ReportOptions

PACKAGE: Final = "coordspec.report"
STYLES: Final = ("report.css", "gallery.css")
SCRIPTS: Final = ("charts.js", "gallery.js", "details.js", "report.js")


@dataclass(frozen=True, slots=True)
class ReportPage:
    """What a page says. ``errors`` counts findings at error level.

    ``value`` is the JSON in the page. Its keys are those that the scripts of this package read: ``kind``, ``title``,
    ``notes``, ``facts``, ``charts``, ``tables``, ``findings``, ``gallery`` and, of predictions, ``reasons``.
    """

    value: Mapping[str, Any]
    errors: int = 0

    @property
    def summary(self) -> str:
        """How much of the data the page shows, in words."""
        gallery = self.value["gallery"]
        return self.value["about"] if gallery is None else _shown(gallery)

    def html(self) -> str:
        """The page. Text from the data stands in it as JSON alone, and reaches the document as text nodes."""
        style = resource(html.PACKAGE, *html.STYLES) + resource(PACKAGE, *STYLES)
        script = resource(html.PACKAGE, *html.SCRIPTS) + resource(PACKAGE, *SCRIPTS)
        data = {**self.value, **page_data(**self._names())}
        return html_page(self.value["title"], style=style, script=script, data=data)

    def _names(self) -> dict[str, str]:
        """What the page calls outcomes; an object of a file without predictions is no more than an object."""
        gallery = self.value["gallery"]
        judged = gallery is not None and gallery["judged"]
        return {"matched": "right", "gt": MARKS["gt"].layer if judged else "object"}


def fact(name: str, value: float | str | None, note: str = "") -> dict[str, Any]:
    """One number of the overview; rates have three decimals, counts none, and a rate of nothing is a dash."""
    if value is None:
        text = "–"
    elif isinstance(value, str):
        text = value
    else:
        text = f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
    return {"name": name, "value": text, "note": note}


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], note: str = "", *, opened: bool = False
) -> dict[str, Any]:
    """A table, folded unless ``opened``; columns of numbers are set flush right."""
    made = [list(row) for row in rows]
    return {"title": title, "columns": list(columns), "rows": made, "note": note, "open": opened}


def gallery(
    cards: Sequence[Mapping[str, Any]], total: int, order: Order, options: ReportOptions, *, judged: bool
) -> dict[str, Any]:
    """The cards of a page in the order in which they were chosen, out of ``total`` records."""
    return {
        "cards": list(cards),
        "total": total,
        "order": order.value,
        "chosen": order.about,
        "judged": judged,
        "iou": options.iou,
        "side": options.side,
    }


def picture_notes(cards: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is to be said of images that are not there."""
    lost = sum(card["image"] is None for card in cards)
    return [f"{plural(lost, 'image')} of the records below cannot be shown; each says why."] if lost else []


def _shown(gallery: Mapping[str, Any]) -> str:
    count, total = len(gallery["cards"]), gallery["total"]
    if count == total:
        return f"{plural(total, 'record')}"
    return f"{count:,} of {total:,} records shown, {gallery['chosen']}; see --max-images"
