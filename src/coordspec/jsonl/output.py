"""Where lines go: a file, written whole or not at all, compressed as its name says, or standard output."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from coordspec.jsonl.inputs import GZIP, STDIN, ZSTD
from coordspec.jsonl.write import write_whole

STDOUT = STDIN


class ByteSink(Protocol):
    """Whatever bytes can be written to."""

    def write(self, data: bytes, /) -> object: ...


@contextmanager
def open_output(path: str, *, overwrite: bool, source: str) -> Iterator[ByteSink]:
    """A binary stream to ``path``; ``.gz`` and ``.zst`` compress, ``-`` is standard output.

    A file appears only when the block ends well. Standard output cannot be taken back: whoever reads it has to look at
    the exit status.

    Raises:
        InputError: ``path`` exists and ``overwrite`` is False, it is the source, or it cannot be written to.
    """
    if path == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    sources = [] if source == STDIN else [source]
    with write_whole(Path(path), overwrite=overwrite, sources=sources) as stream:
        if path.endswith(GZIP):
            with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed:
                yield packed
        elif path.endswith(ZSTD):
            import zstandard  # noqa: PLC0415 (only where such a file is written)

            with zstandard.ZstdCompressor().stream_writer(stream, closefd=False) as packed_zst:
                yield packed_zst
        else:
            yield stream
