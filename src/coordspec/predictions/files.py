"""Reading prediction files: strict, whole, and every fault with its file and line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from coordspec.checks.finding import cut
from coordspec.contracts import rule
from coordspec.errors import ContractError, Issue, Place
from coordspec.jsonl.inputs import STDIN
from coordspec.jsonl.parse import parse_line
from coordspec.jsonl.read import Line, read_lines
from coordspec.predictions.check import issues_of
from coordspec.predictions.record import Prediction
from coordspec.predictions.run import Run, read_run
from coordspec.record import MAX_ISSUES

"""Faults of a file after which no more are collected."""


@dataclass(frozen=True, slots=True)
class PredictionFile:
    """The predictions of a file in its order, and what made them, where that is known."""

    path: str
    predictions: tuple[Prediction, ...]
    run: Run | None


def read_predictions(
    path: str, max_line_bytes: int, on_read: Callable[[int], object] = lambda _: None
) -> PredictionFile:
    """All predictions of a file (.jsonl, .gz, .zst, ``-`` for standard input) and the run beside it.

    ``on_read`` is told the bytes of each line.

    Raises:
        ContractError: a line breaks a rule, an index stands twice, or the lines, or the file beside them, are of
            several runs; the first ``MAX_ISSUES`` of such findings, with file and line.
        InputError: a file cannot be read.
    """
    issues: list[Issue] = []
    predictions: list[Prediction] = []
    for found in _lines(path, max_line_bytes, on_read):
        if isinstance(found, Prediction):
            predictions.append(found)
        else:
            issues += found.issues
        if len(issues) >= MAX_ISSUES:
            break
    run = None if path == STDIN else read_run(path)
    issues += [*_repeated(predictions), *_other_runs(predictions, run)]
    if issues:
        raise ContractError(issues[:MAX_ISSUES])
    return PredictionFile(path, tuple(predictions), run)


def _lines(path: str, max_line_bytes: int, on_read: Callable[[int], object]) -> Iterator[Prediction | ContractError]:
    for line in read_lines(path, max_line_bytes):
        on_read(line.length + 1)
        try:
            yield read_prediction(line, path, max_line_bytes)
        except ContractError as error:
            yield error


def read_prediction(line: Line, path: str, max_line_bytes: int) -> Prediction:
    """The prediction on one line of a file.

    Raises:
        ContractError: the line is no strict JSON, or breaks a rule.
    """
    place = Place(path, line.number, byte_offset=line.offset)
    parsed = parse_line(line.data, line.length, max_line_bytes)
    issues = issues_of((fault.finding for fault in parsed.faults), place)
    if issues:
        raise ContractError(issues)
    return Prediction.from_value(parsed.value, place)


def _repeated(predictions: Iterable[Prediction]) -> Iterator[Issue]:
    first: dict[int, Prediction] = {}
    for item in predictions:
        before = first.setdefault(item.index, item)
        if before is not item:
            values = {"index": item.index, "images": cut(", ".join(item.images)), "line": before.place.line}
            yield rule("repeated-prediction").issue(item.place, values)


def _other_runs(predictions: Iterable[Prediction], run: Run | None) -> Iterator[Issue]:
    """The first line of each run that is not the run of the file: of the file beside it, or of the first line."""
    expected: str | None = run.id if run is not None else None
    seen: set[str | None] = set() if run is None else {expected}
    for item in predictions:
        if not seen:
            expected = item.run
            seen.add(expected)
        elif item.run not in seen:
            seen.add(item.run)
            yield rule("mixed-runs").issue(item.place, {"value": item.run or "null", "expected": expected or "null"})
