"""The model of a run: loaded, frozen and adapted as its config says, saved and read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import nn

from coordspec.config.model import Config
from coordspec.errors import InputError
from coordspec.model.checkpoint import (
    Processor,
    VisionLanguageModel,
    embedding_weight,
    load_model,
    save_checkpoint,
)
from coordspec.model.lora import ADAPTER_WEIGHTS, add_lora, save_adapter
from coordspec.model.muon import MuonAdamW
from coordspec.model.parts import freeze_parts, pace_rows, parameter_groups
from coordspec.samples.batch import BatchGuard


class Network:
    """``model`` is what is trained, with adapters where there are some; ``plain`` the model of transformers in it."""

    def __init__(self, config: Config, processor: Processor) -> None:
        """
        Raises:
            InputError: the checkpoint cannot be loaded, or no layer has the name of an adapter's target.
        """
        section, lora = config.model, config.lora
        self._source = Path(section.path)
        self._processor = processor
        self._training = config.training
        self._head = section.head
        self.plain: VisionLanguageModel = load_model(
            self._source, dtype=section.dtype, attn_implementation=section.attn_implementation
        )
        self.model: nn.Module = self.plain
        if lora.enabled:
            self.model = add_lora(self.plain, lora, section, processor.coords)
        else:
            freeze_parts(self.plain, section, processor.coords)
        if config.training.gradient_checkpointing:
            self.plain.activation_checkpointing_enable()

    def optimizer(self, kind: type[torch.optim.Optimizer], options: Mapping[str, Any]) -> torch.optim.Optimizer:
        """An optimizer over the trainable weights, each part at its learning rate, coord rows too.

        ``kind`` and ``options`` are those of Hugging Face's Trainer; with ``optim: muon`` AdamW's are given.
        """
        training = self._training
        groups = [dict(group) for group in parameter_groups(self.model, training, self._head)]
        made = (
            MuonAdamW(groups, betas=options["betas"], eps=options["eps"])
            if training.optim == "muon"
            else kind(groups, **options)
        )
        pace_rows(made, self.model, training, self._head, self._processor.coords)
        return made

    def save(self, folder: Path) -> None:
        """Write the weights, or the adapter alone, with tokenizer and processor."""
        if isinstance(self.model, PeftModel):
            save_adapter(self.model, folder)
            self._processor.tokenizer.save_pretrained(folder)
            self._processor.image_processor.save_pretrained(folder)
        else:
            save_checkpoint(self.plain, self._processor, folder, source=self._source)

    def load(self, folder: Path) -> None:
        """Read back what ``save`` wrote, in place.

        Raises:
            InputError: weights are missing, or are of another model.
        """
        missing: list[str] = []
        if isinstance(self.model, PeftModel):
            adapters: Any = set_peft_model_state_dict(self.model, load_file(folder / ADAPTER_WEIGHTS))
            unknown = list(adapters.unexpected_keys)
        else:
            state: dict[str, torch.Tensor] = {}
            for file in sorted(folder.glob("model*.safetensors")):
                state |= load_file(file)
            missing, unknown = self.plain.load_state_dict(state, strict=False)
            missing = [key for key in missing if key not in self.plain.all_tied_weights_keys]
        if unknown or missing:
            raise InputError(str(folder), f"its weights are of another model: {', '.join((unknown or missing)[:3])}")


def batch_guard(model: VisionLanguageModel, processor: Processor) -> BatchGuard:
    """The guard of the batches of a model."""
    return BatchGuard(
        processor.coords,
        embedding_weight(model).shape[0],
        processor.image_token_id,
        processor.image_processor.merge_size,
    )
