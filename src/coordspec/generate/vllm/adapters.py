"""The adapter of a run on a server: saved under its hash, loaded under that name, the one before it taken away."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from coordspec.errors import CoordspecError, InputError
from coordspec.generate.vllm.client import Client
from coordspec.generate.vllm.served import HASH_CHARS, MODELS, served_models
from coordspec.model.lora import ADAPTER_WEIGHTS

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
        with (folder / ADAPTER_WEIGHTS).open("rb") as stream:
            weights = hashlib.file_digest(stream, "sha256").digest()
        return hashlib.sha256(str(self._folder).encode() + weights).hexdigest()

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
