"""Bindings of ``openspec/specs/stage1-training``."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import model_samples
import train_samples
import training_runs
from coordspec.errors import ContractError, InputError
from coordspec.evaluate.summary import evaluate
from coordspec.generate import Answer, Ended
from coordspec.model.checkpoint import embedding_weight, load_model, load_processor
from coordspec.model.lora import merge_saved_adapter
from coordspec.predictions.record import PredictedObject, Prediction
from coordspec.record import render_payload
from coordspec.rollout.parse import parse_rollout
from coordspec.run_files import checkpoints
from coordspec.samples.batch import BatchGuard
from coordspec.samples.stream import epoch_order
from coordspec.spec.binding import harness, scenario
from coordspec.tokenizer import END_OF_TURN
from coordspec.train import evaluation, run
from coordspec.train.data import prepare_data
from coordspec.train.objective import NonFiniteError
from coordspec.train.run_dir import rotate
from coordspec.train.stage1 import Stage1
from coordspec_cli.main import run as command
from training_runs import (
    PARTS,
    break_off,
    checked,
    inputs,
    job,
    metrics,
    moved,
    processor,
    ran,
    settings,
    start,
    torchrun,
    weights,
    written,
)

VAL = {"data": {"val": [str(inputs() / "shapes/val.jsonl")]}}
LORA = {"lora": {"enabled": True, "r": 2, "lora_dropout": 0.3}, "model": {"head": "coord_rows"}}
TRAIN = inputs() / "shapes/train.jsonl"


# ---------------------------------------------------------------------------------------------------- steps


@cache
def data_of(samples: int) -> run.RunData:
    config, _ = checked(inputs() / "data", settings(inputs() / "data/run", {"data": {"max_samples": samples}}))
    return prepare_data(config, processor(), lambda _: None)


@harness("steps-of-a-run")
def steps_of_a_run(samples: int, rows: int, epochs: float, steps: int) -> None:
    changes = {"max_steps": -1, "num_train_epochs": epochs, "per_device_train_batch_size": rows}
    config, _ = checked(inputs() / "data", settings(inputs() / "data/run", gradient_accumulation_steps=1, **changes))
    assert data_of(samples).steps(config) == steps


@scenario("stage1-training", "Steps of equal size", "Order", digest="09a6f34a523c")
def test_order() -> None:
    first, again, other = ([epoch_order(100, seed, epoch).tolist() for epoch in range(3)] for seed in (1, 1, 2))
    assert first == again
    assert all(sorted(order) == list(range(100)) for order in first + other)
    assert len({tuple(order) for order in first + other}) == 6


# ---------------------------------------------------------------------------------------------------- resume


KILLS = {
    "before the first checkpoint": [("behind the step", 1)],
    "between two": [("behind the step", 3)],
    "half of a checkpoint written": [("between weights and state", 4)],
    "all of it, but for its name": [("before the checkpoint has its name", 4)],
    "while an old one is deleted": [("before the old checkpoint is deleted", 4)],
    "before the final model is there": [("before the final model has its name", 5)],
    "twice": [("behind the step", 3), ("before the checkpoint has its name", 4)],
}
LONG: dict[str, Any] = {
    "max_steps": 5,
    "save_steps": 2,
    "eval_steps": 2,
    "logging_steps": 3,
    "save_total_limit": 1,
    "gradient_accumulation_steps": 1,
}


@scenario("stage1-training", "Exact resume", "Killed", digest="786656edb001")
def test_killed(tmp_path: Path) -> None:
    jobs = []
    for number, kills in enumerate(KILLS.values()):
        folder = tmp_path / str(number)
        config = written(folder, settings(folder / "run", VAL, **LONG))
        jobs += [job(config, die=kill, resume=attempt > 0) for attempt, kill in enumerate(kills)]
        jobs.append(job(config, resume=True))
    results = start(tmp_path, jobs)
    expected = ran(tmp_path / "unbroken", VAL, **LONG)
    assert [line["step"] for line in expected] == [2, 3, 4, 5, 5]
    for made, [(status, killed_by, message)] in zip(jobs, results, strict=True):
        assert (status, killed_by) == ((0, 0) if made["die"] is None else (0, 9)), message
    for number, case in enumerate(KILLS):
        run_dir = tmp_path / str(number) / "run"
        assert metrics(run_dir) == expected, case
        assert sorted(path.name for path in run_dir.iterdir()) == ["checkpoint-5", "final", "metrics.jsonl"], case
        assert_same_weights(run_dir / "final", tmp_path / "unbroken/run/final")


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert first
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@scenario("stage1-training", "Exact resume", "Dropout, workers, packing, optimizers", digest="55683b853080")
def test_dropout_workers_packing_optimizers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = {"data": {"packing": True, "pack_length": 256}, "template": {"max_length": 256}}
    muon = {"training": {"optim": "muon"}}
    for name, change, workers in (("dropout", LORA, 1), ("packed", packed, 0), ("muon", muon, 0)):
        expected = ran(tmp_path / name / "whole", change, save_steps=2)
        folder = tmp_path / name / "broken"
        with monkeypatch.context() as patched:
            break_off(patched, 3)
            with pytest.raises(KeyboardInterrupt):
                ran(folder, change, save_steps=2, dataloader_num_workers=workers)
        assert [line["step"] for line in metrics(folder / "run")] == [1, 2, 3]
        training_runs.run(folder, settings(folder / "run", change, save_steps=2), resume=True)
        assert metrics(folder / "run") == expected, name
        assert_same_weights(folder / "run/final", tmp_path / name / "whole/run/final")


SHORT = {"max_steps": 2, "save_steps": 1, "gradient_accumulation_steps": 1}


def relative(folder: Path, *changes: Mapping[str, Any], **training: Any) -> Path:
    """A config in a folder whose run is the folder ``run`` beside it."""
    return written(folder, settings(Path("run"), *changes, **training))


@scenario("stage1-training", "Exact resume", "Another run", digest="7202e349ee1d")
def test_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["train", str(relative(tmp_path, **SHORT))]) == 0
    capsys.readouterr()
    assert command(["train", str(relative(tmp_path, **{**SHORT, "learning_rate": 0.5})), "--resume"]) == 2
    assert (
        f"{tmp_path}/run/checkpoint-2: is not of this run, so resuming would not continue it: "
        "training.learning_rate was 0.001 and is 0.5\n" in capsys.readouterr().err
    )


@scenario("stage1-training", "Exact resume", "Other data", digest="4f4398c039a9")
def test_other_data(tmp_path: Path) -> None:
    copy = tmp_path / "train.jsonl"
    lines = TRAIN.read_text("utf-8").splitlines(keepends=True)
    copy.write_text("".join(lines), "utf-8")
    found = settings(tmp_path / "run", {"data": {"train": [str(copy)], "image_root": str(TRAIN.parent)}}, **SHORT)
    training_runs.run(tmp_path, found)
    copy.write_text("".join(reversed(lines)), "utf-8")
    with pytest.raises(InputError) as caught:
        training_runs.run(tmp_path, found, resume=True)
    difference = str(caught.value).partition("continue it: ")[2]
    assert re.fullmatch(rf'data\.{re.escape(str(copy))} was "[0-9a-f]{{64}}" and is "[0-9a-f]{{64}}"', difference)


@scenario("stage1-training", "Exact resume", "What may change", digest="1b5dfc67c2fa")
def test_what_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        break_off(patched, 2)
        with pytest.raises(KeyboardInterrupt):
            ran(tmp_path, save_steps=2, gradient_accumulation_steps=1)
    other = settings(tmp_path / "run", save_steps=1, save_total_limit=2, gradient_accumulation_steps=1)
    assert training_runs.run(tmp_path, other, resume=True).steps == 4
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["checkpoint-3", "checkpoint-4"]


# ---------------------------------------------------------------------------------------------------- folders


def folders(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "model.safetensors").write_text(name)


@scenario("stage1-training", "Whole checkpoints", "Leftovers", digest="1d727ec8bc05")
def test_leftovers(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    training_runs.run(tmp_path, settings(run_dir, **SHORT))
    (run_dir / "checkpoint-2").rename(run_dir / ".replaced-checkpoint-2")
    folders(run_dir, ".writing-checkpoint-3", ".deleting-checkpoint-9")
    training_runs.run(tmp_path, settings(run_dir, **SHORT), resume=True)
    names = ["checkpoint-1", "checkpoint-2", "final", "metrics.jsonl"]
    assert sorted(path.name for path in run_dir.iterdir()) == names


@harness("kept-checkpoints")
def kept_checkpoints(limit: int | None, best: int | None, left: Sequence[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folders(folder, "checkpoint-2", "checkpoint-10", "checkpoint-4", "checkpoint-12")
        rotate(folder, limit, None if best is None else folder / f"checkpoint-{best}")
        assert [path.name for path in checkpoints(folder)] == [f"checkpoint-{step}" for step in left]
        assert len(list(folder.iterdir())) == len(left)


@scenario("stage1-training", "Run folder", "Something is there", digest="723e0d37342d")
def test_something_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("mine")
    assert command(["train", str(relative(tmp_path))]) == 2
    assert (
        f"{tmp_path}/run: is not empty, and a run never replaces anything; continue it with --resume, or name another "
        "training.output_dir\n" in capsys.readouterr().err
    )
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


@scenario("stage1-training", "Run folder", "Nothing to resume", digest="33b0baede125")
def test_nothing_to_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["train", str(relative(tmp_path)), "--resume"]) == 2
    message = f"{tmp_path}/run: does not exist, so there is nothing to resume; start without --resume\n"
    assert message in capsys.readouterr().err


@scenario("stage1-training", "Where a checkpoint comes from", "Files", digest="ed48b3789bfe")
def test_files(tmp_path: Path) -> None:
    config, resolved = checked(tmp_path, settings(tmp_path / "run", max_steps=1, data_seed=7))
    run.train(config, resolved, training_runs.SILENT)
    for folder in (tmp_path / "run/checkpoint-1", tmp_path / "run/final"):
        assert (folder / "config.yaml").read_text("utf-8") == resolved
        origin = json.loads((folder / "run.json").read_text("utf-8"))
        assert origin["seeds"] == {"seed": 42, "data_seed": 7}
        assert {"torch", "transformers", "peft", "coordspec"} <= origin["packages"].keys()
        hashes = {**origin["contracts"], **origin["data"]}
        assert {"rules.yaml", "masks.yaml", *config.data.train} <= hashes.keys()
        assert all(re.fullmatch("[0-9a-f]{64}", value) for value in hashes.values())
        preprocess = json.loads((folder / "preprocess.json").read_text("utf-8"))
        assert preprocess["user_prompt"] == config.template.user_prompt


# ---------------------------------------------------------------------------------------------------- what stops a run


@scenario("stage1-training", "No step on numbers that are none", "A loss", digest="3e669cf77e2b")
def test_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Stage1.loss
    calls: list[Any] = []

    def loss(self: Any, prepared: Any, counts: Any) -> Any:
        calls.append(prepared.places)
        made = kept(self, prepared, counts)
        return made._replace(loss=made.loss * math.inf) if len(calls) == 2 else made

    monkeypatch.setattr(Stage1, "loss", loss)
    with pytest.raises(NonFiniteError) as caught:
        ran(tmp_path, max_steps=1)
    assert str(caught.value) == (
        "the loss of step 1 is not finite, so nothing was learnt from it; its samples are "
        + ", ".join(map(str, calls[1]))
    )
    assert str(calls[1][0]).startswith(f"{TRAIN}:")


@scenario("stage1-training", "No step on numbers that are none", "A gradient", digest="e848b219eaa8")
def test_a_gradient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Rigged(run.Network):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            weight = next(self.plain.parameters())
            weight.register_hook(lambda gradient: gradient * math.nan)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(run, "Network", Rigged)
    for limit in (1.0, 0.0):
        with pytest.raises(
            NonFiniteError, match=r"^the gradient of step 1 is not finite, .*; its samples are "
        ) as caught:
            ran(tmp_path / str(limit), max_steps=2, max_grad_norm=limit)
        assert str(caught.value).count(str(TRAIN)) == 4
        assert metrics(tmp_path / str(limit) / "run") == []


@scenario("stage1-training", "Guarded batches", "The third batch", digest="4fe5d7fadaf3")
def test_the_third_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    kept = BatchGuard.check

    def check(self: BatchGuard, batch: Any) -> None:
        seen.append(batch)
        if len(seen) == 3:
            batch.labels_BT[0, 0] = int(batch.ids_BT[0, 0])
        kept(self, batch)

    monkeypatch.setattr(BatchGuard, "check", check)
    with pytest.raises(ContractError) as caught:
        ran(tmp_path, max_steps=2)
    assert len(seen) == 3
    assert str(caught.value).startswith(f"{seen[2].spans[0].place}: ")
    assert re.search(r"\(MSK05\d\)", str(caught.value))
    assert [line["step"] for line in metrics(tmp_path / "run")] == [1]


# ---------------------------------------------------------------------------------------------------- processes


@scenario("stage1-training", "Processes", "torchrun", digest="f544bbdca636")
def test_torchrun(tmp_path: Path) -> None:
    generated = {"eval": {"generate": True, "max_new_tokens": 4}}
    one = ran(tmp_path / "one", VAL, generated, max_steps=2)
    two = settings(tmp_path / "run", VAL, generated, max_steps=2, gradient_accumulation_steps=1)
    done = torchrun(tmp_path, written(tmp_path, two))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path}/run/final: trained for 2 steps\n")
    assert done.stdout.count("trained for") == 1
    both = metrics(tmp_path / "run")
    assert both == [pytest.approx(line, rel=1e-5) for line in one]
    assert both[0]["loss"] == pytest.approx(one[0]["loss"], rel=1e-6)


@scenario("stage1-training", "Processes", "One fails", digest="b4bd4cc625c7")
def test_one_fails(tmp_path: Path) -> None:
    lines = TRAIN.read_text("utf-8").splitlines()
    for number in epoch_order(len(lines), 42, 0)[6:8].tolist():  # 0 to 3 are step 1, 4 and 5 those of the first process
        record = json.loads(lines[number])
        record["objects"] = [{"desc": "cat", "bbox_2d": [1, 2, 1000, 4]}]
        lines[number] = json.dumps(record)
    data = tmp_path / "bad.jsonl"
    data.write_text("\n".join(lines) + "\n", "utf-8")
    unchecked = {"data": {"train": [str(data)], "image_root": str(TRAIN.parent), "preflight": "never"}}
    config = written(tmp_path, settings(tmp_path / "run", unchecked, gradient_accumulation_steps=1))
    [[first, second]] = start(tmp_path, [job(config, ranks=2)])
    assert (first[:2], second[:2]) == ([1, 0], [1, 0]), second
    text = second[2].removeprefix("ContractError: ")
    assert re.match(
        rf"{re.escape(str(data))}:\d+: objects\[0\]\.bbox_2d\[2\]: 1000 is above the maximum 999 \(GEO003\)", text
    )
    assert first[2] == f"RankError: rank 1: {text}"
    assert [line["step"] for line in metrics(tmp_path / "run")] == [1]


# ---------------------------------------------------------------------------------------------------- what is trained


@scenario("stage1-training", "What is trained", "Frozen parts", digest="749b03797cc3")
def test_frozen_parts(tmp_path: Path) -> None:
    for part in ("vision", "projector", "language"):
        ran(tmp_path / part, {"model": {f"freeze_{part}": True}}, max_steps=1)
        found = moved(tmp_path / part / "run/final")
        assert [other for other, belongs in PARTS.items() if not any(map(belongs, found))] == [part]


@harness("trained-rows")
def trained_rows(head: str, coords: bool, coord_rows: bool, others: bool) -> None:
    off = {"custom": {"coord_tokens": {"enabled": False}, "coord_soft_ce_w1": {"enabled": False}}}
    with tempfile.TemporaryDirectory() as name:
        ran(Path(name), {"model": {"head": head}}, {} if coords else off, max_steps=1, weight_decay=0.1)
        found = moved(Path(name) / "run/final")
    rows = [mask.any(1) for name, mask in found.items() if PARTS["tokens"](name)] or [
        torch.zeros(1520, dtype=torch.bool)
    ]
    is_coord = torch.zeros(1520, dtype=torch.bool)
    is_coord[list(processor().coords.ids)] = True
    assert [bool(mask[is_coord].all()) for mask in rows] == [coord_rows]
    assert [bool(mask[is_coord].any()) for mask in rows] == [coord_rows]
    assert [bool(mask[~is_coord].any()) for mask in rows] == [others]


@scenario("stage1-training", "What is trained", "Adapters", digest="b18445aa083d")
def test_adapters(tmp_path: Path) -> None:
    ran(tmp_path, LORA, max_steps=2)
    final = tmp_path / "run/final"
    saved = weights(final)
    assert all("lora_" in name or "token_adapter" in name for name in saved)
    assert any(saved[name].any() for name in saved if "lora_B" in name)
    merge_saved_adapter(final, tmp_path / "merged")
    (rows,) = (mask.any(1) for name, mask in moved(tmp_path / "merged").items() if PARTS["tokens"](name))
    assert rows.nonzero().flatten().tolist() == sorted(processor().coords.ids)
    assert (tmp_path / "merged/preprocess.json").read_bytes() == (final / "preprocess.json").read_bytes()


# ---------------------------------------------------------------------------------------------------- evaluation


@scenario("stage1-training", "Evaluation in a run", "No step is changed", digest="1a17ed15f00f")
def test_no_step_is_changed(tmp_path: Path) -> None:
    generated = {"eval": {"generate": True, "max_new_tokens": 4}}
    lines = ran(tmp_path / "a", LORA, VAL, generated, eval_steps=1, per_device_eval_batch_size=2)
    assert sum("eval/loss" in line for line in lines) == 4
    assert [line for line in lines if "loss" in line] == ran(tmp_path / "b", LORA)


@scenario("stage1-training", "Evaluation in a run", "Batches", digest="4d1bda6d7a38")
def test_batches(tmp_path: Path) -> None:
    one, three = (
        ran(tmp_path / str(size), VAL, max_steps=1, per_device_eval_batch_size=size, dataloader_num_workers=workers)[-1]
        for size, workers in ((1, 0), (3, 1))
    )
    assert one["eval/loss"] > 1
    assert three == pytest.approx(one, rel=1e-6)


@scenario("stage1-training", "Evaluation in a run", "Answers", digest="336f1bcf20c2")
def test_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, _ = checked(tmp_path, settings(tmp_path / "run", VAL, {"eval": {"generate": True}}))
    val = prepare_data(config, processor(), lambda _: None).val
    records = [val.records[number] for number in range(len(val))]
    texts = [
        render_payload(records[0].objects) + END_OF_TURN,
        render_payload(records[1].objects[:-1]) + END_OF_TURN,
        "a cat" + END_OF_TURN,
        render_payload(records[3].objects).removesuffix("}}") + "}",
    ]
    ids = [tuple(processor().tokenizer.encode(text, add_special_tokens=False)) for text in texts]
    written_down = [Answer(item, Ended.END, (0.0,) * len(item)) for item in ids]
    monkeypatch.setattr(evaluation.ModelGenerator, "answers", lambda *_: written_down)
    found = evaluation.Detection(config, train_samples.qwen3(), val).run(torch.device("cpu"))
    expected = evaluate(records, list(predictions(records, ids, val.encoder.table))).value()
    outputs, boxes = expected["outputs"], expected["boxes"]["class_aware"]
    by_threshold = boxes["by_threshold"]
    assert found["parse_rate"] == outputs["parse_rate"] == 0.75
    assert found["whole_rate"] == outputs["whole_rate"] == 0.5
    assert found["truncation_rate"] == outputs["truncation_rate"] == 0.25
    assert found["f1@0.5"] == boxes["f1_50"]
    assert found["f1"] == pytest.approx(boxes["f1_mean"])
    for kind in ("precision", "recall"):
        assert found[kind] == pytest.approx(sum(row[kind] for row in by_threshold) / len(by_threshold))
    assert 0 < found["recall"] < 1


def predictions(records: Sequence[Any], ids: Sequence[tuple[int, ...]], table: Any) -> Iterator[Prediction]:
    for index, (record, item) in enumerate(zip(records, ids, strict=True)):
        rollout = parse_rollout(item, table)
        objects = [entry.item for entry in rollout.predictions if entry.item is not None]
        yield Prediction(
            index=index,
            images=record.images,
            width=record.width,
            height=record.height,
            objects=tuple(PredictedObject(desc=o.desc, bbox_2d=o.bbox_2d, poly=o.poly) for o in objects),
            truncated=rollout.truncated,
            fallback=None if rollout.fallback is None else rollout.fallback.value,
        )


@scenario("stage1-training", "Evaluation in a run", "The best one", digest="17844e392739")
def test_the_best_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([3.0, 4.0, 2.0, 2.5])
    monkeypatch.setattr(run, "mean_loss", lambda *_: {"loss": next(losses)})
    best = {"eval": {"metric_for_best": "loss"}}
    result = training_runs.run(tmp_path, settings(tmp_path / "run", VAL, best, eval_steps=1))
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["checkpoint-1", "checkpoint-3", "checkpoint-4"]
    assert result.best == tmp_path / "run/checkpoint-3"


# ---------------------------------------------------------------------------------------------------- where it starts


@contextmanager
def expanded() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out"
        assert command(["expand-vocab", str(model_samples.folder(coords=False)), str(out)]) == 0
        yield out


@scenario("stage1-training", "Checkpoints to start from", "Expanded", digest="a02c758df30a")
def test_expanded() -> None:
    with expanded() as out:
        old, new = load_model(model_samples.folder(coords=False)), load_model(out)
        coords = list(load_processor(out).coords.ids)
    batch = model_samples.batch(model_samples.processor(coords=False), 'a naïve 猫 {"desc": "red star"}')
    before, after = model_samples.logits(old, batch), model_samples.logits(new, batch)
    assert torch.equal(after[:, : before.shape[1]], before)
    rows = embedding_weight(new).detach()[coords]
    near = (rows[1:] - rows[:-1]).norm(dim=1)
    far = (rows[100:] - rows[:-100]).norm(dim=1)
    assert near.max() < far.min()


@scenario("stage1-training", "Checkpoints to start from", "Expanded twice", digest="a5d5f68fad95")
def test_expanded_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with expanded() as out:
        assert command(["expand-vocab", str(out), str(tmp_path / "again")]) == 2
    assert "coord tokens" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


@scenario("stage1-training", "Checkpoints to start from", "Tiny", digest="25b05e5b18d5")
def test_tiny(tmp_path: Path) -> None:
    assert command(["tiny-model", str(tmp_path / "tiny")]) == 0
    model, made = load_model(tmp_path / "tiny"), load_processor(tmp_path / "tiny")
    assert 1.5e6 < sum(weight.numel() for weight in model.parameters()) < 2.5e6
    assert made.tokenizer.decode(made.tokenizer.encode("naïve 碗 😀", add_special_tokens=False)) == "naïve 碗 😀"
