"""Where every line of a JSONL file starts, so that any line can be read without the others."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from coordspec.errors import InputError

Offsets: TypeAlias = NDArray[np.int64]

_BLOCK_BYTES: Final = 1 << 20
_LINE_FEED: Final = ord("\n")
_COMPRESSED: Final = (".gz", ".zst")


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
    if path.endswith(_COMPRESSED):
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
