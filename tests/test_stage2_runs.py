"""Runs of Stage-2: what is logged and dumped, what stops them, that they go on exactly, several ranks, all variants."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

import training_runs
from conftest import Done
from coordspec.errors import InputError
from coordspec.model.checkpoint import PREPROCESS
from coordspec.spec.binding import harness, scenario
from coordspec.train import run as run_module
from coordspec.train import trainer
from coordspec.train.logs import METRICS
from coordspec.train.stage2.rollouts import RunawayError
from stage2_samples import AB, END, QUIET, Writes, told
from training_runs import SILENT, break_off, checked, inputs, job, metrics, settings, start, weights, written

MIXED: dict[str, Any] = {"custom": {"trainer_variant": "stage2_ab"}, "stage2_ab": {"schedule": {"b_ratio": 0.5}}}
SAMPLING: dict[str, Any] = {
    "rollout_matching": {"decoding": {"do_sample": True, "max_new_tokens": 12}, "runaway": {"window_steps": 50}}
}
ONE_BY_ONE = {"gradient_accumulation_steps": 1}


def trained(
    folder: Path,
    *changes: Mapping[str, Any],
    texts: Mapping[int, str] | None = None,
    dump: Path | None = None,
    **more: Any,
) -> list[dict[str, float]]:
    """Metrics of a run in this process, under told rollouts where there are some."""
    resume = more.pop("resume", False)
    config, resolved = checked(folder, settings(folder / "run", *changes, **more))
    with pytest.MonkeyPatch.context() as patched:
        if texts is not None:
            patched.setattr(run_module, "_generator", lambda *_: Writes(texts))
        training_runs.train(config, resolved, SILENT, resume=resume, dump_targets=dump)
    return metrics(folder / "run")


def dumped(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The lines of dumped targets, by file."""
    files = sorted(folder.iterdir())
    return {path.name: [json.loads(line) for line in path.read_text("utf-8").splitlines()] for path in files}


# ---------------------------------------------------------------------------------------------------- variants


VARIANTS: dict[str, dict[str, Any]] = {
    "stage2_ab": AB,
    "reordered_gt_sft": {**AB, "stage2_ab": {"schedule": {"b_ratio": 1}, "channel_b": {"reordered_gt_sft": True}}},
    "rollout_matching_sft": {"custom": {"trainer_variant": "rollout_matching_sft"}},
}
GEOMETRY = ("geo_matched", "geo_fn")


@harness("parts-of-a-variant")
def parts_of_a_variant(variant: str, geometry: list[str], coord: list[str]) -> None:
    with TemporaryDirectory() as folder:
        lines = trained(Path(folder), VARIANTS[variant], QUIET, texts=told(), max_steps=2)
    for line in lines:
        assert [part for part in GEOMETRY if line[f"channel_b/{part}"] > 0] == geometry
        found = {name.removeprefix("channel_b/") for name in line if name.startswith("channel_b/coord_")}
        assert found == set(coord)
        assert all(line[f"channel_b/{part}"] > 0 for part in coord)
        assert line["loss"] == line["channel_b/loss"]
        assert line["schedule/b_ratio"] == 1
        parts = [*GEOMETRY, *(part for part in coord if part != "coord_hard_ce")]  # whose weight is 0
        total = line["channel_b/ce"] + sum(line[f"channel_b/{part}"] for part in parts)
        assert line["loss"] == pytest.approx(total, rel=1e-5)
        assert line.keys() - {"step"} <= METRICS.keys()


def test_validation_data_is_answered_and_scored(tmp_path: Path) -> None:
    val = {"data": {"val": [str(inputs() / "shapes/val.jsonl")]}, "eval": {"generate": True, "max_new_tokens": 4}}
    lines = trained(tmp_path, MIXED, QUIET, val, texts=told(), max_steps=2, eval_steps=2, **ONE_BY_ONE)
    (found,) = (line for line in lines if "eval/loss" in line)
    assert found["step"] == 2
    assert found["eval/tokens_per_answer"] == 4
    assert found["eval/f1"] == 0


