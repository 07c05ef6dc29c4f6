"""The parts of a Stage-2 run: schedule, slots, tallies, circuit-breaker, metrics, settings, loaded tasks, dumps."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from answer_samples import ids_of
from coordspec.config.training import Runaway
from coordspec.contracts import Kind
from coordspec.errors import ContractError, InputError
from coordspec.match import pairwise_iou
from coordspec.model.checkpoint import PREPROCESS
from coordspec.record import DetObject
from coordspec.rollout.parse import Rollout, parse_rollout
from coordspec.rollout.reasons import DropReason, Fallback
from coordspec.samples.dataset import TaskBatches
from coordspec.samples.fingerprint import fingerprint, refuse_other_preprocessing
from coordspec.target import build, ground_truth_target
from coordspec.train.logs import METRICS, STAGE2_METRICS
from coordspec.train.stage2 import rollouts
from coordspec.train.stage2.rollouts import TALLIES, Breaker, TargetDump, ratios
from coordspec.train.stage2.settings import stage2_settings
from coordspec.train.stage2.step import Channel, channel_of
from rollouts import BIRD, CAT, DOG
from stage2_samples import (
    NEAR_CAT,
    TRIANGLE,
    Bench,
    changed,
    config,
    encoder,
    policy_settings,
    random_samples,
    task,
    whole,
)
from train_samples import processor
from training_runs import prepared_data

# ---------------------------------------------------------------------------------------------------- schedule


@given(st.floats(0, 1), st.integers(1, 300))
def test_the_share_of_channel_b_is_the_ratio_at_all_times(ratio: float, steps: int) -> None:
    count = sum(channel_of(step, ratio) is Channel.B for step in range(steps))
    assert count == math.floor(steps * Fraction(repr(ratio)))


@pytest.mark.parametrize("ratio", [-0.1, 1.5, math.nan])
def test_a_ratio_that_is_none(ratio: float) -> None:
    with pytest.raises(ValueError, match="b_ratio is a share from 0 to 1, not"):
        channel_of(0, ratio)


# ---------------------------------------------------------------------------------------------------- slots


@given(st.integers(0, 2**32), st.booleans(), st.sampled_from(["unified", "reordered_gt_sft", "rollout_matching"]))
@hypothesis_settings(max_examples=20)
def test_slots_of_a_batch_are_those_of_its_targets(seed: int, packed: bool, policy: str) -> None:
    tasks, texts = random_samples(seed, 3)
    bench = Bench(changed(policy_settings(policy), pack_length=1 if packed else None), texts)
    (prepared,) = bench.prepare(tasks)
    slots = prepared.boxes
    flat = prepared.batch.ids_BT.flatten().tolist()
    positions, objects, points, points_of, pointwise, matched = [], [], [], [], [], []
    length = prepared.batch.ids_BT.shape[1]
    number = 0
    for span in prepared.batch.spans:
        target = bench.targets[span.place.line - 1]
        for slot in target.slots:
            if slot.geometry == "none":
                continue
            for at, position in enumerate(slot.positions):
                positions.append(span.row * length + span.answer + position)
                assert flat[positions[-1]] == target.ids[position]
                assert target.kind[position] is Kind.COORD
                objects += [number] * (at % 2)
            item = tasks[span.place.line - 1].record.objects[slot.gt]
            corners = item.bbox_2d or outline(item.poly)
            written = item.poly if item.poly and slot.group == "fn" else corners
            points += [tuple(k / 999 for k in written[i : i + 2]) for i in range(0, len(written), 2)]
            points_of += [number] * (len(written) // 2)
            pointwise.append(bool(item.poly) and slot.group == "fn")
            matched.append(slot.group == "matched")
            number += 1
    assert slots.positions_S.tolist() == positions
    assert slots.object_P.tolist() == objects
    assert slots.gt_G2.flatten().tolist() == pytest.approx([k for point in points for k in point], rel=1e-6)
    assert slots.gt_object_G.tolist() == points_of
    assert slots.pointwise_N.tolist() == pointwise
    assert slots.matched_N.tolist() == matched
    counts = dict(zip(bench.objective.counts, prepared.counts_C.tolist(), strict=True))
    assert (counts["count/matched"], counts["count/fn"]) == (sum(matched), len(matched) - sum(matched))
    moved = slots.to(torch.device("cpu"))
    assert torch.equal(moved.gt_G2, slots.gt_G2)


def outline(poly: Any) -> tuple[int, ...]:
    return min(poly[0::2]), min(poly[1::2]), max(poly[0::2]), max(poly[1::2])


def test_counts_of_a_batch() -> None:
    settings = changed(policy_settings("rollout_matching"), desc_ce_weight=0.5)
    tasks = [task([CAT, DOG], 0), task([BIRD], 1)]
    bench = Bench(settings, [whole(NEAR_CAT), whole(CAT)])
    (prepared,) = bench.prepare(tasks)
    counts = dict(zip(bench.objective.counts, prepared.counts_C.tolist(), strict=True))
    weights = [
        weight * (0.5 if kind is Kind.DESC else 1)
        for target in bench.targets
        for weight, kind in zip(target.ce_weight, target.kind, strict=True)
    ]
    assert counts["count/ce_weight"] == sum(weights)
    assert counts["count/coord"] == 4 + 4 + 4, "one matched and two injected objects"
    assert counts["count/matched"] == counts["count/fn"] == 0, "this policy has no box loss"
    assert counts["count/samples"] == 2
    tokens = sum(len(one.prompt.ids_T) + len(target.ids) for one, target in zip(tasks, bench.targets, strict=True))
    assert counts["count/tokens"] == tokens
    assert counts["rollout/count"] == 2


# ---------------------------------------------------------------------------------------------------- tallies


def naive(items: list[DetObject], text: str, ids: tuple[int, ...], policy: str) -> dict[str, float]:
    """The tallies of a rollout, counted by hand from what the parser finds and a matching by brute force."""
    found = parse_rollout(ids, encoder().table)
    predicted = [entry.item for entry in found.predictions]
    iou = pairwise_iou(predicted, items) if predicted and items else None
    dropped = [reason for _, reason in found.dropped]
    twice = 0
    for later, item in enumerate(predicted):
        for earlier in predicted[:later]:
            same = item.desc == earlier.desc and box_iou(box(item), box(earlier)) >= 0.9
            if same:
                twice += 1
                break
    return {
        "rollout/count": 1,
        "rollout/tokens": len(ids),
        "rollout/whole": not (found.truncated or found.fallback or dropped),
        "rollout/truncated": found.truncated,
        "rollout/fallback": found.fallback is not None,
        "rollout/predictions": len(predicted),
        "rollout/ground_truth": len(items),
        "rollout/duplicates": twice,
        "largest": 0.0 if iou is None else float(iou.max()),
        **{f"rollout/dropped/{reason}": count for reason, count in Counter(dropped).items()},
    }


def box(item: DetObject) -> tuple[int, ...]:
    return item.bbox_2d or outline(item.poly)


def box_iou(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / area if area else 0.0


@given(st.integers(0, 2**32))
@hypothesis_settings(max_examples=40)
def test_tallies_are_naive_counts(seed: int) -> None:
    (one,), (text,) = random_samples(seed, 1)
    bench = Bench(policy_settings(), [text])
    bench.prepare([one])
    (built,) = bench.dumped[-1][0]
    items = list(one.record.objects)
    expected = naive(items, text, built.rollout_ids, "unified")
    largest = expected.pop("largest")
    report = built.target.report
    expected |= {"rollout/matched": len(report.matches), "rollout/fp": len(report.fp)}
    expected |= {"rollout/fn_injected": len(report.fn)}
    found = dict(built.tallies)
    iou = found.pop("rollout/matched_iou")
    assert found == expected
    assert found["rollout/matched"] + found["rollout/fp"] == found["rollout/predictions"]
    assert found["rollout/matched"] + found["rollout/fn_injected"] == found["rollout/ground_truth"]
    assert 0.3 * found["rollout/matched"] - 1e-9 <= iou <= largest * found["rollout/matched"] + 1e-9
    assert found.keys() <= set(TALLIES)


def test_ratios_tell_their_parts_apart() -> None:
    sums = dict.fromkeys(TALLIES, 0.0)
    assert ratios(sums) == {}
    sums |= {rollouts.COUNT: 10, rollouts.FALLBACK: 1, rollouts.WHOLE: 5, rollouts.TRUNCATED: 2, rollouts.TOKENS: 300}
    sums |= {
        rollouts.PREDICTIONS: 8,
        rollouts.GROUND_TRUTH: 16,
        rollouts.MATCHED: 4,
        rollouts.MATCHED_IOU: 3,
        rollouts.DUPLICATES: 1,
    }
    assert ratios(sums) == {
        "rollout/parse_rate": 0.9,
        "rollout/whole_rate": 0.5,
        "rollout/truncation_rate": 0.2,
        "rollout/mean_tokens": 30,
        "rollout/predictions_per_gt": 0.5,
        "rollout/precision": 0.5,
        "rollout/recall": 0.25,
        "rollout/f1": pytest.approx(1 / 3),
        "rollout/mean_matched_iou": 0.75,
        "rollout/duplicate_rate": 0.125,
    }
    assert {f"rollout/dropped/{reason}" for reason in DropReason} < set(TALLIES)


# ---------------------------------------------------------------------------------------------------- circuit-breaker


def step_of(predictions: float = 0, truth: float = 1, truncated: float = 0, count: float = 4) -> dict[str, float]:
    sums = dict.fromkeys(TALLIES, 0.0)
    return sums | {
        rollouts.PREDICTIONS: predictions,
        rollouts.GROUND_TRUTH: truth,
        rollouts.TRUNCATED: truncated,
        rollouts.COUNT: count,
    }


LIMITS = Runaway(max_predictions_per_gt=2, max_truncation_rate=0.25, window_steps=3)
TRIPS: dict[str, tuple[list[dict[str, float]], list[str | None]]] = {
    "as many as allowed": ([step_of(predictions=2)] * 4, [None] * 4),
    "one more, at the end of the window": (
        [step_of(predictions=2), step_of(predictions=2), step_of(predictions=3)],
        [None, None, "2.33 predictions for each ground-truth object"],
    ),
    "only behind a whole window": ([step_of(predictions=99)] * 3, [None, None, "99.00 predictions"]),
    "what left the window": (
        [step_of(predictions=5), step_of(), step_of(), step_of(predictions=5)],
        [None] * 4,
    ),
    "without any ground truth": ([step_of(predictions=1, truth=0)] * 3, [None, None, "3.00 predictions"]),
    "a few without any ground truth": ([step_of(predictions=k, truth=0) for k in (1, 0, 1)], [None] * 3),
    "truncated as allowed": ([step_of(truncated=1)] * 4, [None] * 4),
    "truncated": ([step_of(truncated=1), step_of(truncated=1), step_of(truncated=2)], [None, None, "33% of the"]),
}


@pytest.mark.parametrize("name", TRIPS)
def test_what_trips(name: str) -> None:
    steps, expected = TRIPS[name]
    breaker = Breaker(LIMITS)
    for sums, wanted in zip(steps, expected, strict=True):
        said = breaker.watch(sums)
        assert (said is None) == (wanted is None), said
        assert wanted is None or wanted in str(said)


def test_limits_can_be_off() -> None:
    breaker = Breaker(Runaway(max_predictions_per_gt=None, max_truncation_rate=None, window_steps=1))
    assert breaker.watch(step_of(predictions=1000, truncated=4)) is None


# ---------------------------------------------------------------------------------------------------- metrics


def names_of(policy: str) -> set[str]:
    """What runs under a policy log, in both channels."""
    names = set(ratios(dict.fromkeys(TALLIES, 1.0)))
    for ratio in (0.0, 1.0):
        bench = Bench(changed(policy_settings(policy), b_ratio=ratio), [whole(CAT)])
        _, parts, counts = bench.run([task([CAT, DOG])])
        names |= {*parts, *counts, *bench.objective.times}
        names |= set(bench.objective.metrics({**counts, **parts, **bench.objective.observe(counts, 0)}, 1))
    return names


def test_every_name_is_described_and_every_described_name_is_logged() -> None:
    coords = {f"channel_b/coord_{name}" for name in ("soft_ce", "w1", "hard_ce", "gate")}
    names = {policy: names_of(policy) for policy in ("unified", "rollout_matching", "reordered_gt_sft")}
    assert names["unified"] == names["reordered_gt_sft"] == names["rollout_matching"] - coords
    assert coords < names["rollout_matching"]
    assert STAGE2_METRICS.keys() <= names["rollout_matching"] <= METRICS.keys()


# ---------------------------------------------------------------------------------------------------- settings


def test_settings_of_the_variants() -> None:
    packed = {"data": {"packing": True, "pack_length": 5000}, "model": {"head": "coord_rows"}}
    found = stage2_settings(config({"rollout_matching": {"runaway": {"window_steps": 9}}}, packed))
    assert (found.coord_soft_ce_w1, found.runaway.window_steps) == (None, 9)
    assert (found.pack_length, found.head) == (5000, "coord_rows")
    assert stage2_settings(config()).pack_length is None


def test_settings_of_rollout_matching() -> None:
    changes = {"custom": {"trainer_variant": "rollout_matching_sft", "coord_soft_ce_w1": {"w1_weight": 4}}}
    found = stage2_settings(config(changes, {"stage2_ab": None, "rollout_matching": {"iou_gate": 0.45}}))
    channel_b = found.stage2_ab.channel_b
    assert (channel_b.policy, channel_b.iou_gate, channel_b.on_runaway) == ("rollout_matching", 0.45, "stop")
    assert found.stage2_ab.schedule.b_ratio == 1
    assert found.coord_soft_ce_w1 is not None
    assert found.coord_soft_ce_w1.w1_weight == 4
    with pytest.raises(ValueError, match="stage1_sft is no variant of Stage-2"):
        stage2_settings(config({"custom": {"trainer_variant": "stage1_sft"}, "stage2_ab": None}))


# ---------------------------------------------------------------------------------------------------- preparation


def test_channel_a_writes_no_rollouts_and_b_asks_by_seed_step_and_sample() -> None:
    settings = changed(policy_settings(), b_ratio=0.5)
    bench = Bench(settings, [whole(CAT), whole(DOG)])
    tasks = [task([CAT], 0), task([DOG], 1)]
    for step in range(4):
        bench.objective.refresh(step)
        batches = bench.prepare(tasks, step, parts=2)
        assert {batch.channel for batch in batches} == {channel_of(step, 0.5)}
        times = {"time/generate_s", "time/build_s"} if step % 2 else set()
        assert set(bench.objective.times) == times
        bench.objective.times.clear()
    assert bench.generator.refreshed == [1, 3]
    assert bench.generator.seeds == [(7, 1, 0), (7, 1, 1), (7, 3, 0), (7, 3, 1)]
    assert [(len(built), step) for built, step in bench.dumped] == [(2, 0), (2, 1), (2, 2), (2, 3)]
    ground_truth = ground_truth_target([CAT], encoder().table, rows="channel_a")
    assert bench.dumped[0][0][0].target == ground_truth
    assert bench.dumped[0][0][0].rollout_ids is None
    assert sum(bench.dumped[0][0][0].tallies.values()) == 0


def test_what_a_worker_met_is_raised() -> None:
    for ratio in (0.0, 1.0):
        bench = Bench(changed(policy_settings(), b_ratio=ratio), [whole(CAT)])
        error = InputError("train.jsonl", "has changed")
        with pytest.raises(InputError, match="has changed"):
            bench.objective.prepare([[task([CAT])], error], 0)
        assert bench.generator.seeds == [], "before anything is written"


@pytest.mark.parametrize("channel", Channel)
def test_a_target_that_breaks_the_guard_is_named(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "ground_truth_target" if channel is Channel.A else "build_target"
    made = getattr(rollouts, name)

    def broken(*args: Any, **kwargs: Any) -> Any:
        target = made(*args, **kwargs)
        return replace(target, ce_weight=(1.0,) * len(target.ids))

    monkeypatch.setattr(rollouts, name, broken)
    bench = Bench(changed(policy_settings(), b_ratio=float(channel is Channel.B)), [whole(CAT), whole(CAT)])
    with pytest.raises(ContractError) as caught:
        bench.prepare([task([CAT], 0), task([CAT], 1)])
    assert {(issue.place.path, issue.place.line) for issue in caught.value.issues} == {("train.jsonl", 1)}
    assert "coord" in str(caught.value)
    assert "gets 0.0 (MSK018)" in str(caught.value)


def test_a_sample_is_read_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a rollout there is one parse, and every desc of the ground truth is brought into normal form once."""
    table, counts = encoder().table, Counter[str]()

    def counted(what: str, made: Any) -> Any:
        def call(*args: Any) -> Any:
            counts[what] += 1
            return made(*args)

        return call

    for module in (rollouts, build):
        monkeypatch.setattr(module, "parse_rollout", counted("parse", parse_rollout))
    monkeypatch.setattr(table, "normalise", counted("normalise", table.normalise))
    ids, channel_b = ids_of(whole(CAT), end=False), policy_settings().stage2_ab.channel_b
    built = rollouts.rollout_target(task([CAT, DOG]), ids, table, channel_b)
    TargetDump(tmp_path, table, resume=False).write([built], 0)
    assert counts == {"parse": 1, "normalise": 2}
    built = rollouts.channel_a_target(task([CAT, DOG]), table)
    TargetDump(tmp_path, table, resume=True).write([built], 1)
    assert counts == {"parse": 1, "normalise": 4}


