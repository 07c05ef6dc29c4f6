"""Loading a checkpoint from its folder: nothing is downloaded, no code of it is run, no pickle is opened."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.utils import logging as progress

from coordspec.config.sections import Attention, Dtype, Model
from coordspec.coords import CoordVocab
from coordspec.errors import InputError
from coordspec.model.chat import IMAGE_PAD
from coordspec.model.folder import CONFIG
from coordspec.tokenizer import END_OF_TURN, TOKENIZER_FILE

VisionLanguageModel: TypeAlias = Qwen3VLForConditionalGeneration | Qwen2_5_VLForConditionalGeneration

MODELS: Final[Mapping[str, type[PreTrainedModel]]] = {
    "qwen3_vl": Qwen3VLForConditionalGeneration,
    "qwen2_5_vl": Qwen2_5_VLForConditionalGeneration,
}
"""The classes that can be loaded, by the ``model_type`` of config.json."""


WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
PREPROCESSOR: Final = "preprocessor_config.json"
_BROKEN_FILE: Final = (
    *(OSError, ValueError, RuntimeError, ImportError),
    *(KeyError, TypeError, AttributeError, SafetensorError, StrictDataclassError),
)
KEPT: Final = ("video_preprocessor_config.json",)
"""Files that nothing here reads and others want: they go along from checkpoint to checkpoint."""
PREPROCESS: Final = "preprocess.json"
"""What was done to images and prompts in training; ``samples.fingerprint`` writes and compares it."""
PICKLES: Final = ("*.bin", "*.pt", "*.pth", "*.ckpt")
SHOWN: Final = 3


@dataclass(frozen=True)
class Processor:
    """What turns text and images into the inputs of one checkpoint's model."""

    tokenizer: PreTrainedTokenizerFast
    image_processor: Qwen2VLImageProcessorPil

    @property
    def chat_template(self) -> str:
        """The Jinja text that writes a conversation with its special tokens."""
        return str(self.tokenizer.chat_template)

    @property
    def image_token_id(self) -> int:
        """The id that stands for an image, once for each of its features."""
        found = self.tokenizer.backend_tokenizer.token_to_id(IMAGE_PAD)
        assert found is not None, "load_tokenizer lets no tokenizer without it pass"
        return found

    def apply_chat_template(self, messages: list[dict[str, Any]], **options: Any) -> Any:
        """A conversation as the chat template writes it; see ``apply_chat_template`` of transformers' tokenizers."""
        return self.tokenizer.apply_chat_template(messages, **options)

    @cached_property
    def coords(self) -> CoordVocab:
        """The ids of the coord tokens, checked by ``load_processor``."""
        return CoordVocab.from_tokenizer(self.tokenizer)


