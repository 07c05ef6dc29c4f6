"""Training in several processes, and runs that are killed: the steps are those of one process that nobody disturbs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import training_runs
from coordspec.train.order import epoch_order
from training_runs import metrics, ran, settings, weights, written

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
    **{"max_steps": 5, "save_steps": 2, "eval_steps": 2, "logging_steps": 2, "save_total_limit": 1},
    "gradient_accumulation_steps": 1,
}
VAL = {"data": {"val": [str(training_runs.inputs() / "shapes/val.jsonl")]}}
SHAPES = {
    "1 x 8": {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1},
    "8 x 1": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 8},
    "2 ranks x 4 x 1": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4},
}


def start(folder: Path, jobs: list[dict[str, Any]]) -> Any:
    """Run jobs of ``training_jobs`` one behind the other; for each its ranks' (status, signal, message)."""
    file = folder / "jobs.json"
    file.write_text(json.dumps(jobs))
    script = Path(__file__).with_name("training_jobs.py")
    done = subprocess.run(
        [sys.executable, str(script), str(file)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def job(config: Path, **changes: Any) -> dict[str, Any]:
    return {"config": str(config), "resume": False, "ranks": 1, "die": None, "gradients": None, **changes}


# ---------------------------------------------------------------------------------------------------- killed and resumed


def test_a_killed_run_that_is_resumed_is_the_unbroken_one(tmp_path: Path) -> None:
    jobs = []
    for number, kills in enumerate(KILLS.values()):
        folder = tmp_path / str(number)
        config = written(folder, settings(folder / "run", VAL, **LONG))
        jobs += [job(config, die=kill, resume=attempt > 0) for attempt, kill in enumerate(kills)]
        jobs.append(job(config, resume=True))
    results = start(tmp_path, jobs)
    expected = ran(tmp_path / "unbroken", VAL, **LONG)
    assert [line["step"] for line in expected] == [2, 2, 4, 4, 5, 5]
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


# ---------------------------------------------------------------------------------------------------- ranks and batches


def test_loss_and_gradient_do_not_depend_on_batches_and_ranks(tmp_path: Path) -> None:
    jobs = []
    for name, shape in SHAPES.items():
        ranks = 2 if "ranks" in name else 1
        config = written(tmp_path / name, settings(tmp_path / name / "run", **shape, max_steps=1, max_grad_norm=0.0))
        jobs.append(job(config, ranks=ranks, gradients=str(tmp_path / name / "gradients.pt")))
    assert all(status == 0 for ranks in start(tmp_path, jobs) for status, _, _ in ranks)
    reference, *others = (torch.load(tmp_path / name / "gradients.pt", weights_only=True) for name in SHAPES)
    first, *rest = (metrics(tmp_path / name / "run")[0] for name in SHAPES)
    norm = first["grad_norm"]
    assert norm > 0.1
    for name, gradients, line in zip(list(SHAPES)[1:], others, rest, strict=True):
        assert line == pytest.approx(first, rel=1e-6), name
        assert gradients.keys() == reference.keys()
        difference = torch.stack([(gradients[key] - reference[key]).norm() for key in reference]).norm()
        assert difference <= 1e-6 * norm, name


def bad_data(folder: Path) -> Path:
    """12 records of which those that rank 1 loads in the second step are bad: their boxes have a bin of 1000."""
    lines = (training_runs.inputs() / "shapes/train.jsonl").read_text().splitlines()
    order = epoch_order(len(lines), 42, 0).tolist()
    for number in order[6:8]:  # 2 ranks of one batch of 2 samples: 0 to 3 are the first step, 4 and 5 are rank 0's
        record = json.loads(lines[number])
        record["objects"] = [{"desc": "cat", "bbox_2d": [1, 2, 1000, 4]}]
        lines[number] = json.dumps(record)
    path = folder / "bad.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def unchecked(data: Path) -> dict[str, Any]:
    images = str(training_runs.inputs() / "shapes")
    return {"data": {"train": [str(data)], "image_root": images, "preflight": "never"}}


def test_a_failure_of_one_rank_stops_all_of_them(tmp_path: Path) -> None:
    data = bad_data(tmp_path)
    config = written(tmp_path, settings(tmp_path / "run", unchecked(data), gradient_accumulation_steps=1))
    [[(status_0, killed_0, message_0), (status_1, killed_1, message_1)]] = start(tmp_path, [job(config, ranks=2)])
    assert (status_0, killed_0, status_1, killed_1) == (1, 0, 1, 0), message_1
    line = message_1.partition(":")[2].strip()
    assert message_1.startswith(f"ContractError: {data}:")
    assert "objects[0].bbox_2d[2]: 1000 is above the maximum 999 (GEO003)" in line
    assert message_0 == f"RankError: rank 1: {line}"
    assert [line["step"] for line in metrics(tmp_path / "run")] == [1]


def torchrun(folder: Path, config: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, "-m", "coordspec_cli", "train", str(config), *options],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_torchrun(tmp_path: Path) -> None:
    evaluated = {"eval": {"generate": True, "max_new_tokens": 4}}
    one = ran(tmp_path / "one", VAL, evaluated, max_steps=2)
    config = written(tmp_path, settings(tmp_path / "run", VAL, evaluated, max_steps=2, gradient_accumulation_steps=1))
    done = torchrun(tmp_path, config)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path}/run/final: trained for 2 steps\n")
    assert done.stdout.count("trained for") == 1
    both = metrics(tmp_path / "run")
    assert both == [pytest.approx(line, rel=1e-5) for line in one]
    assert both[0]["loss"] == pytest.approx(one[0]["loss"], rel=1e-6)
