"""Writing files whole or not at all, and never over a file that nobody named for it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from coordspec.errors import InputError


@contextmanager
def write_whole(
    path: Path, *, overwrite: bool = False, sources: Iterable[str] = (), synced: bool = True
) -> Iterator[IO[bytes]]:
    """A binary stream whose bytes become ``path`` when the block ends well, and vanish when it does not.

    ``sources`` are files that are being read: none of them is ever replaced, ``overwrite`` or not. The file outlasts a
    loss of power too if it is ``synced``, which takes milliseconds; without, it may be empty then.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is False, it is a source, or its folder cannot be written to.
    """
    refuse_output(path, overwrite=overwrite, sources=sources)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise InputError(str(path), f"cannot be written: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            if synced:
                os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise InputError(str(path), f"cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def refuse_output(path: Path, *, overwrite: bool, sources: Iterable[str] = ()) -> None:
    """Raise InputError if writing to ``path`` would lose something.

    Raises:
        InputError: ``path`` is one of ``sources``, a folder, or exists and ``overwrite`` is False.
    """
    if path.exists() and any(_same(path, source) for source in sources):
        raise InputError(str(path), "is being read; name another output")
    if path.is_dir():
        raise InputError(str(path), "is a folder; name a file")
    if path.exists() and not path.is_file():
        raise InputError(str(path), "is no regular file; name another output, or - or nothing for standard output")
    if path.exists() and not overwrite:
        raise InputError(str(path), "exists already; name another output, or pass --overwrite")


def _same(path: Path, source: str) -> bool:
    return Path(source).exists() and path.samefile(source)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
