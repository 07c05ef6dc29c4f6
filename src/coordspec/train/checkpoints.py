"""Folders of checkpoints that are whole or not there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from coordspec.run_files import CHECKPOINT, checkpoints

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
