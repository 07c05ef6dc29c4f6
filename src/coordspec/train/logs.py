"""Where the metrics of a run go: ``metrics.jsonl``, TensorBoard, and whoever listens."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from coordspec.config.results import Logging
from coordspec.run_files import METRICS, read_metrics
from coordspec.train.metrics import meaning

TENSORBOARD: Final = "tensorboard"


class Logs:
    """The logs of a run on its first rank. A run that is resumed goes on in them behind the step it resumes from."""

    def __init__(
        self, run_dir: Path, logging: Logging, listen: Callable[[int, Mapping[str, float]], None], after_step: int
    ) -> None:
        """Lines of steps behind ``after_step``, which a killed run has left, are dropped: they will come again."""
        self._listen = listen
        self._jsonl = run_dir / METRICS if logging.jsonl else None
        if self._jsonl is not None:
            run_dir.mkdir(parents=True, exist_ok=True)
            _cut(self._jsonl, after_step)
        self._writer = None
        if logging.tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 (slow to load, and off by default)

            self._writer = SummaryWriter(str(run_dir / TENSORBOARD), purge_step=after_step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log the values of a step; every name is one of ``METRICS``."""
        unknown = [name for name in values if meaning(name) is None]
        assert not unknown, f"without a line in METRICS: {unknown}"
        if self._jsonl is not None:
            with self._jsonl.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"step": step, **values}) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()
        self._listen(step, values)

    def close(self) -> None:
        """Write what is still to be written."""
        if self._writer is not None:
            self._writer.close()


def _cut(path: Path, after_step: int) -> None:
    kept = [line for line in read_metrics(path.parent) if line["step"] <= after_step]
    staging = path.with_name(f".{path.name}")
    staging.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
    staging.replace(path)
