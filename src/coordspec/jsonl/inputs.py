"""From the paths a person typed to the files they mean."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from coordspec.contracts import rule
from coordspec.errors import InputError

STDIN: Final = "-"
GZIP, ZSTD = ".gz", ".zst"
COMPRESSED: Final = (GZIP, ZSTD)
"""What the name of a file ends with that is compressed."""
SUFFIXES: Final = (".jsonl", *(f".jsonl{end}" for end in COMPRESSED))
MAX_LINE_BYTES: Final[int] = rule("too-long").params["max_line_bytes"]
"""The longest line that is read, unless a person says otherwise."""


def expand_inputs(words: Iterable[str]) -> list[str]:
    """Files, folders (searched for ``*.jsonl``, also ``.gz`` and ``.zst``), globs and ``-``, each file once.

    Raises:
        InputError: a word means nothing that exists, or a folder holds no such file.
    """
    found: dict[str, str] = {}
    for word in words:
        try:
            for path in _expand(word):
                found.setdefault(path if path == STDIN else os.path.abspath(path), path)  # noqa: PTH100 (keeps links)
        except OSError as error:
            raise InputError(word, error.strerror or str(error)) from error
    return list(found.values())


def _expand(word: str) -> list[str]:
    path = Path(word)
    if word == STDIN:
        return [word]
    if path.is_dir():
        files = sorted(str(p) for p in path.rglob("*") if p.name.endswith(SUFFIXES) and not p.is_dir())
        if not files:
            raise InputError(word, f"no {', '.join(SUFFIXES)} file in this folder")
        return files
    if path.exists():
        return [word]
    matches = sorted(glob.glob(word, recursive=True)) if glob.has_magic(word) else []  # noqa: PTH207 (takes absolute ones)
    if not matches:
        raise InputError(word, "no file matches" if glob.has_magic(word) else "no such file or folder")
    return [file for match in matches for file in _expand(match)]
