"""What the two variants of Stage-2 are to the engine that runs both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coordspec.config.model import Config
from coordspec.config.stage2 import Runaway, Stage2Ab
from coordspec.contracts import NO_LOSS, mask_policies
from coordspec.losses.spec import CoordSpec
from coordspec.model.parts import Head
from coordspec.train.stage1 import coord_spec


@dataclass(frozen=True, slots=True)
class Settings:
    """Schedule, policy and weights of a Stage-2 run.

    ``coord`` weighs the coordinate terms of policies that have some, and is None for others. ``falls_back`` says that a
    run whose rollouts run away goes on in Channel-A instead of stopping. ``pack_length`` is None where every sample has
    a row of its own.
    """

    b_ratio: float
    policy: str
    iou_gate: float
    n_softctx_iter: int
    softctx_grad_mode: Literal["unroll", "em_detach"]
    softctx_temperature: float
    desc_ce_weight: float
    smooth_l1_weight: float
    ciou_weight: float
    beta: float
    geo_weight: float
    coord: CoordSpec | None
    falls_back: bool
    runaway: Runaway
    pack_length: int | None
    head_rows: Head


def stage2_settings(config: Config) -> Settings:
    """The settings of ``stage2_ab`` or ``rollout_matching_sft``; the latter is rollouts alone, under its own policy.

    Raises:
        ValueError: the config is of another variant.
    """
    policy = config.mask_policy
    if policy is None:
        raise ValueError(f"{config.custom.trainer_variant} is no variant of Stage-2")
    section = config.stage2_ab or Stage2Ab()
    uses_coords = any(row.coord_loss != NO_LOSS for row in mask_policies().find(policy).rows.values())
    return Settings(
        b_ratio=1.0 if config.stage2_ab is None else section.schedule.b_ratio,
        policy=policy,
        iou_gate=config.iou_gate,
        n_softctx_iter=section.n_softctx_iter,
        softctx_grad_mode=section.softctx_grad_mode,
        softctx_temperature=section.softctx_temperature,
        desc_ce_weight=section.desc_ce_weight,
        smooth_l1_weight=section.bbox_smoothl1_weight,
        ciou_weight=section.bbox_ciou_weight,
        beta=section.smoothl1_beta,
        geo_weight=section.geo_weight,
        coord=coord_spec(config.custom.coord_soft_ce_w1) if uses_coords else None,
        falls_back=config.stage2_ab is not None and section.channel_b.on_runaway == "channel_a",
        runaway=config.rollout_matching.runaway,
        pack_length=config.data.pack_length if config.data.packing else None,
        head_rows=config.model.head,
    )
