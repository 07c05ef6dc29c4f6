"""The records of contract files in any order, each held to the rules of ``coordspec validate`` when it is asked for."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from coordspec.errors import ContractError, InputError, Place
from coordspec.jsonl.inputs import COMPRESSED
from coordspec.record import Record, record_of_line

# ---------------------------------------------------------------- where lines are


Offsets: TypeAlias = NDArray[np.int64]

_BLOCK_BYTES: Final = 1 << 20
_LINE_FEED: Final = ord("\n")


@dataclass(frozen=True, slots=True)
class FileState:
    """What tells that a file is still the one that was indexed."""

    size: int
    modified_ns: int

    @classmethod
    def of(cls, descriptor: int) -> FileState:
        """The state of an open file."""
        status = os.fstat(descriptor)
        return cls(status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class LineIndex:
    """The lines of a file, as ``jsonl.read`` counts them: only LF ends a line, and nothing follows a last LF.

    ``bounds`` has one entry more than there are lines: line ``i`` starts at byte ``bounds[i]``, and its line feed, or
    the end of a file without a last one, stands at byte ``bounds[i + 1] - 1``. Eight bytes a line.
    """

    path: str
    bounds: Offsets
    state: FileState

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def span(self, number: int) -> tuple[int, int]:
        """Offset and length of a line in bytes, without its line feed; ``number`` counts from 0."""
        start, end = self.bounds[number : number + 2].tolist()
        return start, end - start - 1


def index_lines(path: str, max_lines: int | None = None) -> LineIndex:
    """Find the lines of a plain file, or the first ``max_lines`` of them, with one look at every byte.

    Raises:
        InputError: the file cannot be read, is compressed, or changes while it is read.
    """
    if path.endswith(COMPRESSED):
        raise InputError(path, "is compressed, and training draws lines in any order; decompress it first")
    if not Path(path).is_file():
        raise InputError(path, "no such file" if not Path(path).exists() else "is no plain file")
    try:
        with Path(path).open("rb", buffering=0) as stream:
            state = FileState.of(stream.fileno())
            bounds = _bounds(stream.fileno(), state.size, max_lines)
            if FileState.of(stream.fileno()) != state:
                raise InputError(path, "was written to while it was being read")
    except OSError as error:
        raise InputError(path, error.strerror or str(error)) from error
    return LineIndex(path, bounds, state)


def _bounds(descriptor: int, size: int, max_lines: int | None) -> Offsets:
    """Starts of the lines in the first ``size`` bytes, and the offset behind the last one's line feed."""
    found: list[Offsets] = [np.zeros(1, dtype=np.int64)]
    lines = offset = 0
    while offset < size and (max_lines is None or lines < max_lines):
        data = os.pread(descriptor, _BLOCK_BYTES, offset)
        if not data:
            break
        ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == _LINE_FEED)
        found.append(ends + (offset + 1))
        lines += len(ends)
        offset += len(data)
    bounds = np.concatenate(found)
    if bounds[-1] < offset:
        bounds = np.append(bounds, size + 1)  # as if the last line had a line feed
    return bounds if max_lines is None else bounds[: max_lines + 1].copy()


# ---------------------------------------------------------------- records


class RecordFile:
    """A file's records by their index from 0, each read from disk when it is asked for.

    It holds no line, only where lines are, and no open file, so that it can be given to other processes.
    """

    def __init__(self, lines: LineIndex, max_line_bytes: int) -> None:
        self.lines = lines
        self.max_line_bytes = max_line_bytes

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, number: int) -> Record:
        """
        Raises:
            ContractError: the line breaks a rule at error level; all such findings of it, with file and line.
            InputError: the file cannot be read, or is another one than was indexed.
            IndexError: there is no such record.
        """
        number = range(len(self))[number]
        found = record_of_line(*self._read(number), self.max_line_bytes, self.place(number))
        if isinstance(found, Record):
            return found
        raise ContractError(found.issues)

    def place(self, number: int) -> Place:
        """File and line of a record."""
        return Place(self.lines.path, number + 1, byte_offset=self.lines.span(number)[0])

    def _read(self, number: int) -> tuple[bytes, int]:
        """The bytes of a line, cut where it is longer than any legal one, and its length."""
        path = self.lines.path
        start, length = self.lines.span(number)
        try:
            with Path(path).open("rb", buffering=0) as stream:
                data = os.pread(stream.fileno(), min(length, self.max_line_bytes), start)
                state = FileState.of(stream.fileno())
        except OSError as error:
            raise InputError(path, error.strerror or str(error)) from error
        if state != self.lines.state:
            raise InputError(path, "has changed since training started; stop writing to it and start again")
        return data, length


class Records:
    """The records of several files, one file after the other, as one sequence."""

    def __init__(self, files: Sequence[RecordFile]) -> None:
        self.files = tuple(files)
        self._ends = list(accumulate(map(len, self.files)))

    @classmethod
    def of_files(cls, paths: Iterable[str], max_line_bytes: int, max_records: int | None = None) -> Records:
        """Index the files; of all records together at most the first ``max_records``.

        Raises:
            InputError: a file cannot be indexed, see ``index_lines``.
        """
        files: list[RecordFile] = []
        room = max_records
        for path in paths:
            files.append(RecordFile(index_lines(path, room), max_line_bytes))
            room = None if room is None else room - len(files[-1])
        return cls(files)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, number: int) -> Record:
        """One record; see ``RecordFile``."""
        file, inside = self._find(number)
        return file[inside]

    def place(self, number: int) -> Place:
        """File and line of a record."""
        file, inside = self._find(number)
        return file.place(inside)

    def _find(self, number: int) -> tuple[RecordFile, int]:
        number = range(len(self))[number]
        which = bisect_right(self._ends, number)
        return self.files[which], number - (self._ends[which] - len(self.files[which]))