def test_a_model_learns_from_its_rollouts(tmp_path: Path) -> None:
    lines = trained(tmp_path, AB, QUIET, texts=told(), max_steps=6, per_device_train_batch_size=12, **ONE_BY_ONE)
    assert all(later["loss"] < before["loss"] for before, later in itertools.pairwise(lines))


def test_a_run_of_both_channels_logs_each_over_its_own_steps(tmp_path: Path) -> None:
    each = trained(tmp_path / "a", MIXED, QUIET, texts=told())
    together = trained(tmp_path / "b", MIXED, QUIET, texts=told(), logging_steps=4)
    assert [line["schedule/b_ratio"] for line in each] == [0, 1, 0, 1]
    (line,) = together
    assert line["schedule/b_ratio"] == 0.5
    for name, value in line.items():
        values = [one[name] for one in each if name in one]
        steps = 2 if name.startswith(("channel_", "rollout/")) else 4
        ratio = name.startswith("rollout/") and name.endswith(
            ("rate", "recall", "precision", "f1", "gt", "iou", "tokens")
        )
        if ratio or name in ("step", "epoch", "learning_rate", "grad_norm"):
            continue
        assert len(values) == steps, name
        assert value == pytest.approx(sum(values) / steps), name
    assert line["rollout/recall"] == pytest.approx(line["rollout/matched"] / line["rollout/ground_truth"])
    for one, channel in zip(each, "abab", strict=True):
        other = {"a": "b", "b": "a"}[channel]
        assert one["loss"] == one[f"channel_{channel}/loss"]
        assert not [name for name in one if name.startswith(f"channel_{other}/")]
        assert any(name.startswith("rollout/") for name in one) == (channel == "b")


