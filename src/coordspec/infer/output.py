"""A prediction file that grows: what a run has done stays done, and no two runs share a file."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from coordspec.errors import ContractError, InputError
from coordspec.jsonl.inputs import STDIN
from coordspec.jsonl.read import read_lines
from coordspec.jsonl.write import refuse_output
from coordspec.predictions.files import read_prediction
from coordspec.predictions.record import Prediction
from coordspec.predictions.run import Run, read_run, run_path, write_run
from coordspec.train.run_dir import changes

_COMPRESSED: Final = (".gz", ".zst")
_BLOCK_BYTES: Final = 1 << 16


@dataclass(slots=True)
class Output:
    """An open prediction file.

    ``run`` is the run that is in its lines, ``done`` are the indices of the records that have one, ``cut_bytes``
    the length of a last line that was cut off because it was only half there.
    """

    run: Run
    done: frozenset[int]
    cut_bytes: int
    _stream: IO[bytes]

    def write(self, predictions: Iterable[Prediction]) -> None:
        """Add lines; they are on disk when this returns."""
        self._stream.write("".join(item.line() + "\n" for item in predictions).encode())
        self._stream.flush()
        os.fsync(self._stream.fileno())


@contextmanager
def open_output(
    out: Path, run: Run, *, overwrite: bool, sources: Iterable[str], max_line_bytes: int
) -> Iterator[Output]:
    """Start a prediction file, or go on with it where the file beside it says that it is of the same run.

    Raises:
        InputError: the file is of another run, with all that differs, or of none that is known, and ``overwrite`` is
            False; it is one of ``sources``, compressed or standard output; another process is writing it.
        ContractError: a line of it breaks a rule.
    """
    refuse_name(out)
    if overwrite:
        refuse_output(out, overwrite=True, sources=sources)
        out.unlink(missing_ok=True)
        run_path(str(out)).unlink(missing_ok=True)
    saved = _saved_run(out)
    if saved is None:
        refuse_output(out, overwrite=False, sources=sources)
        write_run(str(out), run)
    else:
        _refuse_other(out, saved, run)
        run = saved  # the same but for the name of the checkpoint
    with _locked(out) as stream:
        cut = _cut_half_line(stream)
        yield Output(run, _done(out, run, max_line_bytes), cut, stream)


def refuse_name(out: Path) -> None:
    """
    Raises:
        InputError: a file of this name cannot be continued.
    """
    if str(out) == STDIN or out.name.endswith(_COMPRESSED):
        what = "standard output" if str(out) == STDIN else "a compressed file"
        raise InputError(str(out), f"is {what}, which an interrupted run could not continue; name a .jsonl file")


def _saved_run(out: Path) -> Run | None:
    try:
        return read_run(str(out))
    except ContractError as error:
        raise InputError(str(run_path(str(out))), f"{error.issues[0]}; pass --overwrite to start over") from error


def _refuse_other(out: Path, saved: Run, run: Run) -> None:
    was, now = ({"seed": item.seed, **item.settings} for item in (saved, run))
    found = [f"{name} was {json.dumps(old)} and is {json.dumps(new)}" for name, old, new in changes(was, now)]
    if found:
        raise InputError(
            str(out),
            f"is of another run: {'; '.join(found)}; name another output, or pass --overwrite to start over",
        )


@contextmanager
def _locked(out: Path) -> Iterator[IO[bytes]]:
    """The file, made if it is missing, for this process alone."""
    try:
        stream = out.open("a+b")
    except OSError as error:
        raise InputError(str(out), f"cannot be written: {error.strerror or error}") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(str(out), "is being written by another process") from error
        yield stream


def _cut_half_line(stream: IO[bytes]) -> int:
    """Cut off what stands behind the last line feed: a run that was killed may leave half a line."""
    size = stream.seek(0, os.SEEK_END)
    keep = size
    while keep > 0:
        start = max(0, keep - _BLOCK_BYTES)
        stream.seek(start)
        found = stream.read(keep - start).rfind(b"\n")
        keep = start if found < 0 else start + found + 1
        if found >= 0:
            break
    if keep < size:
        stream.truncate(keep)
    return size - keep


def _done(out: Path, run: Run, max_line_bytes: int) -> frozenset[int]:
    """
    Raises:
        ContractError: a line breaks a rule.
        InputError: a line is of another run, or the second one of its record.
    """
    done: set[int] = set()
    for line in read_lines(str(out), max_line_bytes):
        item = read_prediction(line, str(out), max_line_bytes)
        if item.run != run.id or item.index in done:
            fault = f"is of the run {item.run}" if item.run != run.id else f"predicts record {item.index} again"
            raise InputError(f"{out}:{line.number}", f"{fault}; somebody else has written to this file")
        done.add(item.index)
    return frozenset(done)
