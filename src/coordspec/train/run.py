"""A run from a checked config to its final model: what variants differ in, what comes before a step, what is saved."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import torch
from peft import PeftModel
from torch.utils.data import Dataset
from transformers import TrainingArguments, set_seed

from coordspec.config.model import Config
from coordspec.errors import InputError
from coordspec.generate import Generator, ModelGenerator
from coordspec.generate.vllm import VllmGenerator
from coordspec.model.checkpoint import Processor, load_processor
from coordspec.ranks import FIRST, agree, leave, rank, wait, world
from coordspec.run_files import FINAL, step_of
from coordspec.samples.dataset import Batches, TaskBatches
from coordspec.samples.fingerprint import Fingerprint, fingerprint, refuse_other_preprocessing
from coordspec.train.data import RunData, prepare_data, rows_of_step
from coordspec.train.evaluation import Detection, mean_loss
from coordspec.train.logs import Logs
from coordspec.train.network import Network, batch_guard
from coordspec.train.objective import Objective
from coordspec.train.run_dir import latest, open_staging, provenance, publish, refuse_other_run, tidy, write_origin
from coordspec.train.stage1 import Stage1
from coordspec.train.stage2.objective import Stage2
from coordspec.train.stage2.rollouts import Built, TargetDump
from coordspec.train.stage2.settings import stage2_settings
from coordspec.train.stage2.step import Stage2Model
from coordspec.train.trainer import CoordTrainer, Evaluated, Hooks, training_arguments

# ---------------------------------------------------------------- variants


_Act: TypeAlias = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Variant:
    """``objective`` is trained on the ``batches`` that a data loader makes of the rows of a run.

    ``begin`` comes before the first step, and waits for no other rank; ``end`` behind the last one.
    """

    objective: Objective
    batches: Dataset[Any]
    begin: _Act
    end: _Act


def make_variant(
    config: Config, network: Network, processor: Processor, data: RunData, dump_targets: Path | None, *, resume: bool
) -> Variant:
    """The variant that a config names. ``dump_targets`` is the folder for the targets of Stage-2, None for none.

    Raises:
        InputError: the folder cannot be used, or there are no targets to dump.
    """
    if config.custom.trainer_variant == "stage1_sft":
        if dump_targets is not None:
            raise InputError(
                str(dump_targets),
                "has nothing to hold: Stage-1 trains on the ground truth, whose targets `coordspec mask DATA` shows",
            )
        return Variant(stage1(config, network, processor), Batches(data.train, data.pad_id), _pass, _pass)
    encoder = data.train.encoder
    generator = _generator(config, network, data)
    objective = Stage2(
        Stage2Model(network.plain, processor.coords, stage2_settings(config)),
        encoder,
        batch_guard(network.plain, processor),
        generator,
        _nothing if dump_targets is None else TargetDump(dump_targets, encoder.table, resume=resume).write,
        seed=config.training.seed,
        pad_id=data.pad_id,
    )
    batches = TaskBatches(data.train, keep_images=config.rollout_matching.backend == "vllm")
    if isinstance(generator, VllmGenerator):
        return Variant(objective, batches, generator.handshake, generator.close)
    return Variant(objective, batches, _pass, _pass)


def stage1(config: Config, network: Network, processor: Processor) -> Stage1:
    """The objective of Stage-1, by which every variant is measured on validation data."""
    return Stage1(config, network.plain, processor.coords, batch_guard(network.plain, processor))


def _generator(config: Config, network: Network, data: RunData) -> Generator:
    """What writes the rollouts.

    Raises:
        InputError: a server cannot follow a setting.
    """
    section, table = config.rollout_matching, data.train.encoder.table
    if section.backend == "vllm":
        assert isinstance(network.model, PeftModel), "check-config refuses a server without LoRA"
        return VllmGenerator(config, network.model, table)
    return ModelGenerator(network.model, table, section.decoding, batch=section.batch, termination=section.termination)


def _pass() -> None:
    """Nothing is to be done."""


def _nothing(built: Sequence[Built], step: int) -> None:
    """Dump no targets."""


# ---------------------------------------------------------------- the run


RESOLVED: Final = "config.yaml"
"""The resolved config, in every checkpoint."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of a run, on its first rank.

    note     what is being done, in words
    start    the step that the run starts behind, and the number of its last one
    advance  a step is done
    metrics  what was logged at a step
    facts    what is trained on what, by name, before the first step
    """

    note: Callable[[str], None]
    start: Callable[[int, int], None]
    advance: Callable[[int], None]
    metrics: Callable[[int, Mapping[str, float]], None]
    facts: Callable[[Mapping[str, str]], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended: its last step, the folder of the final model, the best checkpoint where one is looked for, and
    the last metrics on ``data.val`` where there is one.
    """

    steps: int
    final: Path
    best: Path | None
    evaluation: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Setup:
    """What the ranks agree on before the model is put to work."""

    data: RunData
    network: Network
    processor: Processor
    variant: Variant
    origin: Mapping[str, Any]
    preprocess: Fingerprint
    checkpoint: Path | None


_SILENT: Final = Listener(note=lambda _: None, start=lambda *_: None, advance=lambda _: None, metrics=lambda *_: None)