def test_seconds_are_of_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that only the work of a step moves on."""
    clock = [0.0]

    def spends(owner: Any, name: str, seconds: float) -> None:
        kept = getattr(owner, name)

        def slow(*args: Any, **kwargs: Any) -> Any:
            clock[0] += seconds
            return kept(*args, **kwargs)

        monkeypatch.setattr(owner, name, slow)

    from coordspec.samples import dataset
    from coordspec.train.stage2 import objective, rollouts

    for module in (trainer, objective):
        monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    spends(dataset.TaskBatches, "__getitem__", 1.0)
    spends(objective, "write_rollouts", 10.0)
    spends(rollouts, "build_target", 100.0)
    spends(objective.Stage2, "loss", 1000.0)
    trained(tmp_path, AB, QUIET, texts=told(), max_steps=2)
    for line in training_runs.read_metrics(tmp_path / "run"):
        assert line["time/data_s"] == 2
        assert line["time/generate_s"] == 10
        assert line["time/build_s"] == 400
        assert line["time/forward_backward_s"] == 2000
        assert line["time/step_s"] == 2412


# ---------------------------------------------------------------------------------------------------- stops


@scenario("stage2-runs", "A stop for runaway rollouts", "Stop", digest="1e189dac6166")
def test_a_run_that_runs_away_stops_with_its_message(coordspec: Any, tmp_path: Path) -> None:
    limits = {"rollout_matching": {"runaway": {"max_truncation_rate": 0.5, "window_steps": 3}}}
    path = written(tmp_path, settings(tmp_path / "run", AB, limits, max_steps=6, save_steps=1))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_module, "_generator", lambda *_: Writes(dict.fromkeys(range(12), '{"object_1": {')))
        done: Done = coordspec("train", path)
    assert done.status == 2
    assert (
        "error: step 3: 100% of the rollouts are truncated over the last 3 rollout steps, more than "
        "rollout_matching.runaway.max_truncation_rate: 0.5; look at rollouts with --dump-targets, then train with a "
        "lower b_ratio or from a better checkpoint, or write on_runaway: channel_a"
    ) in " ".join(done.err.split())
    assert [line["step"] for line in metrics(tmp_path / "run")] == [1, 2]
    assert not (tmp_path / "run/final").exists()


FALLS_BACK: dict[str, Any] = {
    "stage2_ab": {"channel_b": {"on_runaway": "channel_a"}},
    "rollout_matching": {"runaway": {"max_truncation_rate": 0.5, "window_steps": 2}},
}


@scenario("stage2-runs", "A stop for runaway rollouts", "Go on in Channel-A", digest="5451e454abdf")
def test_a_run_that_falls_back_stays_in_channel_a_when_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = dict.fromkeys(range(12), '{"object_1": {')
    changes = (MIXED, FALLS_BACK)
    more = {"max_steps": 7, "save_steps": 3, **ONE_BY_ONE}
    expected = trained(tmp_path / "whole", *changes, texts=cut, **more)
    assert [line["schedule/b_ratio"] for line in expected] == [0, 1, 0, 1, 0, 0, 0]
    assert [line["schedule/fallen_back"] for line in expected] == [0, 0, 0, 0, 1, 1, 1]
    for behind in (4, 6):  # with half a window in the checkpoint, and fallen back
        folder = tmp_path / str(behind)
        with monkeypatch.context() as patched:
            break_off(patched, behind)
            with pytest.raises(KeyboardInterrupt):
                trained(folder, *changes, texts=cut, **more)
        assert trained(folder, *changes, texts=cut, resume=True, **more) == expected


@scenario("stage2-runs", "A stop for runaway rollouts", "Too many predictions", digest="0e3eeb5d390c")
def test_too_many_predictions_stop_a_run(tmp_path: Path) -> None:
    limits = {"rollout_matching": {"runaway": {"max_predictions_per_gt": 0.2, "window_steps": 1}}}
    with pytest.raises(RunawayError, match=r"^step 1: rollouts hold [\d.]+ predictions for each ") as caught:
        trained(tmp_path, AB, limits, texts=told())
    assert str(caught.value).partition(" predictions ")[2] == (
        "for each ground-truth object over the last 1 rollout steps, more than "
        "rollout_matching.runaway.max_predictions_per_gt: 0.2; look at rollouts with --dump-targets, then train with a "
        "lower b_ratio or from a better checkpoint, or write on_runaway: channel_a"
    )


@scenario("stage2-runs", "The question that the model was trained on", "Another prompt", digest="9ee7f187d3a8")
def test_another_template_is_refused_in_stage_2_alone(tmp_path: Path) -> None:
    trained(tmp_path / "first", max_steps=1)
    other = {"model": {"path": str(tmp_path / "first/run/final")}, "template": {"user_prompt": "Where?"}}
    trained(tmp_path / "stage1", other, max_steps=1)
    with pytest.raises(InputError) as caught:
        trained(tmp_path / "stage2", other, AB, texts=told(), max_steps=1)
    assert str(caught.value).startswith(
        f"{tmp_path / 'first/run/final' / PREPROCESS}: the model was trained with another template: user_prompt was "
    )
    assert not (tmp_path / "stage2/run").exists()


# ---------------------------------------------------------------------------------------------------- dumps


@scenario("stage2-runs", "Dumped targets", "Read back", digest="206e1ce202db")
def test_dumped_targets_are_read_by_guard_and_mask(coordspec: Any, tmp_path: Path) -> None:
    trained(tmp_path, MIXED, QUIET, texts=told(), dump=tmp_path / "targets", max_steps=2)
    files = dumped(tmp_path / "targets")
    assert {name: len(lines) for name, lines in files.items()} == {"step-000001.jsonl": 4, "step-000002.jsonl": 4}
    assert {line["target"]["policy"] for line in files["step-000001.jsonl"]} == {"channel_a"}
    assert {line["target"]["policy"] for line in files["step-000002.jsonl"]} == {"unified"}
    assert all(line["rollout_ids"] is None for line in files["step-000001.jsonl"])
    assert {line["sample"] for line in files["step-000002.jsonl"]} <= {
        f"{inputs() / 'shapes/train.jsonl'}:{number}" for number in range(1, 13)
    }
    for name in files:
        path = tmp_path / "targets" / name
        assert coordspec("guard", path, "--tokenizer", inputs() / "model").status == 0
        done: Done = coordspec("mask", path, "--tokenizer", inputs() / "model")
        assert done.status == 0, done.err
        assert "bbox_2d" in done.out
    assert coordspec("guard", tmp_path / "targets", "--tokenizer", inputs() / "model").status == 0


@scenario("stage2-runs", "Dumped targets", "What is refused", digest="8c5121651df5")
def test_dumps_that_are_refused(coordspec: Any, tmp_path: Path) -> None:
    path = written(tmp_path, settings(tmp_path / "run", AB, max_steps=1))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/note.txt").write_text("")
    done: Done = coordspec("train", path, "--dump-targets", "full")
    assert (done.status, "full: is not empty; name another folder for the dumped targets" in done.err) == (2, True)
    done = coordspec("train", path, "--dump-targets", "full/note.txt")
    assert (done.status, "note.txt" in done.err) == (2, True)
    one = written(tmp_path / "one", settings(tmp_path / "one/run", max_steps=1))
    done = coordspec("train", one, "--dump-targets", "new")
    assert done.status == 2
    assert (
        "new: has nothing to hold: Stage-1 trains on the ground truth, whose targets `coordspec mask DATA` shows"
        in (" ".join(done.err.split()))
    )
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "new").exists()


# ---------------------------------------------------------------------------------------------------- processes


SHARED: dict[str, Any] = {"max_steps": 5, "save_steps": 2, **ONE_BY_ONE}
SOFT: dict[str, Any] = {"stage2_ab": {"n_softctx_iter": 3}}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Runs in processes of their own, which share one start: their folder, and how each of their ranks ended."""
    root = tmp_path_factory.mktemp("jobs")

    def config(name: str, *changes: Mapping[str, Any], **more: Any) -> Path:
        return written(root / name, settings(root / name / "run", MIXED, *changes, **more))

    def dump(name: str) -> str:
        return str(root / name / "targets")

    nothing = {str(number): END for number in range(12)}
    cut = {str(number): '{"object_1": {' for number in range(12)}
    limits = {"stage2_ab": AB["stage2_ab"], "rollout_matching": {"runaway": {"window_steps": 2}}}
    (root / "refused").mkdir()
    lines = (inputs() / "shapes/train.jsonl").read_text("utf-8").splitlines()
    lines[6] = lines[6].replace("bbox_2d", "box")
    (root / "refused/train.jsonl").write_text("\n".join(lines), "utf-8")
    data = {
        "train": [str(root / "refused/train.jsonl")],
        "image_root": str(inputs() / "shapes"),
        "preflight": "never",
    }
    killed = config("killed", SAMPLING, **SHARED)
    few: dict[str, Any] = {"max_steps": 2, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 1}
    todo = {
        "whole": job(config("whole", SAMPLING, **SHARED), dump=dump("whole")),
        "killed": job(killed, dump=dump("killed"), die=("behind the step", 3)),
        "resumed": job(killed, dump=dump("killed"), resume=True),
        "nothing": job(config("nothing", QUIET, **few), ranks=2, texts=nothing),
        "runaway": job(config("runaway", limits, **few), ranks=2, texts=cut),
        "refused": job(config("refused", {"data": data}, **{**few, "max_steps": 6}), ranks=2, texts=nothing),
        "soft": job(
            config("soft", QUIET, SOFT, **few, gradient_checkpointing=True),
            ranks=2,
            texts={str(number): text for number, text in told().items()},
        ),
    }
    ends = dict(zip(todo, start(root, list(todo.values())), strict=True))
    return root, ends


