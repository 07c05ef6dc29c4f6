"""Paths that stand in a config: relative to the folder of the file in which they stand."""

from __future__ import annotations

import os


def beside(file: str, path: str) -> str:
    """The path as seen from where ``file`` was named, without detours where the short path means the same file."""
    joined = os.path.join(os.path.dirname(file), path)  # noqa: PTH118, PTH120 (kept as it was typed)
    short = os.path.normpath(joined)
    return short if identity(short) == identity(joined) else joined


def identity(path: str) -> str:
    """The same for every way to name a file. A text that can name none stands for itself."""
    try:
        return os.path.realpath(path)
    except ValueError:  # a NUL, or half of a surrogate pair
        return path
