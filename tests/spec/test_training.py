"""Bindings of what training does: the rest of coord-token-mode, training-config and public-data-pipeline."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from transformers import Qwen3VLModel

import training_runs
from coordspec.config.check import CheckOptions, check_config
from coordspec.config.sections import CoordSoftCeW1
from coordspec.coords import CoordVocab
from coordspec.errors import ContractError
from coordspec.losses import box
from coordspec.losses.stage1 import stage1_loss
from coordspec.model.forward import hidden_states
from coordspec.samples.dataset import Batches
from coordspec.spec.binding import scenario
from coordspec.train import stage1
from coordspec.train.data import prepare_data
from coordspec.train.logs import METRICS, meaning
from coordspec.train.network import batch_guard
from coordspec.train.objective import StepLoss
from coordspec.train.stage1 import Stage1
from coordspec_cli.main import cli
from coordspec_cli.main import run as command
from loss_reference import stage1_loss_from_logits
from training_runs import COORDS, checked, inputs, job, metrics, ran, settings, smallest_model, start, written

ROOT = Path(__file__).parents[2]
LORA = {"lora": {"enabled": True, "r": 2, "lora_dropout": 0.5}, "model": {"head": "coord_rows"}}
OFF: dict[str, Any] = {"custom": {"coord_tokens": {"enabled": False}, "coord_soft_ce_w1": {"enabled": False}}}
ACCUMULATED = {"max_steps": 1, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}
COORD_METRICS = {
    *("loss/coord_soft_ce", "loss/coord_w1", "loss/coord_hard_ce", "loss/coord_gate"),
    *("coord/vocab_mass", "coord/expected_bin_error"),
}


def watch(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any], Any]]:
    """Arguments and result of every Stage-1 loss from now on."""
    calls = []

    def seen(*args: Any, **kwargs: Any) -> Any:
        made = stage1_loss(*args, **kwargs)
        # copies, since weights move on with the next optimizer step
        calls.append((tuple(map(copied, args)), {name: copied(value) for name, value in kwargs.items()}, made))
        return made

    monkeypatch.setattr(stage1, "stage1_loss", seen)
    return calls


def copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


# ---------------------------------------------------------------------------------------------------- coord-token-mode


@scenario("coord-token-mode", "Opt-in loss mode", "Neither is enabled", digest="adb4e83072a8")
def test_neither_is_enabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = watch(monkeypatch)
    (line,) = ran(tmp_path, OFF, **ACCUMULATED)
    assert len(calls) == 4
    for (_, _, labels, vocab, spec), _, made in calls:
        assert vocab is spec is None
        assert (made.base_count, made.coord_count) == (int((labels != -100).sum()), 0)
    assert line["count/coord"] == 0
    assert line["loss"] == pytest.approx(line["loss/base_ce"], rel=1e-6)
    assert not COORD_METRICS & line.keys()


@scenario("coord-token-mode", "Opt-in loss mode", "Both are enabled", digest="e4841a9c13a0")
def test_both_are_enabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = watch(monkeypatch)
    (line,) = ran(tmp_path, **ACCUMULATED)
    for (_, _, labels, vocab, _), _, made in calls:
        supervised = [label for label in labels.tolist() if label != -100]
        coords = sum(label in vocab.bin_of_id for label in supervised)
        assert (made.base_count, made.coord_count) == (len(supervised) - coords, coords)
    assert line["count/coord"] > 0


@scenario("coord-token-mode", "Single forward", "Counting forwards", digest="8884da605530")
def test_counting_forwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    forward = Qwen3VLModel.forward
    monkeypatch.setattr(Qwen3VLModel, "forward", lambda *args, **kwargs: calls.append(1) or forward(*args, **kwargs))
    (line,) = ran(tmp_path, {"logging": {"tensorboard": True}}, **ACCUMULATED)
    assert len(calls) == 4
    assert line.keys() >= COORD_METRICS


@scenario("coord-token-mode", "Single forward", "One set of logits", digest="26b96f902e2a")
def test_one_set_of_logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = watch(monkeypatch)
    kept = Stage1.loss
    again = []

    def loss(self: Stage1, prepared: Any, counts: torch.Tensor) -> StepLoss:
        made = kept(self, prepared, counts)
        again.append(hidden_states(self._model, prepared.batch).detach())
        return made

    monkeypatch.setattr(Stage1, "loss", loss)
    ran(tmp_path, LORA, max_steps=2, logging_steps=2)
    # from the second step on: adapters begin as 0, whatever is dropped
    for ((hidden, head, labels, vocab, spec), kwargs, made), other in list(zip(calls, again, strict=True))[2:]:
        assert not torch.allclose(hidden, other, rtol=1e-3)
        weight = head.index_copy(0, torch.tensor(vocab.ids), kwargs["coord_rows_KD"])
        expected = stage1_loss_from_logits(hidden @ weight.T, labels, vocab, spec)
        for name in ("base_ce", "coord_soft_ce", "coord_w1", "coord_hard_ce", "coord_gate", "expected_bin_error"):
            assert getattr(made, name).item() == pytest.approx(getattr(expected, name).item(), rel=1e-4), name


SHAPES = {
    "1 x 8": {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1},
    "8 x 1": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8},
    "2 ranks x 4 x 1": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4},
}


@scenario("coord-token-mode", "Means divide once", "Same samples, other shapes", digest="82a3bb50c0d8")
def test_same_samples_other_shapes(tmp_path: Path) -> None:
    jobs = []
    for name, shape in SHAPES.items():
        config = written(tmp_path / name, settings(tmp_path / name / "run", **shape, max_steps=1, max_grad_norm=0.0))
        ranks = 2 if "ranks" in name else 1
        jobs.append(job(config, ranks=ranks, gradients=str(tmp_path / name / "gradients.pt")))
    assert all(status == 0 for ranks in start(tmp_path, jobs) for status, _, _ in ranks)
    gradients = [torch.load(tmp_path / name / "gradients.pt", weights_only=True) for name in SHAPES]
    lines = [metrics(tmp_path / name / "run")[0] for name in SHAPES]
    assert lines[0]["count/samples"] == 8
    for other, line in zip(gradients[1:], lines[1:], strict=True):
        assert line == pytest.approx(lines[0], rel=1e-6)
        assert_close(other, gradients[0], 1e-6)


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    norm = torch.stack([expected[name].norm() for name in expected]).norm()
    assert norm > 0.1
    assert torch.stack([(found[name] - expected[name]).norm() for name in expected]).norm() <= tolerance * norm


@scenario("coord-token-mode", "Means divide once", "Packing", digest="a0945545f73e")
def test_packing(tmp_path: Path) -> None:
    """All samples that fit into one row, through the objective; the row before a sample is replaced by noise, too."""
    config, _ = checked(tmp_path, settings(tmp_path / "run"))
    processor, model = training_runs.processor(), smallest_model()
    data = prepare_data(config, processor, lambda _: None)
    objective = Stage1(config, model, processor.coords, batch_guard(model, processor))

    def measured(rows: list[list[int]]) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        batches = one_row_each(data, rows)
        prepared = objective.prepare(batches, 0)
        counts = torch.stack([item.counts_C for item in prepared]).sum(0)
        model.zero_grad()
        losses = [objective.loss(item, counts).loss for item in prepared]
        for loss in losses:
            loss.backward()
        named = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
        return torch.stack(losses).sum().detach(), named, counts

    loss, gradients, counts = measured([[number] for number in range(6)])
    packed_loss, packed_gradients, packed_counts = measured([list(range(6))])
    assert packed_counts.tolist() == counts.tolist()
    assert packed_loss.item() == pytest.approx(loss.item(), rel=1e-5)
    assert_close(packed_gradients, gradients, 1e-5)


def one_row_each(data: Any, rows: list[list[int]]) -> list[Any]:
    """One micro-batch for each row."""
    return [Batches(data.train, data.pad_id)[[row]] for row in rows]


def imported_by(module: str) -> set[str]:
    """Modules of coordspec that a module imports, and those that these import, by reading their sources."""
    found: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        path = ROOT / "src" / name.replace(".", "/")
        source = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        if name in found or not source.is_file():
            continue
        found.add(name)
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("coordspec"):
                waiting |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@scenario("coord-token-mode", "No expectation and no box regression", "Nothing to call", digest="4db07c59fc3d")
def test_nothing_to_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = imported_by("coordspec.train.stage1")
    assert {"coordspec.losses.stage1", "coordspec.losses.fused", "coordspec.samples.batch"} <= found
    assert not found & {"coordspec.losses.box", "coordspec.losses.expectation", "coordspec.losses.masked"}
    sources = [ROOT / "src" / f"{name.replace('.', '/')}.py" for name in found if name.startswith("coordspec.losses")]
    text = "".join(path.read_text("utf-8") for path in sources if path.is_file())
    assert [word for word in ("smooth_l1", "giou", "ciou", "topk", "expected_unit") if word in text] == []
    expected = ran(tmp_path / "a", max_steps=1)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a box loss was called")

    for name in ("box_terms", "object_terms"):
        monkeypatch.setattr(box, name, refuse)
    assert ran(tmp_path / "b", max_steps=1) == expected


@scenario(
    "coord-token-mode",
    "No expectation and no box regression",
    "The former keys have no effect left",
    digest="1b85fa03a2cc",
)
def test_the_former_keys_have_no_effect_left(tmp_path: Path) -> None:
    for key in ("coord_loss", "coord_expectation_metrics"):
        refuse_key(tmp_path / key, key)


def refuse_key(folder: Path, key: str) -> None:
    """A run under a config with this key stops with the finding of ``check-config``, and nothing is written."""
    config = settings(folder / "run", {"model": {"path": str(folder)}})
    config["custom"] = {**config["custom"], key: {"enabled": True}}
    path = written(folder, config)
    before = sorted(folder.rglob("*"))
    trained = CliRunner().invoke(cli, ["train", str(path)], standalone_mode=False)
    found = CliRunner().invoke(cli, ["check-config", str(path)], standalone_mode=False)
    assert (trained.return_value, found.return_value) == (1, 1)
    finding = next(line for line in found.output.splitlines() if "error:" in line)
    assert f"custom.{key}" in finding
    assert finding in trained.output
    assert sorted(folder.rglob("*")) == before


@scenario("coord-token-mode", "Loss metrics", "Names", digest="4488cf6a6be0")
def test_names(tmp_path: Path) -> None:
    no_weight = {"custom": {"coord_soft_ce_w1": {"ce_weight": 0, "gate_weight": 0, "w1_weight": 0}}}
    for folder, change in (("a", {}), ("b", no_weight)):
        (line,) = ran(tmp_path / folder, change, max_steps=1)
        assert {"loss", "loss/base_ce", "count/base", "count/coord", *COORD_METRICS} <= line.keys()
        assert all(line[name] > 0 for name in COORD_METRICS)


@scenario("coord-token-mode", "Loss metrics", "The parts add up", digest="45172a96f9d6")
def test_the_parts_add_up(tmp_path: Path) -> None:
    weights = {"soft_ce_weight": 0.5, "w1_weight": 3, "ce_weight": 0.7, "gate_weight": 2}
    changes = {"custom": {"coord_soft_ce_w1": weights}}
    for line in ran(tmp_path, changes, LORA, logging_steps=2, max_steps=3):
        parts = {name: line[f"loss/coord_{name.removesuffix('_weight')}"] for name in weights if name != "ce_weight"}
        parts["ce_weight"] = line["loss/coord_hard_ce"]
        total = line["loss/base_ce"] + sum(weights[name] * value for name, value in parts.items())
        assert line["loss"] == pytest.approx(total, rel=1e-5)


@scenario("coord-token-mode", "Loss metrics", "An error that decodes nothing", digest="f891a134a225")
def test_an_error_that_decodes_nothing() -> None:
    vocab = CoordVocab(tuple(range(10, 1010)))
    logits = torch.full((2, 1010), -200.0)
    logits[0, [vocab.ids[400], vocab.ids[600]]] = 200.0
    labels = torch.tensor([-100, vocab.ids[500]])
    spec = CoordSoftCeW1()
    fused = stage1_loss(logits, torch.eye(1010), labels, vocab, spec)
    for made in (fused, stage1_loss_from_logits(logits, labels, vocab, spec)):
        assert made.expected_bin_error.item() == pytest.approx(100, rel=1e-6)


@scenario("coord-token-mode", "Loss metrics", "A metric without its page", digest="8738819b790b")
def test_a_metric_without_its_page(tmp_path: Path) -> None:
    page = (ROOT / "docs/training/METRICS_LOSSES.md").read_text("utf-8")

    def undescribed(text: str) -> list[str]:
        return [name for name in METRICS if f"`{name}`" not in text]

    assert undescribed(page) == []
    assert undescribed(page.replace("`loss/coord_w1`", "W1")) == ["loss/coord_w1"]
    assert meaning("loss/other") is None
    ran(tmp_path, max_steps=1)
    (line,) = training_runs.read_metrics(tmp_path / "run")
    assert all(name in METRICS for name in line if name != "step")


@scenario("coord-token-mode", "Retraining recipe", "The recipe is a config like any other", digest="fe6595f42fae")
def test_the_recipe_is_a_config_like_any_other(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    done = CliRunner().invoke(
        cli, ["check-config", "--no-data", str(tmp_path / "configs/stage1")], standalone_mode=False
    )
    assert done.return_value == 0, done.output
    recipes = sorted((tmp_path / "configs/stage1").glob("*.yaml"))
    assert recipes
    for path in recipes:
        made = check_config(str(path), CheckOptions(data=False))
        assert made.issues == ()
        assert made.config is not None
        custom = made.config.custom
        assert custom.trainer_variant == "stage1_sft"
        assert custom.coord_tokens.enabled
        assert custom.coord_soft_ce_w1.enabled


@scenario("coord-token-mode", "Retraining recipe", "Two runs", digest="cdf510ca2233")
def test_two_runs(tmp_path: Path) -> None:
    """The demo's recipe with the data set and the model of these tests, a few steps long."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    for name in ("a", "b"):
        config = settings(tmp_path / name, max_steps=3, save_steps=2)
        del config["custom"]
        path = tmp_path / f"{name}.yaml"
        config["data"]["val"] = [str(inputs() / "shapes/val.jsonl")]
        path.write_text(json.dumps({"extends": "configs/demo/stage1.yaml", **config}), "utf-8")
        assert command(["train", str(path)]) == 0
    found = metrics(tmp_path / "a")
    assert [line["step"] for line in found if "loss" in line] == [1, 2, 3]
    assert metrics(tmp_path / "b") == found
    for folder in ("checkpoint-3", "final"):
        origin = json.loads((tmp_path / "a" / folder / "run.json").read_text("utf-8"))
        assert origin["seeds"]["seed"] == 42
        assert origin["packages"]["torch"] == torch.__version__
        assert (tmp_path / "a" / folder / "config.yaml").is_file()


