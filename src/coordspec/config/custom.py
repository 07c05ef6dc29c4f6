"""The kind of training, and the coord-token loss of Stage-1."""

from __future__ import annotations

from typing import Literal, TypeAlias

from coordspec.config.section import AtLeastZero, Positive, Section, section, setting

TrainerVariant: TypeAlias = Literal["stage1_sft", "rollout_matching_sft", "stage2_ab"]

_LOSS = "spec coord-token-mode"


class CoordTokens(Section):
    """Whether coordinates are trained as coord tokens."""

    enabled: bool = setting(
        "Treat coord tokens as coordinates: they leave the ordinary cross entropy.", source=_LOSS, default=False
    )


class CoordSoftCeW1(Section):
    """Weights and targets of the coord-token loss: soft cross entropy, W1, hard cross entropy and gate."""

    enabled: bool = setting("Supervise coord tokens by this loss.", source=_LOSS, default=False)
    soft_ce_weight: AtLeastZero = setting(
        "Weight of the cross entropy with the soft target.", source=_LOSS, default=1.0
    )
    w1_weight: AtLeastZero = setting(
        "Weight of the Wasserstein-1 distance to the soft target, in unit coordinates.", source=_LOSS, default=1.0
    )
    ce_weight: AtLeastZero = setting(
        "Weight of the hard cross entropy, minus the log probability of the bin among the bins.",
        source=_LOSS,
        default=0.0,
    )
    gate_weight: AtLeastZero = setting(
        "Weight of the gate, minus the log of the mass on coord tokens: it teaches the model to write one.",
        source=_LOSS,
        default=1.0,
    )
    temperature: Positive = setting("Divisor of the logits in all four terms.", source=_LOSS, default=1.0)
    target_sigma: Positive = setting(
        "Standard deviation of the soft target, a Gaussian around the bin.", unit="bins", source=_LOSS, default=2.0
    )
    target_truncate: AtLeastZero | None = setting(
        "The soft target is 0 further than this from the bin; null for no limit.",
        unit="bins",
        source=_LOSS,
        default=None,
    )


class Custom(Section):
    """Which training runs, and how coordinates are supervised in it."""

    trainer_variant: TrainerVariant = setting(
        "stage1_sft trains on the ground truth; stage2_ab alternates it with the model's own rollouts; "
        "rollout_matching_sft trains on rollouts alone.",
        source="specs coord-token-mode, stage2-ab-training and rollout-matching-sft",
        default="stage1_sft",
    )
    coord_tokens: CoordTokens = section(CoordTokens)
    coord_soft_ce_w1: CoordSoftCeW1 = section(CoordSoftCeW1)
