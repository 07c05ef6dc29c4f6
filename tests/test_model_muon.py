"""Muon and AdamW as one optimizer: the same as the two apart, also when saved, read back and scheduled."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import AdamW, Muon
from torch.optim.lr_scheduler import LambdaLR

from coordspec.model.muon import MuonAdamW
from coordspec.model.parts import ModelPart, parameter_groups, part_of
from model_samples import model, rates

BETAS, EPS = (0.9, 0.95), 1e-8


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 3))


def groups(one: nn.Module) -> list[dict[str, Any]]:
    matrices = [p for p in one.parameters() if p.ndim == 2]
    others = [p for p in one.parameters() if p.ndim != 2]
    return [
        {"params": matrices, "lr": 0.02, "weight_decay": 0.1, "muon": True},
        {"params": others, "lr": 0.01, "weight_decay": 0.0, "muon": False},
    ]


def learn(one: nn.Module, *optimizers: torch.optim.Optimizer, seed: int = 1) -> None:
    inputs = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed))
    one(inputs).square().sum().backward()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()


def weights(one: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in one.parameters()]


def test_it_is_the_two_optimizers_apart() -> None:
    joined, apart = network(), network()
    optimizer = MuonAdamW(groups(joined), betas=BETAS, eps=EPS)
    matrices, others = ({k: v for k, v in group.items() if k != "muon"} for group in groups(apart))
    pair = (Muon([matrices], adjust_lr_fn="original"), AdamW([others], betas=BETAS, eps=EPS, fused=True))
    before = weights(joined)
    for seed in range(4):
        learn(joined, optimizer, seed=seed)
        learn(apart, *pair, seed=seed)
    assert all(map(torch.equal, weights(joined), weights(apart)))
    assert not any(map(torch.equal, weights(joined), before))


def test_a_schedule_moves_the_rates_of_both() -> None:
    optimizer = MuonAdamW(groups(network()), betas=BETAS, eps=EPS)
    schedule = LambdaLR(optimizer, lambda step: 1 / (step + 1))
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.01]
    optimizer.step()
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.005]
    assert optimizer._muon.param_groups[0]["lr"] == 0.01
    assert optimizer._adamw.param_groups[0]["lr"] == 0.005


def test_a_saved_state_goes_on_exactly() -> None:
    unbroken = network()
    optimizer = MuonAdamW(groups(unbroken), betas=BETAS, eps=EPS)
    for seed in range(3):
        learn(unbroken, optimizer, seed=seed)
    resumed = copy.deepcopy(unbroken)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    again = MuonAdamW(groups(resumed), betas=BETAS, eps=EPS)
    LambdaLR(again, lambda _: 1.0)
    again.load_state_dict(torch.load(file, weights_only=True))
    for seed in range(3, 6):
        learn(unbroken, optimizer, seed=seed)
        learn(resumed, again, seed=seed)
    assert all(map(torch.equal, weights(unbroken), weights(resumed)))
    assert again.param_groups[0] is again._muon.param_groups[0]


@pytest.mark.parametrize("head", ["full", "frozen"])
def test_groups_hold_every_weight_once_and_muon_gets_hidden_matrices_alone(head: Any) -> None:
    one = model(tied=False)
    made = parameter_groups(one, rates(1e-3, vision_learning_rate=2e-3, optim="muon", muon_learning_rate=0.02), head)
    names = {id(parameter): name for name, parameter in one.named_parameters()}
    found = [(names[id(parameter)], group) for group in made for parameter in group["params"]]
    assert sorted(name for name, _ in found) == sorted(names.values())
    for name, group in found:
        weight = one.get_parameter(name)
        hidden = weight.ndim == 2 and part_of(name) is not ModelPart.TOKENS and "pos_embed" not in name
        assert group["muon"] is hidden, name
        if hidden:
            assert (group["lr"], group["weight_decay"]) == (0.02, 0.1)
    assert not any(group["muon"] for group in parameter_groups(one, rates(1e-3, weight_decay=0.1), head))
