"""The loss of both channels against plain loops: values, gradients, forwards, packing, micro-batches, adapters."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import train_samples
from coordspec.config.sections import CoordSoftCeW1, Model
from coordspec.config.training import Lora
from coordspec.model.forward import HeadWeights
from coordspec.model.lora import add_lora
from coordspec.model.parts import freeze_parts
from coordspec.samples.encode import Encoder
from coordspec.train.stage2 import step
from coordspec.train.stage2.settings import Settings
from coordspec.train.stage2.step import Channel, expected_embedding
from rollouts import BIRD, CAT, DOG, body
from stage2_samples import (
    END,
    NEAR_CAT,
    TRIANGLE,
    Bench,
    changed,
    channel_a,
    count_calls,
    encoder,
    model,
    policy_settings,
    random_samples,
    relative,
    sharp,
    slow_channel_a,
    slow_logits,
    slow_loss,
    task,
    whole,
)
from train_samples import processor
from training_runs import smallest_model

F64 = torch.float64
POLICIES = ("unified", "rollout_matching", "reordered_gt_sft")
WEIGHTS = {
    "desc_ce_weight": 0.3,
    "bbox_smoothl1_weight": 2.0,
    "bbox_ciou_weight": 0.7,
    "smoothl1_beta": 0.2,
    "geo_weight": 0.6,
}
COORD = CoordSoftCeW1(
    soft_ce_weight=0.5, w1_weight=3.0, ce_weight=0.7, gate_weight=2.0, temperature=1.5, target_sigma=3.0
)
TASKS = [task([CAT, DOG], 0), task([CAT, TRIANGLE], 1), task([], 2), task([DOG], 3)]
TEXTS = [
    whole(BIRD, NEAR_CAT),
    body(NEAR_CAT) + ', "object_2": {"desc": "x"}, "object_3": {"de',
    whole(BIRD),
    "no object",
]
"""One with a wrong and a matched entry, one that is truncated, one about nothing, and a fallback."""


def weighed(policy: str = "unified", **changes: Any) -> Settings:
    """Settings whose weights all differ."""
    found = policy_settings(policy)
    return changed(found, **{**WEIGHTS, "coord_soft_ce_w1": found.coord_soft_ce_w1 and COORD, **changes})


# ---------------------------------------------------------------------------------------------------- at the logits


@contextmanager
def logits_given(seed: int) -> Iterator[list[torch.Tensor]]:
    """Steps run on random logits instead of a model; they are leaves, [tokens, vocabulary], and come out in order."""
    made: list[torch.Tensor] = []
    noise = torch.Generator().manual_seed(seed)
    size = model().get_input_embeddings().weight.shape[0]

    def hidden(_: Any, batch: Any) -> torch.Tensor:
        shape = batch.ids_BT.numel(), size
        made.append(torch.randn(shape, generator=noise, dtype=F64).mul_(4).requires_grad_())
        return made[-1]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(step, "hidden_states", hidden)
        patched.setattr(step, "head_weights", lambda *_: HeadWeights(torch.eye(size, dtype=F64), None))
        yield made


def rows_with_gradient(prepared: Any, targets: list[Any], settings: Settings) -> set[int]:
    """The rows of logits that predict something supervised."""
    length = prepared.batch.ids_BT.shape[1]
    found = set()
    for span, target in zip(prepared.batch.spans, targets, strict=True):
        before = span.row * length + span.answer - 1
        found |= {before + p for p, weight in enumerate(target.ce_weight) if weight > 0}
        for slot in target.slots:
            if slot.geometry != "none" or slot.coord_loss != "none":
                found |= {before + p for p in slot.positions}
    return found


def check_random_step(seed: int, count: int, policy: str, packed: bool) -> None:
    tasks, texts = random_samples(seed, count)
    settings = weighed(policy, pack_length=1 if packed else None, bbox_ciou_weight=0.7)
    bench = Bench(settings, texts)
    with logits_given(seed) as leaves:
        prepared = bench.prepare(tasks)[0]
        loss = bench.objective.loss(prepared, prepared.counts_C)
        loss.loss.backward()
    (leaf,) = leaves
    order = [one.place.line for one in prepared.batch.spans]
    targets = [bench.targets[line - 1] for line in order]
    length = prepared.batch.ids_BT.shape[1]
    again = leaf.detach().clone().requires_grad_()
    parts_tv = [again[span.row * length + span.start : span.row * length + span.end] for span in prepared.batch.spans]
    answers = [span.answer - span.start for span in prepared.batch.spans]
    expected, parts = slow_loss(parts_tv, parts_tv, answers, targets, settings)
    assert loss.loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for name, value in loss.parts.items():
        wanted = expected if name == "loss" or name.endswith("/loss") else parts[name.partition("/")[2]]
        assert value.item() == pytest.approx(wanted.item(), rel=1e-6, abs=1e-9), name
    assert loss.parts.keys() - {"loss", "channel_b/loss"} == {f"channel_b/{name}" for name in parts}
    rows = rows_with_gradient(prepared, targets, settings)
    assert set(leaf.grad.abs().sum(1).nonzero().squeeze(1).tolist()) <= rows
    if expected.requires_grad and rows:
        expected.backward()
        assert relative({"logits": leaf.grad}, {"logits": again.grad}) < 1e-5
        slots = {n for n in rows if again.grad[n].any()}
        assert set(leaf.grad.abs().sum(1).nonzero().squeeze(1).tolist()) == slots


@pytest.mark.parametrize("policy", POLICIES)
@given(seed=st.integers(0, 2**32), packed=st.booleans())
@hypothesis_settings(max_examples=5)
def test_any_rollouts_give_the_loss_of_plain_loops_and_no_gradient_elsewhere(
    policy: str, seed: int, packed: bool
) -> None:
    check_random_step(seed, 3, policy, packed)


@pytest.mark.nightly
@pytest.mark.parametrize("policy", POLICIES)
@given(seed=st.integers(0, 2**32), packed=st.booleans(), count=st.integers(1, 9))
@hypothesis_settings(max_examples=150)
def test_many_rollouts_give_the_loss_of_plain_loops(policy: str, seed: int, packed: bool, count: int) -> None:
    check_random_step(seed, count, policy, packed)


# ---------------------------------------------------------------------------------------------------- through a model


def doubled(kind: str = "qwen3", *, tied: bool = True) -> tuple[Any, Encoder]:
    """A tiny model in float64, and its encoder."""
    if kind == "qwen2_5":
        return copy.deepcopy(train_samples.qwen2_5()).double(), train_samples.encoder(train_samples.qwen2_5())
    return sharp(smallest_model(tied=tied)).double().eval(), encoder()


def adapted(*, tied: bool) -> tuple[Any, Encoder]:
    """A tiny model in float64 of which adapters and coord rows are trained; all of them moved a bit."""
    network, made = doubled(tied=tied)
    network.name_or_path = network.config.name_or_path = str(Path("model").resolve())  # as of a folder
    freeze = Model(path="model", freeze_vision=True, freeze_projector=True, freeze_language=False, head="coord_rows")
    add_lora(
        network,
        Lora(r=2, lora_alpha=4.0, lora_dropout=0.0, target_modules=("q_proj", "v_proj", "down_proj")),
        freeze,
        processor().coords,
    )
    with torch.no_grad():
        for weight in network.parameters():
            if weight.requires_grad:
                weight.add_(
                    torch.randn(weight.shape, generator=torch.Generator().manual_seed(1), dtype=F64), alpha=0.01
                )
    return network.double().eval(), made


def slow_run(bench: Bench) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of ``TASKS`` in plain loops, for the targets that a bench has made."""
    settings, targets = bench.settings, bench.targets
    if settings.stage2_ab.schedule.b_ratio:
        first = last = slow_logits(bench.network, TASKS, targets)
    else:
        first, last = slow_channel_a(bench.network, TASKS, targets, settings, bench.encoder)
    return slow_loss(first, last, [len(one.prompt.ids_T) for one in TASKS], targets, settings)


