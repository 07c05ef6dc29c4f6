"""Checkpoint folders: written whole or not at all, and never over something that is no checkpoint."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from coordspec.errors import InputError

CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
MARKS: Final = (CONFIG, ADAPTER_CONFIG)
"""Files that tell a folder that a checkpoint was saved in: of a model, or of an adapter."""


@contextmanager
def write_folder(path: Path, *, overwrite: bool = False, sources: Iterable[Path] = ()) -> Iterator[Path]:
    """A temporary folder beside ``path`` that becomes ``path`` when the block ends well, and vanishes when it does not.

    Until the block has ended, whatever was at ``path`` stays as it is. ``sources`` are folders that are being read:
    neither they nor anything around them is ever replaced.

    Raises:
        InputError: see ``refuse_folder``; or the folder cannot be written.
    """
    refuse_folder(path, overwrite=overwrite, sources=sources)
    target = path.absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    except OSError as error:
        raise InputError(str(path), f"cannot be written: {error.strerror or error}") from error
    try:
        yield temporary
        _finish(temporary)
        _replace(temporary, target)
    except OSError as error:
        raise InputError(str(path), f"cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_folder(path: Path, *, overwrite: bool, sources: Iterable[Path] = ()) -> None:
    """Raise InputError if writing a checkpoint folder to ``path`` would lose something.

    Raises:
        InputError: ``path`` is one of ``sources`` or holds one, is a file or a link, has something in it and
            ``overwrite`` is False, or has something in it that is no checkpoint.
    """
    resolved = path.resolve()
    if any(resolved == source.resolve() or resolved in source.resolve().parents for source in sources):
        raise InputError(str(path), "is being read; name another output folder")
    if path.is_symlink():
        raise InputError(str(path), "is a link; name the folder itself, or another one")
    if not path.exists():
        return
    if not path.is_dir():
        raise InputError(str(path), "is a file; name a folder")
    if not any(path.iterdir()):
        return
    if not overwrite:
        raise InputError(str(path), "is not empty; name another folder, or pass --overwrite")
    if not any((path / mark).is_file() for mark in MARKS):
        raise InputError(str(path), "holds no checkpoint, so nothing in it is replaced; name another folder")


def _finish(folder: Path) -> None:
    """Bring every file to the disk, so that no crash behind the renaming leaves an empty one, with the usual modes."""
    umask = _umask()
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(0o666 & ~umask)
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
    for inner in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        inner.chmod(0o777 & ~umask)


def _replace(temporary: Path, target: Path) -> None:
    """Rename; an old folder is set aside first and removed last, and put back where the renaming fails."""
    if not target.exists():
        temporary.rename(target)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
    try:
        target.rename(aside / "old")
        try:
            temporary.rename(target)
        except OSError:
            (aside / "old").rename(target)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
