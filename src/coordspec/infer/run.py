"""From a checkpoint and a contract file to a prediction file."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from coordspec.errors import InputError
from coordspec.generate import Answer, Ended, Generator
from coordspec.infer.answers import Answers, InferOptions, Source
from coordspec.infer.checkpoint import Checkpoint, weights_sha256
from coordspec.infer.output import open_output
from coordspec.infer.scoring import predict
from coordspec.predictions.record import Prediction
from coordspec.predictions.run import Run

_PACKAGES: Final = ("coordspec", "torch", "transformers", "tokenizers", "pillow")


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of a run: first the number of records and how many of them are done, then of each further batch."""

    start: Callable[[int, int], None]
    advance: Callable[[int], None]


@dataclass(slots=True)
class InferSummary:
    """What a run did. Of ``records`` records ``before`` were done when it began; the other counts leave those out.

    ``cut_bytes`` is the length of a half-written last line that was cut off. ``ended`` counts why answers ended.
    """

    records: int
    before: int
    cut_bytes: int
    objects: int = 0
    dropped: int = 0
    truncated: int = 0
    fallbacks: int = 0
    ended: Counter[Ended] = field(default_factory=Counter)

    def add(self, predictions: Iterable[Prediction], answers: Iterable[Answer]) -> None:
        """Count what was written."""
        for item in predictions:
            self.objects += len(item.objects)
            self.dropped += len(item.dropped)
            self.truncated += item.truncated
            self.fallbacks += item.fallback is not None
        self.ended.update(answer.ended for answer in answers)


def infer(
    checkpoint: Checkpoint,
    source: Source,
    out: Path,
    options: InferOptions,
    listener: Listener,
    *,
    overwrite: bool = False,
    generator: Generator | None = None,
) -> InferSummary:
    """Write the prediction file of a checkpoint for a contract file, or the rest of one.

    Every record is checked before the first answer. Lines are added batch by batch, in the order in which answers are
    made; each says which record it is about. A batch that was written in part is generated as a whole again, so that
    a file does not depend on where it was interrupted.

    Raises:
        ContractError: a record or an image is refused, or a line of the file that is there.
        InputError: a file cannot be used; see ``open_output``.
    """
    answers = Answers(checkpoint, source, options, generator)
    run = describe(checkpoint, source, options)
    with open_output(
        out, run, overwrite=overwrite, sources=[source.path], max_line_bytes=source.max_line_bytes
    ) as output:
        summary = InferSummary(len(answers.records), len(output.done), output.cut_bytes)
        listener.start(summary.records, summary.before)
        for numbers in answers.batches():
            missing = [number for number in numbers if number not in output.done]
            if not missing:
                continue
            found = dict(zip(numbers, answers.of(numbers), strict=True))
            predictions = [
                predict(number, answers.records[number], found[number], checkpoint.table, output.run.id)
                for number in missing
            ]
            output.write(predictions)
            summary.add(predictions, (found[number] for number in missing))
            listener.advance(len(missing))
        return summary


def describe(checkpoint: Checkpoint, source: Source, options: InferOptions) -> Run:
    """All that the predictions of a run depend on, but for rounding: batch size and device are no part of it.

    Raises:
        InputError: the data or the weights cannot be read.
    """
    settings: dict[str, Any] = {
        "decoding": options.decoding.model_dump(mode="json"),
        "termination": options.termination.model_dump(mode="json"),
        "dtype": str(checkpoint.model.dtype).removeprefix("torch."),
        "preprocess": dict(checkpoint.preprocess),
        "weights_sha256": weights_sha256(checkpoint.path),
        "data_sha256": _file_sha256(source.path),
        "max_records": source.max_records,
        "packages": {name: version(name) for name in _PACKAGES},
    }
    return Run(str(checkpoint.path), _short(checkpoint.preprocess), options.seed, settings)


def _short(preprocess: Mapping[str, Any]) -> str:
    """A fingerprint in one word."""
    return hashlib.sha256(json.dumps(dict(preprocess), sort_keys=True).encode()).hexdigest()[:16]


def _file_sha256(path: str) -> str:
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(path, error.strerror or str(error)) from error
