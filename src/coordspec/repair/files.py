"""Repairs of one file, line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from coordspec.contracts import rule
from coordspec.errors import InputError, Severity
from coordspec.jsonl.read import open_bytes, read_blocks, split_lines
from coordspec.repair.lines import BLANK_LINE, RepairOptions, repair_line


class Sink(Protocol):
    """What repaired lines are written to: a binary file, or anything else that takes bytes."""

    def write(self, data: bytes, /) -> object: ...


class _EndedLine(NamedTuple):
    data: bytes
    end: bytes


@dataclass(slots=True)
class RepairReport:
    """What a repair did. ``repaired`` counts by name of the repair, ``left`` the findings on the result by rule."""

    lines: int = 0
    changed: int = 0
    removed: int = 0
    repaired: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)

    def left_at(self, severity: Severity) -> int:
        """The number of findings on the result at that severity."""
        return sum(count for name, count in self.left.items() if rule(name).severity is severity)

    def value(self) -> dict[str, Any]:
        """The report as a JSON value. Keys are stable; new ones may be added.

        - ``lines``: lines read; ``changed`` of them were rewritten, ``removed`` were blank, the rest is as it was
        - ``repaired``: a list of ``{name, count}`` by name
        - ``left``: findings on the result as ``{rule, code, severity, count}``, in the order of their codes
        - ``errors_left``, ``warnings_left``: their sums by severity
        """
        left = sorted(self.left.items(), key=lambda item: rule(item[0]).code)
        return {
            "lines": self.lines,
            "changed": self.changed,
            "removed": self.removed,
            "repaired": [{"name": name, "count": count} for name, count in sorted(self.repaired.items())],
            "left": [
                {"rule": name, "code": rule(name).code, "severity": rule(name).severity.value, "count": count}
                for name, count in left
            ],
            "errors_left": self.left_at(Severity.ERROR),
            "warnings_left": self.left_at(Severity.WARNING),
        }


def repair_file(
    source: str, output: Sink, options: RepairOptions, on_read: Callable[[int], object] = lambda _: None
) -> RepairReport:
    """Write the repaired lines of ``source`` to ``output``. Line ends stay as they are, LF or CRLF, the last one too.

    ``on_read`` is told the bytes of each line.

    Raises:
        InputError: ``source`` cannot be read, or holds a line longer than ``max_line_bytes``: it is not read
            whole, so it cannot be carried over.
    """
    report = RepairReport()
    for line in _lines(source, options.max_line_bytes):
        result = repair_line(line.data, options)
        on_read(len(line.data) + len(line.end))
        report.lines += 1
        report.repaired += result.done
        report.left += result.left
        if result.data is None:
            report.removed += 1
        else:
            report.changed += result.data != line.data
            output.write(result.data + line.end)
    if report.lines == report.repaired[BLANK_LINE]:
        report.left["no-records"] += 1
    return report


def _lines(source: str, max_line_bytes: int) -> Iterator[_EndedLine]:
    number = 0
    with open_bytes(source) as stream:
        for block in read_blocks(stream, max_line_bytes):
            lines = split_lines(block.data)
            for i, data in enumerate(lines):
                number += 1
                length = len(data) if block.overlong is None else block.overlong
                if length > max_line_bytes:
                    raise _too_long(f"{source}:{number}", length, max_line_bytes)
                ended = i < len(lines) - 1 or block.data.endswith(b"\n")
                yield _EndedLine(data, b"\n" if ended else b"")


def _too_long(place: str, length: int, limit: int) -> InputError:
    values = {"value": length, "limit": limit}
    return InputError(place, f"{rule('too-long').message.format_map(values)}; {rule('too-long').fix}")
