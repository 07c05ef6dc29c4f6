"""The slow path, which is the definition of truth: everything that is wrong with one line, and where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from coordspec.checks.finding import Finding
from coordspec.checks.record import check_record
from coordspec.contracts import rule
from coordspec.errors import Issue, Place
from coordspec.jsonl.parse import locate, parse_line
from coordspec.validate.options import Options


class Located(NamedTuple):
    """A finding in a file: ``line`` counts from 1, ``column`` from 1 in code points, ``byte_offset`` from 0."""

    finding: Finding
    line: int | None = None
    column: int | None = None
    byte_offset: int | None = None

    def issue(self, path: str, options: Options) -> Issue:
        """The finding as it is shown, with the path of its file."""
        name, at, values, _ = self.finding
        place = Place(path, self.line, self.column, self.byte_offset, None if self.line is None else at)
        return rule(name).issue(place, values, options.severity(name))


class Explained(NamedTuple):
    """What one line holds and what is wrong with it.

    ``value`` is None where the line is no JSON. ``starts`` gives the byte a finding is about, as far as it is known
    already; ``locate`` finds the others.
    """

    value: Any
    findings: list[Finding]
    starts: list[int | None]

    def start(self, index: int, data: bytes) -> int:
        """The byte of the line that finding ``index`` is about."""
        known = self.starts[index]
        finding = self.findings[index]
        return locate(data, finding.at, finding.on_key) if known is None else known


def explain(data: bytes, length: int, options: Options) -> Explained:
    """Every finding on one line that the options ask for, without order. Never raises, whatever the bytes are.

    ``length`` is the line's real length, above ``len(data)`` where the reader cut it.
    """
    parsed = parse_line(data, length, options.max_line_bytes)
    findings = [fault.finding for fault in parsed.faults]
    starts: list[int | None] = [fault.start for fault in parsed.faults]
    if parsed.usable:
        findings += _check_value(parsed.value, options)
        starts += [None] * (len(findings) - len(starts))
    kept = [index for index, finding in enumerate(findings) if finding.rule in options.rules]
    return Explained(parsed.value, [findings[index] for index in kept], [starts[index] for index in kept])


def _check_value(value: Any, options: Options) -> Iterator[Finding]:
    yield from check_record(value, options.space)
    if options.images is not None:
        from coordspec.validate.images import check_images  # noqa: PLC0415 (Pillow only where images are looked at)

        yield from check_images(value, options.images)


def locate_all(explained: Explained, data: bytes, number: int, offset: int) -> list[Located]:
    """The findings of one line in the order of their places; ``offset`` is that of the line in its file."""
    starts = [explained.start(index, data) for index in range(len(explained.findings))]
    order = sorted(range(len(starts)), key=starts.__getitem__)
    return [
        Located(explained.findings[index], number, _column(data, starts[index]), offset + starts[index])
        for index in order
    ]


def _column(data: bytes, start: int) -> int:
    return len(data[:start].decode("utf-8", "replace")) + 1
