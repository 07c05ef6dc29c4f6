"""What the variants of ``custom.trainer_variant`` differ in: the objective, and what is loaded for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from peft import PeftModel
from torch.utils.data import Dataset

from coordspec.config.model import Config
from coordspec.errors import InputError
from coordspec.generate import Generator, ModelGenerator
from coordspec.generate.vllm import VllmGenerator
from coordspec.model.checkpoint import Processor
from coordspec.samples.dataset import Batches
from coordspec.samples.tasks import TaskBatches
from coordspec.train.data import RunData
from coordspec.train.network import Network, batch_guard
from coordspec.train.objective import Objective
from coordspec.train.stage1 import Stage1
from coordspec.train.stage2.objective import Stage2
from coordspec.train.stage2.rollouts import Built, TargetDump
from coordspec.train.stage2.settings import stage2_settings
from coordspec.train.stage2.step import Stage2Model

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
