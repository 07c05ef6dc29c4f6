"""What every section of a config is built from, and the sections of Stage-1: data in, results out, the coord loss."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias, cast, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from coordspec.boxes import IOU_THRESHOLDS
from coordspec.checks.text import first_special_token
from coordspec.contracts import payload_contract
from coordspec.jsonl.inputs import MAX_LINE_BYTES

# ---------------------------------------------------------------- what sections are built from


HF: Final = "transformers TrainingArguments"
GENERATION: Final = "transformers GenerationConfig"
PEFT: Final = "peft LoraConfig"
OWN: Final = "coordspec"


class Section(BaseModel):
    """One mapping of a config: known keys only, exact types, finite numbers, and nothing changes afterwards.

    A whole number is a float, a bool is no number, and text is never read as anything else. A model is built when it
    is first used, since importing one must cost next to nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


class Facts(NamedTuple):
    """What is said of a setting beside its description."""

    unit: str | None
    source: str


def setting(description: str, *, source: str, unit: str | None = None, default: Any = ...) -> Any:
    """One field of a section.

    Args:
        description: What it does, in sentences.
        source: Where its name and its meaning come from.
        unit: What its number counts; None for what is no quantity.
        default: Its value where a config says nothing; without one the setting is required.
    """
    return Field(default, description=description, json_schema_extra=Facts(unit, source)._asdict())


def facts(field: FieldInfo) -> Facts:
    """Unit and source of a setting."""
    extra = field.json_schema_extra
    assert isinstance(extra, dict), "a setting is made by setting()"
    return Facts(*(cast(Any, extra[name]) for name in Facts._fields))


def section(of: type[Section]) -> Any:
    """A section that may be left out: all of its settings have defaults. Its docstring says what it is."""
    return Field(default_factory=of)


def section_text(of: type[Section]) -> str:
    """What a section is: its docstring on one line."""
    return " ".join((of.__doc__ or "").split())


@dataclass(frozen=True, slots=True)
class IsPath:
    """Marks text that is a path: relative to the folder of the YAML file in which it stands."""


