"""From bytes to a summary: pure functions that a process pool or a cluster engine can run on any part of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from coordspec.errors import InputError, Severity
from coordspec.jsonl.read import Block, Line, align, open_bytes, read_blocks, split_lines
from coordspec.validate.accept import Acceptor
from coordspec.validate.explain import Explainer
from coordspec.validate.options import Options
from coordspec.validate.reference import locate_all
from coordspec.validate.summary import Summary

_BATCH = 64  # lines that are tried together; enough to spread the cost of a call, few enough to stay in the cache
_DOUBTFUL = 4  # one accepted line in this many keeps the fast path worth trying


class Validator:
    """Checks lines one after the other and sums up what it saw."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.explainer = Explainer(options)
        self.acceptor = Acceptor(options.space, options.max_line_bytes)
        self.errors = frozenset(name for name in options.rules if options.severity(name) is Severity.ERROR)
        self.summary = Summary()
        self.trust = True

    def add_block(self, block: Block) -> None:
        """Check the lines of one block."""
        if block.overlong is not None:
            self.add_line(Line(block.data, self.summary.lines + 1, block.offset, block.overlong))
            return
        lines, offset = split_lines(block.data), block.offset
        for start in range(0, len(lines), _BATCH):
            offset = self._add_batch(lines[start : start + _BATCH], offset)

    def _add_batch(self, lines: list[bytes], offset: int) -> int:
        """Check some lines, of which the first starts at ``offset``; returns where the next one starts."""
        end = offset + sum(map(len, lines)) + len(lines)
        first = self.summary.lines
        refused = self._refused(lines)
        self.summary.lines += len(lines)
        done = 0
        for index in refused:
            offset += sum(map(len, lines[done:index])) + index - done
            done = index
            self._explain(Line(lines[index], first + index + 1, offset, len(lines[index])))
        return end

    def _refused(self, lines: list[bytes]) -> list[int]:
        """Which lines have to be explained. Where the fast path hardly ever says yes, most lines skip it."""
        everything = list(range(len(lines)))
        if self.options.images is not None:
            return everything
        if self.trust:
            refused = self.acceptor.accept(lines, self.summary.boxes)
        else:
            probe = max(1, len(lines) // 16)
            refused = self.acceptor.accept(lines[:probe], self.summary.boxes) + everything[probe:]
            lines = lines[:probe]
            self.trust = len(refused) - len(everything[probe:]) <= probe - probe / _DOUBTFUL
            return refused
        self.trust = len(refused) <= len(lines) * (1 - 1 / _DOUBTFUL)
        return refused

    def add_line(self, line: Line) -> None:
        """Check one line by the slow path."""
        self.summary.lines += 1
        self._explain(line)

    def _explain(self, line: Line) -> None:
        explained = self.explainer.explain(line.data, line.length)
        self.summary.boxes.add(explained.boxes)
        names = explained.rules()
        if not names:
            return
        self.summary.invalid += not self.errors.isdisjoint(names)
        counts, limit = self.summary.counts, self.options.max_listed
        if any(counts[name] < limit for name in names):
            for located in locate_all(explained, line.data, line.number, line.offset):
                if counts[located.finding.rule] < limit:
                    self.summary.kept.append(located)
                counts[located.finding.rule] += 1
        else:
            counts.update(names)


def validate_block(block: Block, options: Options) -> Summary:
    """The summary of one block of lines."""
    validator = Validator(options)
    validator.add_block(block)
    return validator.summary


def validate_range(path: str, start: int, end: int, options: Options) -> Summary:
    """The summary of the lines of a plain file that start at byte offsets ``start`` ≤ o < ``end``.

    Ranges that follow each other without a gap cover every line once, wherever they are cut. Memory is bounded by the
    block size and the longest legal line.

    Raises:
        InputError: the file cannot be read.
    """
    validator = Validator(options)
    try:
        with Path(path).open("rb", buffering=0) as stream:
            first, last = align(stream, start), align(stream, end)
            stream.seek(first)
            for block in read_blocks(stream, options.max_line_bytes, first, last - first):
                validator.add_block(block)
    except OSError as error:
        raise InputError(path, error.strerror or str(error)) from error
    return validator.summary


def stream_blocks(path: str, options: Options) -> Iterator[Block]:
    """The blocks of a file that can only be read from its start: compressed, or standard input.

    Raises:
        InputError: the file cannot be read to its end.
    """
    with open_bytes(path) as stream:
        yield from read_blocks(stream, options.max_line_bytes)
