"""Bindings of what Stage-2 training does: the rest of ``stage2-ab-training``, and of ``rollout-matching-sft``."""

from __future__ import annotations

import atexit
import itertools
import json
import math
import re
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from test_training import assert_close
from test_training_config import findings, overlay, place

from coordspec.config.check import CheckOptions, check_config
from coordspec.config.training import Stage2Ab
from coordspec.contracts import Kind
from coordspec.coords import CoordVocab
from coordspec.losses.box import box_terms, object_terms
from coordspec.losses.expectation import expected_unit
from coordspec.losses.masked import masked_loss
from coordspec.model.forward import HeadWeights, hidden_states
from coordspec.record import DetObject, render_payload
from coordspec.spec.binding import harness, scenario
from coordspec.train import run as run_module
from coordspec.train.logs import METRICS
from coordspec.train.stage2 import step
from coordspec.train.stage2.settings import stage2_settings
from coordspec.train.stage2.step import (
    BoxSlots,
    Channel,
    StepCounts,
    channel_b_loss,
    channel_of,
    expected_embedding,
)
from coordspec_cli.main import cli
from rollouts import BIRD, CAT, DOG, body
from stage2_samples import (
    AB,
    END,
    NEAR_CAT,
    QUIET,
    TRIANGLE,
    Bench,
    Writes,
    changed,
    channel_a,
    config,
    count_calls,
    encoder,
    model,
    peaked,
    policy_settings,
    relative,
    slow_channel_a,
    slow_logits,
    slow_loss,
    task,
    told,
    whole,
)
from train_samples import processor
from training_runs import job, metrics, ran, settings, start, written

ROOT = Path(__file__).parents[2]
FOUR = [task([CAT, DOG], number) for number in range(4)]
MATCHED_WRONG_MISSED = [whole(NEAR_CAT, BIRD)] * 4
VOCAB = CoordVocab(tuple(range(10, 1010)))


def forwards(bench: Bench, tasks: list[Any], step: int = 0) -> tuple[int, torch.Tensor, dict[str, float]]:
    """How often the model runs for a micro-batch, and its loss and parts."""
    prepared = bench.prepare(tasks, step)
    calls: dict[str, int] = {}
    ends = [count_calls(bench.network.model, calls, "body"), count_calls(bench.network, calls, "whole")]
    (made,) = (bench.objective.loss(batch, batch.counts_C) for batch in prepared)
    for end in ends:
        end()
    return sum(calls.values()), made.loss, {name: float(value) for name, value in made.parts.items()}


# -------------------------------------------------------------------------------------------- Unified Channel-B step


@scenario("stage2-ab-training", "Unified Channel-B step", "One forward", digest="2b42d2aaa599")
def test_one_forward() -> None:
    bench = Bench(policy_settings(), MATCHED_WRONG_MISSED)
    count, loss, parts = forwards(bench, FOUR)
    assert count == 1
    for target in bench.targets:
        report = target.report
        assert (len(report.matches), len(report.fp), len(report.fn)) == (1, 1, 1)
    logits = slow_logits(bench.network, FOUR, bench.targets)
    answers = [len(one.prompt.ids_T) for one in FOUR]
    expected, slow = slow_loss(logits, logits, answers, bench.targets, bench.settings)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for name in ("ce", "geo_matched", "geo_fn"):
        assert parts[f"channel_b/{name}"] == pytest.approx(slow[name].item(), rel=1e-5)
        assert parts[f"channel_b/{name}"] > 0


@scenario("stage2-ab-training", "Unified Channel-B step", "Nothing matched", digest="7c9ebd04711d")
def test_nothing_matched() -> None:
    for text in ("", END, whole(), "no object", whole(BIRD), "{"):
        bench = Bench(policy_settings(), [text] * 4)
        count, loss, parts = forwards(bench, FOUR)
        assert count == 1
        assert all(target.report.fn == (0, 1) for target in bench.targets)
        assert loss.isfinite()
        assert parts["channel_b/geo_matched"] == 0
        assert parts["channel_b/geo_fn"] > 0
        assert all(gradient.isfinite().all() for gradient in bench.gradients(loss).values())


