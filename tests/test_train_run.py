"""A run in one process: one forward a batch, what is trained, what is logged, what is written, what is refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLModel

import train_samples
import training_runs
from coordspec.errors import ContractError, InputError
from coordspec.run_files import checkpoints
from coordspec.train import run
from coordspec.train.data import prepare_data
from coordspec.train.evaluation import Detection
from coordspec.train.logs import METRICS, STAGE2_METRICS, meaning
from coordspec.train.run_dir import publish
from coordspec.train.stage1 import Stage1
from training_runs import PARTS, checked, inputs, job, metrics, moved, processor, ran, settings, start, weights, written

VAL = {"data": {"val": [str(inputs() / "shapes/val.jsonl")]}}
LORA = {"lora": {"enabled": True, "r": 2, "lora_dropout": 0.3}, "model": {"head": "coord_rows"}}


# ---------------------------------------------------------------------------------------------------- steps


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_batch_is_one_forward(checkpointing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    for kind in (Qwen3VLModel, Qwen3VLForConditionalGeneration):
        monkeypatch.setattr(kind, "forward", counted(kind.forward, calls, kind.__name__))
    made = ran(tmp_path, VAL, gradient_checkpointing=checkpointing, max_steps=2, per_device_eval_batch_size=2)
    assert calls == {"Qwen3VLModel": 2 * 2 + 2}, "two steps of two batches, and 4 samples to evaluate in twos"
    assert [strip(line) for line in made] == [pytest.approx(strip(line), rel=1e-6) for line in plain()[:2] + made[2:]]


def counted(forward: Callable[..., Any], calls: Counter[str], name: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        calls[name] += 1
        return forward(*args, **kwargs)

    return call


def strip(line: dict[str, float]) -> dict[str, float]:
    """A line without what depends on how many steps the run has."""
    return {name: value for name, value in line.items() if name != "learning_rate"}


@cache
def plain() -> list[dict[str, float]]:
    """The metrics of the first two steps with a constant rate."""
    return ran(inputs() / "plain", max_steps=2)


def test_the_seed_of_a_run_is_that_of_its_config(tmp_path: Path) -> None:
    assert ran(tmp_path, seed=7, max_steps=2) != plain()


def test_packing_changes_no_loss_and_no_gradient(tmp_path: Path) -> None:
    """All 12 samples in one step, one by one and packed."""
    pack = {"data": {"packing": True, "pack_length": 512}, "template": {"max_length": 512}}
    (alone,) = ran(tmp_path / "a", max_steps=1, per_device_train_batch_size=12, gradient_accumulation_steps=1)
    config, _ = checked(tmp_path / "b", settings(tmp_path / "b/run", pack))
    rows = run.prepare_data(config, processor(), lambda _: None).stream.rows_until(1)
    assert rows < 12
    (packed,) = ran(tmp_path / "c", pack, max_steps=1, per_device_train_batch_size=rows, gradient_accumulation_steps=1)
    assert packed == pytest.approx(alone, rel=1e-5)
    assert packed["count/samples"] == 12


def test_bf16_autocast_reaches_training_and_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = []
    kept = Stage1.loss

    def seen(self: Any, prepared: Any, counts: Any) -> Any:
        kinds.append(torch.is_autocast_enabled("cpu"))
        return kept(self, prepared, counts)

    monkeypatch.setattr(Stage1, "loss", seen)
    made = ran(tmp_path, VAL, max_steps=1, bf16=True)
    assert kinds == [True] * 6
    assert made[0]["loss"] == pytest.approx(plain()[0]["loss"], rel=1e-2)
    assert made[0]["loss"] != plain()[0]["loss"]


# ---------------------------------------------------------------------------------------------------- what is trained


def test_rates_of_parts(tmp_path: Path) -> None:
    """A rate of 0 keeps a part as it is, which tells the groups apart."""
    for name, part in (("vision_learning_rate", "vision"), ("projector_learning_rate", "projector")):
        ran(tmp_path / part, max_steps=1, **{name: 0.0})
        found = moved(tmp_path / part / "run/final")
        assert [other for other, belongs in PARTS.items() if not any(map(belongs, found))] == [part]
    ran(tmp_path / "coord", max_steps=1, coord_learning_rate=0.0)
    (rows,) = (mask.any(1) for name, mask in moved(tmp_path / "coord/run/final").items() if PARTS["tokens"](name))
    assert not rows[list(processor().coords.ids)].any()
    assert rows.any()


# ---------------------------------------------------------------------------------------------------- logs


def test_every_logged_name_is_described(tmp_path: Path) -> None:
    evaluated = {"eval": {"generate": True, "max_new_tokens": 8, "iou_thresholds": [0.5, 0.75]}}
    made = ran(tmp_path, VAL, evaluated, {"logging": {"tensorboard": True}}, max_steps=2, eval_steps=1)
    names = {name for line in training_runs.read_metrics(tmp_path / "run") for name in line} - {"step"}
    assert all(meaning(name) for name in names)
    patterns = {name if name in METRICS else "eval/f1@IOU" for name in names}
    undefined = {"eval/precision", "eval/mean_matched_iou", "eval/duplicate_rate"}  # such a model predicts nothing
    assert patterns | undefined == METRICS.keys() - STAGE2_METRICS.keys()
    assert logged_for_tensorboard(tmp_path / "run/tensorboard") == names
    assert [(line["step"], "loss" in line) for line in made] == [(1, True), (1, False), (2, True), (2, False)]


def logged_for_tensorboard(folder: Path) -> set[str]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return set(events.Tags()["scalars"])


def test_an_image_that_is_refused_during_an_evaluation_is_named(tmp_path: Path) -> None:
    config, _ = checked(tmp_path, settings(tmp_path / "run", VAL, {"eval": {"generate": True}}))
    val = prepare_data(config, processor(), lambda _: None).val

    def refuse(_: Any) -> None:
        raise ValueError("absolute aspect ratio must be smaller than 200")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(val.encoder.prompter, "encode", refuse)
        with pytest.raises(ContractError, match=r"val\.jsonl:1: images\[0\]: .* smaller than 200 \(IMG002\)$"):
            Detection(config, train_samples.qwen3(), val).run(torch.device("cpu"))


def test_a_line_is_the_mean_over_its_steps(tmp_path: Path) -> None:
    every = ran(tmp_path / "a")
    first, last = ran(tmp_path / "b", logging_steps=3)
    assert (first["step"], last["step"]) == (3, 4), "the last steps are logged, whatever the interval is"
    assert first["loss"] == pytest.approx(sum(line["loss"] for line in every[:3]) / 3)
    assert first["count/tokens"] == pytest.approx(sum(line["count/tokens"] for line in every[:3]) / 3)
    assert last == every[3]


# ---------------------------------------------------------------------------------------------------- what is written


def test_the_best_checkpoint_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([3.0, 1.0, 2.0, 2.5])
    monkeypatch.setattr(run, "mean_loss", lambda *_: {"loss": next(losses)})
    best = {"eval": {"metric_for_best": "loss"}}
    result = training_runs.run(
        tmp_path, settings(tmp_path / "run", VAL, best, eval_steps=1, save_steps=2, save_total_limit=1)
    )
    assert result.best == tmp_path / "run/checkpoint-2"
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["checkpoint-2", "checkpoint-4"]
    assert result.evaluation == {"eval/loss": 2.5}


def resumed(folder: Path, *changes: dict[str, Any], **training: Any) -> str:
    """The message with which going on under changed settings is refused."""
    with pytest.raises(InputError) as caught:
        training_runs.run(folder, settings(folder / "run", *changes, **training), resume=True)
    return str(caught.value)


def test_another_run_is_not_resumed(tmp_path: Path) -> None:
    training_runs.run(tmp_path, settings(tmp_path / "run", max_steps=2, save_steps=1))
    refused = f"{tmp_path}/run/checkpoint-2: is not of this run, so resuming would not continue it: "
    same = {"max_steps": 2, "save_steps": 1}
    assert resumed(tmp_path, **{**same, "max_steps": 3}) == (
        refused + "training.max_steps was 2 and is 3; steps was 2 and is 3"
    )
    prompt = {"template": {"user_prompt": "Where?"}}
    assert resumed(tmp_path, prompt, **same).endswith(f'; user_prompt was {json.dumps(DEFAULT_PROMPT)} and is "Where?"')
    copy = tmp_path / "copy.jsonl"
    copy.write_text((inputs() / "shapes/train.jsonl").read_text())
    other = {"data": {"train": [str(copy)], "image_root": str(inputs() / "shapes")}}
    assert "data.train was" in resumed(tmp_path, other, **same)


DEFAULT_PROMPT = (
    training_runs.Config.model_fields["template"].get_default(call_default_factory=True, validated_data={}).user_prompt
)


def test_publishing_replaces_a_whole_folder(tmp_path: Path) -> None:
    for name in (".writing-checkpoint-2", "checkpoint-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_text(name)
    assert publish(tmp_path / ".writing-checkpoint-2") == tmp_path / "checkpoint-2"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-2"]
    assert (tmp_path / "checkpoint-2/model.safetensors").read_text() == ".writing-checkpoint-2"


@pytest.mark.nightly
def test_killed_processes_go_on_together(tmp_path: Path) -> None:
    changes = {"max_steps": 4, "save_steps": 2, "gradient_accumulation_steps": 1}
    whole, killed = (written(tmp_path / name, settings(tmp_path / name / "run", LORA, **changes)) for name in "ab")
    jobs = [
        job(whole, ranks=2),
        job(killed, ranks=2, die=("behind the step", 3)),
        job(killed, ranks=2, resume=True),
    ]
    results = start(tmp_path, jobs)
    assert [[rank[:2] for rank in ranks] for ranks in results] == [[[0, 0]] * 2, [[0, 9]] * 2, [[0, 0]] * 2], results
    assert metrics(tmp_path / "b/run") == metrics(tmp_path / "a/run")
    final, expected = weights(tmp_path / "b/run/final"), weights(tmp_path / "a/run/final")
    assert [name for name in expected if not torch.equal(final[name], expected[name])] == []
