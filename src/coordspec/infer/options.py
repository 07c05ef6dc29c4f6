"""What the commands that let a checkpoint answer can be told. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from coordspec.config.sections import Attention, Dtype, Model
from coordspec.config.training import Decoding, GenerateBatch, Termination

PROMPT_SETTINGS: Final = ("system_prompt", "user_prompt", "min_pixels", "max_pixels")
"""Settings of ``template`` that say what a model is shown; a fingerprint holds them under their own names."""
OwnDtype: TypeAlias = Dtype | Literal["auto"]
"""Type of the weights; ``auto`` is the checkpoint's own."""


@dataclass(frozen=True, slots=True)
class Opening:
    """How a checkpoint is opened.

    ``template`` holds settings of ``Template`` that replace those which the checkpoint was trained with; another value
    is refused, so this is for a checkpoint that says nothing about them. ``device`` is one of torch, or ``auto``: the
    GPU where there is one. With ``unknown_preprocessing`` a checkpoint without a fingerprint is taken as it is.
    """

    template: Mapping[str, Any]
    dtype: OwnDtype = "auto"
    attn_implementation: Attention = Model.model_fields["attn_implementation"].default
    device: str = "auto"
    unknown_preprocessing: bool = False


@dataclass(frozen=True, slots=True)
class RecordSource:
    """The records to answer: a contract file, where its images are, and how much of it is read."""

    path: str
    max_line_bytes: int
    image_root: Path | None = None
    max_records: int | None = None


@dataclass(frozen=True, slots=True)
class InferOptions:
    """How answers are written. ``batch_size`` of them are written at once."""

    decoding: Decoding = field(default_factory=Decoding)
    termination: Termination = field(default_factory=Termination)
    batch_size: int = GenerateBatch().size
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the evaluation checklist allows; shares from 0 to 1.

    strict          least share of outputs that are strict JSON in the form of the payload
    ended           least share of outputs that the model ended itself
    unimodal        least share of coordinate slots with a unimodal distribution
    undercoverage   how far the share of slots within a central interval may stay below the interval's mass
    coord_mass      least mean mass on coord tokens at coordinate slots
    """

    strict: float = 0.99
    ended: float = 0.99
    unimodal: float = 0.95
    undercoverage: float = 0.1
    coord_mass: float = 0.95