def train(
    config: Config, resolved: str, listener: Listener, *, resume: bool = False, dump_targets: Path | None = None
) -> RunResult:
    """Train as a config says.

    ``resolved`` is the text that is saved as the resolved config. With ``resume`` the run in ``training.output_dir``
    goes on from its newest checkpoint, as if it had never stopped. ``dump_targets`` is a folder for the targets of
    Stage-2, None for none.

    Raises:
        ContractError: data is refused, before the first step where ``data.preflight`` is on; every finding is in it.
        InputError: a file, checkpoint or folder cannot be used.
        NonFiniteError: a loss or a gradient is no number.
        RankError: another rank has stopped.
    """
    result = _train(config, resolved, listener if rank() == FIRST else _SILENT, resume, dump_targets)
    # The trainer goes before the ranks part. Its reducer would else be the last to hold their process group, and end it
    # with the interpreter's lock in its hands, for which a thread of the group may wait that it waits for.
    gc.collect()
    wait()
    leave()
    return result


def _train(config: Config, resolved: str, listener: Listener, resume: bool, dump_targets: Path | None) -> RunResult:
    """The run of one rank, up to its last file."""
    run_dir = Path(config.training.output_dir)
    args = training_arguments(config.training, evaluates=bool(config.data.val))  # lets the ranks meet
    with agree():
        setup = _set_up(config, args, listener, dump_targets, resume=resume)
    if rank() == FIRST:
        tidy(run_dir)
    with agree():
        setup.variant.begin()
    done = 0 if setup.checkpoint is None else step_of(setup.checkpoint)
    logs = Logs(run_dir, config.logging, listener.metrics, done) if rank() == FIRST else None

    def save(folder: Path) -> None:
        setup.network.save(folder)
        write_origin(folder, setup.origin, setup.preprocess)
        (folder / RESOLVED).write_text(resolved, encoding="utf-8")

    network, stream, variant = setup.network, setup.data.stream, setup.variant
    hooks = Hooks(
        save=save,
        load=network.load,
        log=logs.write if logs else lambda *_: None,
        advance=listener.advance,
        optimizer=network.optimizer,
        epoch_of=lambda step: stream.epochs_at(step * rows_of_step(config)),
        evaluate=_evaluation(config, setup, args.device, listener) if config.data.val else None,
    )
    loader = setup.data.loader(config, args.max_steps, variant.batches)
    trainer = CoordTrainer(network.model, args, loader, variant.objective, hooks)
    listener.facts(_facts(config, setup, args))
    listener.start(done, args.max_steps)
    trainer.train(resume_from_checkpoint=None if setup.checkpoint is None else str(setup.checkpoint))
    if rank() == FIRST:
        folder = open_staging(run_dir, FINAL)
        save(folder)
        publish(folder)
    variant.end()
    if logs:
        logs.close()
    return RunResult(args.max_steps, run_dir / FINAL, trainer.best, trainer.last_evaluation)


def _set_up(
    config: Config, args: TrainingArguments, listener: Listener, dump_targets: Path | None, *, resume: bool
) -> _Setup:
    """All that can be refused, cheapest first; sets ``args.max_steps``. Writes nothing.

    Raises:
        ContractError, InputError: see ``train``.
    """
    checkpoint = latest(Path(config.training.output_dir), resume=resume)
    template = config.template
    processor = load_processor(Path(config.model.path), min_pixels=template.min_pixels, max_pixels=template.max_pixels)
    data = prepare_data(config, processor, listener.note)
    args.max_steps = data.steps(config)
    origin = provenance(config, world(), args.max_steps) if rank() == FIRST else {}
    preprocess = fingerprint(processor, template)
    if config.custom.trainer_variant != "stage1_sft":
        refuse_other_preprocessing(Path(config.model.path), preprocess)
    if rank() == FIRST and checkpoint is not None:
        refuse_other_run(checkpoint, origin, preprocess)
    listener.note(f"loading {config.model.path}")
    set_seed(config.training.seed)
    network = Network(config, processor)
    variant = make_variant(config, network, processor, data, dump_targets, resume=resume)
    return _Setup(data, network, processor, variant, origin, preprocess, checkpoint)


def _facts(config: Config, setup: _Setup, args: TrainingArguments) -> dict[str, str]:
    """What a person wants to know of a run before its first step. Tokens are known where packing measured them."""
    data, parameters = setup.data, list(setup.network.model.parameters())
    total = sum(parameter.numel() for parameter in parameters)
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    facts = {"records": f"{len(data.train):,} to train on, {len(data.val):,} to evaluate on"}
    if data.tokens is not None:
        facts["tokens"] = f"{data.tokens:,} to train on"
    return facts | {
        "steps": f"{args.max_steps:,} of {rows_of_step(config)} rows",
        "parameters": f"{trained:,} of {total:,} are trained",
        "device": f"{args.device}, {world()} process{'es' * (world() > 1)}",
        "folder": config.training.output_dir,
    }


def _evaluation(config: Config, setup: _Setup, device: torch.device, listener: Listener) -> Callable[[], Evaluated]:
    """What is measured on ``data.val``, by names that begin with ``eval/``; the loss is that of Stage-1, for all."""
    model, best = setup.network.model, config.eval.metric_for_best
    objective = stage1(config, setup.network, setup.processor)
    detection = Detection(config, model, setup.data.val) if config.eval.generate else None

    def evaluate() -> Evaluated:
        listener.note("evaluating")
        found = dict(mean_loss(objective, model, setup.data.val_loader(config), device))
        score = -found["loss"] if best == "loss" else None
        if detection is not None:
            found |= detection.run(device)
        if best is not None and best != "loss":
            score = found.get(best)
        return Evaluated({f"eval/{name}": value for name, value in found.items()}, score)

    return evaluate
