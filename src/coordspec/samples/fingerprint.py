"""What decides how an image and a question become tokens: saved with a checkpoint, compared before it is used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from coordspec.config.sections import Template
from coordspec.errors import InputError
from coordspec.hashes import text_sha256
from coordspec.model.checkpoint import PREPROCESS, Processor
from coordspec.tokenizer import backend

Fingerprint: TypeAlias = Mapping[str, Any]
"""Short facts by name, and hashes where the fact is long; equal if and only if preprocessing is."""

_IMAGE_SETTINGS: Final = (
    "patch_size",
    "temporal_patch_size",
    "merge_size",
    "image_mean",
    "image_std",
    "rescale_factor",
    "resample",
)


def fingerprint(processor: Processor, template: Template) -> Fingerprint:
    """The fingerprint of a processor, which has the pixel limits of a config, under the prompts of the config."""
    images = processor.image_processor
    return {
        "chat_template_sha256": text_sha256(str(processor.chat_template)),
        "system_prompt": template.system_prompt,
        "user_prompt": template.user_prompt,
        "min_pixels": images.size["shortest_edge"],
        "max_pixels": images.size["longest_edge"],
        **{name: _plain(getattr(images, name)) for name in _IMAGE_SETTINGS},
        "tokenizer_sha256": text_sha256(backend(processor.tokenizer).to_str()),
        "coord_ids_sha256": text_sha256(json.dumps(processor.coords.ids)),
    }


def differences(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One line for each fact in which two fingerprints, or other settings, differ."""
    return [f"{name} was {shown(old)} and is {shown(new)}" for name, old, new in changes(saved, now)]


def changes(old: Any, new: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The values in which two JSON values differ, with their dotted paths."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from changes(old.get(key), new.get(key), f"{at}.{key}" if at else str(key))
    elif old != new:
        yield at, old, new


def read_fingerprint(checkpoint: Path) -> Fingerprint:
    """The fingerprint that was saved with a checkpoint.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = checkpoint / PREPROCESS
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(str(path), "is missing; `coordspec train` writes it with every checkpoint") from error
    except (OSError, ValueError) as error:
        raise InputError(str(path), f"cannot be read: {error}") from error
    if not isinstance(loaded, dict):
        raise InputError(str(path), "holds no JSON object")
    return loaded


def refuse_other_preprocessing(checkpoint: Path, now: Fingerprint) -> None:
    """Compare what a model would be shown with what it was trained on. A folder that does not say is taken as it is.

    Raises:
        InputError: they differ; everything that does is named.
    """
    path = checkpoint / PREPROCESS
    found = differences(read_fingerprint(checkpoint), now) if path.exists() else []
    if found:
        raise InputError(
            str(path),
            f"the model was trained with another template: {'; '.join(found)}; its rollouts would be bad. Write what "
            "it was trained with, or delete this file if the change is meant",
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def shown(value: Any) -> str:
    """A JSON value as it stands in a message."""
    return json.dumps(value, ensure_ascii=False)
