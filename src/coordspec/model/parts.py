"""The parts of a model: which are trained, each at which learning rate, and rows of a matrix at a rate of their own."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, Literal, TypeAlias, TypedDict

import torch
from torch import nn

from coordspec.config.sections import Model
from coordspec.config.training import Training
from coordspec.coords import CoordVocab

Head: TypeAlias = Literal["full", "coord_rows", "frozen"]


class ModelPart(StrEnum):
    """What a parameter belongs to. ``TOKENS`` are the token embedding and the language-model head."""

    VISION = "vision"
    PROJECTOR = "projector"
    LANGUAGE = "language"
    TOKENS = "tokens"


_PREFIXES: Final = (
    ("lm_head.", ModelPart.TOKENS),
    ("model.language_model.embed_tokens.", ModelPart.TOKENS),
    ("model.language_model.", ModelPart.LANGUAGE),
    ("model.visual.merger.", ModelPart.PROJECTOR),
    ("model.visual.deepstack_merger_list.", ModelPart.PROJECTOR),
    ("model.visual.", ModelPart.VISION),
)
_TABLE: Final = "pos_embed.weight"
_PEFT: Final = "base_model.model."
"""What peft puts before the names of the model that it wraps."""


def is_frozen(section: Model, part: ModelPart) -> bool:
    """True where no parameter of the part is trained, by the section ``model`` of a config."""
    return {
        ModelPart.VISION: section.freeze_vision,
        ModelPart.PROJECTOR: section.freeze_projector,
        ModelPart.LANGUAGE: section.freeze_language,
        ModelPart.TOKENS: section.head == "frozen",
    }[part]


def rate_of(training: Training, part: ModelPart) -> float:
    """The peak learning rate of a part; of ``TOKENS`` that of the rows that are no coord tokens."""
    own = {
        ModelPart.VISION: training.vision_learning_rate,
        ModelPart.PROJECTOR: training.projector_learning_rate,
    }.get(part)
    return training.learning_rate if own is None else own


def coord_rate(training: Training) -> float:
    """The peak learning rate of the rows of the coord tokens."""
    own = training.coord_learning_rate
    return training.learning_rate if own is None else own


class Group(TypedDict):
    """A parameter group as optimizers of torch take it."""

    name: str
    params: list[nn.Parameter]
    lr: float
    weight_decay: float
    muon: bool


def part_of(name: str) -> ModelPart:
    """The part that a parameter of a Qwen3-VL or Qwen2.5-VL belongs to, by its name, inside peft or not.

    Raises:
        ValueError: the name is of no part that is known.
    """
    plain = name.removeprefix(_PEFT)
    for prefix, part in _PREFIXES:
        if plain.startswith(prefix):
            return part
    raise ValueError(f"the parameter {name} is of no known part of the model")


def freeze_parts(model: nn.Module, section: Model, coords: CoordVocab) -> None:
    """Set ``requires_grad`` of every parameter of a model without adapters; with head ``coord_rows``, mask gradients.

    The mask makes the gradient of every other row exactly 0 before it is clipped or reduced. Without weight decay
    (``parameter_groups`` gives these matrices none) an optimizer then leaves those rows as they are, bit by bit.
    """
    for name, parameter in model.named_parameters():
        part = part_of(name)
        parameter.requires_grad_(not is_frozen(section, part))
        if part is ModelPart.TOKENS and section.head == "coord_rows":
            _keep_gradient_of(parameter, coords)


def parameter_groups(model: nn.Module, training: Training, head: Head) -> list[Group]:
    """The trainable parameters by part and weight decay, each in one group.

    With ``optim: muon`` the matrices of hidden layers are groups of their own at ``muon_learning_rate``, for
    ``MuonAdamW``.

    Matrices decay; vectors (biases, norms), embeddings, the head and position tables do not. Where coord rows are
    trained together with all other rows, their group has the larger one of the two rates: ``pace_rows`` does the rest.
    """
    muon = training.optim == "muon"
    coords = coord_rate(training)
    tokens = coords if head == "coord_rows" else max(coords, training.learning_rate)
    groups: dict[str, Group] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part = part_of(name)
        decays = parameter.ndim > 1 and part is not ModelPart.TOKENS and not name.endswith(_TABLE)
        key = f"{part} without decay" if part is not ModelPart.TOKENS and not decays else part.value
        rate = tokens if part is ModelPart.TOKENS else rate_of(training, part)
        by_muon = muon and decays and parameter.ndim == 2  # noqa: PLR2004 (a matrix, no convolution)
        if by_muon:
            key, rate = f"{part} by muon", training.muon_learning_rate
        decay = training.weight_decay if decays else 0.0
        group = groups.setdefault(key, Group(name=key, params=[], lr=rate, weight_decay=decay, muon=by_muon))
        group["params"].append(parameter)
    return list(groups.values())


def pace_rows(
    optimizer: torch.optim.Optimizer, model: nn.Module, training: Training, head: Head, coords: CoordVocab
) -> None:
    """Give coord rows and all other rows of the same matrices their own learning rates, exactly; head ``full`` only.

    Optimizers have one rate for a matrix. ``parameter_groups`` sets the larger of the two, and hooks on ``step`` shrink
    the update of the other rows to its share. An update of AdamW or SGD without weight decay is proportional to the
    rate, and both rates follow one schedule, so that is what a rate of their own would do, but for one rounding of the
    weight. Scaling gradients instead would do nothing under AdamW.
    """
    of_coords, of_others = coord_rate(training), training.learning_rate
    if head != "full" or of_coords == of_others:
        return
    share = min(of_coords, of_others) / max(of_coords, of_others)
    slow_coords = of_coords < of_others
    weights = [
        weight
        for name, weight in model.named_parameters()
        if weight.requires_grad and part_of(name) is ModelPart.TOKENS
    ]
    slow = [_rows(weight, coords, inside=slow_coords) for weight in weights]
    before: list[torch.Tensor] = []

    def keep(*_: Any) -> None:
        before[:] = [weight.detach()[rows] for weight, rows in zip(weights, slow, strict=True)]

    def shrink(*_: Any) -> None:
        with torch.no_grad():
            for weight, rows, old in zip(weights, slow, before, strict=True):
                weight[rows] = torch.lerp(old, weight[rows], share)
        before.clear()

    optimizer.register_step_pre_hook(keep)
    optimizer.register_step_post_hook(shrink)


def _rows(weight: nn.Parameter, coords: CoordVocab, *, inside: bool) -> torch.Tensor:
    """The ids of the rows that are coord tokens, or of all others."""
    is_coord = torch.zeros(weight.shape[0], dtype=torch.bool)
    is_coord[list(coords.ids)] = True
    return (is_coord if inside else ~is_coord).nonzero().flatten().to(weight.device)


def _keep_gradient_of(weight: nn.Parameter, coords: CoordVocab) -> None:
    ids = torch.tensor(coords.ids, device=weight.device)

    def mask(gradient: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(gradient).index_copy_(0, ids, gradient[ids])

    weight.register_hook(mask)  # type: ignore[no-untyped-call]
