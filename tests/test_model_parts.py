"""Parts of a model: names, freezing, learning rates, and coord rows at a rate of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from coordspec.config.sections import Model
from coordspec.config.training import Training
from coordspec.model.checkpoint import embedding_weight, head_weight
from coordspec.model.parts import Head, ModelPart, freeze_parts, pace_rows, parameter_groups, part_of
from model_samples import batch, model, processor, rates
from train_samples import qwen2_5

COORDS = processor().coords
IDS = list(COORDS.ids)


def step(one: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    inputs = batch(processor())
    one(**inputs, labels=inputs["input_ids"]).loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def train(one: nn.Module, freeze: Model, made: Training, kind: Any = torch.optim.AdamW, steps: int = 3) -> None:
    freeze_parts(one, freeze, COORDS)
    optimizer = kind(parameter_groups(one, made, freeze.head))
    pace_rows(optimizer, one, made, freeze.head, COORDS)
    for _ in range(steps):
        step(one, optimizer)


def state(one: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in one.named_parameters()}


# ---------------------------------------------------------------------------------------------------------------- names


def test_every_parameter_has_a_part() -> None:
    for one in (model(tied=False), qwen2_5()):
        parts = {name: part_of(name) for name, _ in one.named_parameters()}
        assert set(parts.values()) == set(ModelPart)
        assert [name for name, part in parts.items() if part is ModelPart.TOKENS] == [
            "model.language_model.embed_tokens.weight",
            "lm_head.weight",
        ]
        merging = {name for name in parts if "merger" in name}
        assert {name for name, part in parts.items() if part is ModelPart.PROJECTOR} == merging
        assert {name.split(".")[1] for name, part in parts.items() if part is ModelPart.VISION} == {"visual"}
        assert parts["model.language_model.norm.weight"] is ModelPart.LANGUAGE


def test_an_unknown_name_is_no_part() -> None:
    with pytest.raises(ValueError, match=r"^the parameter model\.audio\.weight is of no known part of the model$"):
        part_of("model.audio.weight")


# ------------------------------------------------------------------------------------------------------------- freezing


@pytest.mark.parametrize(
    ("freeze", "trained"),
    [
        (Model(path="model"), set(ModelPart)),
        (Model(path="model", head="frozen"), {ModelPart.VISION, ModelPart.PROJECTOR, ModelPart.LANGUAGE}),
        (
            Model(path="model", freeze_vision=True, freeze_projector=True, freeze_language=True, head="coord_rows"),
            {ModelPart.TOKENS},
        ),
    ],
    ids=["nothing", "head", "all but coord rows"],
)
def test_what_is_frozen_stays(freeze: Model, trained: set[ModelPart]) -> None:
    one = model(tied=False)
    before = state(one)
    train(one, freeze, rates(1e-3))
    changed = {name for name, value in state(one).items() if not torch.equal(value, before[name])}
    assert {part_of(name) for name in changed} == trained
    assert {part_of(name) for name in before.keys() - changed} & trained <= {ModelPart.VISION}


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_coord_rows_alone(tied: bool) -> None:
    one = model(tied=tied)
    before = state(one)
    train(one, Model(path="model", head="coord_rows"), rates(1e-3), steps=3)
    for weight, old in ((embedding_weight(one), before["model.language_model.embed_tokens.weight"]),) + (
        () if tied else ((head_weight(one), before["lm_head.weight"]),)
    ):
        moved = (weight != old).any(dim=1).nonzero().flatten().tolist()
        assert set(moved) <= set(IDS)
        assert moved


def test_masked_gradients_take_no_part_in_clipping() -> None:
    one = model()
    freeze_parts(
        one,
        Model(path="model", freeze_vision=True, freeze_projector=True, freeze_language=True, head="coord_rows"),
        COORDS,
    )
    inputs = batch(processor())
    one(**inputs, labels=inputs["input_ids"]).loss.backward()
    gradient = embedding_weight(one).grad
    assert gradient is not None
    assert gradient[:520].abs().max() == 0
    torch.testing.assert_close(nn.utils.clip_grad_norm_(one.parameters(), 1.0), gradient[IDS].norm())


# --------------------------------------------------------------------------------------------------------------- groups


def test_groups() -> None:
    one = model(tied=False)
    made = rates(1e-3, vision_learning_rate=2e-3, projector_learning_rate=3e-3, coord_learning_rate=4e-3)
    groups = parameter_groups(one, made, "full")
    assert {group["name"]: (group["lr"], group["weight_decay"]) for group in groups} == {
        "vision": (2e-3, 0.1),
        "vision without decay": (2e-3, 0.0),
        "projector": (3e-3, 0.1),
        "projector without decay": (3e-3, 0.0),
        "language": (1e-3, 0.1),
        "language without decay": (1e-3, 0.0),
        "tokens": (4e-3, 0.0),
    }
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(listed) == sorted(id(parameter) for parameter in one.parameters())
    for group in groups:
        assert all(parameter.ndim > 1 for parameter in group["params"]) or "without" in group["name"]
    table = one.model.visual.pos_embed.weight
    assert [group["name"] for group in groups if any(p is table for p in group["params"])] == ["vision without decay"]


@pytest.mark.parametrize(
    ("head", "made", "tokens"),
    [
        ("full", rates(1e-3), 1e-3),
        ("full", rates(1e-3, coord_learning_rate=1e-4), 1e-3),
        ("full", rates(1e-3, coord_learning_rate=1e-2), 1e-2),
        ("full", rates(0.0, coord_learning_rate=1e-2), 1e-2),
        ("coord_rows", rates(1e-3), 1e-3),
        ("coord_rows", rates(1e-3, coord_learning_rate=1e-4), 1e-4),
    ],
)
def test_the_rate_of_tokens(head: Head, made: Training, tokens: float) -> None:
    groups = {group["name"]: group["lr"] for group in parameter_groups(model(), made, head)}
    assert groups["tokens"] == tokens
    assert groups["language"] == made.learning_rate


def test_what_is_frozen_is_in_no_group() -> None:
    one = model()
    freeze_parts(one, Model(path="model", freeze_vision=True, head="frozen"), COORDS)
    names = {group["name"] for group in parameter_groups(one, rates(1e-3), "frozen")}
    assert names == {"projector", "projector without decay", "language", "language without decay"}


# ---------------------------------------------------------------------------------------------------- rates of the rows


class Two(nn.Module):
    """The token matrices alone, whose gradients do not depend on the other rows: rates can be compared exactly."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        inner = nn.ModuleDict({"embed_tokens": nn.Embedding(1600, 4)})
        self.model = nn.ModuleDict({"language_model": inner})
        self.lm_head = nn.Linear(4, 1600, bias=False)

    def backward(self, number: int) -> None:
        torch.manual_seed(number)
        for parameter in self.parameters():
            parameter.grad = torch.randn_like(parameter)


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
@pytest.mark.parametrize(("rate", "coord"), [(1e-2, 1e-3), (1e-3, 1e-2), (0.0, 1e-2), (1e-2, 0.0), (1e-2, 1e-2)])
def test_rows_move_as_with_an_optimizer_of_their_own(kind: Any, rate: float, coord: float) -> None:
    """Against two optimizers, one for each rate, over a schedule."""

    def trained(made: Training) -> list[torch.Tensor]:
        two = Two()
        optimizer = kind(parameter_groups(two, made, "full"), lr=1.0)
        pace_rows(optimizer, two, made, "full", COORDS)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 1 / (1 + n))
        for number in range(5):
            two.backward(number)
            optimizer.step()
            schedule.step()
        return [parameter.detach() for parameter in two.parameters()]

    paced, slow, fast = trained(rates(rate, coord_learning_rate=coord)), trained(rates(rate)), trained(rates(coord))
    is_coord = torch.zeros(1600, dtype=torch.bool)
    is_coord[IDS] = True
    for weight, others, coords in zip(paced, slow, fast, strict=True):
        torch.testing.assert_close(weight[~is_coord], others[~is_coord], rtol=0, atol=1e-6)
        torch.testing.assert_close(weight[is_coord], coords[is_coord], rtol=0, atol=1e-6)
    start = [parameter.detach() for parameter in Two().parameters()]
    for weight, old in zip(paced, start, strict=True):
        assert torch.equal(weight[is_coord], old[is_coord]) is (coord == 0)
        assert torch.equal(weight[~is_coord], old[~is_coord]) is (rate == 0)
