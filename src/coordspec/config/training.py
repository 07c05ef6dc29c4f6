"""How training goes: the settings of Hugging Face's Trainer that make sense here, under their names, and LoRA."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from coordspec.config.section import (
    HF,
    OWN,
    PEFT,
    AsTuple,
    AtLeastZero,
    Count,
    PathText,
    Positive,
    Section,
    Text,
    WholeNumber,
    setting,
)


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