def load_model(
    path: Path,
    *,
    dtype: Dtype | Literal["auto"] = Model.model_fields["dtype"].default,
    attn_implementation: Attention = Model.model_fields["attn_implementation"].default,
) -> VisionLanguageModel:
    """The model of a checkpoint folder, in evaluation mode, on the CPU.

    ``dtype`` is the type in which the weights are held; ``auto`` is the one that the checkpoint says.

    Raises:
        InputError: no such folder; no or another architecture than those of ``MODELS``; no safetensors weights, broken
            ones, or ones that do not fit the config; or a tokenizer with ids that have no row in the embedding.
    """
    kind = check_folder(path)
    with _errors_of(path), quiet():
        loaded: Any = MODELS[kind].from_pretrained(
            path,
            dtype=dtype,
            attn_implementation=attn_implementation,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    model, info = loaded
    for key, what in (("missing_keys", "lack"), ("unexpected_keys", "have no place in the model for")):
        if info[key]:
            names = sorted(info[key])
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            raise InputError(str(path), f"the weights {what} {', '.join(names[:SHOWN])}{more}; save the model again")
    assert isinstance(model, Qwen3VLForConditionalGeneration | Qwen2_5_VLForConditionalGeneration)
    _check_rows(path, model)
    return model


def load_config(path: Path) -> PreTrainedConfig:
    """The config of a checkpoint folder; looks at no weight.

    Raises:
        InputError: see ``load_model``.
    """
    check_folder(path)
    with _errors_of(path):
        config: PreTrainedConfig = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    return config


def load_processor(path: Path, *, min_pixels: int | None = None, max_pixels: int | None = None) -> Processor:
    """The tokenizer and the image processor of a checkpoint folder whose tokenizer has the coord tokens.

    Images are handled by Pillow, whatever class the checkpoint names, so that torchvision is never needed and every
    machine computes the same pixels. ``min_pixels`` and ``max_pixels`` replace the checkpoint's limits.

    Raises:
        InputError: a file is missing or broken, or the coord tokens are missing, split or aliased.
    """
    check_folder(path)
    processor = Processor(load_tokenizer(path), load_image_processor(path, min_pixels, max_pixels))
    try:
        _ = processor.coords
    except ValueError as error:
        raise InputError(str(path), str(error)) from error
    return processor


def load_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a checkpoint folder, with or without coord tokens.

    Raises:
        InputError: there is no tokenizer.json, it is broken, or it lacks the chat form or its tokens.
    """
    if not (path / TOKENIZER_FILE).is_file():
        reason = f"has no {TOKENIZER_FILE}; save the tokenizer in the form of the tokenizers library"
        raise InputError(str(path), reason)
    with _errors_of(path):
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise InputError(
            str(path), f"has a {type(tokenizer).__name__}, which is no tokenizer of the tokenizers library"
        )
    for token in (END_OF_TURN, IMAGE_PAD):
        if tokenizer.backend_tokenizer.token_to_id(token) is None:
            raise InputError(str(path), f"its tokenizer has no {token}; it is not that of a Qwen vision-language model")
    if tokenizer.chat_template is None:
        raise InputError(str(path), "has no chat template; add the chat_template.jinja of the model")
    return tokenizer


def load_image_processor(
    path: Path, min_pixels: int | None = None, max_pixels: int | None = None
) -> Qwen2VLImageProcessorPil:
    """The image processor of a checkpoint folder, with other limits where some are given.

    Raises:
        InputError: there is no preprocessor_config.json, it is broken, or the limits are the wrong way round.
    """
    if not (path / PREPROCESSOR).is_file():
        raise InputError(str(path), f"has no {PREPROCESSOR}; copy that of the model")
    limits = {"shortest_edge": min_pixels, "longest_edge": max_pixels}
    with _errors_of(path):
        processor = Qwen2VLImageProcessorPil.from_pretrained(path, local_files_only=True)
        size = {**dict(processor.size), **{name: limit for name, limit in limits.items() if limit is not None}}
        if size["shortest_edge"] > size["longest_edge"]:
            raise InputError(
                str(path),
                f"images of at least {size['shortest_edge']} and at most {size['longest_edge']} pixels do not exist; "
                "set template.min_pixels and template.max_pixels together",
            )
        return Qwen2VLImageProcessorPil.from_pretrained(path, local_files_only=True, size=size)


def save_checkpoint(model: PreTrainedModel, processor: Processor, folder: Path, *, source: Path) -> None:
    """Write a whole checkpoint into ``folder``: safetensors, configs, tokenizer, processor.

    ``source`` is the checkpoint that it comes from; of it, files are copied that nothing here reads.
    """
    for name in KEPT:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    with quiet():
        model.save_pretrained(folder)
    processor.tokenizer.save_pretrained(folder)
    processor.image_processor.save_pretrained(folder)


def embedding_weight(model: nn.Module) -> torch.Tensor:
    """The matrix that token ids are looked up in, shape ``(V, D)``, as the forward pass uses it, adapters included."""
    weight = model.get_input_embeddings().weight  # type: ignore[operator]
    assert isinstance(weight, torch.Tensor)
    return weight


def head_weight(model: nn.Module) -> torch.Tensor:
    """The matrix of the language-model head, shape ``(V, D)``: logits are ``hidden @ head.T``, adapters included.

    Where the head is tied this is ``embedding_weight``, the same object unless adapters compute it anew.
    """
    weight = model.get_output_embeddings().weight  # type: ignore[operator]
    assert isinstance(weight, torch.Tensor)
    return weight


def is_tied(model: nn.Module) -> bool:
    """True where the head has no weights of its own; of a model without adapters."""
    return head_weight(model) is embedding_weight(model)


def check_folder(path: Path) -> str:
    """The ``model_type`` of a checkpoint folder that can be loaded; looks at no weight.

    Raises:
        InputError: see ``load_model``.
    """
    if not path.is_dir():
        raise InputError(str(path), "is no folder; name the folder of a checkpoint (nothing is downloaded)")
    kind = read_json(path, CONFIG).get("model_type")
    if kind not in MODELS:
        known = ", ".join(MODELS)
        raise InputError(str(path), f"{CONFIG} has the model_type {kind!r}; only these can be used: {known}")
    _check_weights(path)
    return str(kind)


def _check_weights(path: Path) -> None:
    if (path / INDEX).is_file():
        shards = read_json(path, INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise InputError(str(path), f"{INDEX} has no weight_map; save the model again")
        for shard in sorted(set(shards.values())):
            if not isinstance(shard, str) or Path(shard).name != shard:
                raise InputError(str(path), f"{INDEX} names {shard!r}, which is no file of this folder")
            if not (path / shard).is_file():
                raise InputError(str(path), f"{shard} is missing, which {INDEX} names; copy the whole checkpoint")
    elif not (path / WEIGHTS).is_file():
        pickles = sorted(file.name for pattern in PICKLES for file in path.glob(pattern))
        if pickles:
            raise InputError(
                str(path),
                f"has its weights in {pickles[0]}, a pickle, which can run code when it is opened; "
                "convert them to safetensors",
            )
        raise InputError(str(path), f"has no {WEIGHTS}, so it holds no whole model")


def _check_rows(path: Path, model: VisionLanguageModel) -> None:
    """Every id of the tokenizer has a row in the embedding and in the head."""
    if not (path / TOKENIZER_FILE).is_file():
        return
    highest = max(load_tokenizer(path).get_vocab().values())
    rows = min(embedding_weight(model).shape[0], head_weight(model).shape[0])
    if highest >= rows:
        raise InputError(
            str(path),
            f"its tokenizer has ids up to {highest}, its embedding has rows up to {rows - 1}; tokenizer and weights do "
            "not belong together",
        )


def read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads((path / name).read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(str(path), f"has no {name}, so it is no checkpoint") from error
    except (OSError, ValueError) as error:
        raise InputError(str(path), f"{name} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise InputError(str(path), f"{name} holds no JSON object")
    return value


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """What transformers, safetensors and tokenizers raise on broken files, as an InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if not isinstance(error, _BROKEN_FILE) and type(error) is not Exception:  # tokenizers raises bare Exceptions
            raise
        raise InputError(str(path), f"cannot be loaded: {type(error).__name__}: {error}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers."""
    shown = progress.is_progress_bar_enabled()
    progress.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            progress.enable_progress_bar()  # type: ignore[no-untyped-call]
