"""The objective of Stage-2: channels by schedule, rollouts before a Channel-B step, one engine for both variants."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import nn

from coordspec.coords import CoordVocab
from coordspec.errors import CoordspecError
from coordspec.model.checkpoint import VisionLanguageModel
from coordspec.target import Target, ground_truth_target
from coordspec.train.batch_guard import BatchGuard
from coordspec.train.collate import Batch, collate
from coordspec.train.encode import Encoder, Sample
from coordspec.train.objective import Prepared, StepLoss
from coordspec.train.pack import first_fit
from coordspec.train.stage2.boxes import BoxSlots, box_slots
from coordspec.train.stage2.breaker import Breaker, RunawayError
from coordspec.train.stage2.rollouts import RolloutMaker, Task
from coordspec.train.stage2.schedule import Channel, channel_of
from coordspec.train.stage2.settings import Settings
from coordspec.train.stage2.steps import Counts, Terms, channel_a, channel_b, coord_places, weigh_descs
from coordspec.train.stage2.tally import TALLIES, ratios

CHANNEL_A: Final = "channel_a"
"""The row set of ``contracts/masks.yaml`` for the ground truth in Channel-A."""

WEIGHTS, COORD, MATCHED, FN = "count/ce_weight", "count/coord", "count/matched", "count/fn"
SAMPLES, TOKENS = "count/samples", "count/tokens"
_DIVISORS: Final = (WEIGHTS, COORD, MATCHED, FN)


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