@scenario("stage2-runs", "Rollouts that can be repeated", "Killed", digest="67bffbc26a18")
def test_a_killed_run_with_drawn_rollouts_goes_on_exactly(jobs: tuple[Path, dict[str, Any]]) -> None:
    root, ends = jobs
    assert [ends[name][0][:2] for name in ("whole", "killed", "resumed")] == [[0, 0], [0, 9], [0, 0]], ends
    assert metrics(root / "killed/run") == metrics(root / "whole/run")
    found, expected = weights(root / "killed/run/final"), weights(root / "whole/run/final")
    assert expected
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
    targets = dumped(root / "whole/targets")
    assert dumped(root / "killed/targets") == targets, "the very rollouts, those of the step that was done again too"
    rollouts = {name: [line["rollout_ids"] for line in lines] for name, lines in targets.items()}
    assert [rollouts[f"step-{step:06}.jsonl"][0] is None for step in range(1, 6)] == [True, False, True, False, True]
    drawn = [tuple(ids) for number in (2, 4) for ids in rollouts[f"step-{number:06}.jsonl"]]
    assert len(set(drawn)) == len(drawn), "every sample and step draws for itself"


@scenario("stage2-runs", "Rollouts that can be repeated", "Whatever is beside it", digest="bc54e50d9875")
def test_draws_do_not_depend_on_what_else_is_in_the_batch(jobs: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """The same four samples of the first step of Channel-B alone, as one batch and one by one."""
    drawn = []
    for name, shape in {
        "together": {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 1},
        "alone": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4},
    }.items():
        one = {"rollout_matching": {"batch": {"size": 1 if name == "alone" else 4}}}
        trained(tmp_path / name, AB, SAMPLING, one, dump=tmp_path / f"{name}-targets", max_steps=1, **shape)
        drawn.append(dumped(tmp_path / f"{name}-targets"))
    assert drawn[0] == drawn[1]


