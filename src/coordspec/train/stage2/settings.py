"""What the two variants of Stage-2 are to the engine that runs both: sections of the config, as they are."""

from __future__ import annotations

from dataclasses import dataclass

from coordspec.config.model import Config
from coordspec.config.sections import CoordSoftCeW1
from coordspec.config.training import ROLLOUT_MATCHING, ChannelB, Runaway, Schedule, Stage2Ab
from coordspec.contracts import NO_LOSS, mask_policies
from coordspec.model.parts import Head


@dataclass(frozen=True, slots=True)
class Settings:
    """The sections that a Stage-2 run follows.

    ``coord_soft_ce_w1`` is None where the policy holds no coordinate to a bin. ``pack_length`` is None where every
    sample has a row of its own.
    """

    stage2_ab: Stage2Ab
    coord_soft_ce_w1: CoordSoftCeW1 | None
    runaway: Runaway
    pack_length: int | None
    head: Head


def stage2_settings(config: Config) -> Settings:
    """The settings of ``stage2_ab`` or ``rollout_matching_sft``; the latter is rollouts alone, under its own policy.

    Raises:
        ValueError: the config is of another variant.
    """
    policy = config.mask_policy
    if policy is None:
        raise ValueError(f"{config.custom.trainer_variant} is no variant of Stage-2")
    uses_coords = any(row.coord_loss != NO_LOSS for row in mask_policies().find(policy).rows.values())
    return Settings(
        stage2_ab=config.stage2_ab or _rollouts_alone(config),
        coord_soft_ce_w1=config.custom.coord_soft_ce_w1 if uses_coords else None,
        runaway=config.rollout_matching.runaway,
        pack_length=config.data.pack_length if config.data.packing else None,
        head=config.model.head,
    )


def _rollouts_alone(config: Config) -> Stage2Ab:
    """``rollout_matching_sft`` in the words of ``stage2_ab``."""
    channel_b = ChannelB(mask_policy=ROLLOUT_MATCHING, iou_gate=config.rollout_matching.iou_gate)
    return Stage2Ab(schedule=Schedule(b_ratio=1.0), channel_b=channel_b)
