"""What the demo says at its end: one table of several models, and what follows from it, worked out from the numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MISSING = "-"
WIDTH = 76
"""Characters of a line, but for those of names and numbers."""
GOOD = 0.8
"""F1 of boxes from which the demo calls the answers good."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What `coordspec eval` says of one model's answers. None: a share of nothing.

    ``chance`` is how far F1 of boxes may be off since the scenes are few: half of its 95 % interval.
    """

    precision: float | None
    recall: float | None
    boxes: float | None
    words: float | None
    overlap: float | None
    duplicates: float | None
    tokens: float | None
    chance: float


@dataclass(frozen=True, slots=True)
class Model:
    """A column of the table: its name, what it is in a sentence, and what was measured."""

    name: str
    meaning: str
    measured: Measured


ROWS: tuple[tuple[str, str, int], ...] = (
    ("precision", "right boxes among those written", 2),
    ("recall", "objects that got a right box", 2),
    ("boxes", "F1, boxes alone", 2),
    ("words", "F1, the words right too", 2),
    ("overlap", "mean IoU of right boxes", 2),
    ("duplicates", "boxes that repeat another", 2),
    ("tokens", "tokens an answer", 0),
)
"""Attribute of ``Measured``, what its row is called, and its decimals."""
KEY = (
    "A box is right where it covers an object with an IoU (overlap divided by union) of at least 0.5, whatever it is "
    "called.",
    "F1 is high only where precision and recall both are. 1 is best, but for repeats (0) and tokens (the fewer, the "
    "faster).",
)


def measured(found: Mapping[str, Any]) -> Measured:
    """The part of the JSON of `coordspec eval` that the table shows."""
    alone, words = found["boxes"]["class_agnostic"], found["boxes"]["class_aware"]
    return Measured(
        precision=alone["precision_50"],
        recall=alone["recall_50"],
        boxes=alone["f1_50"],
        words=words["f1_50"],
        overlap=found["boxes"]["mean_iou"],
        duplicates=found["duplicates"]["rate"],
        tokens=found["outputs"]["tokens_per_output"],
        chance=_half(alone["intervals"]["f1_50"]),
    )


def _half(interval: Sequence[float] | None) -> float:
    return 0.0 if interval is None else (interval[1] - interval[0]) / 2


def table(models: Sequence[Model]) -> Iterator[str]:
    """The lines of the table, then what its columns and rows mean."""
    widths = [max(10, len(model.name) + 2) for model in models]
    heads = [f"{model.name:>{width}}" for model, width in zip(models, widths, strict=True)]
    yield f"{'':<32}" + "".join(heads)
    for attribute, label, decimals in ROWS:
        values = [getattr(model.measured, attribute) for model in models]
        cells = [
            f"{MISSING if value is None else format(value, f'.{decimals}f'):>{width}}"
            for value, width in zip(values, widths, strict=True)
        ]
        yield f"{label:<32}" + "".join(cells)
    yield ""
    longest = max(len(model.name) for model in models)
    for model in models:
        yield from wrapped(f"{model.name:<{longest}}  {model.meaning}", longest + 2)
    yield ""
    for sentence in KEY:
        yield from wrapped(sentence)


def wrapped(text: str, indent: int = 0) -> list[str]:
    """The lines of a text that is broken at spaces; those behind the first are indented."""
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def verdict(stages: Sequence[Measured], scenes: int) -> Iterator[str]:
    """What the numbers say, in sentences. ``stages`` are the untrained model, Stage-1, more Stage-1, and Stage-2."""
    start, first, longer, second = stages
    how = "It finds most objects." if _f1(first) >= GOOD else "It still misses or misplaces many objects."
    yield f"Stage-1 took F1 of boxes from {_f1(start):.2f} to {_f1(first):.2f}. {how}"
    yield f"More of the same {_change(first, longer)}; Stage-2 for as many steps {_change(first, second)}."
    words = [f"{found.words or 0.0:.2f}" for found in (first, longer, second)]
    after = f"{words[0]} after Stage-1, {words[1]} after more of it, {words[2]} after Stage-2"
    yield f"F1 with the words right too: {after}."
    gap, chance = _f1(second) - _f1(longer), max(longer.chance, second.chance)
    size = f"{abs(gap):.2f} lies between them; with {scenes} pictures, up to {chance:.2f} can be chance"
    if abs(gap) <= chance:
        yield f"So for boxes this run cannot say which way to go on is better: {size}."
    else:
        yield f"So for boxes Stage-2 was the {'better' if gap > 0 else 'worse'} way to go on in this run: {size}."


def _f1(found: Measured) -> float:
    return found.boxes or 0.0


def _change(before: Measured, after: Measured) -> str:
    old, new = round(_f1(before), 2), round(_f1(after), 2)
    if old == new:
        return f"left it at {new:.2f}"
    return f"{'raised' if new > old else 'lowered'} it to {new:.2f}"


def failed_items(checklist: Mapping[str, Any]) -> str:
    """One line about the JSON of `coordspec checklist`."""
    items = checklist["items"]
    failed = [
        f"{item['measured']} ({_number(item['value'])}, the limit is {item['limit']:g})"
        for item in items
        if not item["passed"]
    ]
    if not failed:
        return f"All {len(items)} checks of a trained model (`coordspec checklist`) pass for Stage-1."
    return f"Of the {len(items)} checks of a trained model (`coordspec checklist`), Stage-1 fails: {'; '.join(failed)}."


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"
