"""The data of a run: checked, measured and ready to be loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from coordspec.config.model import Config
from coordspec.errors import ContractError, InputError, Severity
from coordspec.model.checkpoint import Processor, load_config
from coordspec.train.dataset import Batches, Samples
from coordspec.train.encode import Encoder
from coordspec.train.images import ImageLimits
from coordspec.train.pack import sample_lengths
from coordspec.train.preflight import preflight, wants_preflight
from coordspec.train.ranks import rank, world
from coordspec.train.records import Records
from coordspec.train.run_dir import data_seed
from coordspec.train.stream import RankBatches, Stream
from coordspec.validate.run import Plan


@dataclass(frozen=True, slots=True)
class RunData:
    """Samples to train on and to evaluate on, the stream of the former, and the sizes of all files in bytes."""

    train: Samples
    val: Samples
    stream: Stream
    sizes: Mapping[str, int]
    pad_id: int

    def steps(self, config: Config) -> int:
        """Optimizer steps of the run; the last one of the last epoch is filled up from the epoch behind it."""
        training = config.training
        if training.max_steps > 0:
            return training.max_steps
        return -(-self.stream.rows_until(training.num_train_epochs) // rows_of_step(config))

    def loader(self, config: Config, steps: int) -> DataLoader[Any]:
        """The batches of this rank for all steps of the run, one behind the other."""
        training = config.training
        keys = RankBatches(
            self.stream,
            rows=training.per_device_train_batch_size,
            rank=rank(),
            world=world(),
            batches=steps * training.gradient_accumulation_steps,
        )
        return DataLoader(
            Batches(self.train, self.pad_id),
            batch_sampler=keys,
            collate_fn=itemgetter(0),
            num_workers=training.dataloader_num_workers,
            persistent_workers=training.dataloader_num_workers > 0,
        )


def rows_of_step(config: Config) -> int:
    """Rows of one optimizer step, over all ranks and batches."""
    training = config.training
    return training.per_device_train_batch_size * training.gradient_accumulation_steps * world()


def prepare_data(config: Config, processor: Processor, note: Callable[[str], None]) -> RunData:
    """Check the data as ``data.preflight`` says, and index it.

    Raises:
        ContractError: a record or an image is refused; every finding of the check is in it.
        InputError: a file cannot be read or there is no record to train on.
    """
    data = config.data
    encoder = Encoder(processor, load_config(Path(config.model.path)), config.template)
    paths = (*data.train, *data.val)
    if wants_preflight(data, paths):
        note(f"checking {len(paths)} contract files")
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
        sizes={path: Path(path).stat().st_size for path in paths},
        pad_id=processor.tokenizer.pad_token_id,
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
