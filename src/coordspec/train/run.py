"""A run from a checked config to its final model: what happens before the first step, and what is saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from transformers import set_seed

from coordspec.config.model import Config
from coordspec.model.checkpoint import load_processor
from coordspec.train.arguments import training_arguments
from coordspec.train.checkpoints import open_staging, publish, step_of
from coordspec.train.data import prepare_data, rows_of_step
from coordspec.train.evaluation import LossEvaluation
from coordspec.train.fingerprint import fingerprint
from coordspec.train.logs import Logs
from coordspec.train.network import Network, batch_guard
from coordspec.train.ranks import FIRST, agree, rank, wait, world
from coordspec.train.run_dir import latest, provenance, refuse_other_run, write_origin
from coordspec.train.stage1 import Stage1
from coordspec.train.trainer import CoordTrainer, Hooks

FINAL: Final = "final"
"""Folder of a run with the model as its last step left it: a checkpoint to load, without the optimizer's state."""
RESOLVED: Final = "config.yaml"
"""The resolved config, in every checkpoint."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of a run, on its first rank.

    note     what is being done, in words
    start    the step that the run starts behind, and the number of its last one
    advance  a step is done
    metrics  what was logged at a step
    """

    note: Callable[[str], None]
    start: Callable[[int, int], None]
    advance: Callable[[int], None]
    metrics: Callable[[int, Mapping[str, float]], None]


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended: its last step, the folder of the final model, and metrics on ``data.val`` where there is one."""

    steps: int
    final: Path
    evaluation: Mapping[str, float]


_SILENT: Final = Listener(note=lambda _: None, start=lambda *_: None, advance=lambda _: None, metrics=lambda *_: None)


def train(config: Config, resolved: str, listener: Listener, *, resume: bool = False) -> RunResult:
    """Train as a config says.

    ``resolved`` is the text that is saved as the resolved config. With ``resume`` the run in ``training.output_dir``
    goes on from its newest checkpoint, as if it had never stopped.

    Raises:
        ContractError: data is refused, before the first step where ``data.preflight`` is on; every finding is in it.
        InputError: a file, checkpoint or folder cannot be used.
        NonFiniteError: a loss or a gradient is no number.
    """
    if rank() != FIRST:
        listener = _SILENT
    run_dir = Path(config.training.output_dir)
    args = training_arguments(config.training, evaluates=bool(config.data.val))  # lets the ranks meet
    with agree():
        checkpoint = latest(run_dir, resume=resume)
        template = config.template
        processor = load_processor(
            Path(config.model.path), min_pixels=template.min_pixels, max_pixels=template.max_pixels
        )
        data = prepare_data(config, processor, listener.note)
        args.max_steps = data.steps(config)
        origin = provenance(config, data.sizes, world(), args.max_steps)
        preprocess = fingerprint(processor, template)
        if checkpoint is not None:
            refuse_other_run(checkpoint, origin, preprocess)
        listener.note(f"loading {config.model.path}")
        set_seed(config.training.seed)
        network = Network(config, processor)
    objective = Stage1(config, network.plain, processor, batch_guard(network.plain, processor))
    done = 0 if checkpoint is None else step_of(checkpoint)
    logs = Logs(run_dir, config.logging, listener.metrics, done) if rank() == FIRST else None

    def save(folder: Path) -> None:
        network.save(folder)
        write_origin(folder, origin, preprocess)
        (folder / RESOLVED).write_text(resolved, encoding="utf-8")

    evaluation = LossEvaluation(
        data.val, objective, network.model, batch_size=config.training.per_device_eval_batch_size, pad_id=data.pad_id
    )

    def evaluate() -> tuple[Mapping[str, float], float | None]:
        listener.note("evaluating")
        means = evaluation.run(args.device)
        score = -means["loss"] if config.eval.metric_for_best == "loss" else None
        return {f"eval/{name}": value for name, value in means.items()}, score

    hooks = Hooks(
        save=save,
        load=network.load,
        log=logs.write if logs else lambda *_: None,
        advance=listener.advance,
        groups=network.groups,
        pace=network.pace,
        epoch_of=lambda step: data.stream.epochs_at(step * rows_of_step(config)),
        evaluate=evaluate,
    )
    trainer = CoordTrainer(network.model, args, data.loader(config, args.max_steps), objective, hooks)
    listener.start(done, args.max_steps)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    last = evaluate()[0] if data.val else {}
    if rank() == FIRST:
        if last:
            hooks.log(args.max_steps, last)
        folder = open_staging(run_dir, FINAL)
        save(folder)
        publish(folder)
    if logs:
        logs.close()
    wait()
    return RunResult(args.max_steps, run_dir / FINAL, last)
