"""From the paths a person typed to the configs they mean."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from coordspec.config.beside import identity
from coordspec.errors import InputError

_SUFFIXES: Final = (".yaml", ".yml")


def config_files(words: Iterable[str]) -> list[str]:
    """Files, and folders that are searched for ``*.yaml`` and ``*.yml``; each file once, in this order.

    A file that does not exist stays in the list, for the check to report it.

    Raises:
        InputError: a folder holds no config.
    """
    found: dict[str, str] = {}
    for word in words:
        for path in _expand(word):
            found.setdefault(identity(path), path)
    return list(found.values())


def _expand(word: str) -> list[str]:
    if not Path(word).is_dir():
        return [word]
    files = sorted(str(path) for path in Path(word).rglob("*") if path.suffix in _SUFFIXES and path.is_file())
    if not files:
        raise InputError(word, f"no {' or '.join(_SUFFIXES)} file in this folder")
    return files
