"""Reading lines of plain, gzip and zstd files and of standard input, with memory bounded by the longest legal line."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, NamedTuple

from coordspec.errors import InputError
from coordspec.jsonl.inputs import GZIP, STDIN, ZSTD

BLOCK_BYTES = 1 << 17


class Block(NamedTuple):
    """Whole lines as they stand in a file.

    ``data`` ends with a line feed, but for the last block of a file without one. ``offset`` is that of its first byte.
    ``overlong`` is None, or the length of the single line that the block stands for: it was longer than the limit, and
    ``data`` is only the start of it.
    """

    data: bytes
    offset: int
    overlong: int | None = None


class Line(NamedTuple):
    """One line without its line feed; ``number`` counts from 1. ``length`` is above ``len(data)`` where it was cut."""

    data: bytes
    number: int
    offset: int
    length: int


@contextmanager
def open_bytes(path: str) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed if its name ends with .gz or .zst; ``-`` is standard input.

    Raises:
        InputError: the file cannot be opened or read, or is not compressed as its name says.
    """
    try:
        with _open(path) as stream:
            yield stream
    except OSError as error:  # gzip.BadGzipFile is one
        raise InputError(path, error.strerror or str(error)) from error
    except (EOFError, zlib.error) as error:
        raise InputError(path, f"broken {'zstd' if path.endswith(ZSTD) else 'gzip'} data: {error}") from error
    except _zstd_errors() as error:
        raise InputError(path, f"broken zstd data: {error}") from error


def _open(path: str) -> AbstractContextManager[Any]:
    if path == STDIN:
        if sys.stdin is None:
            raise InputError(path, "standard input is closed")
        return nullcontext(sys.stdin.buffer)
    if path.endswith(GZIP):
        return gzip.open(path, "rb")
    if path.endswith(ZSTD):
        return _ZstdFile(path)
    return Path(path).open("rb", buffering=0)


class _ZstdFile(AbstractContextManager["_ZstdFile"]):
    """The decompressed bytes of a zstd file of one or more frames. Unlike zstandard's readers it notices a cut end.

    Input is taken in small pieces: a block of 128 KiB may come from four bytes, so a piece makes 32 MiB at the most.
    """

    _PIECE = 1 << 10

    def __init__(self, path: str) -> None:
        import zstandard  # noqa: PLC0415 (only where such a file is read)

        self._new_frame = zstandard.ZstdDecompressor().decompressobj
        self._frame = self._new_frame()
        self._started = True
        self._input = Path(path).open("rb")  # noqa: SIM115 (closed by __exit__)
        self._rest, self._ready, self._at = b"", b"", 0

    def __exit__(self, *_: object) -> None:
        self._input.close()

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, or all; none only at the end.

        Raises:
            EOFError: the file ends inside of a frame.
            zstandard.ZstdError: the data is not zstd.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(BLOCK_BYTES), b""))
        while self._at == len(self._ready):
            piece = self._rest or self._input.read(self._PIECE)
            if not piece:
                if self._started:
                    raise EOFError("the file ends before its end-of-frame mark")
                return b""
            self._ready, self._at, self._started = self._frame.decompress(piece), 0, True
            self._rest = self._frame.unused_data
            if self._frame.eof:
                self._frame, self._started = self._new_frame(), False
        data = self._ready[self._at : self._at + size]
        self._at += len(data)
        return data


def _zstd_errors() -> tuple[type[Exception], ...]:
    loaded = sys.modules.get("zstandard")
    return (loaded.ZstdError,) if loaded else ()


def read_blocks(stream: IO[bytes], max_line_bytes: int, offset: int = 0, size: int | None = None) -> Iterator[Block]:
    """Blocks of the lines in the next ``size`` bytes of a stream that stands at ``offset``; to its end if None.

    The caller sees to it that a line starts at ``offset`` and that one ends after ``size`` bytes (``align``). A line
    longer than ``max_line_bytes`` becomes a block of its own, and little more than that many bytes are ever held.
    """
    held, left = b"", size
    while data := stream.read(BLOCK_BYTES if left is None else min(left, BLOCK_BYTES)):
        left = None if left is None else left - len(data)
        cut = data.rfind(b"\n") + 1
        if cut:
            yield Block(held + data[:cut], offset)
            offset += len(held) + cut
            held = data[cut:]
            continue
        held += data
        if len(held) > max_line_bytes:
            length, behind = _skip_line(stream, len(held), left)
            yield Block(held[:max_line_bytes], offset, overlong=length)
            left = None if left is None else left - (length - len(held)) - 1 - len(behind)
            offset += length + 1
            cut = behind.rfind(b"\n") + 1
            if cut:
                yield Block(behind[:cut], offset)
                offset += cut
            held = behind[cut:]
    if held:
        yield Block(held, offset)


def align(stream: IO[bytes], offset: int) -> int:
    """The start of the first line that starts at ``offset`` or behind it, or the end of a seekable stream."""
    if offset == 0:
        return 0
    stream.seek(offset - 1)
    position = offset - 1
    while data := stream.read(BLOCK_BYTES):
        found = data.find(b"\n")
        if found >= 0:
            return position + found + 1
        position += len(data)
    return position


def _skip_line(stream: IO[bytes], length: int, left: int | None) -> tuple[int, bytes]:
    """Read on to the end of a line of which ``length`` bytes are known: its length, and what was read behind it."""
    while data := stream.read(BLOCK_BYTES if left is None else min(left, BLOCK_BYTES)):
        left = None if left is None else left - len(data)
        found = data.find(b"\n")
        if found >= 0:
            return length + found, data[found + 1 :]
        length += len(data)
    return length, b""


def read_lines(path: str, max_line_bytes: int) -> Iterator[Line]:
    """Every line of a file. A line longer than ``max_line_bytes`` comes cut, with its real ``length``.

    Raises:
        InputError: the file cannot be read.
    """
    number = 0
    with open_bytes(path) as stream:
        for block in read_blocks(stream, max_line_bytes):
            offset = block.offset
            if block.overlong is not None:
                number += 1
                yield Line(block.data, number, offset, block.overlong)
                continue
            for data in split_lines(block.data):
                number += 1
                yield Line(data, number, offset, len(data))
                offset += len(data) + 1


def split_lines(data: bytes) -> list[bytes]:
    """The lines of a block, without line feeds; only LF ends a line."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines
