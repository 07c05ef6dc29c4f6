"""The typed config: the one place of every setting, its range and its default.

A run receives this object as it was checked. Nothing after it clamps, guesses or fills in; rules between two settings
are those of ``coordspec check-config``.
"""

from __future__ import annotations

from pydantic import Field

from coordspec.config.custom import Custom
from coordspec.config.inputs import Data, Model, Template
from coordspec.config.results import Eval, Logging
from coordspec.config.section import Section, section
from coordspec.config.stage2 import ROLLOUT_MATCHING, RolloutMatching, Stage2Ab
from coordspec.config.training import Lora, Training


class Config(Section):
    """Everything about one run."""

    model: Model
    data: Data
    template: Template = section(Template)
    training: Training
    lora: Lora = section(Lora)
    custom: Custom = section(Custom)
    stage2_ab: Stage2Ab | None = Field(
        None, description="Settings of the variant stage2_ab, which needs them; null with another one."
    )
    rollout_matching: RolloutMatching = section(RolloutMatching)
    eval: Eval = section(Eval)
    logging: Logging = section(Logging)

    @property
    def mask_policy(self) -> str | None:
        """The row set of ``contracts/masks.yaml`` that rollouts are supervised by; None in Stage-1.

        Raises:
            ValueError: ``mask_policy`` and ``reordered_gt_sft`` contradict each other, or ``stage2_ab`` is missing.
        """
        match self.custom.trainer_variant:
            case "stage1_sft":
                return None
            case "rollout_matching_sft":
                return ROLLOUT_MATCHING
            case "stage2_ab":
                if self.stage2_ab is None:
                    raise ValueError("the variant stage2_ab needs the section stage2_ab")
                return self.stage2_ab.channel_b.policy

    @property
    def iou_gate(self) -> float:
        """The IoU below which a prediction and an object are no match, where targets are built from rollouts."""
        return self.rollout_matching.iou_gate if self.stage2_ab is None else self.stage2_ab.channel_b.iou_gate
