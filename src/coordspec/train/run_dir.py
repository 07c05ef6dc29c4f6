"""The folder of a run: what its checkpoints came from, what may go on from one, and that each is whole or not there."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from coordspec.config.model import Config
from coordspec.contracts import contract_bytes, contract_files
from coordspec.errors import InputError
from coordspec.hashes import bytes_sha256, file_sha256
from coordspec.model.checkpoint import PREPROCESS
from coordspec.run_files import CHECKPOINT, PROVENANCE, checkpoints, read_provenance
from coordspec.samples.fingerprint import Fingerprint, changes, differences, read_fingerprint, shown

# ---------------------------------------------------------------- what a run came from


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
        "contracts": {name: bytes_sha256(contract_bytes(name)) for name in contract_files().values()},
        "packages": {name: version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "seeds": {"seed": config.training.seed, "data_seed": data_seed(config)},
        "data": {path: file_sha256(Path(path)) for path in (*config.data.train, *config.data.val)},
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
        f"{name} was {shown(old)} and is {shown(new)}"
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


# ---------------------------------------------------------------- folders that are whole or not there


STAGING: Final = ".writing-"
"""What the name of a folder starts with while it is written. Nothing ever reads one."""
REPLACED: Final = ".replaced-"
"""What the name of a checkpoint starts with for the moment in which another one takes its place."""
DELETING: Final = ".deleting-"
"""What the name of a checkpoint starts with while it is deleted, so that half of one never passes for a whole one."""


def checkpoint_path(run_dir: Path, step: int) -> Path:
    """The folder of the checkpoint behind a step."""
    return run_dir / f"{CHECKPOINT}{step}"


def staging_path(run_dir: Path, name: str) -> Path:
    """The folder that the checkpoint ``name`` is written in."""
    return run_dir / f"{STAGING}{name}"


def open_staging(run_dir: Path, name: str) -> Path:
    """An empty folder to write the checkpoint ``name`` into."""
    staging = staging_path(run_dir, name)
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    return staging


def publish(staging: Path) -> Path:
    """Give a folder of ``open_staging`` its name, once all of it is on disk: the checkpoint is there at once or not.

    A checkpoint of that name from before, which a run meets that was resumed from an older one, is replaced.
    """
    for path in (*staging.rglob("*"), staging):
        _sync(path)
    name = staging.name.removeprefix(STAGING)
    final = staging.with_name(name)
    replaced = staging.with_name(f"{REPLACED}{name}")
    if final.exists():
        final.rename(replaced)
    staging.rename(final)
    _sync(final.parent)
    if replaced.exists():
        _delete(replaced)
    return final


def tidy(run_dir: Path) -> None:
    """Undo what a killed run left behind: half of a folder goes, a checkpoint that was about to be replaced stays."""
    for path in (*run_dir.glob(f"{STAGING}*"), *run_dir.glob(f"{DELETING}*")):
        shutil.rmtree(path)
    for path in run_dir.glob(f"{REPLACED}*"):
        final = path.with_name(path.name.removeprefix(REPLACED))
        if final.exists():
            _delete(path)
        else:
            path.rename(final)


def rotate(run_dir: Path, limit: int | None, best: Path | None) -> None:
    """Delete the oldest checkpoints beyond ``limit``; the best one and the newest one stay. None keeps all."""
    if limit is None:
        return
    *older, _ = checkpoints(run_dir)
    for path in [path for path in older if path != best][: max(0, len(older) + 1 - limit)]:
        _delete(path)


def _delete(path: Path) -> None:
    doomed = path.with_name(f"{DELETING}{path.name}")
    path.rename(doomed)
    shutil.rmtree(doomed)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