@scenario("stage2-ab-training", "Unified Channel-B step", "The input is what was generated", digest="5547a33ab6d2")
def test_the_input_is_what_was_generated() -> None:
    table = encoder().table
    for kept, behind in (
        (body(NEAR_CAT, BIRD), "}" + END),
        (body(BIRD, CAT), ""),
        (body(CAT, DOG), "}}" + END),
        (body(CAT), ', "object_2": {"de'),
    ):
        text = kept + behind
        bench = Bench(policy_settings(), [text])
        (prepared,) = bench.prepare([task([CAT, DOG], 0)])
        ((built,),) = (made for made, _ in bench.dumped)
        ids = built.target.ids
        span = prepared.batch.spans[0]
        assert tuple(prepared.batch.ids_BT[0, span.answer : span.end].tolist()) == ids
        ends = itertools.accumulate(len(table.bytes_of[token]) for token in built.rollout_ids)
        before = sum(end <= len(kept) for end in ends)
        assert before > 20
        assert ids[:before] == built.rollout_ids[:before]
        missed = [(CAT, DOG)[number] for number in built.target.report.fn]
        injected = render_payload(missed, built.target.report.start_id)[1:] if missed else "}"
        assert table.text(ids) == kept + (", " if missed else "") + injected + END


# -------------------------------------------------------------------------------------------- Geometry of Channel-B


def terms_of(matched: list[float], fn: list[float], ce: float = 0.0, geo_weight: float = 1.0) -> Any:
    """The terms of a step whose objects have these box losses."""

    class Given(BoxSlots):
        def losses(self, *_: Any, **__: Any) -> torch.Tensor:
            return torch.tensor([*matched, *fn])

    nothing = torch.zeros(0, dtype=torch.int64)
    flags = torch.tensor([True] * len(matched) + [False] * len(fn), dtype=torch.bool)
    boxes = Given(nothing, nothing, torch.zeros(0, 2), nothing, flags, flags)
    first = masked_loss(
        torch.zeros(1, 1010),
        torch.eye(1010),
        torch.zeros(1, dtype=torch.int64),
        torch.zeros(1),
        VOCAB,
        ce_denominator=1.0,
        coord=None,
        box_positions_S=nothing,
    )
    first = replace(first, loss=first.loss + ce, ce_sum=first.ce_sum + ce)
    counts = StepCounts(*(torch.tensor(float(max(1, count))) for count in (1, 1, len(matched), len(fn))))
    return step._terms(changed(policy_settings(), geo_weight=geo_weight), first, first.coord_logits_SK, boxes, counts)


@harness("geometry-groups")
def geometry_groups(matched: list[float], fn: list[float], l_geo: float) -> None:
    made = terms_of(matched, fn)
    assert float(made.geo_matched + made.geo_fn) == pytest.approx(l_geo)
    assert float(made.loss) == pytest.approx(l_geo)


@scenario("stage2-ab-training", "Geometry of Channel-B", "Each group on its own objects", digest="7f462f1e8dfb")
def test_each_group_on_its_own_objects() -> None:
    bench = Bench(policy_settings(), [whole(BIRD, NEAR_CAT)])
    one = task([CAT, DOG], 0)
    (prepared,) = bench.prepare([one])
    (target,) = bench.targets
    answer, boxes = prepared.batch.spans[0].answer, prepared.boxes
    ids = prepared.batch.ids_BT[0]
    slots = boxes.positions_S.view(-1, 4)
    bins = [[processor().coords.bin_of_id[int(ids[position])] for position in slot] for slot in slots]
    assert bins == [list(NEAR_CAT.bbox_2d or ()), list(DOG.bbox_2d or ())]
    assert boxes.matched_N.tolist() == [True, False]
    assert (boxes.gt_G2 * 999).round().view(-1, 4).int().tolist() == [list(CAT.bbox_2d or ()), list(DOG.bbox_2d or ())]
    false = {answer + p for p, owner in enumerate(target.owner) if owner == "fp"}
    assert false
    assert not false & set(boxes.positions_S.tolist())


@scenario("stage2-ab-training", "Geometry of Channel-B", "A count over the window", digest="7b4de157b2e1")
def test_a_count_over_the_window() -> None:
    """Unequal shares of the matched and the missed objects, as on micro-batches and on ranks."""
    tasks = [task([CAT, DOG, BIRD], 0), task([CAT], 1), task([DOG, BIRD], 3), task([CAT, DOG], 4)]
    texts = {0: whole(CAT, DOG), 1: whole(NEAR_CAT), 3: whole(), 4: whole(NEAR_CAT, DOG)}
    bench = Bench(policy_settings(), texts)
    together, parts, counts = bench.run(tasks)
    assert (counts["count/matched"], counts["count/fn"]) == (5, 3)
    other_rank = Bench(policy_settings(), texts).prepare(tasks[2:], parts=2)
    for found in (bench.run(tasks, parts=4), bench.run(tasks[:2], parts=2, also=other_rank)):
        assert found[0].item() == pytest.approx(together.item(), rel=1e-6)
        assert found[1] == pytest.approx(parts, rel=1e-6)
        assert found[2] == counts
    losses = []
    for one in tasks:
        alone = Bench(policy_settings(), texts)
        _, single, count = alone.run([one])
        losses.append((single["channel_b/geo_matched"] * count["count/matched"], single["channel_b/geo_fn"]))
    assert sum(matched for matched, _ in losses) / 5 == pytest.approx(parts["channel_b/geo_matched"], rel=1e-5)


