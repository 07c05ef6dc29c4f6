"""Which models a server has, and whether the one below the adapters is the one in training."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from coordspec.config.model import Config
from coordspec.errors import InputError
from coordspec.findings.visible import shown
from coordspec.generate.vllm.client import Client

MODELS: Final = "/models"
HASH_CHARS: Final = 12
BY_NAME: Final = "coordspec-"
"""What the name of a served model starts with that says by its hash which weights it has."""
RANKS: Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What ``--max-lora-rank`` of vLLM can be."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model of a server: its name, the path or name that it was loaded from, and the model that it adapts, if any."""

    name: str
    root: str | None
    parent: str | None


def served_models(client: Client) -> list[Served]:
    """The models and adapters that a server lists.

    Raises:
        InputError: the server cannot be asked, or lists them otherwise than vLLM.
    """
    found = client.get(MODELS)
    try:
        return [_served(card) for card in found["data"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise client.fault(f"{MODELS} lists no models as vLLM does; name its OpenAI-compatible interface") from error


def check_base(client: Client, models: Iterable[Served], config: Config) -> None:
    """Hold the model of a server to the checkpoint of a config: by the server's folder, or by the name it is served as.

    A name that begins with ``coordspec-`` is a statement about the weights, and must be true.

    Raises:
        InputError: they have other weights, or nothing tells that they have the same.
    """
    folder = Path(config.model.path)
    bases = [model for model in models if model.parent is None]
    if not bases:
        raise client.fault(f"{MODELS} lists no model that is no adapter")
    stated = [model.name for model in bases if model.name.startswith(BY_NAME)]
    root = bases[0].root
    there = None if root is None or not Path(root).is_absolute() or not Path(root).is_dir() else Path(root)
    if not stated and there is not None and there.resolve() == folder.resolve():
        return
    ours = weights_hash(folder)
    name = BY_NAME + ours[:HASH_CHARS]
    if stated:
        if name not in stated:
            raise client.fault(
                f"serves {', '.join(map(shown, stated))}, and the weights of {folder} are {name}; serve these: "
                f"{serve_command(config, name)}"
            )
        return
    if there is None:
        raise client.fault(
            f"serves {shown(str(root))}, which is no folder here, so nothing tells that it has the weights of "
            f"{folder}; if it has, say so by the name that it is served as: {serve_command(config, name)}"
        )
    theirs = weights_hash(there)
    if theirs != ours:
        raise client.fault(
            f"serves the weights of {there} ({theirs[:HASH_CHARS]}), and those of {folder} are trained "
            f"({ours[:HASH_CHARS]}); serve these: {serve_command(config, name)}"
        )


def weights_hash(folder: Path) -> str:
    """SHA-256, in hex, of the names and bytes of all safetensors files of a checkpoint, which are read once.

    Raises:
        InputError: there are none, or one cannot be read.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(str(folder), "has no weights in safetensors, so they cannot be compared")
    digest = hashlib.sha256()
    for file in files:
        try:
            with file.open("rb") as stream:
                inner = hashlib.file_digest(stream, "sha256")
        except OSError as error:
            raise InputError(str(file), error.strerror or str(error)) from error
        digest.update(file.name.encode() + b"\0" + inner.digest())
    return digest.hexdigest()


def serve_command(config: Config, name: str) -> str:
    """How the server is started for a config."""
    rank = next((rank for rank in RANKS if rank >= config.lora.r), config.lora.r)
    template = config.template
    room = template.max_length + config.rollout_matching.decoding.max_new_tokens
    limits = {"min_pixels": template.min_pixels, "max_pixels": template.max_pixels}
    given = json.dumps({key: value for key, value in limits.items() if value is not None})
    command = [
        *("vllm", "serve", str(Path(config.model.path).resolve()), "--served-model-name", name),
        *("--enable-lora", "--max-lora-rank", str(rank), "--max-model-len", str(room)),
        *(("--mm-processor-kwargs", given) if given != "{}" else ()),
        *([] if config.model.freeze_vision and config.model.freeze_projector else ["--enable-tower-connector-lora"]),
    ]
    return "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True " + shlex.join(command)


def _served(card: Any) -> Served:
    root, parent = card.get("root"), card.get("parent")
    return Served(str(card["id"]), None if root is None else str(root), None if parent is None else str(parent))