def test_ranks_without_anything_to_match(jobs: tuple[Path, dict[str, Any]]) -> None:
    root, ends = jobs
    assert [end[:2] for end in ends["nothing"]] == [[0, 0]] * 2, ends["nothing"]
    last = metrics(root / "nothing/run")[1]
    assert last["rollout/fallback"] == 2
    assert last["count/matched"] == 0
    assert last["loss"] > 0


def test_every_rank_stops_when_rollouts_run_away(jobs: tuple[Path, dict[str, Any]]) -> None:
    _, ends = jobs
    assert len({message for _, _, message in ends["runaway"]}) == 1
    for status, _, message in ends["runaway"]:
        assert status == 1
        assert message.startswith(
            "RunawayError: step 2: 100% of the rollouts are truncated over the last 2 rollout steps"
        )


def test_every_rank_stops_when_a_record_is_refused(jobs: tuple[Path, dict[str, Any]]) -> None:
    root, ends = jobs
    own, other = sorted(message for _, _, message in ends["refused"])
    assert [status for status, _, _ in ends["refused"]] == [1, 1], ends["refused"]
    place = f"{root}/refused/train.jsonl:7: objects[0]: the object has no geometry (OBJ004)"
    assert own.startswith("ContractError: ")
    assert place in own
    assert other.startswith("RankError: rank ")
    assert place in other
    assert not (root / "refused/run/final").exists()


def test_soft_self_context_on_ranks_with_checkpointing(jobs: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    root, ends = jobs
    assert [end[:2] for end in ends["soft"]] == [[0, 0]] * 2, ends["soft"]
    alone = trained(
        tmp_path, MIXED, QUIET, SOFT, texts=told(), max_steps=2, per_device_train_batch_size=2, **ONE_BY_ONE
    )
    for found, expected in zip(metrics(root / "soft/run"), alone, strict=True):
        assert found == pytest.approx(expected, rel=1e-5)


# ---------------------------------------------------------------------------------------------------- nightly


@pytest.mark.nightly
@pytest.mark.parametrize("changes", [{"lora": {"enabled": True, "r": 2, "lora_dropout": 0.3}}, {}])
def test_killed_ranks_go_on_together(changes: dict[str, Any], tmp_path: Path) -> None:
    coords = {"model": {"head": "coord_rows"}}
    more = {"max_steps": 6, "save_steps": 2, **ONE_BY_ONE}
    found = (MIXED, SAMPLING, SOFT, changes, coords)
    whole, killed = (written(tmp_path / name, settings(tmp_path / name / "run", *found, **more)) for name in "ab")
    ends = start(
        tmp_path,
        [
            job(whole, ranks=2, dump=str(tmp_path / "a/targets")),
            job(killed, ranks=2, dump=str(tmp_path / "b/targets"), die=("behind the step", 3)),
            job(killed, ranks=2, dump=str(tmp_path / "b/targets"), resume=True),
        ],
    )
    assert [[rank[:2] for rank in ranks] for ranks in ends] == [[[0, 0]] * 2, [[0, 9]] * 2, [[0, 0]] * 2], ends
    assert metrics(tmp_path / "b/run") == metrics(tmp_path / "a/run")
    assert dumped(tmp_path / "b/targets") == dumped(tmp_path / "a/targets")