# ---------------------------------------------------------------------------------------------------- training-config


@scenario("training-config", "Training takes the checked config", "Training refuses too", digest="2dc7f364df66")
def test_training_refuses_too(tmp_path: Path) -> None:
    refuse_key(tmp_path, "coord_loss")


@scenario(
    "training-config", "Training takes the checked config", "What is shown is what is used", digest="43de473178d9"
)
def test_what_is_shown_is_what_is_used(tmp_path: Path) -> None:
    config = {**settings(tmp_path / "run"), **COORDS}
    config["training"] = {"output_dir": str(tmp_path / "run"), "max_steps": 1, "use_cpu": True}
    path = written(tmp_path, config)
    assert command(["train", str(path)]) == 0
    shown = CliRunner().invoke(cli, ["config", "show", str(path)], standalone_mode=False)
    for folder in ("checkpoint-1", "final"):
        assert (tmp_path / "run" / folder / "config.yaml").read_text("utf-8") == shown.stdout


# ------------------------------------------------------------------------------------------------ public-data-pipeline


def with_bad_line(folder: Path, **data: Any) -> Path:
    """A config whose ``train.jsonl`` has, on line 7, a sound object and one without geometry."""
    lines = (inputs() / "shapes/train.jsonl").read_text("utf-8").splitlines()
    record = json.loads(lines[6])
    record["objects"] = [{"desc": "cat", "bbox_2d": [1, 2, 3, 4]}, {"desc": "dog"}]
    lines[6] = json.dumps(record)
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    data = {"train": [str(folder / "train.jsonl")], "image_root": str(inputs() / "shapes"), **data}
    return written(folder, settings(folder / "run", {"data": data}, max_steps=6, gradient_accumulation_steps=1))


