"""The charts of a page as values: lines, bars and reliability. The scripts of the page draw them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from coordspec.findings.visible import shown
from coordspec.stats import SHARE_STEPS

MAX_POINTS: Final = 1000
"""Points of a line; of more, each that is drawn is the mean of as many neighbours as it takes."""
MAX_BARS: Final = 20
_LABEL_CHARS: Final = 80

Points = Sequence[tuple[float, float]]


def lines(
    title: str,
    series: Mapping[str, Points],
    *,
    x: str,
    about: str = "",
    span: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Lines over ``x``; ``span`` is the range of y, which otherwise follows the points.

    Values that are no finite numbers are left out, and counted in the note.
    """
    odd = sum(not math.isfinite(y) for points in series.values() for _, y in points)
    notes = [about] if about else []
    if odd:
        are = "value that is no finite number is" if odd == 1 else "values that are no finite numbers are"
        notes.append(f"{odd} {are} not drawn.")
    drawn: list[dict[str, Any]] = []
    for name, points in series.items():
        kept = [(px, py) for px, py in points if math.isfinite(py)]
        step = -(-len(kept) // MAX_POINTS) or 1
        if step > 1:
            notes.append(f"Each point of {name} is the mean of {step} logged ones.")
        drawn.append(
            {
                "name": shown(name, _LABEL_CHARS),
                "points": [_mean(kept[i : i + step]) for i in range(0, len(kept), step)],
            }
        )
    return {
        "kind": "lines",
        "title": shown(title, _LABEL_CHARS),
        "about": " ".join(notes),
        "x": x,
        "series": drawn,
        "span": span,
    }


def _mean(points: Points) -> list[float]:
    """The last x and the mean of y, both with as many digits as can be seen."""
    mean = math.fsum(y / len(points) for _, y in points)
    return [float(points[-1][0]), float(f"{mean:.6g}")]


def bars(
    title: str, rows: Iterable[tuple[str, int, int | None]], *, of: str, part: str = "", about: str = ""
) -> dict[str, Any]:
    """Horizontal bars: ``(label, count, part of it or None)``. ``of`` and ``part`` are what the two count."""
    made = [{"label": shown(label, _LABEL_CHARS), "count": count, "part": inner} for label, count, inner in rows]
    return {"kind": "bars", "title": title, "about": about, "of": of, "part": part, "rows": made}


def reliability_chart(title: str, value: Mapping[str, Any], about: str) -> dict[str, Any]:
    """The share of right predictions by their score; ``value`` is that of ``evaluate.calibration.Reliability``."""
    note = f"{about} {value['predictions']:,} predictions, expected calibration error {value['ece']:.3f}."
    return {"kind": "reliability", "title": title, "about": note, "bins": value["bins"]}


def share_labels() -> list[str]:
    """The names of the buckets of a box's share of its image's area."""
    return [f"{100 * low:g} % to {100 * high:g} %" for low, high in pairwise(SHARE_STEPS)]
