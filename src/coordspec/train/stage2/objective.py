"""The objective of Stage-2: channels by schedule, rollouts before a Channel-B step, one engine for both variants."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch

from coordspec.errors import CoordspecError
from coordspec.generate import Generator
from coordspec.samples.batch import BatchGuard, collate
from coordspec.samples.dataset import Task
from coordspec.samples.encode import Encoder
from coordspec.samples.stream import pack
from coordspec.train.objective import Prepared, StepLoss
from coordspec.train.stage1 import SAMPLES, TOKENS
from coordspec.train.stage2.rollouts import (
    TALLIES,
    Breaker,
    Built,
    RunawayError,
    channel_a_target,
    ratios,
    rollout_target,
    write_rollouts,
)
from coordspec.train.stage2.step import (
    BoxSlots,
    Channel,
    Stage2Model,
    StepCounts,
    Terms,
    box_slots,
    channel_a_loss,
    channel_b_loss,
    channel_of,
    coord_places,
    weigh_descs,
)

WEIGHTS, COORD, MATCHED, FN = "count/ce_weight", "count/coord", "count/matched", "count/fn"
STEPS_B, B_RATIO, FALLEN_BACK = "steps/channel_b", "schedule/b_ratio", "schedule/fallen_back"
GENERATE_S, BUILD_S = "time/generate_s", "time/build_s"


@dataclass(frozen=True, slots=True)
class Stage2Prepared(Prepared):
    """A batch of one channel, with the coordinates that have a box loss."""

    boxes: BoxSlots
    channel: Channel

    def to(self, device: torch.device) -> Stage2Prepared:
        """The same on another device."""
        batch = self.batch.to(device, non_blocking=True)
        return replace(self, batch=batch, counts_C=self.counts_C.to(device), boxes=self.boxes.to(device))


class Stage2:
    """The objective of ``stage2_ab`` and of ``rollout_matching_sft``, which differ in their settings alone."""

    counts: Final = (WEIGHTS, COORD, MATCHED, FN, SAMPLES, TOKENS, *TALLIES)

    def __init__(
        self,
        model: Stage2Model,
        encoder: Encoder,
        guard: BatchGuard,
        generator: Generator,
        dump: Callable[[Sequence[Built], int], None],
        *,
        seed: int,
        pad_id: int,
    ) -> None:
        """``dump`` gets all targets of an optimizer step and its number, from 0; rollouts are drawn by ``seed``."""
        self._model = model
        self._section = model.settings.stage2_ab
        self._encoder = encoder
        self._guard = guard
        self._generator = generator
        self._dump = dump
        self._breaker = Breaker(model.settings.runaway)
        self._seed = seed
        self._pad_id = pad_id
        self._fallen_back = False
        self.times: defaultdict[str, float] = defaultdict(float)

    # ---------------------------------------------------------------- batches

    def refresh(self, step: int) -> None:
        """Tell what writes the rollouts that the weights have changed."""
        if self.channel(step) is Channel.B:
            began = time.perf_counter()
            self._generator.refresh(step)
            self.times[GENERATE_S] += time.perf_counter() - began

    def prepare(self, loaded: Sequence[list[Task] | CoordspecError], step: int) -> list[Prepared]:
        """The batches of an optimizer step, all of one channel; for Channel-B the model writes its rollouts first.

        Raises:
            CoordspecError: a record was refused, or a target breaks a rule of the guard.
        """
        batches = [_tasks(tasks) for tasks in loaded]
        channel = self.channel(step)
        if channel is Channel.A:
            built = [[channel_a_target(task, self._encoder.table) for task in tasks] for tasks in batches]
        else:
            built = self._from_rollouts(batches, step)
        self._dump([one for batch in built for one in batch], step)
        return [self._prepared(batch, channel) for batch in built]

    def channel(self, step: int) -> Channel:
        """The channel of an optimizer step."""
        return Channel.A if self._fallen_back else channel_of(step, self._section.schedule.b_ratio)

    def _from_rollouts(self, batches: Sequence[Sequence[Task]], step: int) -> list[list[Built]]:
        began = time.perf_counter()
        table, channel_b = self._encoder.table, self._section.channel_b
        every = [task for tasks in batches for task in tasks]
        rollouts = iter(write_rollouts(self._generator, every, self._seed, step))
        written = time.perf_counter()
        built = [[rollout_target(task, next(rollouts), table, channel_b) for task in tasks] for tasks in batches]
        self.times[GENERATE_S] += written - began
        self.times[BUILD_S] += time.perf_counter() - written
        return built

    def _prepared(self, built: Sequence[Built], channel: Channel) -> Stage2Prepared:
        samples = [self._encoder.join(one.task.prompt, one.target, one.task.record.place) for one in built]
        rows = self._rows([len(sample) for sample in samples])
        batch = collate([[samples[number] for number in row] for row in rows], self._pad_id)
        self._guard.check(batch, labelled=channel is Channel.A)
        boxes = box_slots(batch, [built[number].target for row in rows for number in row])
        matched = int(boxes.matched_N.sum())
        counts = {
            WEIGHTS: float(weigh_descs(batch, self._section.desc_ce_weight).double().sum()),
            COORD: int(coord_places(batch).sum()),
            MATCHED: matched,
            FN: len(boxes.matched_N) - matched,
            SAMPLES: len(samples),
            TOKENS: sum(map(len, samples)),
            **sum((one.tallies for one in built), Counter()),
        }
        counts_C = torch.tensor([counts.get(name, 0) for name in self.counts], dtype=torch.float64)
        return Stage2Prepared(batch, counts_C, boxes, channel)

    def _rows(self, lengths: Sequence[int]) -> list[list[int]]:
        """Which samples of a batch share a row. Injections that make one longer than a pack lengthen all."""
        pack_length = self._model.settings.pack_length
        if pack_length is None:
            return [[number] for number in range(len(lengths))]
        order = np.arange(len(lengths), dtype=np.int64)
        return pack(order, np.array(lengths, dtype=np.int32), max(pack_length, *lengths))

    # ---------------------------------------------------------------- loss

    def loss(self, prepared: Stage2Prepared, counts_C: torch.Tensor) -> StepLoss:
        """The loss of one batch: its sums over the counts of the whole step."""
        known = counts_C[: len(StepCounts._fields)]
        counts = StepCounts(*torch.where(known == 0, torch.ones_like(known), known))  # a sum over nothing is 0
        loss_of = channel_a_loss if prepared.channel is Channel.A else channel_b_loss
        terms = loss_of(self._model, prepared.batch, prepared.boxes, counts)
        return StepLoss(terms.loss, {"loss": terms.loss.detach(), **self._parts(terms, prepared.channel)})

    def _parts(self, terms: Terms, channel: Channel) -> dict[str, torch.Tensor]:
        name = f"channel_{channel}"
        parts = {f"{name}/loss": terms.loss.detach(), f"{name}/ce": terms.ce}
        if channel is Channel.A:
            return parts | {f"{name}/geo": terms.geo_fn}
        parts |= {f"{name}/geo_matched": terms.geo_matched, f"{name}/geo_fn": terms.geo_fn}
        return parts | {f"{name}/coord_{part}": value for part, value in terms.coord.items()}

    # ---------------------------------------------------------------- over steps

    def observe(self, counts: Mapping[str, float], step: int) -> Mapping[str, float]:
        """Take notice of what a step counted, over all ranks.

        Raises:
            RunawayError: rollouts have run away, and the config does not say to go on in Channel-A.
        """
        if self.channel(step) is Channel.A:
            return {STEPS_B: 0, FALLEN_BACK: int(self._fallen_back)}
        problem = self._breaker.watch(counts)
        if problem is not None:
            if self._section.channel_b.on_runaway == "stop":
                raise RunawayError(
                    f"step {step + 1}: {problem}; look at rollouts with --dump-targets, then train with a lower "
                    "b_ratio or from a better checkpoint, or write on_runaway: channel_a"
                )
            self._fallen_back = True  # from the next step on
        return {STEPS_B: 1, FALLEN_BACK: 0}

    def metrics(self, sums: Mapping[str, float], steps: int) -> Mapping[str, float]:
        """Means over the steps; what only one of the channels has are means over its own."""
        steps_b = int(sums[STEPS_B])
        of = {"channel_a/": steps - steps_b, "channel_b/": steps_b, "rollout/": steps_b}
        found: dict[str, float] = {B_RATIO: steps_b / steps}
        for name, total in sums.items():
            own = next((count for prefix, count in of.items() if name.startswith(prefix)), steps)
            if own and name != STEPS_B:
                found[name] = total / own
        return found | (ratios(sums) if steps_b else {})

    def state(self) -> Mapping[str, Any]:
        """What a checkpoint keeps beside weights and optimizer."""
        return {"fallen_back": self._fallen_back, "breaker": self._breaker.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self._fallen_back = bool(state["fallen_back"])
        self._breaker.restore(state["breaker"])


def _tasks(loaded: list[Task] | CoordspecError) -> list[Task]:
    """
    Raises:
        CoordspecError: what a data worker met instead of tasks.
    """
    if isinstance(loaded, CoordspecError):
        raise loaded
    return loaded
