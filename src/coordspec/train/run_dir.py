"""The folder of a run: who may write into it, and what a checkpoint in it says about where it came from."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from coordspec.config.model import Config
from coordspec.contracts import contract_bytes, contract_files
from coordspec.errors import InputError
from coordspec.run_files import PROVENANCE, checkpoints, read_provenance
from coordspec.samples.fingerprint import FILE as PREPROCESS
from coordspec.samples.fingerprint import Fingerprint, differences, read_fingerprint

_PACKAGES: Final = (
    "coordspec",
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "accelerate",
    "safetensors",
    "numpy",
    "pillow",
)
_MAY_CHANGE: Final = frozenset(
    {
        "data.preflight",
        "data.preflight_max_bytes",
        "training.save_steps",
        "training.save_total_limit",
        "training.eval_steps",
        "training.dataloader_num_workers",
        "training.ddp_timeout",
        "training.output_dir",
        "logging.console",
        "logging.tensorboard",
    }
)
"""Settings that a resumed run may have otherwise: its steps stay the same."""


def latest(run_dir: Path, *, resume: bool) -> Path | None:
    """The checkpoint to go on from; None to begin at the first step, as where a run was killed before it wrote one.

    Raises:
        InputError: the folder is no empty one, and nothing is to be resumed.
    """
    if run_dir.exists() and not run_dir.is_dir():
        raise InputError(str(run_dir), "is a file; name a folder as training.output_dir")
    if not resume:
        if run_dir.exists() and any(run_dir.iterdir()):
            raise InputError(
                str(run_dir),
                "is not empty, and a run never replaces anything; continue it with --resume, or name another "
                "training.output_dir",
            )
        return None
    if not run_dir.exists():
        raise InputError(str(run_dir), "does not exist, so there is nothing to resume; start without --resume")
    found = checkpoints(run_dir)
    return found[-1] if found else None


def provenance(config: Config, world: int, steps: int) -> dict[str, Any]:
    """What ``run.json`` holds. Reads the contract files, whose hashes are in it.

    Raises:
        InputError: a contract file cannot be read.
    """
    return {
        "config": config.model_dump(mode="json"),
        "contracts": {name: hashlib.sha256(contract_bytes(name)).hexdigest() for name in contract_files().values()},
        "packages": {name: version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "seeds": {"seed": config.training.seed, "data_seed": data_seed(config)},
        "data": {path: _file_sha256(path) for path in (*config.data.train, *config.data.val)},
        "world_size": world,
        "steps": steps,
    }


def data_seed(config: Config) -> int:
    """The seed of the order of the data."""
    return config.training.seed if config.training.data_seed is None else config.training.data_seed


def refuse_other_run(checkpoint: Path, now: Mapping[str, Any], preprocess: Fingerprint) -> None:
    """Compare a run that is about to be resumed with what its checkpoint says.

    Raises:
        InputError: something that decides what later steps learn has changed; all of it is named.
    """
    saved = read_provenance(checkpoint)
    found = [
        f"{name} was {json.dumps(old)} and is {json.dumps(new)}"
        for section in ("config", "contracts", "data", "world_size", "steps")
        for name, old, new in changes(saved.get(section), now[section], "" if section == "config" else section)
        if name not in _MAY_CHANGE
    ]
    found += differences(read_fingerprint(checkpoint), preprocess)
    if found:
        raise InputError(str(checkpoint), f"is not of this run, so resuming would not continue it: {'; '.join(found)}")


def write_origin(folder: Path, origin: Mapping[str, Any], preprocess: Fingerprint) -> None:
    """Write ``run.json`` and ``preprocess.json`` into a checkpoint."""
    for name, value in ((PROVENANCE, origin), (PREPROCESS, preprocess)):
        (folder / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _file_sha256(path: str) -> str:
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(path, error.strerror or str(error)) from error


def changes(old: Any, new: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The values in which two JSON values differ, with their dotted paths."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from changes(old.get(key), new.get(key), f"{at}.{key}" if at else str(key))
    elif old != new:
        yield at, old, new