# -------------------------------------------------------------------------------------------- Boxes


@harness("expected-unit")
def expected_unit_of(mass: dict[int, float] | str, unit: float) -> None:
    logits = torch.zeros(1, 1000)
    if mass != "uniform":
        logits[:] = -1e4
        for bin_, share in mass.items():  # type: ignore[union-attr]
            logits[0, int(bin_)] = math.log(share)
    assert expected_unit(logits).item() == pytest.approx(unit, abs=1e-6)
    if mass == "uniform":
        return
    positions = [3, 5]  # the logits one position before decide
    hidden = torch.zeros(6, 1010)
    hidden[[2, 4], 10:] = logits
    made = masked_loss(
        hidden,
        torch.eye(1010),
        torch.zeros(6, dtype=torch.int64),
        torch.zeros(6),
        VOCAB,
        ce_denominator=1.0,
        coord=None,
        box_positions_S=torch.tensor(positions),
    )
    assert expected_unit(made.coord_logits_SK).tolist() == pytest.approx([unit, unit], abs=1e-6)


@harness("box-loss")
def box_loss(pred: list[float], gt: list[float], smooth_l1: float, ciou_loss: float) -> None:
    made = box_terms(torch.tensor([pred]), torch.tensor([gt]), smoothl1_beta=1.0)
    assert made.smooth_l1_N.item() == pytest.approx(smooth_l1, abs=1e-6)
    assert made.ciou_N.item() == pytest.approx(ciou_loss, abs=1e-6)
    slots = BoxSlots(
        positions_S=torch.arange(4),
        object_P=torch.zeros(2, dtype=torch.int64),
        gt_G2=torch.tensor(gt).view(2, 2),
        gt_object_G=torch.zeros(2, dtype=torch.int64),
        pointwise_N=torch.tensor([False]),
        matched_N=torch.tensor([True]),
    )
    found = slots.losses(torch.tensor(pred), Stage2Ab(bbox_smoothl1_weight=2.0, bbox_ciou_weight=0.5))
    assert found.tolist() == pytest.approx([2 * smooth_l1 + 0.5 * ciou_loss], abs=2e-6)


@scenario("stage2-ab-training", "Boxes from coordinate slots", "Degenerate boxes", digest="13f52c3fd460")
def test_degenerate_boxes() -> None:
    point, line, area = (0.3, 0.3, 0.3, 0.3), (0.1, 0.5, 0.9, 0.5), (0.2, 0.2, 0.7, 0.9)
    for dtype in (torch.float32, torch.float64):
        for pred, gt in itertools.product((point, line, area), repeat=2):
            decoded = torch.tensor([pred], dtype=dtype, requires_grad=True)
            made = box_terms(decoded, torch.tensor([gt], dtype=dtype))
            (gradient,) = torch.autograd.grad(made.smooth_l1_N.sum() + made.ciou_N.sum(), decoded)
            assert made.smooth_l1_N.isfinite().all()
            assert made.ciou_N.isfinite().all()
            assert gradient.isfinite().all()
    flat = DetObject("cat", bbox_2d=(300, 300, 300, 300))
    bench = Bench(policy_settings(), [whole(flat), whole()])
    loss, _, counts = bench.run([task([flat], 0), task([flat], 1)])
    assert counts["count/fn"] + counts["count/matched"] == 2
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in bench.gradients(loss).values())


@scenario("stage2-ab-training", "Boxes from coordinate slots", "Polygons", digest="b73bc0eb4941")
def test_polygons() -> None:
    near = DetObject("sail", poly=(302, 301, 402, 498, 199, 481, 250, 400))
    outline = (200, 300, 400, 500)
    bench = Bench(policy_settings(), [whole(near), whole(), whole(DetObject("sail", bbox_2d=outline))])
    tasks = [task([TRIANGLE], number) for number in (0, 1, 2)]
    prepared = bench.prepare(tasks)[0]
    boxes = prepared.boxes
    assert boxes.matched_N.tolist() == [True, False, True]
    assert boxes.pointwise_N.tolist() == [False, True, False]
    units = torch.rand(len(boxes.positions_S), generator=torch.Generator().manual_seed(0))
    made = object_terms(units.view(-1, 2), boxes.object_P, boxes.gt_G2, boxes.gt_object_G, boxes.pointwise_N)
    sides = units.split([8, 6, 4])
    for number, side in enumerate(sides):
        x, y = side[0::2], side[1::2]
        box = torch.stack([x.min(), y.min(), x.max(), y.max()])[None]
        of_box = box_terms(box, torch.tensor([outline]) / 999)
        assert made.ciou_N[number].item() == pytest.approx(of_box.ciou_N.item(), rel=1e-5)
        if number == 1:
            error = side - torch.tensor(TRIANGLE.poly) / 999
            assert made.smooth_l1_N[number].item() == pytest.approx((error**2 / 2).mean().item(), rel=1e-5)
        else:
            assert made.smooth_l1_N[number].item() == pytest.approx(of_box.smooth_l1_N.item(), rel=1e-5)


