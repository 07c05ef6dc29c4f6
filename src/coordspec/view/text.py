"""A sample as lines for a terminal: every entry with its text, and what each token is, with colours or without."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from coordspec.contracts import NO_LOSS, Kind, Owner
from coordspec.findings.visible import plural, shown

if TYPE_CHECKING:
    from coordspec.view.sample import EntryView, TargetView

Look: TypeAlias = tuple[Owner, Kind, bool]
"""What a terminal shows of a token: whose it is, what it is, and whether it has a weight in the cross entropy."""

Paint: TypeAlias = Callable[[str, Look | Literal["title", "dim", "bad"]], str]
"""Colours a piece of text. The library has no colours; a command that has some passes such a function."""

LETTERS: Final = {
    Kind.STRUCT: "s",
    Kind.DESC: "d",
    Kind.COORD: "c",
    Kind.OPEN: "o",
    Kind.CLOSE: "x",
    Kind.END: "e",
}
"""The letter under a token, a capital where the token has a weight."""

_ON, _OFF, _SLOT = "-", ".", "="
_LEAST_WIDTH: Final = 20
_INDENT: Final = "  "
_LEFT_OUT_CHARS: Final = 200


class _Cell(NamedTuple):
    """Characters of one token that stand on one line, and the marks below them."""

    text: str
    marks: str
    look: Look


def plain(text: str, _look: object) -> str:
    """The paint of no colours."""
    return text


def sample_lines(sample: TargetView, width: int, paint: Paint = plain) -> Iterator[str]:
    """The lines of one sample, at most ``width`` columns wide where the text can be broken.

    Below each line of text stand marks: the letter of its kind below the first character of a token, a capital where
    it is in the cross entropy, then ``-`` where it is, ``=`` in a coordinate slot that has a loss, ``.`` elsewhere. So
    colours say nothing that is not said without them.
    """
    yield paint(shown(sample.name), "title") + _image(sample)
    yield from (_INDENT + line for line in _report(sample))
    yield from (paint(f"{_INDENT}{issue.code} {shown(issue.message)}", "bad") for issue in sample.issues)
    room = max(_LEAST_WIDTH, width - 2 * len(_INDENT))
    for title, start, end in _sections(sample):
        yield ""
        yield _INDENT + paint(title, "dim")
        for cells in _rows(_cells(sample, start, end), room):
            pieces = groupby(cells, key=lambda cell: cell.look)
            yield 2 * _INDENT + "".join(paint("".join(c.text for c in piece), look) for look, piece in pieces)
            yield 2 * _INDENT + paint("".join(cell.marks for cell in cells).rstrip(), "dim")
    if sample.left_out and sample.left_out.strip():
        yield ""
        yield _INDENT + paint(f"left out behind the cut: {shown(sample.left_out, _LEFT_OUT_CHARS)}", "dim")


def legend_lines(samples: Iterable[TargetView]) -> Iterator[str]:
    """What the marks mean, and the weights of the policies that the samples have."""
    letters = ", ".join(f"{letter} {kind}" for kind, letter in LETTERS.items())
    yield f"marks: {letters}; a capital: the token is in the cross entropy"
    yield f"       {_ON} goes on with it, {_OFF} without, {_SLOT} a coordinate slot that has a loss of its own"
    for policy in {sample.policy.name: sample.policy for sample in samples}.values():
        yield f"{policy.name}: {policy.about}"
        for owner, row in policy.rows.items():
            weights = ", ".join(f"{kind} {weight:g}" for kind, weight in row.weights.items())
            losses = [f"{name} {loss}" for name, loss in _losses(row.geometry, row.coord_loss) if loss != NO_LOSS]
            yield f"{_INDENT}{owner:<8} {'; '.join([weights, *losses])}"


def _losses(geometry: str, coord_loss: str) -> Sequence[tuple[str, str]]:
    return ("box loss", geometry), ("coordinates", coord_loss)


def _image(sample: TargetView) -> str:
    picture = sample.picture
    return "" if picture is None else f"  {shown(picture.path)} {picture.width}×{picture.height}"


def _report(sample: TargetView) -> Iterator[str]:
    target, report = sample.target, sample.target.report
    yield f"{target.policy}: {plural(len(target.ids), 'token')}, {sample.supervised} in the cross entropy"
    parts = {
        "start_id": str(report.start_id),
        "matches": " ".join(f"{p}→{g}" for p, g in report.matches),
        "fp": " ".join(map(str, report.fp)),
        "fn": " ".join(map(str, report.fn)),
        "dropped": ", ".join(f"{shown(key)} ({reason})" for key, reason in report.dropped),
        "truncated": "yes" if report.truncated else "no",
        "fallback": report.fallback or "none",
    }
    yield "; ".join(f"{name} {text or 'none'}" for name, text in parts.items())


def _sections(sample: TargetView) -> Iterator[tuple[str, int, int]]:
    """Title and tokens of the opening, each entry, and the end."""
    at = sample.entries[0].start if sample.entries else None
    end = len(sample.target.ids)
    if at is None:
        yield "frame", 0, end
        return
    if at:
        yield "frame", 0, at
    for entry in sample.entries:
        if entry.start < entry.end:
            yield _title(sample, entry), entry.start, entry.end
    if sample.entries[-1].end < end:
        yield "frame", sample.entries[-1].end, end


def _title(sample: TargetView, entry: EntryView) -> str:
    """Whose entry it is, in words."""
    iou = "" if entry.iou is None else f", IoU {entry.iou:.2f}"
    if entry.reason is not None:
        return f"dropped ({entry.reason}): {entry.reason.meaning.replace('`', '')}"
    if entry.owner is Owner.MATCHED:
        return f"matched: prediction {entry.prediction}, ground truth {_named(sample, entry.gt)}{iou}"
    if entry.owner is Owner.FN:
        return f"fn: ground truth {_named(sample, entry.gt)}"
    near = "" if entry.iou is None else f", largest IoU {entry.iou:.2f}"
    return f"fp: prediction {entry.prediction}{near}"


def _named(sample: TargetView, gt: int | None) -> str:
    assert gt is not None, "a matched or missed entry stands for an object"
    return f"{gt} {shown(sample.objects[gt].desc, 40)}"


def _cells(sample: TargetView, start: int, end: int) -> Iterator[list[_Cell]]:
    """One cell for each character, in groups of tokens."""
    target, slotted = sample.target, sample.slotted
    for at in range(start, end):
        weighted = target.ce_weight[at] > 0
        look = target.owner[at], target.kind[at], weighted
        letter = LETTERS[target.kind[at]]
        mark = letter.upper() if weighted else letter
        rest = _ON if weighted else _SLOT if at in slotted else _OFF
        cells = []
        for character in sample.texts[at]:
            columns = columns_of(character)
            cells.append(_Cell(character, (mark + rest * columns)[:columns], look))
            mark = rest if columns else mark
        yield cells


def _rows(tokens: Iterable[list[_Cell]], room: int) -> Iterator[list[_Cell]]:
    """Lines of at most ``room`` columns, broken between tokens, and inside of those that are longer than a line."""
    row: list[_Cell] = []
    used = 0
    for cells in tokens:
        whole = sum(len(cell.marks) for cell in cells)
        if row and used + whole > room and whole <= room:
            yield row
            row, used = [], 0
        for cell in cells:
            if row and used + len(cell.marks) > room:
                yield row
                row, used = [], 0
            used += len(cell.marks)
            row.append(cell)
    yield row


def columns_of(character: str) -> int:
    """How many columns of a terminal a visible character takes: 0 for one that combines, 2 for a wide one."""
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
