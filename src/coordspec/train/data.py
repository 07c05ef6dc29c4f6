"""The data of a run: checked, measured and ready to be loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from coordspec.config.model import Config
from coordspec.config.sections import Data
from coordspec.config.training import Training
from coordspec.errors import ContractError, InputError, Severity
from coordspec.findings.outcome import MAX_LISTED, Outcome
from coordspec.model.checkpoint import Processor, load_config
from coordspec.ranks import FIRST, rank, world
from coordspec.samples.dataset import Batches, Samples
from coordspec.samples.encode import Encoder
from coordspec.samples.images import ImageLimits, refuse_large, root_of
from coordspec.samples.records import Records
from coordspec.samples.stream import Measure, RankBatches, Stream, sample_lengths
from coordspec.train.run_dir import data_seed
from coordspec.validate.explain import ImageCheck, ValidateOptions
from coordspec.validate.run import Plan, input_bytes, validate_files

# ---------------------------------------------------------------- before the run


def wants_preflight(data: Data, paths: Sequence[str]) -> bool:
    """Whether the files are checked before the run, by ``data.preflight``."""
    match data.preflight:
        case "always":
            return True
        case "never":
            return False
        case "auto":
            return input_bytes(paths) <= data.preflight_max_bytes


def preflight(paths: Sequence[str], data: Data, measure: Measure, plan: Plan) -> Outcome:
    """Check every record of the files as ``coordspec validate --check-images`` does, then that every sample fits.

    The second part has no findings if the first one has errors. Files are checked whole, beyond ``data.max_samples``
    too. Images are opened and their headers read; that their pixels can be decoded shows when they are drawn.
    ``plan.progress`` gets the bytes of the first part.

    Raises:
        CoordspecError: a worker process died.
        InputError: a file cannot be indexed, for example since it is compressed.
    """
    records = Records.of_files(paths, data.max_line_bytes)
    root = None if data.image_root is None else Path(data.image_root)
    options = ValidateOptions(max_line_bytes=data.max_line_bytes, images=ImageCheck(root))
    outcome = validate_files(paths, options, plan).outcome
    if outcome.errors or outcome.unreadable:
        return outcome
    limits = ImageLimits(data.max_image_pixels, data.max_image_bytes)
    refused = [error for error in _misfits(records, root, limits, measure) if error is not None]
    return _with(outcome, refused)


def _misfits(
    records: Records, root: Path | None, limits: ImageLimits, measure: Measure
) -> Iterator[ContractError | None]:
    """For each record what refuses it, or None."""
    for number in range(len(records)):
        record = records[number]
        try:
            refuse_large(record, root_of(record, root), limits)
            measure(record)
            yield None
        except ContractError as error:
            yield error


def _with(outcome: Outcome, refused: Sequence[ContractError]) -> Outcome:
    """The outcome with what was found on records that it calls valid."""
    issues = [issue for error in refused for issue in error.issues]
    listed = issues[: max(0, MAX_LISTED - outcome.errors)]
    return replace(
        outcome,
        valid=outcome.valid - len(refused),
        invalid=outcome.invalid + len(refused),
        errors=outcome.errors + len(issues),
        by_rule={**outcome.by_rule, **Counter(issue.name for issue in issues)},
        issues=(*outcome.issues, *listed),
        truncated=outcome.truncated or len(listed) < len(issues),
    )


# ---------------------------------------------------------------- for the run


@dataclass(frozen=True, slots=True)
class RunData:
    """Samples to train on and to evaluate on, and the stream of the former; ``tokens`` of all that is trained on, where
    packing had to measure them.
    """

    train: Samples
    val: Samples
    stream: Stream
    pad_id: int
    tokens: int | None

    def steps(self, config: Config) -> int:
        """Optimizer steps of the run; the last one of the last epoch is filled up from the epoch behind it."""
        training = config.training
        if training.max_steps > 0:
            return training.max_steps
        return -(-self.stream.rows_until(training.num_train_epochs) // rows_of_step(config))

    def loader(self, config: Config, steps: int, batches: Dataset[Any]) -> DataLoader[Any]:
        """The batches of this rank for all steps of the run, one behind the other; each is made of its rows."""
        training = config.training
        rows = RankBatches(
            self.stream,
            rows=training.per_device_train_batch_size,
            rank=rank(),
            world=world(),
            batches=steps * training.gradient_accumulation_steps,
        )
        return load_batches(batches, rows, training)

    def val_loader(self, config: Config) -> DataLoader[Any]:
        """The batches of this rank's share of the validation samples; every sample is in the share of one rank."""
        size = config.training.per_device_eval_batch_size
        numbers = [[number] for number in range(len(self.val))]
        rows = [[numbers[start : start + size]] for start in range(0, len(numbers), size)]
        return load_batches(Batches(self.val, self.pad_id), rows[rank() :: world()], config.training)


def load_batches(batches: Dataset[Any], rows: Iterable[list[list[list[int]]]], training: Training) -> DataLoader[Any]:
    """A loader of batches by their rows, each as a list of one key of the data set.

    It draws nothing from PyTorch's global generator, so that loading never changes what dropout does.
    """
    return DataLoader(
        batches,
        batch_sampler=rows,
        collate_fn=itemgetter(0),
        num_workers=training.dataloader_num_workers,
        generator=torch.Generator(),
        pin_memory=torch.cuda.is_available() and not training.use_cpu,
        persistent_workers=training.dataloader_num_workers > 0,
    )


def rows_of_step(config: Config) -> int:
    """Rows of one optimizer step, over all ranks and batches."""
    training = config.training
    return training.per_device_train_batch_size * training.gradient_accumulation_steps * world()


def prepare_data(config: Config, processor: Processor, note: Callable[[str], None]) -> RunData:
    """Check the data as ``data.preflight`` says, on the first rank, and index it on all.

    Raises:
        ContractError: a record or an image is refused; every finding of the check is in it.
        InputError: a file cannot be read or there is no record to train on.
    """
    data = config.data
    encoder = Encoder(processor, load_config(Path(config.model.path)), config.template)
    paths = (*data.train, *data.val)
    if rank() == FIRST and wants_preflight(data, paths):
        note(f"checking {', '.join(paths)}")
        _refuse(paths, config, encoder)
    train = _samples(data.train, config, encoder, data.max_samples)
    if not len(train):
        raise InputError(", ".join(data.train), "has no record to train on")
    lengths = None
    if data.packing:
        note(f"measuring {len(train)} samples")
        lengths = sample_lengths(train.records, encoder.count_tokens, lambda _: None)
    return RunData(
        train=train,
        val=_samples(data.val, config, encoder, data.max_val_samples),
        stream=Stream(len(train), data_seed(config), lengths, data.pack_length),
        pad_id=processor.tokenizer.pad_token_id,
        tokens=None if lengths is None else int(sum(lengths)),
    )


def _refuse(paths: Sequence[str], config: Config, encoder: Encoder) -> None:
    outcome = preflight(paths, config.data, encoder.count_tokens, Plan())
    if outcome.unreadable:
        raise outcome.unreadable[0]
    if outcome.errors:
        raise ContractError(issue for issue in outcome.issues if issue.severity is Severity.ERROR)


def _samples(paths: Sequence[str], config: Config, encoder: Encoder, limit: int | None) -> Samples:
    data = config.data
    root = None if data.image_root is None else Path(data.image_root)
    limits = ImageLimits(data.max_image_pixels, data.max_image_bytes)
    return Samples(Records.of_files(paths, data.max_line_bytes, limit), root, limits, encoder)
