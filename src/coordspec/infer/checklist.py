"""The evaluation checklist of a trained checkpoint: its items, gathered record by record."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import ValidationError

from coordspec.config.sections import CoordSoftCeW1, Template
from coordspec.errors import InputError, Place
from coordspec.evaluate.calibration import MASSES
from coordspec.generate import Answer, Ended, Generator
from coordspec.infer.answers import LIMITS, RecordAnswers
from coordspec.infer.checkpoint import Checkpoint
from coordspec.infer.forced import BestTemperature, Forced, Smoother, covered, forced, modes
from coordspec.infer.options import InferOptions, Limits, RecordSource
from coordspec.losses.stage1 import BASE_CE, VOCAB_MASS
from coordspec.notes import Note
from coordspec.outcomes import is_strict
from coordspec.rollout.parse import Rollout, parse_rollout
from coordspec.run_files import PROVENANCE
from coordspec.samples.dataset import Samples
from coordspec.samples.encode import Encoder

# ---------------------------------------------------------------- items


_ALL: Final = 1.0


@dataclass(frozen=True, slots=True)
class CheckItem:
    """One item: what was measured, what is allowed, and the first record that speaks against it."""

    name: str
    measured: str
    value: float
    limit: float
    passed: bool
    first: Place | None

    def json(self) -> dict[str, Any]:
        """The item as JSON; a value that is no number is null."""
        return {
            "name": self.name,
            "measured": self.measured,
            "value": self.value if math.isfinite(self.value) else None,
            "limit": self.limit,
            "passed": self.passed,
            "first_failure": None if self.passed or self.first is None else str(self.first),
        }


def _at_least(name: str, measured: str, value: float, limit: float, first: Place | None) -> CheckItem:
    return CheckItem(name, measured, value, limit, value >= limit, first)


class OutputChecks:
    """Items about what was written. Records may come in any order."""

    def __init__(self) -> None:
        self.ended: Counter[Ended] = Counter()
        self._records = self._strict = 0
        self._first_loose: tuple[int, Place] | None = None
        self._first_endless: tuple[int, Place] | None = None

    def add(self, number: int, place: Place, answer: Answer, rollout: Rollout) -> None:
        """Take the output for a record, by its number in the file."""
        self._records += 1
        self.ended[answer.ended] += 1
        if is_strict(rollout, ended=answer.ended is Ended.END):
            self._strict += 1
        else:
            self._first_loose = _earlier(self._first_loose, (number, place))
        if answer.ended is not Ended.END:
            self._first_endless = _earlier(self._first_endless, (number, place))

    def items(self, limits: Limits) -> list[CheckItem]:
        """The items, once all outputs are there."""
        strict, ended = self._strict / self._records, self.ended[Ended.END] / self._records
        loose = None if self._first_loose is None else self._first_loose[1]
        endless = None if self._first_endless is None else self._first_endless[1]
        return [
            _at_least("strict", "outputs that are strict JSON of the payload's form", strict, limits.strict, loose),
            _at_least("ended", "outputs that the model ended itself", ended, limits.ended, endless),
        ]


def _earlier(known: tuple[int, Place] | None, found: tuple[int, Place]) -> tuple[int, Place]:
    return found if known is None or found[0] < known[0] else known


@dataclass(slots=True)
class _Share:
    """How many of some were good, and the first record with a bad one. Records come in their order."""

    good: int = 0
    all: int = 0
    first_bad: Place | None = None

    def add(self, good: int, count: int, place: Place) -> None:
        self.good += good
        self.all += count
        if good < count and self.first_bad is None:
            self.first_bad = place

    @property
    def value(self) -> float:
        return self.good / self.all if self.all else math.nan


class ForcedChecks:
    """Items about losses and distributions under teacher forcing. Records come in their order."""

    def __init__(self, loss: CoordSoftCeW1, limits: Limits) -> None:
        self._temperature = loss.temperature
        self._limits = limits
        self._smoother = Smoother(loss.target_sigma)
        self._best = BestTemperature()
        self._base = self._coords = 0
        self._sums: Counter[str] = Counter()
        self._finite, self._unimodal = _Share(), _Share()
        self._covered = {mass: _Share() for mass in MASSES}
        self._first_without_mass: Place | None = None

    def add(self, record: Forced) -> None:
        """Take the next record. A slot whose logits are not finite has no distribution and is in no share of them."""
        self._base += record.base
        self._coords += record.coords
        for name, value in record.sums.items():
            self._sums[name] += value  # type: ignore[assignment]  # typeshed counts in integers alone
        self._finite.add(all(map(math.isfinite, record.sums.values())), 1, record.place)
        if self._first_without_mass is None and not record.sums[VOCAB_MASS] >= self._limits.coord_mass * record.coords:
            self._first_without_mass = record.place
        usable_C = record.logits_CK.isfinite().all(dim=1)
        if usable_C.any():
            self._add_slots(record.logits_CK[usable_C], record.bins_C[usable_C], record.place)

    def _add_slots(self, logits_CK: torch.Tensor, bins_C: torch.Tensor, place: Place) -> None:
        self._best.add(logits_CK, bins_C)
        p_CK = (logits_CK / self._temperature).softmax(1).numpy()
        single_C = modes(self._smoother.smooth(p_CK)) == 1
        self._unimodal.add(int(single_C.sum()), len(single_C), place)
        for mass, inside_C in covered(p_CK, bins_C.numpy()).items():
            self._covered[mass].add(int(inside_C.sum()), len(inside_C), place)

    @property
    def coords(self) -> int:
        """Coordinate slots so far."""
        return self._coords

    def losses(self) -> dict[str, float]:
        """The parts of the loss by their names in the log of a run, each a mean over its targets."""
        return {
            name: total / max(1, self._base if name == BASE_CE else self._coords) for name, total in self._sums.items()
        }

    def calibration(self) -> dict[str, Any]:
        """Shares of slots within the central intervals; the temperature at which the hard cross entropy is least."""
        coverage = [{"mass": mass, "covered": share.value} for mass, share in self._covered.items()]
        temperature, hard_ce = self._best.result() if self._unimodal.all else (None, None)
        return {"coverage": coverage, "best_temperature": temperature, "hard_ce_there": hard_ce}

    def items(self) -> list[CheckItem]:
        """The items, once all records are there."""
        limits, mass = self._limits, self.losses()[VOCAB_MASS]
        short = {level: level - share.value for level, share in self._covered.items()}
        worst = max(short, key=short.__getitem__)
        behind = short[worst]
        return [
            _at_least(
                "finite_losses", "records with finite loss parts", self._finite.value, _ALL, self._finite.first_bad
            ),
            _at_least(
                "unimodal",
                "coordinate slots with a unimodal distribution",
                self._unimodal.value,
                limits.unimodal,
                self._unimodal.first_bad,
            ),
            CheckItem(
                "undercoverage",
                "how far central intervals cover less than their mass",
                behind,
                limits.undercoverage,
                behind <= limits.undercoverage,
                self._covered[worst].first_bad,
            ),
            _at_least("coord_mass", "mean mass on coord tokens", mass, limits.coord_mass, self._first_without_mass),
        ]


# ---------------------------------------------------------------- the checklist


@dataclass(frozen=True, slots=True)
class RecordOutput:
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
class ChecklistReport:
    """The items, and the numbers behind them."""

    records: int
    coords: int
    items: tuple[CheckItem, ...]
    losses: Mapping[str, float]
    calibration: Mapping[str, Any]
    ended: Mapping[str, int]
    outputs: tuple[RecordOutput, ...]

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
    source: RecordSource,
    options: InferOptions,
    limits: Limits,
    note: Note,
    *,
    show: int,
    generator: Generator | None = None,
) -> ChecklistReport:
    """Check a checkpoint on held-out records: teacher-forced, then by its own greedy answers.

    ``show`` is the number of first records whose output is kept. ``generator`` writes the answers in the model's place.

    Raises:
        ContractError: a record or an image is refused.
        InputError: a file cannot be read, or no record has an object.
    """
    trained = trained_with(checkpoint.path)
    answers = RecordAnswers(checkpoint, source, options, generator)
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
    return ChecklistReport(
        records=total,
        coords=checks.coords,
        items=(*written.items(limits), *checks.items()),
        losses=checks.losses(),
        calibration=checks.calibration(),
        ended={reason.value: count for reason, count in sorted(written.ended.items())},
        outputs=outputs,
    )


def _write(
    checkpoint: Checkpoint, answers: RecordAnswers, show: int, note: Note
) -> tuple[OutputChecks, tuple[RecordOutput, ...]]:
    """Let the checkpoint answer every record."""
    checks, shown, done = OutputChecks(), dict[int, RecordOutput](), 0
    for numbers in answers.batches():
        for number, answer in zip(numbers, answers.of(numbers), strict=True):
            rollout = parse_rollout(answer.ids, checkpoint.table)
            record = answers.records[number]
            checks.add(number, record.place, answer, rollout)
            if number < show:
                text = checkpoint.table.text(answer.ids)
                predicted, annotated = len(rollout.predictions), len(record.objects)
                shown[number] = RecordOutput(record.place, text, answer.ended, predicted, annotated)
        done += len(numbers)
        note("greedy answers", done, len(answers.records))
    return checks, tuple(shown[number] for number in sorted(shown))
