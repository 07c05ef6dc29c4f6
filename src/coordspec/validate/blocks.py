"""From bytes to a summary: pure functions that a process pool or a cluster engine can run on any part of a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from coordspec.errors import InputError, Severity
from coordspec.jsonl.read import Block, Line, align, open_bytes, read_blocks, split_lines
from coordspec.validate.accept import Acceptor
from coordspec.validate.explain import Explainer, Located, ValidateOptions, locate_all
from coordspec.validate.tally import BoxTally


@dataclass(slots=True)
class Summary:
    """Counts and kept findings of some consecutive lines. Line numbers count from the first of them.

    ``invalid`` are lines with a finding at error level; ``counts`` are findings by rule, complete; ``kept`` holds the
    first findings of each rule, at most the run's ``max_listed``, in the order of their places.
    """

    lines: int = 0
    invalid: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    kept: list[Located] = field(default_factory=list)
    boxes: BoxTally = field(default_factory=BoxTally)

    def then(self, later: Summary, max_listed: int) -> Summary:
        """The summary of this part and the one right behind it. Associative; ``Summary()`` is neutral."""
        return Summary(
            lines=self.lines + later.lines,
            invalid=self.invalid + later.invalid,
            counts=self.counts + later.counts,
            kept=self.kept + self._room(later, max_listed),
            boxes=self.boxes + later.boxes,
        )

    def _room(self, later: Summary, max_listed: int) -> list[Located]:
        room = {name: max_listed - min(self.counts[name], max_listed) for name in later.counts}
        moved: list[Located] = []
        for item in later.kept:
            name = item.finding.rule
            if room[name]:
                room[name] -= 1
                moved.append(item._replace(line=self.lines + (item.line or 0)))
        return moved


_DOUBTFUL: Final = 4  # one accepted line in this many keeps the fast path worth trying
_PROBE: Final = 16  # where it is not, one line in this many is tried all the same


class Validator:
    """Checks lines one after the other and sums up what it saw."""

    def __init__(self, options: ValidateOptions) -> None:
        self.summary = Summary()
        self._options = options
        self._acceptor = Acceptor(options.space, options.max_line_bytes, options.schema)
        self._explainer = Explainer(options)
        self._errors = frozenset(name for name in options.rules if options.severity(name) is Severity.ERROR)
        self._probe = 1

    def add_block(self, block: Block) -> None:
        """Check the lines of one block."""
        if block.overlong is not None:
            self.add_line(Line(block.data, self.summary.lines + 1, block.offset, block.overlong))
            return
        lines, offset, first = split_lines(block.data), block.offset, self.summary.lines + 1
        done = 0
        for index in self._refused(lines, block.data):
            offset += sum(map(len, lines[done:index])) + index - done
            done = index
            self._explain(Line(lines[index], first + index, offset, len(lines[index])))
        self.summary.lines += len(lines)

    def _refused(self, lines: list[bytes], data: bytes) -> Sequence[int]:
        """Which lines have to be explained. Where the fast path hardly ever says yes, most lines are spared it."""
        if self._options.images is not None:
            return range(len(lines))
        tried = -(-len(lines) // self._probe)
        whole = tried == len(lines)
        refused = self._acceptor.accept(lines[:tried], self.summary.boxes, data if whole else None)
        self._probe = _PROBE if _DOUBTFUL * len(refused) > (_DOUBTFUL - 1) * tried else 1
        return [*refused, *range(tried, len(lines))]

    def add_line(self, line: Line) -> None:
        """Check one line by the slow path."""
        self.summary.lines += 1
        self._explain(line)

    def _explain(self, line: Line) -> None:
        explained = self._explainer.explain(line.data, line.length)
        self.summary.boxes.add(explained.boxes)
        names = explained.rules()
        if not names:
            return
        self.summary.invalid += not self._errors.isdisjoint(names)
        counts, limit = self.summary.counts, self._options.max_listed
        if any(counts[name] < limit for name in names):
            room = {name: limit - counts[name] for name in names}
            for located in locate_all(explained.first(limit), line.data, line.number, line.offset):
                if room[located.finding.rule] > 0:
                    room[located.finding.rule] -= 1
                    self.summary.kept.append(located)
        for name in names:
            counts[name] += 1


def validate_range(path: str, start: int, end: int, options: ValidateOptions) -> Summary:
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


def stream_blocks(path: str, options: ValidateOptions) -> Iterator[Block]:
    """The blocks of a file that can only be read from its start: compressed, or standard input.

    Raises:
        InputError: the file cannot be read to its end.
    """
    with open_bytes(path) as stream:
        yield from read_blocks(stream, options.max_line_bytes)