# -------------------------------------------------------------------------------------------- Channel-B objective


@scenario("stage2-ab-training", "Channel-B objective", "A sum by hand", digest="cb425273bd5b")
def test_a_sum_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the step itself: hidden states that are logits, whose cross entropies are those of the scenario."""
    wanted = {1: (1.0, 2.0), 2: (0.0, 9.0), 3: (1.0, 1.0), 4: (1.0, 3.0)}
    bench = Bench(changed(policy_settings(), geo_weight=0.5), [whole()])
    prepared = bench.prepare([task([], 0)])[0]
    size = model().get_input_embeddings().weight.shape[0]
    logits = torch.zeros(prepared.batch.ids_BT.numel(), size)
    weights = torch.zeros_like(prepared.batch.weights_BT)
    ids = prepared.batch.ids_BT[0]
    for position, (weight, cross_entropy) in wanted.items():
        # with all other logits 0, this one has the probability exp(-cross_entropy)
        p = math.exp(-cross_entropy)
        logits[position - 1, int(ids[position])] = math.log(p * (size - 1) / (1 - p))
        weights[0, position] = weight
    monkeypatch.setattr(step, "hidden_states", lambda *_: logits)
    monkeypatch.setattr(step, "head_weights", lambda *_: HeadWeights(torch.eye(size), None))
    losses = torch.tensor([0.2, 0.4, 0.9])  # of which two are matched: L_geo is 1.2
    monkeypatch.setattr(BoxSlots, "losses", lambda *_, **__: losses)
    boxes = replace(prepared.boxes, matched_N=torch.tensor([True, True, False]))
    counts = StepCounts(*(torch.tensor(float(count)) for count in (3, 1, 2, 1)))
    made = channel_b_loss(bench.made, replace(prepared.batch, weights_BT=weights), boxes, counts)
    assert float(made.ce) == pytest.approx(2)
    assert float(made.loss) == pytest.approx(2.6)


@scenario("stage2-ab-training", "Channel-B objective", "No gradient from masked tokens", digest="9aab521da2de")
def test_no_gradient_from_masked_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = '"object_3": {"desc": "x", "score": [1, "<|coord_7|>"]}'
    text = body(CAT, BIRD) + ",\n " + dropped + ", " + body(DOG, start=4)[1:] + "}" + END
    leaves = []
    size = model().get_input_embeddings().weight.shape[0]

    def hidden(_: Any, batch: Any) -> torch.Tensor:
        leaves.append(torch.randn(batch.ids_BT.numel(), size).requires_grad_())
        return leaves[-1]

    monkeypatch.setattr(step, "hidden_states", hidden)
    monkeypatch.setattr(step, "head_weights", lambda *_: HeadWeights(torch.eye(size), None))
    bench = Bench(policy_settings(), [text])
    loss, _, _ = bench.run([task([CAT, DOG], 0)])
    loss.backward()
    (target,) = bench.targets
    assert [reason for _, reason in target.report.dropped] == ["missing_geometry"]
    table, answer, at = encoder().table, len(task([], 0).prompt.ids_T), 0
    masked = whole_places(text, (", " + body(BIRD, start=2)[1:], ",\n " + dropped))
    seen = 0
    for position, token in enumerate(target.ids):
        bytes_of = set(range(at, at + len(table.bytes_of[token])))
        at += len(table.bytes_of[token])
        if bytes_of & masked:
            seen += 1
            assert not leaves[0].grad[answer + position - 1].any()
    assert seen > 20
    assert leaves[0].grad.any()


def whole_places(text: str, pieces: tuple[str, ...]) -> set[int]:
    found: set[int] = set()
    for piece in pieces:
        start_ = text.index(piece)
        found |= set(range(start_, start_ + len(piece)))
    return found


@scenario("stage2-ab-training", "Channel-B objective", "Nothing supervised by cross entropy", digest="6f4a109a2104")
def test_nothing_supervised_by_cross_entropy() -> None:
    bench = Bench(policy_settings(), MATCHED_WRONG_MISSED)
    prepared = bench.prepare(FOUR)[0]
    nothing = replace(
        prepared,
        batch=replace(prepared.batch, weights_BT=torch.zeros_like(prepared.batch.weights_BT)),
        counts_C=prepared.counts_C.clone().index_fill(0, torch.tensor(0), 0),
    )
    made = bench.objective.loss(nothing, nothing.counts_C)
    assert float(made.parts["channel_b/ce"]) == 0
    assert made.loss.isfinite()
    assert made.loss.item() == pytest.approx(
        float(made.parts["channel_b/geo_matched"] + made.parts["channel_b/geo_fn"]), rel=1e-6
    )
    assert all(gradient.isfinite().all() for gradient in bench.gradients(made.loss).values())


# -------------------------------------------------------------------------------------------- runs of their own


SHAPES = {
    "1 x 8": {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1},
    "8 x 1": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8},
    "2 ranks x 4 x 1": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4},
}
RATIO = 0.4
FOUR_BY_TWO = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4, "max_steps": 5, "save_steps": 2}
SPOILT = 4
"""The line of a record whose target breaks the guard."""


@cache
def jobs() -> tuple[Path, dict[str, Any]]:
    """Runs in processes of their own, which share one start: their folder, and how each of their ranks ended."""
    root = Path(mkdtemp(prefix="coordspec-tests-"))
    atexit.register(shutil.rmtree, root)
    texts = {str(number): text for number, text in told().items()}

    def one(name: str, *changes: Any, **more: Any) -> Path:
        return written(root / name, settings(root / name / "run", AB, QUIET, *changes, **more))

    todo = {}
    for name, shape in SHAPES.items():
        gradients = str(root / name / "gradients.pt")
        made = one(name, {"model": {"path": str(peaked())}}, **shape, max_steps=1, max_grad_norm=0.0)
        todo[name] = job(made, ranks=2 if "ranks" in name else 1, gradients=gradients, texts=texts)
    mixed = one("mixed", {"stage2_ab": {"schedule": {"b_ratio": RATIO}}}, **FOUR_BY_TWO)
    for name in ("killed", "resumed"):
        die = ("behind the step", 3) if name == "killed" else None
        dump = str(root / f"{name}-targets")
        todo[name] = job(mixed, ranks=2, texts=texts, dump=dump, die=die, resume=name == "resumed")
    todo["failing"] = job(one("failing", **FOUR_BY_TWO), ranks=2, texts=texts, spoil=SPOILT)
    return root, dict(zip(todo, start(root, list(todo.values())), strict=True))


@scenario("stage2-ab-training", "Channel-B objective", "Other shapes of a step", digest="e219b26b6e3f")
def test_other_shapes_of_a_step() -> None:
    root, ends = jobs()
    assert all(status == 0 for name in SHAPES for status, _, _ in ends[name]), ends
    gradients = [torch.load(root / name / "gradients.pt", weights_only=True) for name in SHAPES]
    lines = [metrics(root / name / "run")[0] for name in SHAPES]
    assert lines[0]["count/samples"] == 8
    assert min(lines[0]["count/matched"], lines[0]["count/fn"], lines[0]["rollout/fp"]) > 0
    for other, line in zip(gradients[1:], lines[1:], strict=True):
        assert line == pytest.approx(lines[0], rel=1e-6)
        assert_close(other, gradients[0], 1e-6)


@scenario("stage2-ab-training", "Schedule of channels", "Locked through accumulation", digest="65e0094c730a")
def test_locked_through_accumulation() -> None:
    root, ends = jobs()
    assert [rank[:2] for rank in ends["killed"]] == [[0, 9]] * 2, ends["killed"]
    assert [rank[:2] for rank in ends["resumed"]] == [[0, 0]] * 2, ends["resumed"]
    expected = [channel_of(step, RATIO) for step in range(5)]
    assert expected == list("aabab")
    for name, first in (("killed", 0), ("resumed", 2)):  # the last checkpoint is that of step 2
        found = {}
        for path in sorted((root / f"{name}-targets").iterdir()):
            lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            assert len(lines) == 4
            found.setdefault(path.name.partition(".")[0], []).append({line["target"]["policy"] for line in lines})
        policy = {Channel.A: {"channel_a"}, Channel.B: {"unified"}}
        last = 4 if name == "killed" else 5  # killed before step 4 was logged
        assert found == {f"step-{step + 1:06}": [policy[expected[step]]] * 2 for step in range(first, last)}
    lines = metrics(root / "mixed/run")
    assert [line["schedule/b_ratio"] for line in lines] == [0, 0, 1, 0, 1]
    for line, channel in zip(lines, expected, strict=True):
        assert line["count/samples"] == 8
        assert {name[:9] for name in line if name.startswith("channel_")} == {f"channel_{channel}"}


@scenario("stage2-ab-training", "Schedule of channels", "One rank fails", digest="03a6affd4557")
def test_one_rank_fails() -> None:
    root, ends = jobs()
    messages = [message for _, _, message in ends["failing"]]
    assert [rank[:2] for rank in ends["failing"]] == [[1, 0]] * 2, messages
    own, other = sorted(messages)
    assert own.startswith("ContractError: ")
    assert f"train.jsonl:{SPOILT}: " in own
    assert "(MSK" in own
    assert re.match(r"RankError: rank [01]: ", other)
    assert own.removeprefix("ContractError: ") in other
    assert not (root / "failing/run/final").exists()


# -------------------------------------------------------------------------------------------- Unified is the default


def stage2(**channel_b: Any) -> str:
    return overlay({f"stage2_ab.channel_b.{name}": value for name, value in channel_b.items()}, base="stage2.yaml")


@harness("stage2-policy")
def stage2_policy(set: dict[str, Any], policy: str | None, warnings: int, exit: int) -> None:  # noqa: A002 (keys of the block)
    status, found = findings(stage2(**set))
    assert status == exit
    assert sum(issue["severity"] == "warning" for issue in found) == warnings
    assert (policy is None) == any(issue["severity"] == "error" for issue in found)
    if policy is not None:
        assert stage2_settings(config({"stage2_ab": {"channel_b": set}})).stage2_ab.channel_b.policy == policy


@scenario("stage2-ab-training", "Unified is the default", "The warning", digest="9b0f5438a016")
def test_the_warning() -> None:
    for keys in ({"reordered_gt_sft": True}, {"mask_policy": "reordered_gt_sft"}):
        text = stage2(**keys)
        _, (issue,) = findings(text)
        assert issue["severity"] == "warning"
        line = next(number for number, row in enumerate(text.splitlines(), 1) if next(iter(keys)) in row)
        assert place(issue).startswith(f"run.yaml:{line}:")
        assert "legacy/ablation" in issue["message"]


@scenario("stage2-ab-training", "Unified is the default", "Shipped configs", digest="00840425fbf8")
def test_shipped_configs(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    files = sorted((tmp_path / "configs/stage2_ab").glob("*.yaml"))
    assert len(files) > 2
    for path in files:
        made = check_config(str(path), CheckOptions(data=False))
        assert made.config is not None
        if "ablation" not in path.name:
            assert made.config.mask_policy == "unified", path
            assert made.issues == (), path
    opted = [
        path.name for path in files if check_config(str(path), CheckOptions(data=False)).config.mask_policy != "unified"
    ]  # type: ignore[union-attr]
    assert opted
    assert all("ablation" in name for name in opted)


@scenario("stage2-ab-training", "Unified is the default", "No flag", digest="50b0b3e74f8a")
def test_no_flag() -> None:
    command = cli.get_command(None, "train")  # type: ignore[arg-type]
    assert command is not None
    assert {name for option in command.params for name in option.opts} == {"file", "--resume", "--dump-targets"}
    text = CliRunner().invoke(cli, ["train", "--help"], standalone_mode=False).output
    options = re.findall(r"--[a-z-]+", text.partition("CheckOptions:")[2])
    assert not [name for name in options if re.search("channel|policy|inject|mask|ratio", name)]


# -------------------------------------------------------------------------------------------- Schedule of channels


@harness("channel-schedule")
def channel_schedule(b_ratio: float, steps: list[int]) -> None:
    assert [step for step in range(12) if channel_of(step, b_ratio) is Channel.B] == steps
    bench = Bench(changed(policy_settings(), b_ratio=float(b_ratio)), [whole(CAT)])
    ran_ = [bench.prepare([task([CAT], 0)], step)[0].channel for step in range(12)]
    assert [step for step, channel in enumerate(ran_) if channel is Channel.B] == steps


@scenario("stage2-ab-training", "Schedule of channels", "A ratio that is none", digest="d3585efc1748")
def test_a_ratio_that_is_none() -> None:
    refused("schedule.b_ratio", -0.1, 1.5)


def refused(key: str, *values: object) -> None:
    """Each value is the only error of its config, and that stands at the value."""
    for value in values:
        text = overlay({f"stage2_ab.{key}": value}, base="stage2.yaml")
        status, found = findings(text)
        (error,) = (issue for issue in found if issue["severity"] == "error")
        assert status == 1
        last = text.splitlines()[-1]
        assert place(error) == f"run.yaml:{len(text.splitlines())}:{last.index(': ') + 3}"


# -------------------------------------------------------------------------------------------- Channel-A


@scenario("stage2-ab-training", "Channel-A soft self-context", "One iteration", digest="c964f58d7f86")
def test_one_iteration() -> None:
    bench = Bench(channel_a(n_softctx_iter=1))
    count, loss, parts = forwards(bench, FOUR)
    assert count == 1
    gradients = bench.gradients(loss)
    logits = slow_logits(bench.network, FOUR, bench.targets)
    hidden_td = hidden_states(bench.network, bench.prepare(FOUR)[0].batch)
    spans = bench.prepare(FOUR)[0].batch.spans
    length = bench.prepare(FOUR)[0].batch.ids_BT.shape[1]
    for span, plain in zip(spans, logits, strict=True):
        rows = hidden_td[span.row * length : span.row * length + span.end]
        assert torch.allclose(bench.network.lm_head(rows), plain, atol=1e-5)
    answers = [len(one.prompt.ids_T) for one in FOUR]
    expected, slow = slow_loss(logits, logits, answers, bench.targets, bench.settings)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert parts["channel_a/geo"] == pytest.approx(slow["geo_fn"].item(), rel=1e-5)
    assert relative(gradients, bench.gradients(expected)) < 1e-4


@scenario("stage2-ab-training", "Channel-A soft self-context", "Number of forwards", digest="46d6f32c57be")
def test_number_of_forwards(monkeypatch: pytest.MonkeyPatch) -> None:
    from coordspec.samples.prompt import RopePositions

    placed = []
    of = RopePositions.of
    monkeypatch.setattr(RopePositions, "of", lambda *args: placed.append(1) or of(*args))
    bench = Bench(channel_a(n_softctx_iter=3))
    prepared = bench.prepare(FOUR)[0]
    calls: dict[str, int] = {}
    network = bench.network.model
    ends = [count_calls(network.language_model, calls, "text"), count_calls(network.visual, calls, "vision")]
    for name in {"get_rope_index", "compute_3d_position_ids"} & set(dir(type(network))):
        monkeypatch.setattr(type(network), name, None)  # so that nobody asks the model for positions
    bench.objective.loss(prepared, prepared.counts_C)
    for end in ends:
        end()
    assert calls == {"text": 3, "vision": 1}
    assert len(placed) == len(FOUR)


@scenario("stage2-ab-training", "Channel-A soft self-context", "The expected embedding", digest="ce6ad5f5dfee")
def test_the_expected_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    coord_kd = torch.randn(1000, 7)
    halves = torch.full((1, 1000), -1e4)
    halves[0, [100, 300]] = 1.5
    assert torch.allclose(expected_embedding(halves, coord_kd, 1.0)[0], coord_kd[[100, 300]].mean(0), atol=1e-6)
    network = model()
    bench = Bench(channel_a(n_softctx_iter=2))
    prepared = bench.prepare(FOUR)[0]
    slots = prepared.boxes.positions_S
    rows: list[torch.Tensor] = []
    kept = step.supervised_head

    def half_half(*args: Any) -> Any:
        first = kept(*args)
        return replace(first, coord_logits_SK=halves.expand(len(slots), -1))

    monkeypatch.setattr(step, "supervised_head", half_half)
    end = network.model.language_model.register_forward_pre_hook(
        lambda _, __, kwargs: rows.append(kwargs["inputs_embeds"].flatten(0, 1)), with_kwargs=True
    )
    bench.objective.loss(prepared, prepared.counts_C)
    end.remove()
    weight = network.get_input_embeddings().weight
    ids = processor().coords.ids
    mean = (weight[ids[100]] + weight[ids[300]]) / 2
    assert torch.allclose(rows[1][slots], mean.expand(len(slots), -1), atol=1e-6)
    others = torch.ones(len(rows[0]), dtype=torch.bool).index_fill(0, slots, False)
    assert torch.equal(rows[1][others], rows[0][others])


@scenario("stage2-ab-training", "Channel-A soft self-context", "What is supervised", digest="5be858ba87ec")
def test_what_is_supervised() -> None:
    bench = Bench(channel_a(n_softctx_iter=2))
    tasks = [task([CAT, TRIANGLE], 0), task([], 1), task([DOG], 3)]
    prepared = bench.prepare(tasks)[0]
    assert bench.generator.seeds == []
    for target, one in zip(bench.targets, tasks, strict=True):
        assert encoder().table.text(target.ids) == render_payload(one.record.objects) + END
        for weight, kind in zip(target.ce_weight, target.kind, strict=True):
            assert weight == (0 if kind is Kind.COORD else 1)
        assert target.ce_weight[-2:] == (1, 1)
        assert [slot.gt for slot in target.slots] == list(range(len(one.record.objects)))
        assert not target.report.matches
    weights = prepared.batch.weights_BT
    assert weights.sum() == sum(sum(target.ce_weight) for target in bench.targets)
    boxes = prepared.boxes
    assert not boxes.matched_N.any()
    written_ = [number for item in (CAT, TRIANGLE, DOG) for number in item.bbox_2d or item.poly or ()]
    assert (boxes.gt_G2.flatten() * 999).round().int().tolist() == written_
    ids = prepared.batch.ids_BT.flatten()[boxes.positions_S].tolist()
    assert [processor().coords.bin_of_id[token] for token in ids] == written_


@scenario("stage2-ab-training", "Channel-A soft self-context", "Gradient modes", digest="4afb7b984727")
def test_gradient_modes() -> None:
    found = {}
    for mode in ("unroll", "em_detach"):
        for geo_weight in (0.0, 1.0):
            settings_ = channel_a(n_softctx_iter=2, softctx_grad_mode=mode, geo_weight=geo_weight)
            bench = Bench(settings_)
            loss, _, _ = bench.run(FOUR)
            found[mode, geo_weight] = (loss.item(), bench.gradients(loss))
            first, last = slow_channel_a(bench.network, FOUR, bench.targets, settings_)
            answers = [len(one.prompt.ids_T) for one in FOUR]
            expected, _ = slow_loss(first, last, answers, bench.targets, settings_)
            assert relative(found[mode, geo_weight][1], bench.gradients(expected)) < 1e-4
    assert found["unroll", 1.0][0] == found["em_detach", 1.0][0], "the value is the same"
    assert relative(found["em_detach", 0.0][1], found["unroll", 0.0][1]) < 1e-6, "that of cross entropy too"
    assert relative(found["em_detach", 1.0][1], found["unroll", 1.0][1]) > 1e-5
    bench = Bench(channel_a(n_softctx_iter=2))
    for mode, flows in (("unroll", True), ("em_detach", False)):
        assert first_forward_hears_geometry(Bench(channel_a(n_softctx_iter=2, softctx_grad_mode=mode))) is flows


def first_forward_hears_geometry(bench: Bench) -> bool:
    """Whether the last box losses have a gradient at the hidden states of the first forward."""
    hidden = []
    kept = step.hidden_states_of_embeds

    def seen(*args: Any) -> torch.Tensor:
        made = kept(*args)
        hidden.append(made)
        return made

    prepared = bench.prepare(FOUR)[0]
    nothing = replace(prepared.batch, weights_BT=torch.zeros_like(prepared.batch.weights_BT))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(step, "hidden_states_of_embeds", seen)
        made = bench.objective.loss(replace(prepared, batch=nothing), prepared.counts_C)
    (gradient,) = torch.autograd.grad(made.loss, hidden[0])
    return bool(gradient.any())


@scenario("stage2-ab-training", "Channel-A soft self-context", "Settings out of range", digest="ea75a83b72b8")
def test_settings_out_of_range() -> None:
    refused("n_softctx_iter", 0)
    refused("softctx_temperature", 0)
    refused("softctx_grad_mode", "detach")
    assert stage2_settings(config()).stage2_ab.softctx_grad_mode == "unroll"


# -------------------------------------------------------------------------------------------- rollout-matching-sft


@scenario("rollout-matching-sft", "Reports as metrics", "Counts of a run", digest="36b5d6da84fd")
def test_counts_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "_generator", lambda *_: Writes(told()))
    whole_step = {"max_steps": 1, "per_device_train_batch_size": 6, "gradient_accumulation_steps": 2}
    (line,) = ran(tmp_path, AB, QUIET, **whole_step)
    assert {name: line[f"rollout/{name}"] for name in ("count", "truncated", "fallback", "whole")} == {
        "count": 12,
        "truncated": 3,
        "fallback": 3,
        "whole": 3,
    }
    assert line["rollout/dropped/missing_geometry"] == 3
    assert line["rollout/truncation_rate"] == line["rollout/whole_rate"] == 0.25
    page = (ROOT / "docs/training/METRICS_LOSSES.md").read_text("utf-8")
    logged = [name for name in line if name.startswith("rollout/")]
    assert len([name for name in logged if name.startswith("rollout/dropped/")]) > 5
    assert [name for name in logged if name not in METRICS or f"`{name}`" not in page] == []
