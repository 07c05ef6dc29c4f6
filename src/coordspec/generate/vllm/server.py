"""What a server has: the model in training, by its weights, and the adapter of the run, under its hash."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from coordspec.config.model import Config
from coordspec.errors import CoordspecError, InputError
from coordspec.findings.visible import shown
from coordspec.generate.vllm.client import Client
from coordspec.hashes import file_sha256, text_sha256, weights_sha256
from coordspec.model.lora import ADAPTER_WEIGHTS

# ---------------------------------------------------------------- models


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
    ours = weights_sha256(folder)
    name = served_name(ours)
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
    theirs = weights_sha256(there)
    if theirs != ours:
        raise client.fault(
            f"serves the weights of {there} ({theirs[:HASH_CHARS]}), and those of {folder} are trained "
            f"({ours[:HASH_CHARS]}); serve these: {serve_command(config, name)}"
        )


def served_name(weights: str) -> str:
    """The name that states which weights a model has, by the hash that a prediction file holds too."""
    return BY_NAME + weights[:HASH_CHARS]


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


# ---------------------------------------------------------------- adapters


FOLDER: Final = "vllm"
"""In the folder of a run: the adapter that the server has, nothing else."""
PREFIX: Final = "adapter-"
_STAGING: Final = ".writing"
_LOAD, _UNLOAD = "/load_lora_adapter", "/unload_lora_adapter"
_OK, _NOT_FOUND = 200, 404


class Adapters:
    """Loads the adapter of one run into a server. Names depend on weights and folder, so no two runs share one."""

    def __init__(self, client: Client, run_dir: Path, save: Callable[[Path], None]) -> None:
        """``save`` writes the adapter as it is now into an empty folder, which the server must see at the same path."""
        self._client = client
        self._folder = run_dir.resolve() / FOLDER
        self._save = save
        self.loaded: str | None = None
        """The name of the adapter that the server has."""

    def bring(self) -> str:
        """Have the server load the adapter as it is now, and forget all others of this run; the name of it.

        Raises:
            InputError: the adapter cannot be written, or the server does not load it.
        """
        try:
            name = self._write()
            if name != self.loaded:
                self._load(name)
                self.loaded = name
        except (CoordspecError, OSError) as error:
            if self.loaded is None:
                self._clear(keep=None)  # a run that has not begun leaves nothing behind
            if isinstance(error, OSError):
                raise InputError(str(self._folder), error.strerror or str(error)) from error
            raise
        self._clear(keep=name)
        return name

    def close(self) -> None:
        """Take the adapter from the server, and delete it.

        Raises:
            InputError: the server does not answer, or refuses.
        """
        if self.loaded is not None:
            self._unload(self.loaded)
            self.loaded = None
        self._clear(keep=None)

    def _write(self) -> str:
        """Save the adapter under the name that its bytes give it."""
        staging = self._folder / _STAGING
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        self._save(staging)
        name = PREFIX + self._hash(staging)[:HASH_CHARS]
        if name != self.loaded:
            shutil.rmtree(self._folder / name, ignore_errors=True)  # of a killed run, perhaps half of it
            staging.rename(self._folder / name)
        return name

    def _hash(self, folder: Path) -> str:
        return text_sha256(f"{self._folder}:{file_sha256(folder / ADAPTER_WEIGHTS)}")

    def _load(self, name: str) -> None:
        """Load an adapter, see it listed, and unload all others from this folder, such as those of a killed run."""
        known = [model.name for model in served_models(self._client) if self._is_ours(model.root)]
        if name in known:
            self._unload(name)
        reply = self._client.ask("POST", _LOAD, {"lora_name": name, "lora_path": str(self._folder / name)})
        if reply.status == _NOT_FOUND and b'"error"' not in reply.body:  # no error of vLLM: there is no such address
            raise self._client.fault(
                f"has no {_LOAD}: start vLLM with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and --enable-lora, and let "
                "base_url end with /v1"
            )
        if reply.status != _OK:
            refusal = self._client.refusal(_LOAD, reply)
            raise self._client.fault(
                f"does not load {self._folder / name}, a folder that it must see under this path: {refusal.reason}"
            )
        if not any(model.name == name and model.parent is not None for model in served_models(self._client)):
            raise self._client.fault(
                f"has loaded {name}, and {MODELS} does not list it; with several API servers each has its own list, so "
                "start vLLM with --api-server-count 1"
            )
        for other in known:
            if other != name:
                self._unload(other)

    def _unload(self, name: str) -> None:
        reply = self._client.ask("POST", _UNLOAD, {"lora_name": name})
        if reply.status != _OK:
            raise self._client.refusal(_UNLOAD, reply)

    def _is_ours(self, root: str | None) -> bool:
        return root is not None and Path(root).parent == self._folder

    def _clear(self, keep: str | None) -> None:
        """Delete what this folder has beside the adapter ``keep``; with none, the folder too, if nothing is in it."""
        for path in (*self._folder.glob(f"{PREFIX}*"), self._folder / _STAGING):
            if path.name != keep:
                shutil.rmtree(path, ignore_errors=True)
        if keep is None:
            for folder in (self._folder, self._folder.parent):
                with contextlib.suppress(OSError):  # something else is in it
                    folder.rmdir()
