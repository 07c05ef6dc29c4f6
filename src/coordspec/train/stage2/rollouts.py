"""From tasks to targets: the model writes, its answers are read, matched, completed, checked and counted."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from coordspec.config.training import ChannelB, Runaway
from coordspec.errors import CoordspecError, InputError
from coordspec.generate import Generator, Request
from coordspec.guard.check import require_sound
from coordspec.outcomes import AnswerCounts, MatchCounts, count_answers, share
from coordspec.ranks import rank, world
from coordspec.record import Record
from coordspec.rollout.parse import Rollout, parse_rollout
from coordspec.rollout.reasons import DropReason
from coordspec.rollout.tokens import TokenTable
from coordspec.samples.dataset import Task
from coordspec.target import Target, build_target, ground_truth_target
from coordspec.target.dump import target_to_json
from coordspec.target.objects import SoundObjects, ground_truth_objects
from coordspec.train.evaluation import agreement

CHANNEL_A: Final = "channel_a"
"""The row set of ``contracts/masks.yaml`` for the ground truth in Channel-A."""


class Built(NamedTuple):
    """The target of a task, its ground truth, the ids of the rollout that it is built from, what is counted of it."""

    task: Task
    objects: SoundObjects
    target: Target
    rollout_ids: tuple[int, ...] | None
    tallies: Counter[str]


# ---------------------------------------------------------------- targets


def write_rollouts(generator: Generator, tasks: Sequence[Task], seed: int, step: int) -> list[tuple[int, ...]]:
    """The ids of a rollout for each task. Draws depend on seed, step and sample alone, whatever the batch is."""
    requests = [Request(task.prompt, (seed, step, task.number), task.images) for task in tasks]
    return [answer.ids for answer in generator.answers(requests)]


def rollout_target(task: Task, ids: tuple[int, ...], table: TokenTable, channel_b: ChannelB) -> Built:
    """The target that is built from a rollout, and held to the guard before anything learns from it.

    Raises:
        ContractError: it breaks an invariant of the guard; the sample is named.
    """
    record = task.record
    objects, rollout = ground_truth_objects(record, table), parse_rollout(ids, table)
    target = build_target(rollout, objects, table, policy=channel_b.policy, iou_gate=channel_b.iou_gate)
    require_sound(target, objects, table, ids, place=record.place)  # by the ids: it reads them with code of its own
    return Built(task, objects, target, ids, tally(target, record, rollout, len(ids)))


def channel_a_target(task: Task, table: TokenTable) -> Built:
    """The target of Channel-A.

    Raises:
        ContractError: as ``rollout_target``.
    """
    objects = ground_truth_objects(task.record, table)
    target = ground_truth_target(objects, table, rows=CHANNEL_A)
    require_sound(target, objects, table, place=task.record.place)
    return Built(task, objects, target, None, Counter())


class TargetDump:
    """Targets as they were trained on, in files that ``coordspec mask`` and ``coordspec guard`` read.

    One file for each optimizer step and rank; a step that a resumed run does again replaces its file.
    """

    def __init__(self, folder: Path, table: TokenTable, *, resume: bool) -> None:
        """
        Raises:
            InputError: the folder is a file, or holds something and nothing is resumed.
        """
        if folder.exists() and not folder.is_dir():
            raise InputError(str(folder), "is a file; name a folder for the dumped targets")
        if not resume and folder.exists() and any(folder.iterdir()):
            raise InputError(str(folder), "is not empty; name another folder for the dumped targets")
        self._folder = folder
        self._table = table

    def write(self, built: Sequence[Built], step: int) -> None:
        """The targets of this rank in a step; steps count from 0, and the names of files from 1, as logs do.

        Raises:
            InputError: the file cannot be written.
        """
        ranks = f".rank{rank()}" if world() > 1 else ""
        lines = [
            target_to_json(str(one.task.record.place), one.target, one.objects, self._table, one.rollout_ids)
            for one in built
        ]
        path = self._folder / f"step-{step + 1:06}{ranks}.jsonl"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        except OSError as error:
            raise InputError(str(path), error.strerror or str(error)) from error


# ---------------------------------------------------------------- what rollouts were like, in sums


COUNT, TOKENS, WHOLE = "rollout/count", "rollout/tokens", "rollout/whole"
TRUNCATED, FALLBACK = "rollout/truncated", "rollout/fallback"
PREDICTIONS, GROUND_TRUTH = "rollout/predictions", "rollout/ground_truth"
MATCHED, MATCHED_IOU = "rollout/matched", "rollout/matched_iou"
FP, INJECTED, DUPLICATES = "rollout/fp", "rollout/fn_injected", "rollout/duplicates"
DROPS: Final = {reason: f"rollout/dropped/{reason}" for reason in DropReason}
TALLIES: Final = (
    *(COUNT, TOKENS, WHOLE, TRUNCATED, FALLBACK, PREDICTIONS, GROUND_TRUTH),
    *(MATCHED, MATCHED_IOU, FP, INJECTED, DUPLICATES),
    *DROPS.values(),
)
"""Names of sums; ``ratios`` makes metrics of them."""


def tally(target: Target, record: Record, rollout: Rollout, tokens: int) -> Counter[str]:
    """The sums of one rollout of so many tokens."""
    report, counts = target.report, count_answers([rollout])
    agreed = agreement(record, rollout.objects, report.matches)
    return Counter(
        {
            COUNT: counts.answers,
            TOKENS: tokens,
            WHOLE: counts.whole,
            TRUNCATED: counts.truncated,
            FALLBACK: counts.answers - counts.parsed,
            PREDICTIONS: counts.valid,
            GROUND_TRUTH: len(record.objects),
            MATCHED: agreed.matched,
            MATCHED_IOU: agreed.iou,
            FP: len(report.fp),
            INJECTED: len(report.fn),
            DUPLICATES: agreed.duplicates,
            **Counter(DROPS[reason] for _, reason in rollout.dropped),
        }
    )


def ratios(sums: Mapping[str, float]) -> dict[str, float]:
    """Metrics of rollouts from summed tallies; a ratio to nothing is left out."""
    counts = {name: int(sums[name]) for name in TALLIES if name != MATCHED_IOU}  # sums of integers, in float64
    answered = AnswerCounts(
        answers=counts[COUNT],
        parsed=counts[COUNT] - counts[FALLBACK],
        whole=counts[WHOLE],
        truncated=counts[TRUNCATED],
        valid=counts[PREDICTIONS],
        dropped=sum(counts[name] for name in DROPS.values()),
    )
    matched = MatchCounts.of_pairs(counts[MATCHED], counts[GROUND_TRUTH], counts[PREDICTIONS])
    found = {
        **answered.rates,
        "mean_tokens": share(sums[TOKENS], sums[COUNT]),
        "predictions_per_gt": share(sums[PREDICTIONS], sums[GROUND_TRUTH]),
        "precision": matched.precision,
        "recall": matched.recall,
        "f1": matched.f1,
        "mean_matched_iou": share(sums[MATCHED_IOU], sums[MATCHED]),
        "duplicate_rate": share(sums[DUPLICATES], sums[PREDICTIONS]),
    }
    return {f"rollout/{name}": value for name, value in found.items() if value is not None}


# ---------------------------------------------------------------- rollouts that run away


class RunawayError(CoordspecError):
    """Rollouts of the last steps hold too many predictions, or too many of them are truncated."""


_WATCHED = (PREDICTIONS, GROUND_TRUTH, TRUNCATED, COUNT)


class Breaker:
    """Stops a run whose rollouts run away: they grow, repeat themselves, and each step teaches the next to do so.

    It watches the last rollout steps. Its numbers are those of all ranks, so every rank decides alike.
    """

    def __init__(self, limits: Runaway) -> None:
        self._limits = limits
        self._steps: deque[tuple[float, ...]] = deque(maxlen=limits.window_steps)

    def watch(self, sums: Mapping[str, float]) -> str | None:
        """Take notice of a step's tallies; what has run away, in words, or None."""
        self._steps.append(tuple(sums[name] for name in _WATCHED))
        limits = self._limits
        if len(self._steps) < limits.window_steps:
            return None
        predictions, gt, truncated, rollouts = (sum(column) for column in zip(*self._steps, strict=True))
        over = f"over the last {limits.window_steps} rollout steps"
        most = limits.max_predictions_per_gt
        if most is not None and predictions > most * max(1.0, gt):
            return (
                f"rollouts hold {predictions / max(1.0, gt):.2f} predictions for each ground-truth object {over}, "
                f"more than rollout_matching.runaway.max_predictions_per_gt: {most:g}"
            )
        if limits.max_truncation_rate is not None and truncated > limits.max_truncation_rate * rollouts:
            return (
                f"{truncated / rollouts:.0%} of the rollouts are truncated {over}, "
                f"more than rollout_matching.runaway.max_truncation_rate: {limits.max_truncation_rate:g}"
            )
        return None

    def state(self) -> list[list[float]]:
        """What a checkpoint keeps, for a run that is resumed."""
        return [list(step) for step in self._steps]

    def restore(self, state: Sequence[Sequence[float]]) -> None:
        """Go on from ``state``."""
        self._steps.clear()
        self._steps.extend(tuple(step) for step in state)
