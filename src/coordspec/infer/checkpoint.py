"""A checkpoint, ready to answer: as it was trained, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from coordspec.config.sections import Template
from coordspec.errors import InputError
from coordspec.infer.options import PROMPT_SETTINGS, Opening
from coordspec.model.checkpoint import (
    PREPROCESS,
    Processor,
    VisionLanguageModel,
    check_folder,
    load_model,
    load_processor,
)
from coordspec.model.folder import ADAPTER_CONFIG, CONFIG
from coordspec.rollout.tokens import TokenTable
from coordspec.samples.fingerprint import Fingerprint, differences, fingerprint, read_fingerprint
from coordspec.samples.prompt import Prompter


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model on its device, in evaluation mode, with all that turns records into its inputs."""

    path: Path
    model: VisionLanguageModel
    processor: Processor
    template: Template
    table: TokenTable
    preprocess: Fingerprint

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def prompter(self) -> Prompter:
        """What encodes its prompts."""
        return Prompter(self.processor, self.model.config.image_token_id, self.template)


def open_checkpoint(path: Path, opening: Opening) -> Checkpoint:
    """Load a checkpoint folder.

    Raises:
        InputError: it cannot be loaded; it has no preprocess fingerprint and may not lack one; what would be done to
            images and prompts now is not what was done in training, with everything that differs.
    """
    device = _device(opening.device)
    _refuse_adapter(path)
    check_folder(path)
    saved = _saved(path, opening)
    template = _template(
        path, {name: saved[name] for name in PROMPT_SETTINGS if name in saved} | dict(opening.template)
    )
    processor = load_processor(path, min_pixels=template.min_pixels, max_pixels=template.max_pixels)
    now = fingerprint(processor, template)
    if saved and (found := differences(saved, now)):
        raise InputError(str(path), f"would not be shown what it was trained on: {'; '.join(found)}")
    model = load_model(path, dtype=opening.dtype, attn_implementation=opening.attn_implementation)
    model.to(device)  # type: ignore[arg-type]  # transformers decorates it beyond recognition
    return Checkpoint(path, model, processor, template, TokenTable(processor.tokenizer), now)


def _refuse_adapter(path: Path) -> None:
    if (path / ADAPTER_CONFIG).is_file() and not (path / CONFIG).is_file():
        raise InputError(str(path), "holds an adapter and no whole model; merge it first, with `coordspec merge-lora`")


def _saved(path: Path, opening: Opening) -> Fingerprint:
    """The fingerprint of a checkpoint; an empty one where it may lack one and does."""
    if (path / PREPROCESS).exists():
        return read_fingerprint(path)
    if opening.unknown_preprocessing:
        return {}
    raise InputError(
        str(path),
        f"has no {PREPROCESS}, so nobody can tell if images and prompts would be those that it was trained on; pass "
        "--unknown-preprocessing to take it as it is",
    )


def _template(path: Path, settings: Mapping[str, Any]) -> Template:
    try:
        return Template(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise InputError(str(path), f"its prompts cannot be written with {name}: {first['msg']}") from error


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was compiled for the device
        raise InputError(name, f"is no device that can be used here: {str(error).splitlines()[0]}") from error
    return device