def first_entry(**fields: Any) -> Callable[[Rollout], Rollout]:
    """As if the first entry were another."""
    return lambda rollout: replace(rollout, entries=(rollout.entries[0]._replace(**fields), *rollout.entries[1:]))


MISREADINGS = {
    "no entry": lambda rollout: replace(rollout, entries=()),
    "an entry that is none": first_entry(item=None, reason=DropReason.BAD_KEY),
    "another key": first_entry(number=8),
    "another desc": first_entry(desc=(9, 10)),
    "coord tokens elsewhere": first_entry(positions=(1, 2, 3, 4)),
    "a fallback": lambda rollout: replace(rollout, entries=(), cut=0, fallback=Fallback.NO_OPENING_BRACE),
}


@pytest.mark.parametrize("misread", MISREADINGS.values(), ids=MISREADINGS)
def test_the_guard_reads_for_itself(misread: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollout that was misread gives target and counts alike; the guard takes the ids, and finds it."""
    ids, channel_b = ids_of(whole(CAT, DOG), end=False), policy_settings().stage2_ab.channel_b
    rollouts.rollout_target(task([CAT, BIRD]), ids, encoder().table, channel_b)
    monkeypatch.setattr(rollouts, "parse_rollout", lambda *args: misread(parse_rollout(*args)))
    with pytest.raises(ContractError, match="MSK"):
        rollouts.rollout_target(task([CAT, BIRD]), ids, encoder().table, channel_b)


def test_the_gate_is_that_of_the_config() -> None:
    overlap = box_iou(NEAR_CAT.bbox_2d, CAT.bbox_2d)
    for gate, matches in ((overlap - 0.01, 1), (overlap + 0.01, 0)):
        bench = Bench(changed(policy_settings(), iou_gate=gate), [whole(NEAR_CAT)])
        bench.prepare([task([CAT])])
        assert len(bench.targets[0].report.matches) == matches


def test_batches_without_a_label_are_for_channel_b_alone() -> None:
    """Under ``unified`` an empty answer has one weight, the opening brace; without it nothing is left."""
    bench = Bench(policy_settings(), [whole()])
    (prepared,) = bench.prepare([task([])])
    labels = torch.full_like(prepared.batch.labels_BT, -100)
    nothing = replace(prepared.batch, labels_BT=labels)
    guard = bench.objective._guard
    guard.check(nothing, labelled=False)
    with pytest.raises(ContractError, match="supervised"):
        guard.check(nothing)
    other = labels.clone()
    other[0, 0] = 1
    with pytest.raises(ContractError):
        guard.check(replace(nothing, labels_BT=other), labelled=False)


@pytest.mark.parametrize("channel", Channel)
def test_the_guard_sees_every_batch(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(changed(policy_settings(), b_ratio=float(channel is Channel.B)), [whole(CAT), whole(CAT)])
    seen = []
    monkeypatch.setattr(bench.objective._guard, "check", lambda batch, **options: seen.append((batch, options)))
    prepared = bench.prepare([task([CAT], 0), task([CAT], 1)], parts=2)
    assert seen == [(one.batch, {"labelled": channel is Channel.A}) for one in prepared]


def test_prepared_batches_move_whole() -> None:
    bench = Bench(policy_settings(), [whole(CAT)])
    (prepared,) = bench.prepare([task([CAT, TRIANGLE])])
    moved = prepared.to(torch.device("cpu"))
    assert moved.channel is Channel.B
    assert moved.places == prepared.places
    assert torch.equal(moved.boxes.positions_S, prepared.boxes.positions_S)
    assert torch.equal(moved.counts_C, prepared.counts_C)


# ---------------------------------------------------------------------------------------------------- tasks


def test_tasks_are_records_with_the_prompts_of_training(tmp_path: Path) -> None:
    data = prepared_data(tmp_path)
    batches = TaskBatches(data.train, keep_images=False)
    found = batches[[[3, 0], [5]]]
    assert [one.number for one in found] == [3, 0, 5]
    for one in found:
        sample = data.train[one.number]
        assert one.record == data.train.records[one.number]
        assert torch.equal(one.prompt.ids_T, sample.ids_T[: sample.answer])
        assert torch.equal(one.prompt.pixels_ND, sample.pixels_ND)
        assert one.images == ()
        target = ground_truth_target(one.record, data.train.encoder.table)
        joined = data.train.encoder.join(one.prompt, target, one.record.place)
        assert all(torch.equal(getattr(joined, name), getattr(sample, name)) for name in TENSORS)
    (kept,) = TaskBatches(data.train, keep_images=True)[[[0]]]
    assert [image.size for image in kept.images] == [(64, 64)]


TENSORS = ("ids_T", "labels_T", "weights_T", "kinds_T", "types_T", "positions_3T", "pixels_ND", "grid_I3")


def test_what_is_refused_comes_as_a_value(tmp_path: Path) -> None:
    data = prepared_data(tmp_path, {"template": {"max_length": 60}, "data": {"preflight": "never"}})
    error = TaskBatches(data.train, keep_images=False)[[[0]]]
    assert isinstance(error, ContractError)
    assert "train.jsonl:1" in str(error)


# ---------------------------------------------------------------------------------------------------- preprocessing


def test_a_model_of_another_template(tmp_path: Path) -> None:
    now = fingerprint(processor(), config().template)
    refuse_other_preprocessing(tmp_path, now)
    (tmp_path / PREPROCESS).write_text(json.dumps(now))
    refuse_other_preprocessing(tmp_path, now)
    (tmp_path / PREPROCESS).write_text(json.dumps({**now, "user_prompt": "Where?", "min_pixels": 1}))
    with pytest.raises(InputError) as caught:
        refuse_other_preprocessing(tmp_path, now)
    assert str(caught.value) == (
        f'{tmp_path / PREPROCESS}: the model was trained with another template: user_prompt was "Where?" and is '
        f"{json.dumps(now['user_prompt'], ensure_ascii=False)}; min_pixels was 1 and is {now['min_pixels']}; its "
        "rollouts would be bad. Write what it was trained with, or delete this file if the change is meant"
    )


# ---------------------------------------------------------------------------------------------------- dumps


def built(texts: Mapping[int, str] | list[str], *tasks: Any) -> list[Any]:
    bench = Bench(policy_settings(), texts)
    bench.prepare(list(tasks))
    return bench.dumped[-1][0]


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    table = encoder().table
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/step-000001.jsonl").write_text("")
    for name, resume, message in (
        ("file", False, "is a file; name a folder for the dumped targets"),
        ("file", True, "is a file; name a folder for the dumped targets"),
        ("full", False, "is not empty; name another folder for the dumped targets"),
    ):
        with pytest.raises(InputError) as caught:
            TargetDump(tmp_path / name, table, resume=resume)
        assert str(caught.value) == f"{tmp_path / name}: {message}"
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new"):
        TargetDump(tmp_path / name, table, resume=False)
    assert not (tmp_path / "new").exists(), "before there is something to write"


def test_a_step_is_written_again(tmp_path: Path) -> None:
    table = encoder().table
    (tmp_path / "full").mkdir()
    (tmp_path / "full/step-000003.jsonl").write_text("old")
    (tmp_path / "full/step-000002.jsonl").write_text("kept")
    dump = TargetDump(tmp_path / "full", table, resume=True)
    dump.write(built([whole(CAT), whole(DOG)], task([CAT], 0), task([CAT], 1)), 2)
    lines = (tmp_path / "full/step-000003.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["sample"] for line in lines] == ["train.jsonl:1", "train.jsonl:2"]
    assert (tmp_path / "full/step-000002.jsonl").read_text() == "kept"


def test_ranks_have_their_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    TargetDump(tmp_path / "new/deep", encoder().table, resume=False).write(built([whole()], task([CAT])), 0)
    assert [path.name for path in (tmp_path / "new/deep").iterdir()] == ["step-000001.rank1.jsonl"]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    dump = TargetDump(tmp_path / "new", encoder().table, resume=False)
    (tmp_path / "new/step-000001.jsonl").mkdir(parents=True)
    with pytest.raises(InputError, match=r"step-000001\.jsonl: Is a directory"):
        dump.write([], 0)