def check_model(settings: Settings, network: Any, made: Encoder, near: float = 1e-6, **run: Any) -> None:
    """Loss, parts and gradients are those of plain loops."""
    bench = Bench(settings, TEXTS, network, made)
    loss, parts, _ = bench.run(TASKS, **run)
    gradients = bench.gradients(loss)
    expected, slow_parts = slow_run(bench)
    assert loss.item() == pytest.approx(expected.item(), rel=near)
    for name, value in parts.items():
        short = name.partition("/")[2]
        wanted = expected if name == "loss" or short == "loss" else slow_parts["geo_fn" if short == "geo" else short]
        assert value == pytest.approx(wanted.item(), rel=near, abs=1e-9), name
    assert relative(gradients, bench.gradients(expected)) < near


@pytest.mark.parametrize("policy", POLICIES)
def test_channel_b_is_the_loss_of_plain_loops_on_each_sample_alone(policy: str) -> None:
    check_model(weighed(policy), *doubled())


def test_the_gate_is_measured_where_it_has_no_weight() -> None:
    check_model(weighed("rollout_matching", coord_soft_ce_w1=COORD.model_copy(update={"gate_weight": 0.0})), *doubled())


SOFT = {"unroll": ("unroll", 1.0), "em_detach": ("em_detach", 1.0), "warm": ("unroll", 2.5)}


