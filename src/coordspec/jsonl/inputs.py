"""From the paths a person typed to the files they mean."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from coordspec.errors import InputError

STDIN = "-"
SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")


def expand_inputs(words: Iterable[str]) -> list[str]:
    """Files, folders (searched for ``*.jsonl``, also ``.gz`` and ``.zst``), globs and ``-``, each file once.

    Raises:
        InputError: a word means nothing that exists, or a folder holds no such file.
    """
    found = (path for word in words for path in _expand(word))
    return list(dict.fromkeys(found))


def _expand(word: str) -> list[str]:
    path = Path(word)
    if word == STDIN:
        return [word]
    if path.is_dir():
        files = sorted(str(p) for p in path.rglob("*") if p.name.endswith(SUFFIXES) and p.is_file())
        if not files:
            raise InputError(word, f"no {', '.join(SUFFIXES)} file in this folder")
        return files
    if path.exists():
        return [word]
    matches = sorted(glob.glob(word, recursive=True)) if glob.has_magic(word) else []  # noqa: PTH207 (takes absolute ones)
    if not matches:
        raise InputError(word, "no file matches" if glob.has_magic(word) else "no such file or folder")
    return [file for match in matches for file in _expand(match)]