FINDING = "train.jsonl:7:"
RULE = "objects[1]: the object has no geometry (OBJ004 missing-geometry)"


@scenario("public-data-pipeline", "Training stops at a bad record", "Before the first step", digest="769c7ee4e21b")
def test_before_the_first_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = with_bad_line(tmp_path, preflight="always")
    assert command(["train", str(path)]) == 1
    error = capsys.readouterr().err
    assert FINDING in error
    assert RULE in error
    assert not (tmp_path / "run").exists()


@scenario("public-data-pipeline", "Training stops at a bad record", "In the middle of a run", digest="adfb4c89f627")
def test_in_the_middle_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []
    kept = Stage1.loss

    def loss(self: Stage1, prepared: Any, counts: torch.Tensor) -> StepLoss:
        trained.extend(place.line for place in prepared.places)
        return kept(self, prepared, counts)

    monkeypatch.setattr(Stage1, "loss", loss)
    path = with_bad_line(tmp_path, preflight="never")
    assert command(["train", str(path)]) == 1
    error = capsys.readouterr().err
    assert FINDING in error
    assert RULE in error
    assert 0 < len(trained) < 12
    assert len(trained) % 2 == 0, "whole steps of two samples"
    assert 7 not in trained
    assert len(set(trained)) == len(trained)
    assert not list((tmp_path / "run").glob("checkpoint-*"))


