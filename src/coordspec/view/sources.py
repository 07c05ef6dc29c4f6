"""From files to targets: dumped ones, those of rollouts, and those of the ground truth alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from coordspec.contracts import rule
from coordspec.errors import ContractError, InputError, Place
from coordspec.findings.visible import plural
from coordspec.jsonl.inputs import STDIN
from coordspec.jsonl.parse import parse_line
from coordspec.jsonl.read import Line, read_lines
from coordspec.pages.thumbnail import Picture
from coordspec.record import Record, record_of_line
from coordspec.rollout.parse import parse_rollout
from coordspec.target import Dump, build_target, ground_truth_target, target_from_json
from coordspec.target.objects import ground_truth_objects
from coordspec.view.lines import LineRange, chosen
from coordspec.view.rollouts import Generated, Rollouts
from coordspec.view.sample import TargetSource

if TYPE_CHECKING:
    from coordspec.rollout.tokens import TokenTable

_OF_A_DUMP: Final = "target"
"""The field that a dumped target has and a record never has."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be looked at.

    ``policy`` names the rows of ``masks.yaml``, a policy with ``rollouts``, else a row set for the ground truth.
    ``ranges`` are lines of the data file, all of them where there is none; of these the first ``max_samples`` are
    taken, and with rollouts only lines that have one. ``image_root`` is the folder of the images, None for that of the
    file.
    """

    policy: str
    iou_gate: float
    rollouts: Rollouts | None
    image_root: Path | None
    ranges: tuple[LineRange, ...]
    max_samples: int
    max_line_bytes: int


class Picked(NamedTuple):
    """Lines that are looked at, how many were asked for, and how many lines the file has."""

    lines: list[Line]
    asked: int
    total: int


class Selection(NamedTuple):
    """Targets to look at. ``left_out`` were asked for beyond the limit; ``without`` records have no rollout."""

    sources: list[TargetSource]
    left_out: int
    without: int


def holds_dumps(data: str, max_line_bytes: int) -> bool:
    """True for a file whose first line is a dumped target. Standard input never is one: it can be read only once.

    Raises:
        InputError: the file cannot be read.
    """
    if data == STDIN:
        return False
    line = next(read_lines(data, max_line_bytes), None)
    value = None if line is None else parse_line(line.data, line.length, max_line_bytes).value
    return isinstance(value, dict) and _OF_A_DUMP in value


def read_dumps(data: str, ask: Ask) -> Selection:
    """The dumped targets of a file.

    Raises:
        ContractError: a line that is looked at is no strict JSON.
        InputError: the file cannot be read, a line that is asked for is not there, or one is no dumped target.
    """
    picked = _pick(data, ask)
    sources = [_dumped(line, Place(data, line.number), ask) for line in picked.lines]
    return Selection(sources, picked.asked - len(sources), 0)


def read_sources(data: str, table: TokenTable, ask: Ask) -> Selection:
    """The targets of records, built with their rollouts where there are any.

    Lines that are not looked at are counted and not read.

    Raises:
        ContractError: a record that is looked at breaks the contract; all such findings, with file and line.
        InputError: the file cannot be read, a line that is asked for is not there, or rollouts and records do not go
            together; the message names file and line.
    """
    picked = _pick(data, ask)
    without = 0
    if ask.rollouts is not None:
        _refuse_strays(ask.rollouts, data, picked.total)
        without = picked.total - len(ask.rollouts.by_record)
    sources = [_built(line, Place(data, line.number), table, ask) for line in picked.lines]
    return Selection(sources, picked.asked - len(sources), without)


def _pick(data: str, ask: Ask) -> Picked:
    lines: list[Line] = []
    asked = total = 0
    rollouts = ask.rollouts
    for line in read_lines(data, ask.max_line_bytes):
        total += 1
        named = chosen(total, ask.ranges)
        if rollouts is not None and total not in rollouts.by_record:
            if named and not rollouts.ordered:
                raise InputError(f"{data}:{total}", f"has no rollout in {rollouts.path}")
        elif named or not ask.ranges:
            asked += 1
            if asked <= ask.max_samples:
                lines.append(line)
    beyond = next((last for _, last in ask.ranges if last > total), None)
    if beyond is not None:
        raise InputError(data, f"has {plural(total, 'line')}, and --lines names line {beyond}")
    if not total:
        raise InputError(data, "is empty, so there is nothing to look at")
    return Picked(lines, asked, total)


def _refuse_strays(rollouts: Rollouts, data: str, total: int) -> None:
    """Refuse rollouts of no record, and records without one where the order alone says whose a rollout is."""
    stray = next((found for record, found in rollouts.by_record.items() if record > total), None)
    if stray is not None:
        raise InputError(str(stray.place), f"is for line {stray.record}, and {data} has {plural(total, 'line')}")
    if rollouts.ordered and len(rollouts.by_record) < total:
        count = len(rollouts.by_record)
        raise InputError(
            f"{data}:{count + 1}",
            f"has no rollout: {rollouts.path} has {plural(count, 'line')} and {data} has {total}; without "
            '"index" or "line" they are taken in their order, one for each record',
        )


def _dumped(line: Line, place: Place, ask: Ask) -> TargetSource:
    parsed = parse_line(line.data, line.length, ask.max_line_bytes)
    if parsed.faults:
        raise ContractError(rule(fault.finding.rule).issue(place, fault.finding.values) for fault in parsed.faults)
    try:
        return TargetSource(place, target_from_json(parsed.value), None)
    except ValueError as error:  # ContractError is one
        raise InputError(str(place), f"is no dumped target: {error}") from error


def _built(line: Line, place: Place, table: TokenTable, ask: Ask) -> TargetSource:
    record = record_of_line(line.data, line.length, ask.max_line_bytes, place)
    if not isinstance(record, Record):
        raise ContractError(record.issues)
    generated = None if ask.rollouts is None else ask.rollouts.by_record[line.number]
    objects = ground_truth_objects(record, table)
    ids = rollout = None
    if generated is None:
        target = ground_truth_target(objects, table, rows=ask.policy)
    else:
        _refuse_other_images(generated, record)
        ids = generated.token_ids(table)
        rollout = parse_rollout(ids, table)
        target = build_target(rollout, objects, table, policy=ask.policy, iou_gate=ask.iou_gate)
    dump = Dump(str(place), objects, ids, target, table.fingerprint)
    root = ask.image_root or Path("" if place.path == STDIN else place.path).parent
    picture = Picture(root, record.images[0], record.width, record.height, len(record.images) - 1)
    return TargetSource(place, dump, picture, rollout)


def _refuse_other_images(generated: Generated, record: Record) -> None:
    if generated.images is not None and list(generated.images) != list(record.images):
        raise InputError(
            str(generated.place),
            f"is a rollout for {', '.join(map(str, generated.images))!r:.80}, and {record.place} has "
            f"{', '.join(record.images)!r:.80}",
        )
