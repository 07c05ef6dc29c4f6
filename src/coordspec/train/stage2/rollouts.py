"""From tasks to targets: the model writes, its answers are read, matched, completed and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from coordspec.generate import Generator, Request
from coordspec.guard.check import require_sound
from coordspec.rollout.parse import parse_rollout
from coordspec.rollout.tokens import TokenTable
from coordspec.samples.tasks import Task
from coordspec.target import Target, build_target, ground_truth_target
from coordspec.target.objects import ground_truth_objects
from coordspec.train.stage2.tally import tally

CHANNEL_A = "channel_a"
"""The row set of ``contracts/masks.yaml`` for the ground truth in Channel-A."""


class Built(NamedTuple):
    """The target of a task, the ids of the rollout that it was built from, and what is counted of that."""

    task: Task
    target: Target
    rollout_ids: tuple[int, ...] | None
    tallies: Counter[str]


@dataclass(frozen=True, slots=True)
class TargetMaker:
    """Makes checked targets: of rollouts under one policy, or of the ground truth alone."""

    generator: Generator
    table: TokenTable
    policy: str
    iou_gate: float
    seed: int

    def write(self, tasks: Sequence[Task], step: int) -> list[tuple[int, ...]]:
        """The ids of a rollout for each task. Draws depend on seed, step and sample alone, whatever the batch is."""
        requests = [Request(task.prompt, (self.seed, step, task.number), task.images) for task in tasks]
        return [answer.ids for answer in self.generator.answers(requests)]

    def of_rollout(self, task: Task, ids: tuple[int, ...]) -> Built:
        """The target that is built from a rollout.

        Raises:
            ContractError: it breaks an invariant of the guard; the sample is named.
        """
        record = task.record
        objects = ground_truth_objects(record, self.table)
        target = build_target(ids, objects, self.table, policy=self.policy, iou_gate=self.iou_gate)
        require_sound(target, objects, self.table, ids, place=record.place)
        entries = parse_rollout(ids, self.table).predictions
        predicted = [entry.item for entry in entries if entry.item is not None]
        return Built(task, target, ids, tally(target, record, predicted, len(ids)))

    def of_ground_truth(self, task: Task) -> Built:
        """The target of Channel-A.

        Raises:
            ContractError: as ``of_rollout``.
        """
        target = ground_truth_target(task.record, self.table, rows=CHANNEL_A)
        require_sound(target, task.record, self.table, place=task.record.place)
        return Built(task, target, None, Counter())
