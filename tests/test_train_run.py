"""A run in one process: one forward a batch, what is trained, what is logged, what is written, what is refused."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLModel

import training_runs
from coordspec.errors import ContractError, InputError
from coordspec.model.lora import merge_saved_adapter
from coordspec.train import network, run, trainer
from coordspec.train.batch_guard import BatchGuard
from coordspec.train.checkpoints import checkpoints, publish, rotate, tidy
from coordspec.train.finite import NonFiniteError
from coordspec.train.metrics import METRICS, meaning
from coordspec.train.stage1 import Stage1
from training_runs import checked, inputs, merged, metrics, processor, ran, settings, weights

VAL = {"data": {"val": [str(inputs() / "shapes/val.jsonl")]}}
LORA = {"lora": {"enabled": True, "r": 2, "lora_dropout": 0.3}, "model": {"head": "coord_rows"}}
PAGE = Path(__file__).parents[1] / "docs/training/METRICS_LOSSES.md"


@pytest.fixture
def broken_off(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Break runs off behind a step, as a kill does: nothing is tidied up."""

    def at(step: int) -> None:
        kept = trainer.CoordTrainer._maybe_log_save_evaluate

        def deadly(self: Any, *args: Any, **kwargs: Any) -> None:
            kept(self, *args, **kwargs)
            if self.state.global_step == step:
                raise KeyboardInterrupt

        monkeypatch.setattr(trainer.CoordTrainer, "_maybe_log_save_evaluate", deadly)

    return at


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


def test_two_runs_with_one_seed_are_equal_in_every_step(tmp_path: Path) -> None:
    first = ran(tmp_path / "a", LORA, dataloader_num_workers=0)
    assert ran(tmp_path / "b", LORA, dataloader_num_workers=0) == first
    assert ran(tmp_path / "c", LORA, seed=7) != first
    assert [line["step"] for line in first] == [1, 2, 3, 4]


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


