"""The definition of truth: everything that is wrong with one line, and where. Slow, and written to be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from coordspec.checks.finding import Finding
from coordspec.checks.record import check_record
from coordspec.contracts import rule
from coordspec.errors import Issue, Place
from coordspec.jsonl.parse import Fault, Target, locate, parse_line
from coordspec.validate.options import Options
from coordspec.validate.tally import Boxes, numeric_boxes


class Explained(NamedTuple):
    """What is wrong with one line, the findings that the run asks for alone, in no order.

    ``faults`` are about its text and know their place; ``findings`` are about the value and get theirs from ``locate``.
    ``boxes`` are counted for the whole-file checks; ``repeats`` says that some key of the line is repeated.
    """

    faults: list[Fault]
    findings: list[Finding]
    boxes: Boxes
    repeats: bool = False

    def first(self, count: int) -> Explained:
        """The same line with at most ``count`` findings of each rule, in the order in which they were found."""
        room = dict.fromkeys(self.rules(), count)

        def has_room(name: str) -> bool:
            room[name] -= 1
            return room[name] >= 0

        faults = [fault for fault in self.faults if has_room(fault.finding.rule)]
        return self._replace(faults=faults, findings=[finding for finding in self.findings if has_room(finding.rule)])

    def rules(self) -> list[str]:
        """The name of the rule of every finding."""
        return [fault.finding.rule for fault in self.faults] + [finding.rule for finding in self.findings]


class Located(NamedTuple):
    """A finding in a file: ``line`` counts from 1, ``column`` from 1 in code points, ``byte_offset`` from 0.

    All three are None for a finding on the whole file.
    """

    finding: Finding
    line: int | None = None
    column: int | None = None
    byte_offset: int | None = None

    def issue(self, path: str, options: Options) -> Issue:
        """The finding as it is shown, with the path of its file."""
        name, at, values, _ = self.finding
        place = Place(path, self.line, self.column, self.byte_offset, None if self.line is None else at)
        return rule(name).issue(place, values, options.severity(name))


def explain_reference(data: bytes, length: int, options: Options) -> Explained:
    """Every finding on one line that the options ask for. Never raises, whatever the bytes are.

    ``length`` is the line's real length, above ``len(data)`` where the reader cut it.
    """
    parsed = parse_line(data, length, options.max_line_bytes)
    findings = _check_value(parsed.value, options) if parsed.usable else ()
    return Explained(
        [fault for fault in parsed.faults if fault.finding.rule in options.rules],
        [finding for finding in findings if finding.rule in options.rules],
        numeric_boxes(parsed.value),
        any(fault.finding.rule == "duplicate-key" for fault in parsed.faults),
    )


def _check_value(value: Any, options: Options) -> Iterator[Finding]:
    yield from check_record(value, options.space)
    if options.images is not None:
        from coordspec.validate.images import check_images  # noqa: PLC0415 (Pillow only where images are looked at)

        yield from check_images(value, options.images)


def locate_all(explained: Explained, data: bytes, number: int, offset: int) -> list[Located]:
    """The findings of one line in the order of their places; ``offset`` is that of the line in its file."""
    targets = [Target(finding.at, finding.on_key) for finding in explained.findings]
    starts = locate(data, targets, repeats=explained.repeats)
    places = [(fault.start, fault.finding) for fault in explained.faults]
    places += [(starts[target], finding) for target, finding in zip(targets, explained.findings, strict=True)]
    places.sort(key=lambda place: (place[0], place[1].rule))
    located: list[Located] = []
    column, done = 1, 0
    for start, finding in places:
        column += len(data[done:start].decode("utf-8", "replace"))
        done = start
        located.append(Located(finding, number, column, offset + start))
    return located
