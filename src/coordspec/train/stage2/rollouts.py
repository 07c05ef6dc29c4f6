"""From prompts to targets: the model writes, its answers are read, matched, completed and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from coordspec.errors import Place
from coordspec.guard.check import require_sound
from coordspec.record import Record
from coordspec.rollout.parse import parse_rollout
from coordspec.rollout.tokens import TokenTable
from coordspec.target import Target, build_target
from coordspec.target.objects import ground_truth_objects
from coordspec.train.generation import Generator, Request
from coordspec.train.prompt import Prompt
from coordspec.train.stage2.tally import tally


class Task(NamedTuple):
    """A record and the prompt about it: what a data worker loads for a Stage-2 step."""

    record: Record
    prompt: Prompt
    number: int


class Rollout(NamedTuple):
    """What a model wrote for a task, and what is made of it."""

    task: Task
    ids: tuple[int, ...]
    target: Target


@dataclass(frozen=True, slots=True)
class RolloutMaker:
    """Writes rollouts and builds their targets under one policy.

    ``dump`` gets every target with the ids it was built from, for ``--dump-targets``.
    """

    generator: Generator
    table: TokenTable
    policy: str
    iou_gate: float
    seed: int
    dump: Callable[[Rollout], None]

    def write(self, tasks: Sequence[Task], step: int) -> list[tuple[int, ...]]:
        """The ids of an answer to each task. Draws depend on seed, step and sample alone, whatever the batch is."""
        requests = [Request(task.prompt, (self.seed, step, task.number)) for task in tasks]
        return [answer.ids for answer in self.generator.answers(requests)]

    def build(self, task: Task, ids: tuple[int, ...]) -> tuple[Rollout, Counter[str]]:
        """The checked target of an answer, and its tally.

        Raises:
            ContractError: the target breaks an invariant of the guard; the sample is named.
        """
        record = task.record
        objects = ground_truth_objects(record, self.table)
        target = build_target(ids, objects, self.table, policy=self.policy, iou_gate=self.iou_gate)
        require_sound(target, objects, self.table, ids, place=_place(record))
        entries = parse_rollout(ids, self.table).predictions
        predicted = [entry.item for entry in entries if entry.item is not None]
        rollout = Rollout(task, ids, target)
        self.dump(rollout)
        return rollout, tally(target, record, predicted, objects, len(ids))


def _place(record: Record) -> Place:
    return record.place
