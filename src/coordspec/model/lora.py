"""LoRA through peft, with the rows of the coord tokens trained beside it, and merging it away again."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from peft import LoraConfig, PeftModel, get_peft_model

from coordspec.config.sections import Model
from coordspec.config.training import Lora
from coordspec.coords import CoordVocab
from coordspec.errors import InputError
from coordspec.model.checkpoint import (
    PREPROCESS,
    VisionLanguageModel,
    is_tied,
    load_model,
    load_processor,
    quiet,
    read_json,
    save_checkpoint,
)
from coordspec.model.folder import ADAPTER_CONFIG, refuse_folder, write_folder
from coordspec.model.parts import is_frozen, part_of

ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
EMBEDDING, HEAD = "embed_tokens", "lm_head"


def add_lora(model: VisionLanguageModel, lora: Lora, section: Model, coords: CoordVocab) -> PeftModel:
    """The model with adapters, everything else frozen but what ``section.head`` trains of embedding and head.

    Parts that ``section`` freezes get no adapters. ``coord_rows`` trains the rows of the coord tokens through peft's
    token adapters, one set of rows for both where the head is tied; ``full`` trains whole matrices.

    Raises:
        InputError: no layer of a part that is not frozen has one of the names of ``lora.target_modules``.
    """
    targets = [
        name
        for name, module in model.named_modules()
        if name.rpartition(".")[2] in lora.target_modules
        and any(True for _ in module.parameters(recurse=False))
        and not is_frozen(section, part_of(name + "."))
    ]
    if not targets:
        raise InputError("lora.target_modules", f"no layer to train is called {' or '.join(lora.target_modules)}")
    tied = is_tied(model)
    matrices = [EMBEDDING] if tied else [EMBEDDING, HEAD]
    ids = list(coords.ids)
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.lora_alpha,  # type: ignore[arg-type]
        lora_dropout=lora.lora_dropout,
        use_rslora=lora.use_rslora,
        target_modules=targets,
        modules_to_save=matrices if section.head == "full" else None,
        trainable_token_indices=dict.fromkeys(matrices, ids) if section.head == "coord_rows" else None,
        ensure_weight_tying=tied and section.head == "full",
        base_model_name_or_path=str(Path(model.config.name_or_path or ".").resolve()),
    )
    with _no_peft_warnings():
        adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    return adapted


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write the adapter into ``folder``: safetensors and a config that names the model folder it belongs to."""
    with quiet():
        model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)


def load_adapter(model: VisionLanguageModel, folder: Path, *, trainable: bool = False) -> PeftModel:
    """A model with a saved adapter on top.

    Raises:
        InputError: ``folder`` holds no LoRA adapter in safetensors, or one of another model.
    """
    _adapter_config(folder)
    try:
        with _no_peft_warnings():
            return PeftModel.from_pretrained(model, folder, is_trainable=trainable, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise InputError(str(folder), f"cannot be loaded on this model: {error}") from error


def merge_adapter(model: PeftModel) -> VisionLanguageModel:
    """The plain model with the adapters added to its weights; the adapted model must not be used any more.

    Raises:
        ValueError: a merged weight is not finite.
    """
    merged: Any = model.merge_and_unload(safe_merge=True)
    merged.tie_weights()
    assert isinstance(merged, VisionLanguageModel)
    return merged


def merge_saved_adapter(folder: Path, out: Path, *, base: Path | None = None, overwrite: bool = False) -> Path:
    """Save to ``out`` the plain checkpoint that an adapter and its model make; returns the folder of that model.

    The model is the one that the adapter names, or ``base``. Both are only read.

    Raises:
        InputError: the adapter or its model cannot be loaded, or ``out`` may not be written.
    """
    named = _adapter_config(folder).get("base_model_name_or_path")
    if base is None and not isinstance(named, str):
        raise InputError(str(folder), "names no model; name the folder with --base")
    source = base if base is not None else Path(str(named))
    if not source.is_dir():
        raise InputError(str(folder), f"its model {str(source)!r} is no folder here; name the folder with --base")
    refuse_folder(out, overwrite=overwrite, sources=[folder, source])
    processor = load_processor(source)
    merged = merge_adapter(load_adapter(load_model(source, dtype="auto"), folder))
    with write_folder(out, overwrite=overwrite, sources=[folder, source]) as temporary:
        save_checkpoint(merged, processor, temporary, source=source)
        if (folder / PREPROCESS).is_file():  # that of the training of the adapter, not of its model
            shutil.copyfile(folder / PREPROCESS, temporary / PREPROCESS)
    return source


@contextmanager
def _no_peft_warnings() -> Iterator[None]:
    """Without one that no user can do anything about: peft asks for an attribute that transformers has renamed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def _adapter_config(folder: Path) -> dict[str, Any]:
    if not (folder / ADAPTER_CONFIG).is_file():
        raise InputError(str(folder), f"has no {ADAPTER_CONFIG}, so it is no adapter")
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise InputError(str(folder), f"has no {ADAPTER_WEIGHTS}; adapters are read from safetensors only")
    config = read_json(folder, ADAPTER_CONFIG)
    if config.get("peft_type") != "LORA":
        raise InputError(str(folder), f"is an adapter of type {config.get('peft_type')!r}, and LORA alone is supported")
    return config
