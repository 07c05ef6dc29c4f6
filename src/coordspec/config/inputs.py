"""What goes in: the checkpoint, the data, and how a record becomes a prompt and an answer."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field

from coordspec.checks.text import first_special_token
from coordspec.config.section import OWN, AsTuple, Count, PathText, Section, Text, setting
from coordspec.contracts import rule

PREFLIGHT_MAX_BYTES: Final = 1 << 30
MAX_IMAGE_PIXELS: Final = 89_478_485  # PIL.Image.MAX_IMAGE_PIXELS: a quarter of a GiB at three bytes a pixel
MAX_IMAGE_BYTES: Final = 256 << 20
USER_PROMPT: Final = (
    "Detect all objects in the image. Answer with one JSON object: the keys object_1, object_2 and so on, each with "
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
        default=rule("too-long").params["max_line_bytes"],
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