def _tuple_of_list(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


AsTuple: Final = BeforeValidator(_tuple_of_list)
"""A YAML list becomes a tuple, so that a config is frozen throughout. Nothing else becomes one."""

Text: TypeAlias = Annotated[str, Field(min_length=1)]
PathText: TypeAlias = Annotated[str, Field(min_length=1), IsPath()]
Count: TypeAlias = Annotated[int, Field(ge=1)]
WholeNumber: TypeAlias = Annotated[int, Field(ge=0)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
AtLeastZero: TypeAlias = Annotated[float, Field(ge=0)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
"""From 0 to 1, both included."""


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section that a field holds, ``Section | None`` included; None for a plain setting."""
    for part in (field.annotation, *get_args(field.annotation)):
        if isinstance(part, type) and issubclass(part, Section):
            return part
    return None


# ---------------------------------------------------------------- what goes in


PREFLIGHT_MAX_BYTES: Final = 1 << 30
MAX_IMAGE_PIXELS: Final = 89_478_485  # PIL.Image.MAX_IMAGE_PIXELS: a quarter of a GiB at three bytes a pixel
MAX_IMAGE_BYTES: Final = 256 << 20
USER_PROMPT: Final = (
    f"Detect all objects in the image. Answer with one JSON object: the keys {payload_contract().key(1)}, "
    f"{payload_contract().key(2)} and so on, each with "
    '"desc" and either "bbox_2d" or "poly".'
)

Dtype: TypeAlias = Literal["float32", "bfloat16"]
"""Type in which weights are held."""
Attention: TypeAlias = Literal["sdpa", "flash_attention_2", "eager"]
"""Kernel of the attention."""


class Model(Section):
    """The checkpoint that training starts from, and which of its parts are trained."""

    path: PathText = setting(
        "Folder of the checkpoint: config, safetensors weights, tokenizer and processor. Its tokenizer has the coord "
        "tokens. Nothing is downloaded and no code from the folder is run.",
        source=OWN,
    )
    dtype: Dtype = setting(
        "Type in which the weights are held and updated. float32 by default: the updates of a small learning rate are "
        "lost in bfloat16 weights; training.bf16 makes the computation fast either way.",
        source="transformers from_pretrained",
        default="float32",
    )
    attn_implementation: Attention = setting(
        "Kernel of the attention. flash_attention_2 needs its package and a GPU.",
        source="transformers from_pretrained",
        default="sdpa",
    )
    freeze_vision: bool = setting(
        "Keep the vision tower as it is; with LoRA it gets no adapters.", source=OWN, default=False
    )
    freeze_projector: bool = setting(
        "Keep the projector (Qwen3-VL: the mergers) between vision tower and decoder as it is; with LoRA it gets no "
        "adapters.",
        source=OWN,
        default=False,
    )
    freeze_language: bool = setting(
        "Keep the layers of the decoder as they are; with LoRA they get no adapters. Its embedding and its head follow "
        "model.head.",
        source=OWN,
        default=False,
    )
    head: Literal["full", "coord_rows", "frozen"] = setting(
        "Which rows of the token embedding and of the language-model head are trained: all, those of the 1000 coord "
        "tokens, or none.",
        source=OWN,
        default="full",
    )


class Data(Section):
    """Contract files and what may be read of them."""

    train: Annotated[tuple[PathText, ...], Field(min_length=1), AsTuple] = setting(
        "Contract files (JSONL) to train on, read one after the other as one data set.", source=OWN
    )
    val: Annotated[tuple[PathText, ...], AsTuple] = setting(
        "Contract files to evaluate on. Where there is one, every run ends with an evaluation.", source=OWN, default=()
    )
    image_root: PathText | None = setting(
        "Folder that image paths are relative to; null for the folder of each contract file.", source=OWN, default=None
    )
    preflight: Literal["auto", "always", "never"] = setting(
        "Check every record of the data before a model is loaded. auto does so for files up to preflight_max_bytes. A "
        "bad record that is met later stops the run there.",
        source=OWN,
        default="auto",
    )
    preflight_max_bytes: Count = setting(
        "The largest size of all contract files together that preflight: auto still checks.",
        unit="bytes",
        source=OWN,
        default=PREFLIGHT_MAX_BYTES,
    )
    max_image_pixels: Count = setting(
        "An image with more pixels stops the run before it is decompressed.",
        unit="pixels",
        source="PIL.Image.MAX_IMAGE_PIXELS",
        default=MAX_IMAGE_PIXELS,
    )
    max_image_bytes: Count = setting(
        "A larger image file stops the run before it is read.", unit="bytes", source=OWN, default=MAX_IMAGE_BYTES
    )
    max_line_bytes: Count = setting(
        "The longest line of a contract file, as `--max-line-bytes` of `coordspec validate`.",
        unit="bytes",
        source="contracts/rules.yaml, too-long",
        default=MAX_LINE_BYTES,
    )
    max_samples: Count | None = setting(
        "Train on the first records only, as many as this; null for all.", unit="records", source=OWN, default=None
    )
    max_val_samples: Count | None = setting(
        "Evaluate on the first records only, as many as this; null for all.", unit="records", source=OWN, default=None
    )
    packing: bool = setting(
        "Put several samples into one sequence. None attends to another, and the loss stays the same.",
        source=OWN,
        default=False,
    )
    pack_length: Count = setting(
        "Length up to which samples are packed; of effect with packing alone.", unit="tokens", source=OWN, default=8192
    )


def _no_special_token(text: str) -> str:
    token = first_special_token(text)
    if token is not None:
        raise ValueError(f"the tokenizer would read {token} in it as a special token")
    return text


Prompt = Annotated[Text, AfterValidator(_no_special_token)]
"""Text of a prompt; the chat template alone writes special tokens."""


class Template(Section):
    """How a record becomes a conversation: prompts, image size, length. Objects stay in the order of their file."""

    system_prompt: Prompt | None = setting(
        "Text of the system turn; null for no such turn.", source="chat template of the checkpoint", default=None
    )
    user_prompt: Prompt = setting("Text of the user turn, behind the image.", source=OWN, default=USER_PROMPT)
    min_pixels: Count | None = setting(
        "Smaller images are enlarged to this many pixels; null for what the checkpoint's processor says.",
        unit="pixels",
        source="Qwen-VL image processor",
        default=None,
    )
    max_pixels: Count | None = setting(
        "Larger images are reduced to this many pixels; null for what the checkpoint's processor says.",
        unit="pixels",
        source="Qwen-VL image processor",
        default=None,
    )
    max_length: Count = setting(
        "The longest sample: prompt, image tokens and answer. A longer one stops the run; nothing is cut off.",
        unit="tokens",
        source=OWN,
        default=4096,
    )


# ---------------------------------------------------------------- what comes out of a run


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(first >= second for first, second in pairwise(values)):
        raise ValueError("write them in ascending order, none twice")
    return values


IouThresholds = Annotated[
    tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1), AsTuple, AfterValidator(_ascending)
]


class Eval(Section):
    """What an evaluation on data.val does, beside the loss that it always computes."""

    generate: bool = setting(
        "Let the model write an answer for every sample, greedily, and score it against the ground truth.",
        source=OWN,
        default=False,
    )
    batch_size: Count = setting(
        "Prompts that are generated for at once on each device.", unit="prompts", source=OWN, default=8
    )
    max_new_tokens: Count = setting(
        "The longest answer; a longer one is scored as truncated.",
        unit="tokens",
        source="transformers GenerationConfig",
        default=2048,
    )
    iou_thresholds: IouThresholds = setting(
        "Precision, recall and F1 are computed at each of these and as the mean over all.",
        unit="IoU",
        source="COCO",
        default=IOU_THRESHOLDS,
    )
    metric_for_best: Literal["loss", "f1", "precision", "recall"] | None = setting(
        "The measure of the best checkpoint, which is kept: loss is the smallest, the others the largest mean over "
        "iou_thresholds. null for no best checkpoint.",
        source=OWN,
        default=None,
    )


class Logging(Section):
    """Where metrics go."""

    console: bool = setting("A progress bar and lines of metrics in the terminal.", source=OWN, default=True)
    jsonl: bool = setting("A file of metrics in training.output_dir, one JSON object a line.", source=OWN, default=True)
    tensorboard: bool = setting("Event files for TensorBoard in training.output_dir.", source=OWN, default=False)


# ---------------------------------------------------------------- the kind of training, the loss of Stage-1


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
