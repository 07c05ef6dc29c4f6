"""What the tests of training share: a small data set, a tiny model, configs, and runs whose metrics can be compared."""

from __future__ import annotations

import atexit
import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
import torch
import yaml
from transformers import Qwen3VLForConditionalGeneration

from coordspec.config.check import check_config
from coordspec.config.model import Config
from coordspec.config.show import show_yaml
from coordspec.model.checkpoint import save_checkpoint
from coordspec.run_files import read_metrics
from coordspec.shapes.dataset import DatasetSpec, write_dataset
from coordspec.shapes.scene import SceneSpec
from coordspec.train import trainer
from coordspec.train.data import RunData, prepare_data
from coordspec.train.run import Listener, RunResult, train
from limits import HANG_S
from model_samples import model, processor

gc.freeze()  # accelerate collects garbage again and again, and what is imported is none
SILENT = Listener(note=lambda _: None, start=lambda *_: None, advance=lambda _: None, metrics=lambda *_: None)
VARYING = ("time/", "speed/", "memory/")
"""Metrics that no two runs have in common."""
COORDS: dict[str, Any] = {"custom": {"coord_tokens": {"enabled": True}, "coord_soft_ce_w1": {"enabled": True}}}


@cache
def inputs() -> Path:
    """A folder with a data set of 12 and 4 small images and a tiny model, which every test only reads."""
    path = Path(mkdtemp(prefix="coordspec-tests-"))
    atexit.register(shutil.rmtree, path)
    scenes = SceneSpec(width=64, height=64, max_shapes=2)
    write_dataset(path / "shapes", DatasetSpec({"train": 12, "val": 4}, scenes=scenes))
    (path / "model").mkdir()
    save_checkpoint(smallest_model(), processor(), path / "model", source=path)
    return path


def smallest_model(*, tied: bool = True) -> Qwen3VLForConditionalGeneration:
    """One layer of everything, 32 wide: what a step costs is then little."""
    config = model().config
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = tied
    text = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    config.text_config.update({**text, "num_key_value_heads": 2, "head_dim": 16, "rope_parameters": rope})
    vision = {"depth": 1, "hidden_size": 24, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32}
    config.vision_config.update(vision)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Qwen3VLForConditionalGeneration(config)


def settings(run: Path, *changes: Mapping[str, Any], **training: Any) -> dict[str, Any]:
    """A config: 4 steps of 2 batches of 2 samples, coord tokens on. ``changes`` go over it, ``training`` goes in it."""
    found: dict[str, Any] = {
        "model": {"path": str(inputs() / "model")},
        "data": {"train": [str(inputs() / "shapes/train.jsonl")]},
        "training": {
            "output_dir": str(run),
            "max_steps": 4,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "learning_rate": 1e-3,
            "logging_steps": 1,
            "save_steps": 100,
            "use_cpu": True,
            **training,
        },
        **COORDS,
    }
    for change in changes:
        found = merged(found, change)
    return found


def merged(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(base)
    for key, value in over.items():
        both[key] = (
            merged(base[key], value) if isinstance(value, Mapping) and isinstance(base.get(key), dict) else value
        )
    return both


def written(folder: Path, found: Mapping[str, Any]) -> Path:
    """The file of a config."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(dict(found)), "utf-8")
    return path


def checked(folder: Path, found: Mapping[str, Any]) -> tuple[Config, str]:
    """A config as ``coordspec train`` takes it, and the resolved text."""
    made = check_config(str(written(folder, found)))
    assert made.config is not None, [str(issue) for issue in made.issues]
    return made.config, show_yaml(made.config, made.resolved)


def prepared_data(folder: Path, *changes: Mapping[str, Any]) -> RunData:
    """The data of a run."""
    config, _ = checked(folder, settings(folder / "run", *changes))
    return prepare_data(config, processor(), lambda _: None)


def run(folder: Path, found: Mapping[str, Any], *, resume: bool = False) -> RunResult:
    """Train in this process."""
    config, resolved = checked(folder, found)
    return train(config, resolved, SILENT, resume=resume)


def ran(folder: Path, *changes: Mapping[str, Any], **training: Any) -> list[dict[str, float]]:
    """Train in this process, in ``folder/run``; the metrics."""
    run(folder, settings(folder / "run", *changes, **training))
    return metrics(folder / "run")


def metrics(run_dir: Path) -> list[dict[str, float]]:
    """What a run logged, but for what no two runs have in common."""
    lines = read_metrics(run_dir)
    return [{name: value for name, value in line.items() if not name.startswith(VARYING)} for line in lines]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a folder's safetensors."""
    from safetensors.torch import load_file

    found: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= load_file(file)
    return found


PARTS: dict[str, Callable[[str], bool]] = {
    "vision": lambda name: name.startswith("model.visual.") and "merger" not in name,
    "projector": lambda name: "merger" in name,
    "language": lambda name: name.startswith("model.language_model.") and "embed_tokens" not in name,
    "tokens": lambda name: "embed_tokens" in name or "lm_head" in name,
}
"""Which names of weights are of which part."""


def moved(folder: Path) -> dict[str, torch.Tensor]:
    """By name, which elements of the weights differ from where the run began; names without any are left out."""
    before, after = weights(inputs() / "model"), weights(folder)
    assert before.keys() == after.keys()
    differs = {name: before[name] != after[name] for name in before}
    return {name: mask for name, mask in differs.items() if mask.any()}


def break_off(patched: pytest.MonkeyPatch, step: int) -> None:
    """Break runs off behind a step, as a kill does: nothing is tidied up."""
    kept = trainer.CoordTrainer._maybe_log_save_evaluate

    def deadly(self: Any, *args: Any, **kwargs: Any) -> None:
        kept(self, *args, **kwargs)
        if self.state.global_step == step:
            raise KeyboardInterrupt

    patched.setattr(trainer.CoordTrainer, "_maybe_log_save_evaluate", deadly)


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
        timeout=HANG_S,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def job(config: Path, **changes: Any) -> dict[str, Any]:
    unset = dict.fromkeys(("die", "gradients", "texts", "dump", "spoil"))
    return {"config": str(config), "resume": False, "ranks": 1, **unset, **changes}


def torchrun(folder: Path, config: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """``coordspec train`` under torchrun with two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, "-m", "coordspec_cli", "train", str(config), *options],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG_S,
    )