@pytest.mark.parametrize("name", SOFT)
@pytest.mark.parametrize("kind", ["qwen3", "qwen2_5"])
def test_channel_a_is_the_loss_of_plain_loops_on_each_sample_alone(name: str, kind: str) -> None:
    mode, temperature = SOFT[name]
    soft = {"n_softctx_iter": 3, "softctx_grad_mode": mode, "softctx_temperature": temperature}
    check_model(weighed(b_ratio=0.0, **soft), *doubled(kind))


def test_channel_b_of_qwen2_5() -> None:
    check_model(weighed(), *doubled("qwen2_5"))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("channel", Channel)
@pytest.mark.parametrize("head", ["coord_rows", "frozen"])
def test_adapters_and_rows_alone(channel: Channel, tied: bool, head: str) -> None:
    settings = weighed(b_ratio=float(channel is Channel.B), n_softctx_iter=2, head=head)
    network, made = adapted(tied=tied) if head == "coord_rows" else doubled(tied=tied)
    if head == "frozen":
        freeze_parts(network, Model(path="model", head="frozen"), processor().coords)
    check_model(settings, network, made)


OTHER_SHAPES: dict[str, dict[str, Any]] = {
    "one by one": {"parts": 4},
    "in twos": {"parts": 2},
    "packed": {"pack_length": 4000},
    "packed tightly": {"pack_length": 1},
}


@pytest.mark.parametrize("channel", Channel)
@pytest.mark.parametrize("shape", OTHER_SHAPES)
def test_other_shapes_of_a_step(shape: str, channel: Channel) -> None:
    run = dict(OTHER_SHAPES[shape])
    settings = weighed(b_ratio=float(channel is Channel.B), n_softctx_iter=2, pack_length=run.pop("pack_length", None))
    check_model(settings, *doubled(), **run)


def test_packed_rows() -> None:
    for pack_length, most in ((4000, 1), (1, 4)):
        bench = Bench(changed(policy_settings(), pack_length=pack_length), TEXTS)
        (prepared,) = bench.prepare(TASKS)
        rows = len(prepared.batch.ids_BT)
        assert rows == 1 if most == 1 else rows >= 2
        lengths = [span.end - span.start for span in prepared.batch.spans]
        assert prepared.batch.ids_BT.shape[1] <= max(pack_length, *lengths)
        assert sorted(span.place.line for span in prepared.batch.spans) == [1, 2, 3, 4]


# ---------------------------------------------------------------------------------------------------- Channel-A


def directional(settings: Settings, name: str, step: float = 5e-4) -> tuple[float, float]:
    """The gradient of the geometry of Channel-A along a random direction of a weight, and the finite difference."""
    network, made = doubled()
    weight = dict(network.named_parameters())[name]
    direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(2), dtype=F64)
    bench = Bench(settings, (), network, made)
    loss, _, _ = bench.run(TASKS)
    found = (bench.gradients(loss)[name] * direction).sum().item()
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step * direction
            values.append(bench.run(TASKS)[0].item())
            weight -= sign * step * direction
    return found, (values[0] - values[1]) / (2 * step)


UPPER = "model.language_model.layers.0.self_attn.o_proj.weight"


def test_unrolled_gradients_are_finite_differences_and_detached_ones_are_not() -> None:
    geometry = {"bbox_ciou_weight": 0.0, "geo_weight": 10.0, "n_softctx_iter": 3}  # CIoU holds its alpha for a constant
    settings = weighed(b_ratio=0.0, **geometry)
    found, difference = directional(settings, UPPER)
    assert found == pytest.approx(difference, rel=1e-3)
    cut, same = directional(changed(settings, softctx_grad_mode="em_detach"), UPPER)
    assert same == pytest.approx(difference, rel=1e-3)
    assert cut != pytest.approx(found, rel=2e-3)


def test_one_iteration_is_teacher_forcing() -> None:
    """To the bit, and the mode and the temperature do not matter."""
    made = []
    for changes in ({}, {"softctx_grad_mode": "em_detach", "softctx_temperature": 9.0}):
        bench = Bench(channel_a(n_softctx_iter=1, **changes))
        loss, parts, _ = bench.run(TASKS)
        made.append((loss.item(), parts, bench.gradients(loss)))
    assert made[0][:2] == made[1][:2]
    assert all(torch.equal(made[0][2][name], made[1][2][name]) for name in made[0][2])


