"""The objective of Stage-2: channels by schedule, rollouts before a Channel-B step, one engine for both variants."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch

from coordspec.coords import CoordVocab
from coordspec.errors import CoordspecError
from coordspec.model.checkpoint import VisionLanguageModel
from coordspec.target import Target, ground_truth_target
from coordspec.train.batch_guard import BatchGuard
from coordspec.train.collate import collate
from coordspec.train.encode import Encoder
from coordspec.train.objective import Prepared, StepLoss
from coordspec.train.pack import pack
from coordspec.train.stage2.boxes import BoxSlots, box_slots
from coordspec.train.stage2.breaker import Breaker, RunawayError
from coordspec.train.stage2.rollouts import RolloutMaker, Task
from coordspec.train.stage2.schedule import Channel, channel_of
from coordspec.train.stage2.settings import Settings
from coordspec.train.stage2.steps import Counts, channel_a, channel_b, coord_places, weigh_descs
from coordspec.train.stage2.tally import TALLIES, ratios

CHANNEL_A: Final = "channel_a"
"""The row set of ``contracts/masks.yaml`` for the ground truth in Channel-A."""

WEIGHTS, COORD, MATCHED, FN = "count/ce_weight", "count/coord", "count/matched", "count/fn"
SAMPLES, TOKENS, STEPS_B = "count/samples", "count/tokens", "count/channel_b"
_COUNTS: Final = (WEIGHTS, COORD, MATCHED, FN, SAMPLES, TOKENS)
_TERMS: Final = {"ce": WEIGHTS, "geo_matched": MATCHED, "geo_fn": FN}
_COORD_TERMS: Final = ("soft_ce", "w1", "hard_ce")


@dataclass(frozen=True, slots=True)
class Stage2Prepared(Prepared):
    """A batch with the coordinates that have a box loss, of one channel."""

    boxes: BoxSlots
    channel: Channel

    def to(self, device: torch.device) -> Stage2Prepared:
        """The same on another device."""
        return replace(
            self, batch=self.batch.to(device), counts_C=self.counts_C.to(device), boxes=self.boxes.to(device)
        )


class Stage2:
    """The objective of ``stage2_ab`` and of ``rollout_matching_sft``, which differ in their settings alone."""

    counts: Final = (*_COUNTS, *TALLIES)

    def __init__(
        self,
        settings: Settings,
        model: VisionLanguageModel,
        vocab: CoordVocab,
        encoder: Encoder,
        guard: BatchGuard,
        maker: RolloutMaker,
        breaker: Breaker,
        *,
        pad_id: int,
        pack_length: int | None,
    ) -> None:
        """``pack_length`` is None where every sample has a row of its own."""
        self._settings = settings
        self._model = model
        self._vocab = vocab
        self._encoder = encoder
        self._guard = guard
        self._maker = maker
        self._breaker = breaker
        self._pad_id = pad_id
        self._pack_length = pack_length
        self._fallen_back = False
        self.times: Counter[str] = Counter()

    # ---------------------------------------------------------------- batches

    def prepare(self, loaded: Sequence[list[Task] | CoordspecError], step: int) -> list[Prepared]:
        """The batches of an optimizer step, all of one channel; for Channel-B the model writes its rollouts first.

        Raises:
            CoordspecError: a record was refused, or a target breaks a rule of the guard.
        """
        micro_batches = [_tasks(tasks) for tasks in loaded]
        if self.channel(step) is Channel.A:
            return [self._prepared(tasks, self._ground_truth(tasks), Channel.A, Counter()) for tasks in micro_batches]
        began = time.perf_counter()
        answers = iter(self._maker.write([task for tasks in micro_batches for task in tasks], step))
        written = time.perf_counter()
        prepared: list[Prepared] = []
        for tasks in micro_batches:
            rollouts = [self._maker.build(task, next(answers)) for task in tasks]
            tallies = sum((found for _, found in rollouts), Counter())
            prepared.append(self._prepared(tasks, [made.target for made, _ in rollouts], Channel.B, tallies))
        self.times.update({"time/generate_s": written - began, "time/build_s": time.perf_counter() - written})
        return prepared

    def channel(self, step: int) -> Channel:
        """The channel of an optimizer step."""
        return Channel.A if self._fallen_back else channel_of(step, self._settings.b_ratio)

    def _ground_truth(self, tasks: Sequence[Task]) -> list[Target]:
        return [ground_truth_target(task.record, self._maker.table, rows=CHANNEL_A) for task in tasks]

    def _prepared(
        self, tasks: Sequence[Task], targets: Sequence[Target], channel: Channel, tallies: Mapping[str, float]
    ) -> Stage2Prepared:
        samples = [
            self._encoder.join(task.prompt, target, task.record.place)
            for task, target in zip(tasks, targets, strict=True)
        ]
        rows = self._rows([len(sample) for sample in samples])
        batch = collate([[samples[number] for number in row] for row in rows], self._pad_id)
        self._guard.check(batch)
        boxes = box_slots(batch, [targets[number] for row in rows for number in row])
        matched = int(boxes.matched_N.sum())
        counts = {
            WEIGHTS: float(weigh_descs(batch, self._settings.desc_ce_weight).sum()),
            COORD: int(coord_places(batch).sum()),
            MATCHED: matched,
            FN: len(boxes.matched_N) - matched,
            SAMPLES: len(samples),
            TOKENS: sum(map(len, samples)),
            **tallies,
        }
        counts_C = torch.tensor([counts.get(name, 0) for name in self.counts], dtype=torch.float64)
        return Stage2Prepared(batch, counts_C, boxes, channel)

    def _rows(self, lengths: Sequence[int]) -> list[list[int]]:
        """Which samples of a batch share a row."""
        if self._pack_length is None:
            return [[number] for number in range(len(lengths))]
        order = np.arange(len(lengths), dtype=np.int64)
        return pack(order, np.array(lengths, dtype=np.int32), max(self._pack_length, *lengths))

    # ---------------------------------------------------------------- loss

    def loss(self, prepared: Stage2Prepared, counts_C: torch.Tensor) -> StepLoss:
        """The loss of one batch: its sums over the counts of the whole step."""
        counts = Counts(*counts_C[: len(Counts._fields)].clamp(min=1))
        run = channel_a if prepared.channel is Channel.A else channel_b
        terms = run(self._model, self._vocab, prepared.batch, prepared.boxes, counts, self._settings)
        name = f"channel_{prepared.channel}"
        parts = {f"{name}/ce": terms.ce, f"{name}/geo_matched": terms.geo_matched, f"{name}/geo_fn": terms.geo_fn}
        if self._settings.coord is not None and prepared.channel is Channel.B:
            parts |= {f"{name}/coord_{part}": value for part, value in terms.coord.items()}
        return StepLoss(terms.loss, {"loss": terms.loss.detach(), f"{name}/loss": terms.loss.detach(), **parts})

    # ---------------------------------------------------------------- over steps

    def observe(self, counts: Mapping[str, float], step: int) -> None:
        """Take notice of what a step counted, over all ranks.

        Raises:
            RunawayError: rollouts have run away, and the config does not say to go on in Channel-A.
        """
        if self.channel(step) is Channel.A:
            return
        problem = self._breaker.watch(counts)
        if problem is None:
            return
        if not self._settings.falls_back:
            raise RunawayError(f"step {step + 1}: {problem}; look at --dump-targets, or lower b_ratio")
        self._fallen_back = True

    def state(self) -> dict[str, Any]:
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
