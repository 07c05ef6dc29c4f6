"""Repairs of one line, as bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from coordspec.checks.finding import CoordSpace, Finding
from coordspec.checks.record import check_record
from coordspec.jsonl.inputs import MAX_LINE_BYTES
from coordspec.jsonl.parse import BOM, WHITE_SPACE, ParsedLine, parse_line
from coordspec.repair.objects import SAFE_REPAIRS, UNSAFE_REPAIRS, Repair
from coordspec.repair.raw import Piece, list_items, replaced

BYTE_ORDER_MARK: Final = "byte-order-mark"
BLANK_LINE: Final = "blank-line"
_DUPLICATE_KEY: Final = "duplicate-key"


@dataclass(frozen=True, slots=True)
class RepairOptions:
    """``unsafe`` also puts corners in order; ``space`` is only for counting what is left."""

    unsafe: bool = False
    space: CoordSpace = CoordSpace.NORM1000
    max_line_bytes: int = MAX_LINE_BYTES

    @property
    def repairs(self) -> Mapping[str, Repair]:
        return MappingProxyType({**SAFE_REPAIRS, **UNSAFE_REPAIRS}) if self.unsafe else SAFE_REPAIRS


class Repaired(NamedTuple):
    """``data`` is the line as it should be, None where there should be none.

    ``done`` counts repairs by name, ``left`` the findings on ``data`` by rule.
    """

    data: bytes | None
    done: Counter[str]
    left: Counter[str]


def repair_line(data: bytes, options: RepairOptions) -> Repaired:
    """Repair one line, given and returned without its line feed; a carriage return at its end stays.

    A line that needs no repair, that is no strict JSON, or that holds a key twice comes back byte for byte, but for a
    byte order mark before it. So does one that its repair would make longer than ``max_line_bytes``.
    """
    body = data
    while body.startswith(BOM):
        body = body[len(BOM) :]
    done = Counter({BYTE_ORDER_MARK: 1} if len(body) < len(data) else {})
    if not body.strip(WHITE_SPACE):
        return Repaired(None, done + Counter({BLANK_LINE: 1}), Counter())
    parsed = parse_line(body, len(body), options.max_line_bytes)
    text, repairs = _repair_objects(body, parsed, options.repairs)
    if repairs and len(text) <= options.max_line_bytes:
        return Repaired(text, done + repairs, _left(parse_line(text, len(text), options.max_line_bytes), options.space))
    return Repaired(body, done, _left(parsed, options.space))


def _left(parsed: ParsedLine, space: CoordSpace) -> Counter[str]:
    findings: list[Finding] = [fault.finding for fault in parsed.faults]
    if parsed.usable:
        findings += check_record(parsed.value, space)
    return Counter(finding.rule for finding in findings)


def _repair_objects(body: bytes, parsed: ParsedLine, repairs: Mapping[str, Repair]) -> tuple[bytes, Counter[str]]:
    if not _can_be_rewritten(parsed) or not any(_repaired(item, repairs)[1] for item in parsed.value["objects"]):
        return body, Counter()
    text, items = list_items(body, "objects")
    pieces: list[Piece] = []
    done: Counter[str] = Counter()
    for value, start, end in items:
        better, counts = _repaired(value, repairs)
        if counts:
            pieces.append(Piece(better, start, end))
            done += counts
    return replaced(text, pieces).encode(), done


def _can_be_rewritten(parsed: ParsedLine) -> bool:
    if not parsed.usable or not isinstance(parsed.value, dict) or not isinstance(parsed.value.get("objects"), list):
        return False
    return all(fault.finding.rule != _DUPLICATE_KEY for fault in parsed.faults)


def _repaired(value: object, repairs: Mapping[str, Repair]) -> tuple[object, Counter[str]]:
    """The object after all repairs, and how often each was made: once or not at all."""
    done: Counter[str] = Counter()
    if not isinstance(value, dict):
        return value, done
    for name, repair in repairs.items():
        better = repair(value)
        if better is not None:
            value = better
            done[name] += 1
    return value, done
