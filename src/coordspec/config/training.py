"""How a run trains: optimizer, schedule, adapters, and Stage-2 with its rollouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field

from coordspec.boxes import DEFAULT_IOU_GATE
from coordspec.config.sections import (
    GENERATION,
    HF,
    OWN,
    PEFT,
    AsTuple,
    AtLeastZero,
    Count,
    PathText,
    Positive,
    Section,
    Share,
    Text,
    WholeNumber,
    section,
    setting,
)
from coordspec.contracts import mask_policies

# ---------------------------------------------------------------- how training goes


def _not_zero(steps: int) -> int:
    if steps == 0:
        raise ValueError("write -1 for no limit, or a number of steps from 1")
    return steps


MaxSteps = Annotated[int, Field(ge=-1, json_schema_extra={"not": {"const": 0}}), AfterValidator(_not_zero)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
OwnRate = AtLeastZero | None


class Training(Section):
    """Optimizer, schedule, precision, saving. Names are those of TrainingArguments, but for three learning rates."""

    output_dir: PathText = setting(
        "Folder of the run: checkpoints, logs, resolved config. One that holds a run is only ever continued, never "
        "overwritten.",
        source=HF,
    )
    num_train_epochs: Positive = setting(
        "How often the data is gone through; of no effect with max_steps.", unit="epochs", source=HF, default=3.0
    )
    max_steps: MaxSteps = setting(
        "Stop after as many optimizer steps; -1 to let num_train_epochs decide.",
        unit="optimizer steps",
        source=HF,
        default=-1,
    )
    per_device_train_batch_size: Count = setting(
        "Samples of a micro-batch on each device; with packing, packed sequences.", unit="samples", source=HF, default=1
    )
    per_device_eval_batch_size: Count = setting(
        "Samples of a batch on each device where the loss on validation data is computed.",
        unit="samples",
        source=HF,
        default=1,
    )
    gradient_accumulation_steps: Count = setting(
        "Micro-batches of one optimizer step. The loss is divided once, over all of them.",
        unit="micro-batches",
        source=HF,
        default=1,
    )
    learning_rate: AtLeastZero = setting(
        "Peak learning rate of everything that has no rate of its own.", source=HF, default=1e-5
    )
    vision_learning_rate: OwnRate = setting(
        "Peak learning rate of the vision tower; null for learning_rate.", source=OWN, default=None
    )
    projector_learning_rate: OwnRate = setting(
        "Peak learning rate of the projector (Qwen3-VL: the mergers); null for learning_rate.", source=OWN, default=None
    )
    coord_learning_rate: OwnRate = setting(
        "Peak learning rate of the embedding and head rows of the coord tokens; null for learning_rate.",
        source=OWN,
        default=None,
    )
    muon_learning_rate: Positive = setting(
        "Peak learning rate of the matrices that muon updates; of effect with optim: muon alone.",
        source="torch.optim.Muon",
        default=0.02,
    )
    weight_decay: AtLeastZero = setting("Decoupled weight decay; biases and norms have none.", source=HF, default=0.0)
    adam_beta1: Momentum = setting("Decay of AdamW's first moment.", source=HF, default=0.9)
    adam_beta2: Momentum = setting("Decay of AdamW's second moment.", source=HF, default=0.999)
    adam_epsilon: Positive = setting("Term that keeps AdamW from dividing by zero.", source=HF, default=1e-8)
    max_grad_norm: AtLeastZero = setting(
        "Gradients are scaled down to this norm; 0 for no limit.", unit="L2 norm", source=HF, default=1.0
    )
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup", "inverse_sqrt"] = setting(
        "Course of the learning rate behind the warmup.", source=HF, default="linear"
    )
    warmup_steps: AtLeastZero = setting(
        "Optimizer steps in which the learning rate rises from 0; a number below 1 is a share of all steps.",
        unit="optimizer steps, or a share of them",
        source=HF,
        default=0.0,
    )
    optim: Literal["adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "muon"] = setting(
        "The optimizer. muon, which TrainingArguments do not know, is torch.optim.Muon for the matrices of hidden "
        "layers and AdamW for all else; it makes far more of few steps where a model is trained from nothing.",
        source=HF,
        default="adamw_torch_fused",
    )
    bf16: bool = setting(
        "Compute in bfloat16 where that is safe (autocast); weights stay in model.dtype.", source=HF, default=False
    )
    tf32: bool | None = setting(
        "Let matrix products of float32 run as TF32 on a GPU that has it; null for what PyTorch does.",
        source=HF,
        default=None,
    )
    gradient_checkpointing: bool = setting(
        "Compute activations a second time instead of keeping them: less memory, about a third more time.",
        source=HF,
        default=False,
    )
    seed: WholeNumber = setting("Seed of everything random; rollouts derive theirs from it.", source=HF, default=42)
    data_seed: WholeNumber | None = setting("Seed of the order of the data; null for seed.", source=HF, default=None)
    full_determinism: bool = setting(
        "Use deterministic kernels only, so that runs on one machine are equal bit by bit; slower.",
        source=HF,
        default=False,
    )
    save_steps: Count = setting("A checkpoint after as many steps.", unit="optimizer steps", source=HF, default=500)
    save_total_limit: Count | None = setting(
        "Checkpoints that are kept, the newest ones and the best one; null for all.",
        unit="checkpoints",
        source=HF,
        default=None,
    )
    eval_steps: Count | None = setting(
        "An evaluation on data.val after as many steps; null for the one at the end alone.",
        unit="optimizer steps",
        source=HF,
        default=None,
    )
    logging_steps: Count = setting(
        "A line of metrics after as many steps.", unit="optimizer steps", source=HF, default=10
    )
    dataloader_num_workers: WholeNumber = setting(
        "Processes that load data beside the training process, for each device; 0 to load in it.",
        unit="processes",
        source=HF,
        default=0,
    )
    ddp_timeout: Count = setting(
        "How long a rank waits for the others before the run is given up.", unit="seconds", source=HF, default=1800
    )
    use_cpu: bool = setting("Train on the CPU even where there is a GPU.", source=HF, default=False)


class Lora(Section):
    """Low-rank adapters instead of whole matrices. Embedding and head follow model.head with and without them."""

    enabled: bool = setting("Train adapters on a frozen model.", source=OWN, default=False)
    r: Count = setting("Rank of an adapter.", unit="rank", source=PEFT, default=16)
    lora_alpha: Positive = setting("Numerator of the adapters' scale, lora_alpha / r.", source=PEFT, default=32.0)
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = setting(
        "Share of an adapter's inputs that is dropped in training.", unit="share", source=PEFT, default=0.0
    )
    target_modules: Annotated[tuple[Text, ...], Field(min_length=1), AsTuple] = setting(
        "Names of the layers that get an adapter; by default all projections of the decoder's attention and MLP.",
        source=PEFT,
        default=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    )
    use_rslora: bool = setting("Scale by lora_alpha / sqrt(r) instead.", source=PEFT, default=False)


# ---------------------------------------------------------------- settings of training on rollouts


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
