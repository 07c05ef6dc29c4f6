"""What a command says when packages of an extra are not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from coordspec.errors import CoordspecError

TRAIN: Final = frozenset(
    {"torch", "transformers", "tokenizers", "safetensors", "huggingface_hub", "peft", "accelerate"}
)
"""Packages that the extra ``train`` installs, itself or through another one."""


@contextmanager
def train_extra() -> Iterator[None]:
    """Around the imports of a command that needs torch: a missing package ends in one line.

    Raises:
        CoordspecError: a package of the extra ``train`` is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in TRAIN:
            raise
        raise CoordspecError(
            f"this command needs the package {name}; install the extra: pip install 'coordspec[train]'"
        ) from error
