"""The evaluation checklist of a trained checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from coordspec.config.custom import CoordSoftCeW1
from coordspec.config.inputs import Template
from coordspec.errors import InputError, Place
from coordspec.generate import Ended, Generator
from coordspec.infer.answers import LIMITS, Answers, InferOptions, Source
from coordspec.infer.checkpoint import Checkpoint
from coordspec.infer.checks import ForcedChecks, Item, OutputChecks
from coordspec.infer.forced import forced
from coordspec.infer.limits import Limits
from coordspec.rollout import parse_rollout
from coordspec.run_files import PROVENANCE
from coordspec.samples.dataset import Samples
from coordspec.samples.encode import Encoder

Note = Callable[[str, int, int], None]
"""Hears what is being done, how many records of it are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Output:
    """What was written for one record, and how many objects were read from it and stand in the record."""

    place: Place
    text: str
    ended: Ended
    predicted: int
    annotated: int

    def json(self) -> dict[str, Any]:
        """The output as JSON."""
        return {
            "record": str(self.place),
            "text": self.text,
            "ended": self.ended.value,
            "predicted": self.predicted,
            "annotated": self.annotated,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The items, and the numbers behind them."""

    records: int
    coords: int
    items: tuple[Item, ...]
    losses: Mapping[str, float]
    calibration: Mapping[str, Any]
    ended: Mapping[str, int]
    outputs: tuple[Output, ...]

    @property
    def passed(self) -> bool:
        """Whether all items passed."""
        return all(item.passed for item in self.items)


@dataclass(frozen=True, slots=True)
class Trained:
    """What a checkpoint was trained with, as far as the checklist needs it: the coordinate loss, the longest sample."""

    loss: CoordSoftCeW1
    max_length: int


def trained_with(checkpoint: Path) -> Trained:
    """What ``run.json`` of a checkpoint says; the defaults where it has none.

    Raises:
        InputError: the file cannot be read, or holds no such settings.
    """
    path = checkpoint / PROVENANCE
    if not path.exists():
        return Trained(CoordSoftCeW1(), Template().max_length)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))["config"]
        loss = CoordSoftCeW1(**config["custom"]["coord_soft_ce_w1"])
        return Trained(loss, Template(**config["template"]).max_length)
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise InputError(str(path), f"does not say what the checkpoint was trained with: {error}") from error


def run_checklist(
    checkpoint: Checkpoint,
    source: Source,
    options: InferOptions,
    limits: Limits,
    note: Note,
    *,
    show: int,
    generator: Generator | None = None,
) -> Report:
    """Check a checkpoint on held-out records: teacher-forced, then by its own greedy answers.

    ``show`` is the number of first records whose output is kept. ``generator`` writes the answers in the model's place.

    Raises:
        ContractError: a record or an image is refused.
        InputError: a file cannot be read, or no record has an object.
    """
    trained = trained_with(checkpoint.path)
    answers = Answers(checkpoint, source, options, generator)
    checks = ForcedChecks(trained.loss, limits)
    total = len(answers.records)
    template = checkpoint.template.model_copy(update={"max_length": trained.max_length})
    encoder = Encoder(checkpoint.processor, checkpoint.model.config, template)
    samples = Samples(answers.records, source.image_root, LIMITS, encoder)
    for done, record in enumerate(forced(checkpoint, samples, trained.loss, options.batch_size), 1):
        checks.add(record)
        note("teacher forcing", done, total)
    if not checks.coords:
        raise InputError(source.path, "holds no object, so nothing about coordinates can be checked")
    written, outputs = _write(checkpoint, answers, show, note)
    return Report(
        records=total,
        coords=checks.coords,
        items=(*written.items(limits), *checks.items()),
        losses=checks.losses(),
        calibration=checks.calibration(),
        ended={reason.value: count for reason, count in sorted(written.ended.items())},
        outputs=outputs,
    )


def _write(checkpoint: Checkpoint, answers: Answers, show: int, note: Note) -> tuple[OutputChecks, tuple[Output, ...]]:
    """Let the checkpoint answer every record."""
    checks, shown, done = OutputChecks(), dict[int, Output](), 0
    for numbers in answers.batches():
        for number, answer in zip(numbers, answers.of(numbers), strict=True):
            rollout = parse_rollout(answer.ids, checkpoint.table)
            record = answers.records[number]
            checks.add(number, record.place, answer, rollout)
            if number < show:
                text = checkpoint.table.text(answer.ids)
                predicted, annotated = len(rollout.predictions), len(record.objects)
                shown[number] = Output(record.place, text, answer.ended, predicted, annotated)
        done += len(numbers)
        note("greedy answers", done, len(answers.records))
    return checks, tuple(shown[number] for number in sorted(shown))
