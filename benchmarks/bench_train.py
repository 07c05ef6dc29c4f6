"""Where the time of a Stage-1 step goes, on the embedded default, through `coordspec train` as it is.

    python benchmarks/bench_train.py [--steps 60] [--batch 16] [--threads 1]

Two runs on drawn shapes of 64 x 64 pixels with the tiny model: one that loads its data itself, and one with a data
worker beside it. The first steps of each are left out. Parts are measured by wall clock around the functions that do
them; what the Trainer and this script add is the rest. Vision and text are forwards; the backward of both is one part.
The fused loss computes its own gradients in its forward, so it has no part in the backward.

Goals: the guard takes at most 1 % of a step. With a worker, a step waits for data for at most 5 % of its time.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import yaml
from accelerate import Accelerator
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel, Qwen3VLVisionModel

from coordspec.config.check import check_config
from coordspec.config.show import show_yaml
from coordspec.model.tiny import write_tiny_model
from coordspec.run_files import read_metrics
from coordspec.samples.batch import BatchGuard
from coordspec.shapes.dataset import DatasetSpec, write_dataset
from coordspec.shapes.scene import SceneSpec
from coordspec.train import stage1
from coordspec.train.run import Listener, train
from coordspec.train.trainer import CoordTrainer

LEFT_OUT = 10
"""First steps of a run, in which caches and allocators fill up."""
MEASURED: dict[str, tuple[Any, str]] = {
    "guards": (BatchGuard, "check"),
    "vision, forward": (Qwen3VLVisionModel, "forward"),
    "text, forward": (Qwen3VLTextModel, "forward"),
    "loss, with its gradients": (stage1, "stage1_loss"),
    "backward": (Accelerator, "backward"),
    "gradient norm": (CoordTrainer, "_clip_grad_norm"),
}


class Clock:
    """Seconds of each part, by step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self.running: defaultdict[str, float] = defaultdict(float)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.running[name] += time.perf_counter() - began

        return call

    def next(self, _: int) -> None:
        """A step is done."""
        self.steps.append(dict(self.running))
        self.running.clear()


@contextmanager
def measured(clock: Clock) -> Iterator[None]:
    with ExitStack() as stack:
        for name, (owner, attribute) in MEASURED.items():
            timed = clock.timed(name, getattr(owner, attribute))
            stack.enter_context(mock.patch.object(owner, attribute, timed))
        kept = CoordTrainer.create_optimizer

        def create(self: CoordTrainer, model: Any = None) -> Any:
            optimizer = kept(self, model)
            optimizer.step = clock.timed("optimizer", optimizer.step)
            return optimizer

        stack.enter_context(mock.patch.object(CoordTrainer, "create_optimizer", create))
        yield


def run(folder: Path, batch: int, steps: int, workers: int) -> dict[str, float]:
    """Milliseconds of each part in a step, the median of its steps; ``step`` is all of it."""
    config = {
        "model": {"path": str(folder / "model")},
        "data": {"train": [str(folder / "shapes/train.jsonl")], "preflight": "never"},
        "training": {
            "output_dir": str(folder / f"run-{workers}"),
            "max_steps": steps + LEFT_OUT,
            "per_device_train_batch_size": batch,
            "learning_rate": 1e-3,
            "logging_steps": 1,
            "save_steps": steps + LEFT_OUT,
            "use_cpu": True,
            "dataloader_num_workers": workers,
        },
        "custom": {"coord_tokens": {"enabled": True}, "coord_soft_ce_w1": {"enabled": True}},
    }
    path = folder / f"run-{workers}.yaml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    checked = check_config(str(path))
    assert checked.config is not None
    clock = Clock()
    with measured(clock):
        listener = Listener(note=lambda _: None, start=lambda *_: None, advance=clock.next, metrics=lambda *_: None)
        train(checked.config, show_yaml(checked.config, checked.resolved), listener)
    lines = read_metrics(folder / f"run-{workers}")
    rows = [
        {**parts, "data": line["time/data_s"], "step": line["time/step_s"]}
        for parts, line in zip(clock.steps, lines, strict=True)
    ][LEFT_OUT:]
    found = {name: 1000 * statistics.median(row.get(name, 0.0) for row in rows) for name in ("step", "data", *MEASURED)}
    found["optimizer"] = 1000 * statistics.median(row["optimizer"] for row in rows)
    found["rest"] = found["step"] - sum(value for name, value in found.items() if name != "step")
    found["tokens/s"] = statistics.median(line["speed/tokens_per_s"] for line in lines[LEFT_OUT:])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes = SceneSpec(width=64, height=64)
        write_dataset(folder / "shapes", DatasetSpec({"train": 512}, scenes=scenes))
        write_tiny_model(folder / "model")
        alone, helped = (run(folder, args.batch, args.steps, workers) for workers in (0, 1))
    print(f"{args.steps} steps of {args.batch} samples, {args.threads} thread(s), medians.\n")
    print("| part | no worker, ms | of the step | 1 worker, ms | of the step |\n|---|---|---|---|---|")
    for part in ("step", "data", *MEASURED, "optimizer", "rest"):
        cells = (f"{runs[part]:.2f} | {100 * runs[part] / runs['step']:.2f} %" for runs in (alone, helped))
        print(f"| {part} | {' | '.join(cells)} |")
    print(f"| tokens/s | {alone['tokens/s']:.0f} | | {helped['tokens/s']:.0f} | |\n")
    guards, waiting = alone["guards"] / alone["step"], helped["data"] / helped["step"]
    print(f"- guards: {100 * guards:.2f} % of a step; goal: at most 1 %: {'met' if guards <= 0.01 else 'missed'}")
    print(
        f"- waiting for data, 1 worker: {100 * waiting:.2f} %; goal: at most 5 %: "
        f"{'met' if waiting <= 0.05 else 'missed'}"
    )
    libraries = ", ".join(f"{package} {version(package)}" for package in ("torch", "transformers", "accelerate"))
    print(f"\n{platform.system()}, {platform.machine()}, {torch.get_num_threads()} of {os.cpu_count()} cores, "
          f"Python {platform.python_version()}, {libraries}.")  # fmt: skip


if __name__ == "__main__":
    main()