@scenario(
    "public-data-pipeline", "Training stops at a bad record", "No payload of the good half", digest="09cfc55162c4"
)
def test_no_payload_of_the_good_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, _ = checked(tmp_path / "sound", settings(tmp_path / "run"))
    with_bad_line(tmp_path)
    bad = config.model_copy(
        update={
            "data": config.data.model_copy(
                update={
                    "train": (str(tmp_path / "train.jsonl"),),
                    "image_root": str(inputs() / "shapes"),
                    "preflight": "never",
                }
            )
        }
    )
    data = prepare_data(bad, training_runs.processor(), lambda _: None)
    rendered = []
    monkeypatch.setattr(
        "coordspec.samples.encode.ground_truth_target", lambda record, *_, **__: rendered.append(record)
    )
    with pytest.raises(ContractError, match=r"train\.jsonl:7: objects\[1\]: the object has no geometry \(OBJ004\)"):
        data.train[6]
    assert rendered == []


@scenario("public-data-pipeline", "Training stops at a bad record", "The documentation", digest="a8d9d55ca637")
def test_the_documentation() -> None:
    page = (ROOT / "docs/data/JSONL_CONTRACT.md").read_text("utf-8")
    assert "Training refuses such objects too, by the rules in the tables of this page" in page
    for code in ("OBJ001", "OBJ004", "OBJ005", "GEO001", "GEO002"):
        assert f"[{code}]" in page