@pytest.mark.parametrize("kind", ["lora and workers", "packed"])
def test_a_run_that_is_broken_off_goes_on_as_if_it_were_not(
    kind: str, tmp_path: Path, broken_off: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = {"data": {"packing": True, "pack_length": 256}, "template": {"max_length": 256}}
    changes: dict[str, Any] = packed if kind == "packed" else LORA
    workers = {"dataloader_num_workers": 1} if kind != "packed" else {}
    expected = ran(tmp_path / "whole", changes, save_steps=2)
    with monkeypatch.context():
        broken_off(3)
        with pytest.raises(KeyboardInterrupt):
            ran(tmp_path / "broken", changes, save_steps=2, **workers)
    monkeypatch.undo()
    assert [line["step"] for line in metrics(tmp_path / "broken/run")] == [1, 2, 3]
    training_runs.run(tmp_path / "broken", settings(tmp_path / "broken/run", changes, save_steps=2), resume=True)
    assert metrics(tmp_path / "broken/run") == expected
    final, whole = weights(tmp_path / "broken/run/final"), weights(tmp_path / "whole/run/final")
    assert [name for name in whole if not torch.equal(final[name], whole[name])] == []


# ---------------------------------------------------------------------------------------------------- what is trained


PARTS = {
    "vision": lambda name: name.startswith("model.visual.") and "merger" not in name,
    "projector": lambda name: "merger" in name,
    "language": lambda name: name.startswith("model.language_model.") and "embed_tokens" not in name,
    "tokens": lambda name: "embed_tokens" in name or "lm_head" in name,
}


def changed(folder: Path) -> dict[str, torch.Tensor]:
    """By name, which elements of the weights the run has changed; names without any are left out."""
    before, after = weights(inputs() / "model"), weights(folder / "run/final")
    assert before.keys() == after.keys()
    differs = {name: before[name] != after[name] for name in before}
    return {name: mask for name, mask in differs.items() if mask.any()}


@pytest.mark.parametrize("part", ["vision", "projector", "language"])
def test_frozen_parts_stay_as_they_are(part: str, tmp_path: Path) -> None:
    ran(tmp_path, {"model": {f"freeze_{part}": True}}, max_steps=1)
    moved = changed(tmp_path)
    for other, belongs in PARTS.items():
        assert any(belongs(name) for name in moved) is (other != part)


@pytest.mark.parametrize("coords", [True, False])
@pytest.mark.parametrize("head", ["full", "coord_rows", "frozen"])
def test_rows_of_the_head(head: str, coords: bool, tmp_path: Path) -> None:
    off = {"custom": {"coord_tokens": {"enabled": False}, "coord_soft_ce_w1": {"enabled": False}}}
    ran(tmp_path, {"model": {"head": head}}, {} if coords else off, max_steps=1, weight_decay=0.1)
    moved = changed(tmp_path)
    rows = [mask.any(1) for name, mask in moved.items() if PARTS["tokens"](name)]
    if head == "frozen":
        assert not rows
        return
    (moved_rows,) = rows
    is_coord = torch.zeros_like(moved_rows)
    is_coord[list(processor().coords.ids)] = True
    assert moved_rows[is_coord].all()
    assert bool(moved_rows[~is_coord].any()) is (head == "full")


def test_rates_of_parts(tmp_path: Path) -> None:
    """A rate of 0 keeps a part as it is, which tells the groups apart."""
    for name, part in (("vision_learning_rate", "vision"), ("projector_learning_rate", "projector")):
        ran(tmp_path / part, max_steps=1, **{name: 0.0})
        moved = changed(tmp_path / part)
        assert {other: any(map(belongs, moved)) for other, belongs in PARTS.items()} == {
            other: other != part for other in PARTS
        }
    ran(tmp_path / "coord", max_steps=1, coord_learning_rate=0.0)
    (rows,) = (mask.any(1) for name, mask in changed(tmp_path / "coord").items() if PARTS["tokens"](name))
    assert not rows[list(processor().coords.ids)].any()
    assert rows.any()


def test_adapters_and_coord_rows_are_trained_saved_and_merged(tmp_path: Path) -> None:
    ran(tmp_path, LORA, max_steps=2)
    final = tmp_path / "run/final"
    saved = weights(final)
    assert all("lora_" in name or "token_adapter" in name for name in saved)
    assert any(saved[name].any() for name in saved if "lora_B" in name)
    merge_saved_adapter(final, tmp_path / "merged")
    before, after = weights(inputs() / "model"), weights(tmp_path / "merged")
    moved = {name: before[name] != after[name] for name in before if not torch.equal(before[name], after[name])}
    (rows,) = (mask.any(1) for name, mask in moved.items() if PARTS["tokens"](name))
    assert rows.nonzero().flatten().tolist() == sorted(processor().coords.ids)
    assert (tmp_path / "merged/preprocess.json").read_text() == (final / "preprocess.json").read_text()


# ---------------------------------------------------------------------------------------------------- what stops it


def test_every_batch_goes_past_the_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    kept = BatchGuard.check

    def check(self: BatchGuard, batch: Any) -> None:
        seen.append(batch)
        if len(seen) == 3:
            batch.labels_BT[0, 0] = 5
        kept(self, batch)

    monkeypatch.setattr(BatchGuard, "check", check)
    with pytest.raises(ContractError, match=r"train\.jsonl:\d+: .*MSK05"):
        ran(tmp_path, max_steps=2)
    assert len(seen) == 3
    assert [line["step"] for line in metrics(tmp_path / "run")] == [1]


def rig(monkeypatch: pytest.MonkeyPatch, change: Callable[[nn.Module], None]) -> None:
    """Have the model of a run changed before it is trained."""

    class Rigged(network.Network):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            change(self.plain)

    monkeypatch.setattr(run, "Network", Rigged)


def nan_weight(model: nn.Module) -> None:
    with torch.no_grad():
        next(model.parameters())[0] = math.nan


def nan_gradient(model: nn.Module) -> None:
    next(model.parameters()).register_hook(lambda gradient: gradient * math.nan)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("max_grad_norm", [1.0, 0.0])
@pytest.mark.parametrize(("change", "what"), [(nan_weight, "loss"), (nan_gradient, "gradient")])
def test_what_is_not_finite_stops_the_run_and_names_the_samples(
    change: Callable[[nn.Module], None],
    what: str,
    max_grad_norm: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig(monkeypatch, change)
    with pytest.raises(NonFiniteError) as caught:
        ran(tmp_path, max_steps=2, max_grad_norm=max_grad_norm)
    train = inputs() / "shapes/train.jsonl"
    message = str(caught.value)
    assert message.startswith(
        f"the {what} of step 1 is not finite, so nothing was learnt from it; its samples are {train}:"
    )
    assert message.count(str(train)) == 4
    assert metrics(tmp_path / "run") == []


def test_only_the_samples_of_the_batch_at_fault_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Stage1.loss
    calls: list[Any] = []

    def loss(self: Any, prepared: Any, counts: Any) -> Any:
        calls.append(prepared.places)
        made = kept(self, prepared, counts)
        return made._replace(loss=made.loss * math.inf) if len(calls) == 2 else made

    monkeypatch.setattr(Stage1, "loss", loss)
    with pytest.raises(NonFiniteError) as caught:
        ran(tmp_path, max_steps=1)
    assert str(caught.value).endswith("its samples are " + ", ".join(map(str, calls[1])))


# ---------------------------------------------------------------------------------------------------- logs


def test_every_logged_name_is_described(tmp_path: Path) -> None:
    evaluated = {"eval": {"generate": True, "max_new_tokens": 8, "iou_thresholds": [0.5, 0.75]}}
    made = ran(tmp_path, VAL, evaluated, {"logging": {"tensorboard": True}}, max_steps=2, eval_steps=1)
    names = {name for line in training_runs.read_metrics(tmp_path / "run") for name in line} - {"step"}
    assert all(meaning(name) for name in names)
    page = PAGE.read_text("utf-8")
    assert [name for name in METRICS if f"`{name}`" not in page] == []
    patterns = {name if name in METRICS else "eval/f1@IOU" for name in names}
    undefined = {"eval/precision"}  # nothing is predicted by such a model
    assert patterns | undefined == METRICS.keys()
    assert logged_for_tensorboard(tmp_path / "run/tensorboard") == names
    assert [(line["step"], "loss" in line) for line in made] == [(1, True), (1, False), (2, True), (2, False)]


def logged_for_tensorboard(folder: Path) -> set[str]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return set(events.Tags()["scalars"])


def test_a_line_is_the_mean_over_its_steps(tmp_path: Path) -> None:
    every = ran(tmp_path / "a")
    first, last = ran(tmp_path / "b", logging_steps=3)
    assert (first["step"], last["step"]) == (3, 4), "the last steps are logged, whatever the interval is"
    assert first["loss"] == pytest.approx(sum(line["loss"] for line in every[:3]) / 3)
    assert first["count/tokens"] == pytest.approx(sum(line["count/tokens"] for line in every[:3]) / 3)
    assert last == every[3]


def test_evaluation_does_not_depend_on_batches(tmp_path: Path) -> None:
    made = [
        ran(tmp_path / str(size), VAL, max_steps=1, per_device_eval_batch_size=size, dataloader_num_workers=workers)[-1]
        for size, workers in ((1, 0), (3, 1))
    ]
    assert made[0] == pytest.approx(made[1], rel=1e-6)
    assert made[0]["eval/loss"] > 1


def test_evaluating_changes_no_step(tmp_path: Path) -> None:
    generated = {"eval": {"generate": True, "max_new_tokens": 4}}
    lines = ran(tmp_path / "a", LORA, VAL, generated, eval_steps=1, per_device_eval_batch_size=2)
    assert [line for line in lines if "loss" in line] == ran(tmp_path / "b", LORA)


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


def test_a_better_model_is_saved_between_the_intervals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([3.0, 4.0, 2.0, 2.5])
    monkeypatch.setattr(run, "mean_loss", lambda *_: {"loss": next(losses)})
    ran(tmp_path, VAL, {"eval": {"metric_for_best": "loss"}}, eval_steps=1)
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["checkpoint-1", "checkpoint-3", "checkpoint-4"]


def test_a_checkpoint_says_where_it_comes_from(tmp_path: Path) -> None:
    config, resolved = checked(tmp_path, settings(tmp_path / "run", max_steps=1))
    run.train(config, resolved, training_runs.SILENT)
    for folder in (tmp_path / "run/checkpoint-1", tmp_path / "run/final"):
        assert (folder / "config.yaml").read_text() == resolved
        origin = json.loads((folder / "run.json").read_text())
        assert origin["seeds"] == {"seed": 42, "data_seed": 42}
        assert {"torch", "transformers", "peft", "coordspec"} <= origin["packages"].keys()
        assert {"rules.yaml", "masks.yaml"} <= origin["contracts"].keys()
        assert list(origin["data"]) == list(config.data.train)
        assert json.loads((folder / "preprocess.json").read_text())["user_prompt"] == config.template.user_prompt
    assert not (tmp_path / "run/final/optimizer.pt").exists()


def resumed(folder: Path, *changes: dict[str, Any], **training: Any) -> str:
    """The message with which going on under changed settings is refused."""
    with pytest.raises(InputError) as caught:
        training_runs.run(folder, settings(folder / "run", *changes, **training), resume=True)
    return str(caught.value)


def test_another_run_is_not_resumed(tmp_path: Path) -> None:
    training_runs.run(tmp_path, settings(tmp_path / "run", max_steps=2, save_steps=1))
    refused = f"{tmp_path}/run/checkpoint-2: is not of this run, so resuming would not continue it: "
    same = {"max_steps": 2, "save_steps": 1}
    assert (
        resumed(tmp_path, **{**same, "learning_rate": 0.5}) == refused + "training.learning_rate was 0.001 and is 0.5"
    )
    assert resumed(tmp_path, **{**same, "max_steps": 3}) == (
        refused + "training.max_steps was 2 and is 3; steps was 2 and is 3"
    )
    prompt = {"template": {"user_prompt": "Where?"}}
    assert resumed(tmp_path, prompt, **same).endswith(f'; user_prompt was {json.dumps(DEFAULT_PROMPT)} and is "Where?"')
    copy = tmp_path / "copy.jsonl"
    lines = (inputs() / "shapes/train.jsonl").read_text().splitlines(keepends=True)
    copy.write_text("".join(lines))
    moved = {"data": {"train": [str(copy)], "image_root": str(inputs() / "shapes")}}
    assert "data.train was" in resumed(tmp_path, moved, **same)
    training_runs.run(tmp_path / "own", settings(tmp_path / "own/run", moved, **same))
    copy.write_text("".join(reversed(lines)))
    assert f"continue it: data.{copy} was " in resumed(tmp_path / "own", moved, **same)
    kept = settings(tmp_path / "run", **{**same, "save_steps": 7, "save_total_limit": 3, "logging_steps": 1})
    assert training_runs.run(tmp_path, kept, resume=True).steps == 2


DEFAULT_PROMPT = training_runs.Config.model_fields["template"].get_default(call_default_factory=True).user_prompt


def test_a_folder_with_something_in_it_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("mine")
    with pytest.raises(InputError) as caught:
        ran(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/run: is not empty, and a run never replaces anything; continue it with --resume, or name another "
        "training.output_dir"
    )
    with pytest.raises(InputError, match="does not exist, so there is nothing to resume; start without --resume"):
        training_runs.run(tmp_path, settings(tmp_path / "other"), resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"/file: is a file; name a folder as training\.output_dir"):
        training_runs.run(tmp_path, settings(tmp_path / "file"))


def test_other_variants_are_refused(tmp_path: Path) -> None:
    other = merged(settings(tmp_path / "run"), {"custom": {"trainer_variant": "rollout_matching_sft"}})
    with pytest.raises(InputError) as caught:
        training_runs.run(tmp_path, other)
    assert str(caught.value) == (
        "custom.trainer_variant: rollout_matching_sft cannot be trained by this version; stage1_sft can"
    )


def folders(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir()
        (root / name / "model.safetensors").write_text(name)


def test_leftovers_of_a_killed_run_are_tidied_away(tmp_path: Path) -> None:
    folders(tmp_path, ".writing-checkpoint-3", ".deleting-checkpoint-1", ".replaced-checkpoint-2", "checkpoint-2")
    folders(tmp_path, ".replaced-final", "final-notes", "checkpoint-x")
    tidy(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-x", "final", "final-notes"]
    assert (tmp_path / "checkpoint-2/model.safetensors").read_text() == "checkpoint-2"
    assert checkpoints(tmp_path) == [tmp_path / "checkpoint-2"]


def test_publishing_replaces_a_whole_folder(tmp_path: Path) -> None:
    folders(tmp_path, ".writing-checkpoint-2", "checkpoint-2")
    assert publish(tmp_path / ".writing-checkpoint-2") == tmp_path / "checkpoint-2"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-2"]
    assert (tmp_path / "checkpoint-2/model.safetensors").read_text() == ".writing-checkpoint-2"


@pytest.mark.parametrize(
    ("limit", "best", "left"),
    [
        (None, None, [2, 4, 10, 12]),
        (2, None, [10, 12]),
        (2, 2, [2, 12]),
        (1, 4, [4, 12]),
        (1, 12, [12]),
        (9, 2, [2, 4, 10, 12]),
    ],
)
def test_rotation(limit: int | None, best: int | None, left: list[int], tmp_path: Path) -> None:
    folders(tmp_path, "checkpoint-2", "checkpoint-10", "checkpoint-4", "checkpoint-12")
    rotate(tmp_path, limit, None if best is None else tmp_path / f"checkpoint-{best}")
    assert [path.name for path in checkpoints(tmp_path)] == [f"checkpoint-{step}" for step in left]
