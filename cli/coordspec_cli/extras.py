"""Which commands need an extra, and what they say where it is not installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXTRAS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("train", "infer", "checklist", "tiny-model", "expand-vocab", "merge-lora"), "train"),
    **dict.fromkeys(("eval", "sheet", "report"), "eval"),
    **dict.fromkeys(("mask", "guard"), "targets"),
}
"""The extra of each command that needs one, for all that it does or for some of it."""

PACKAGES: Final = frozenset(
    {"accelerate", "faster_coco_eval", "huggingface_hub", "numpy", "peft", "safetensors", "scipy", "shapely",
     "tensorboard", "tokenizers", "torch", "transformers"}
)  # fmt: skip
"""What the extras install, by the names that are imported."""


def missing(command: str, error: ModuleNotFoundError) -> str | None:
    """What to say of a package that could not be imported; None if no extra of the command brings it."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(command)
    if extra is None or package not in PACKAGES:
        return None
    return (
        f"`coordspec {command}` needs the package {package}, which is not installed; "
        f"add the extra {extra} to this installation: pip install 'coordspec[{extra}]'"
    )
