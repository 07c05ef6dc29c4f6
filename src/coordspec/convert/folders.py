"""The files below a folder that is converted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from coordspec.errors import InputError


def files_below(folder: str, suffixes: tuple[str, ...]) -> list[Path]:
    """Files with one of these suffixes (in lower case), relative to the folder and sorted. Links to folders are not
    followed.

    Raises:
        InputError: a folder cannot be read.
    """
    return sorted(_walk(folder, suffixes), key=lambda path: path.parts)


def _walk(folder: str, suffixes: tuple[str, ...]) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise InputError(str(error.filename), error.strerror or str(error)) from error

    for here, _, names in os.walk(folder, onerror=refuse):
        below = Path(here).relative_to(folder)
        yield from (below / name for name in names if name.lower().endswith(suffixes))