def test_expected_embedding() -> None:
    coord_kd = torch.randn(1000, 5)
    logits_sk = torch.full((2, 1000), -1e4)
    logits_sk[0, [100, 300]] = 3.0
    logits_sk[1, 7], logits_sk[1, 8] = 2.0, 0.0
    found = expected_embedding(logits_sk, coord_kd, 2.0)
    assert torch.allclose(found[0], (coord_kd[100] + coord_kd[300]) / 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert expected_embedding(logits_sk, coord_kd, 2.0).dtype == torch.float32, "that of the other embeddings"
    share = torch.tensor(1.0).sigmoid()
    assert torch.allclose(found[1], share * coord_kd[7] + (1 - share) * coord_kd[8])


# ---------------------------------------------------------------------------------------------------- odd batches


ODD: dict[str, tuple[list[Any], list[str]]] = {
    "wrong": ([CAT, DOG], [whole(BIRD)] * 2),
    "empty": ([CAT, DOG], [whole()] * 2),
    "fallback": ([CAT, DOG], ["", "no object"]),
    "no ground truth": ([], [whole(BIRD), whole()]),
    "nothing at all": ([], ["", END]),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", ODD)
def test_odd_rollouts_are_one_forward_with_a_finite_loss(name: str, policy: str) -> None:
    objects, texts = ODD[name]
    bench = Bench(policy_settings(policy), texts)
    calls: dict[str, int] = {}
    end = count_calls(bench.network.model, calls, "forward")
    loss, parts, counts = bench.run([task(objects, 0), task(objects, 1)])
    end()
    gradients = bench.gradients(loss)
    assert calls == {"forward": 1}
    assert loss.isfinite()
    assert counts["count/matched"] == 0
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert gradients.keys() == dict(bench.network.named_parameters()).keys(), "which all ranks have, then"
    if policy != "rollout_matching":
        assert counts["count/fn"] == 2 * len(objects)
        assert (parts["channel_b/geo_fn"] > 0) == bool(objects)


@pytest.mark.parametrize("channel", Channel)
def test_a_step_without_any_weight(channel: Channel) -> None:
    """All that is left is a loss of 0 that a backward goes through."""
    bench = Bench(changed(policy_settings(), b_ratio=float(channel is Channel.B), n_softctx_iter=2), [whole(), whole()])
    prepared = bench.prepare([task([], 0), task([], 1)])[0]
    nothing = replace(prepared.batch, weights_BT=torch.zeros_like(prepared.batch.weights_BT))
    counts_c = torch.zeros_like(prepared.counts_C)
    made = bench.objective.loss(replace(prepared, batch=nothing), counts_c)
    assert made.loss.item() == 0
    assert all(float(value) == 0 for value in made.parts.values())
    gradients = bench.gradients(made.loss)
    assert gradients.keys() == dict(bench.network.named_parameters()).keys()
    assert not any(gradient.any() for gradient in gradients.values())


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("channel", Channel)
def test_bfloat16_by_autocast_and_as_a_whole(channel: Channel, n: int) -> None:
    settings = changed(weighed(), b_ratio=float(channel is Channel.B), n_softctx_iter=n)
    expected = Bench(settings, TEXTS).run(TASKS)[0].item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        bench = Bench(settings, TEXTS)
        loss = bench.run(TASKS)[0]
    bench.gradients(loss)
    assert loss.item() == pytest.approx(expected, rel=3e-2)
    whole_model = Bench(settings, TEXTS, sharp(smallest_model()).to(torch.bfloat16).eval())
    loss = whole_model.run(TASKS)[0]
    whole_model.gradients(loss)
    assert loss.item() == pytest.approx(expected, rel=5e-2)


@pytest.mark.parametrize("channel", Channel)
def test_gradient_checkpointing_changes_nothing(channel: Channel) -> None:
    settings = changed(weighed(), b_ratio=float(channel is Channel.B), n_softctx_iter=3)
    found = []
    for checkpointing in (False, True):
        network = sharp(smallest_model()).train()
        if checkpointing:
            network.activation_checkpointing_enable()
        bench = Bench(settings, TEXTS, network)
        loss = bench.run(TASKS)[0]
        found.append((loss.item(), bench.gradients(loss)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    assert relative(found[1][1], found[0][1]) < 1e-6
