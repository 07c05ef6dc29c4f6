"""What a command says when packages of an extra are not installed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from coordspec.errors import CoordspecError

TRAIN: Final = frozenset(
    {"torch", "transformers", "tokenizers", "safetensors", "huggingface_hub", "peft", "accelerate"}
)
"""Packages that the extra ``train`` installs, itself or through another one."""

TARGETS: Final = frozenset({"numpy", "scipy", "shapely", "tokenizers"})
"""Packages of the extra ``targets``."""


def train_extra() -> AbstractContextManager[None]:
    """Around the imports of a command that needs torch: a missing package ends in one line.

    Raises:
        CoordspecError: a package of the extra ``train`` is missing.
    """
    return _extra("train", TRAIN)


def targets_extra() -> AbstractContextManager[None]:
    """The same around the imports of a command that builds or reads targets.

    Raises:
        CoordspecError: a package of the extra ``targets`` is missing.
    """
    return _extra("targets", TARGETS)


@contextmanager
def _extra(extra: str, packages: Collection[str]) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in packages:
            raise
        raise CoordspecError(
            f"this command needs the package {name}; install the extra: pip install 'coordspec[{extra}]'"
        ) from error
