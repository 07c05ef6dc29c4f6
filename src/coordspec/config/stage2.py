"""Settings of training on rollouts: Stage-2 AB, and what it shares with rollout matching."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

from pydantic import Field

from coordspec.boxes import DEFAULT_IOU_GATE
from coordspec.config.section import (
    GENERATION,
    OWN,
    AtLeastZero,
    Count,
    Positive,
    Section,
    Share,
    WholeNumber,
    section,
    setting,
)
from coordspec.contracts import mask_policies

_AB: Final = "spec stage2-ab-training"
_RM: Final = "spec rollout-matching-sft"

UNIFIED: Final = mask_policies().default
REORDERED: Final = "reordered_gt_sft"
ROLLOUT_MATCHING: Final = "rollout_matching"
MASK_POLICIES: Final = tuple(mask_policies().by_name)

if TYPE_CHECKING:
    MaskPolicy: TypeAlias = str
else:  # a literal of names that are data
    MaskPolicy = Literal[MASK_POLICIES]


class Schedule(Section):
    """Which optimizer steps are Channel-B."""

    b_ratio: Share = setting(
        "Share ρ of Channel-B steps: step s is one if floor((s+1)ρ) > floor(sρ). 0 trains Channel-A alone, 1 Channel-B "
        "alone.",
        unit="share",
        source=_AB,
        default=0.5,
    )


class ChannelB(Section):
    """How a rollout becomes a target."""

    mask_policy: MaskPolicy | None = setting(
        "Policy of contracts/masks.yaml that says what is supervised; null for the default of that file, or for what "
        "reordered_gt_sft selects. Anything but the default is for ablations.",
        source=_AB,
        default=None,
    )
    reordered_gt_sft: bool | None = setting(
        "true is the legacy opt-in: it selects the policy reordered_gt_sft.", source=_AB, default=None
    )
    iou_gate: Share = setting(
        "A prediction and an object with a smaller IoU are no match.", unit="IoU", source=_AB, default=DEFAULT_IOU_GATE
    )
    on_runaway: Literal["stop", "channel_a"] = setting(
        "What happens when rollout_matching.runaway trips: the run stops, or all further steps are Channel-A.",
        source=OWN,
        default="stop",
    )

    @property
    def policy(self) -> str:
        """The policy in effect.

        Raises:
            ValueError: the two keys contradict each other, which ``check-config`` refuses.
        """
        if self.reordered_gt_sft is None or self.mask_policy is None:
            return REORDERED if self.reordered_gt_sft else self.mask_policy or UNIFIED
        if self.reordered_gt_sft is not (self.mask_policy == REORDERED):
            opted = str(self.reordered_gt_sft).lower()
            raise ValueError(f"mask_policy: {self.mask_policy} contradicts reordered_gt_sft: {opted}")
        return self.mask_policy


class Stage2Ab(Section):
    """Channel-A on the ground truth with soft self-context, Channel-B on rollouts."""

    schedule: Schedule = section(Schedule)
    n_softctx_iter: Count = setting(
        "Forwards of a Channel-A step. 1 is plain teacher forcing; each further one sees the expected embeddings of "
        "the coordinates that the one before predicted.",
        unit="forwards",
        source=_AB,
        default=1,
    )
    softctx_grad_mode: Literal["unroll", "em_detach"] = setting(
        "Whether geometry gradients flow through the soft embeddings (unroll) or stop there (em_detach).",
        source=_AB,
        default="unroll",
    )
    softctx_temperature: Positive = setting(
        "Divisor of the coord logits behind an expected embedding.", source=_AB, default=1.0
    )
    desc_ce_weight: AtLeastZero = setting(
        "Factor on the cross entropy of desc tokens, in both channels.", source=_AB, default=1.0
    )
    bbox_smoothl1_weight: AtLeastZero = setting("Weight of SmoothL1 in the box loss.", source=_AB, default=1.0)
    bbox_ciou_weight: AtLeastZero = setting("Weight of 1 - CIoU in the box loss.", source=_AB, default=1.0)
    smoothl1_beta: Positive = setting(
        "Error up to which SmoothL1 is quadratic.",
        unit="unit coordinates",
        source="torch.nn.SmoothL1Loss",
        default=1.0,
    )
    geo_weight: AtLeastZero = setting(
        "Weight λ_geo of the box loss beside the cross entropy, in both channels.", source=_AB, default=1.0
    )
    channel_b: ChannelB = section(ChannelB)


class Decoding(Section):
    """How a rollout is written. Greedy unless do_sample is true."""

    do_sample: bool = setting("Draw tokens instead of taking the likeliest.", source=GENERATION, default=False)
    temperature: Positive = setting(
        "Divisor of the logits; of effect with do_sample alone.", source=GENERATION, default=1.0
    )
    top_p: Annotated[float, Field(gt=0, le=1)] = setting(
        "Draw from the likeliest tokens that hold this mass; of effect with do_sample alone.",
        unit="share",
        source=GENERATION,
        default=1.0,
    )
    top_k: WholeNumber = setting(
        "Draw from as many of the likeliest tokens, 0 for all; of effect with do_sample alone.",
        unit="tokens",
        source=GENERATION,
        default=0,
    )
    repetition_penalty: Positive = setting(
        "Divisor of the scores of tokens that were written before; 1 for none.", source=GENERATION, default=1.0
    )
    max_new_tokens: Count = setting(
        "The longest rollout. What is longer is cut behind its last complete entry.",
        unit="tokens",
        source=GENERATION,
        default=2048,
    )


class GenerateBatch(Section):
    """How rollouts are put together for generation."""

    size: Count = setting(
        "Prompts that are generated for at once on each device.", unit="prompts", source=OWN, default=8
    )
    bucket_by_length: bool = setting(
        "Generate for prompts of similar length together, which pads less.", source=OWN, default=True
    )


class Termination(Section):
    """When one rollout is ended before it ends itself; it is then treated as truncated."""

    max_objects: Count | None = setting(
        "End a rollout that has more top-level entries; null for no limit.", unit="entries", source=OWN, default=None
    )
    max_repeats: Count | None = setting(
        "End a rollout that has written the same entry, but for its key, more often than this in a row; null for no "
        "limit.",
        unit="entries",
        source=OWN,
        default=4,
    )


class Runaway(Section):
    """A circuit-breaker for the run: what rollouts may look like over a window of steps."""

    max_predictions_per_gt: Positive | None = setting(
        "Trip when rollouts hold more valid entries for each ground-truth object; null for no limit.",
        unit="entries per object",
        source=OWN,
        default=4.0,
    )
    max_truncation_rate: Share | None = setting(
        "Trip when a larger share of the rollouts is truncated; null for no limit.",
        unit="share",
        source=OWN,
        default=0.5,
    )
    window_steps: Count = setting(
        "Rollout steps over which both are measured; a shorter time trips nothing.",
        unit="optimizer steps",
        source=OWN,
        default=20,
    )


class Vllm(Section):
    """A vLLM server that writes the rollouts. The trainer brings it up to date through LoRA adapters."""

    base_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] = setting(
        "Where the server's OpenAI-compatible interface is.", source="vLLM serve", default="http://127.0.0.1:8000/v1"
    )
    timeout_s: Positive = setting(
        "How long one request may take before the run stops.", unit="seconds", source=OWN, default=300.0
    )
    sync_steps: Count = setting(
        "The server loads the trainer's adapter anew after as many steps.",
        unit="optimizer steps",
        source=OWN,
        default=1,
    )


class RolloutMatching(Section):
    """Rollouts of both Stage-2 variants: who writes them, how, and when they are cut short."""

    backend: Literal["hf", "vllm"] = setting(
        "hf generates with the model in training; vllm asks a server, and needs vLLM installed there.",
        source=OWN,
        default="hf",
    )
    iou_gate: Share = setting(
        "A prediction and an object with a smaller IoU are no match. For the variant rollout_matching_sft; stage2_ab "
        "has its own in channel_b.",
        unit="IoU",
        source=_RM,
        default=DEFAULT_IOU_GATE,
    )
    decoding: Decoding = section(Decoding)
    batch: GenerateBatch = section(GenerateBatch)
    termination: Termination = section(Termination)
    runaway: Runaway = section(Runaway)
    vllm: Vllm | None = Field(None, description="The server of the backend vllm; null with another backend.")
