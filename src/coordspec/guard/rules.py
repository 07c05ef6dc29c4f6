"""What must hold for every target: one small function for each rule, and the table that wires them.

Each function reads the ids, the ground truth and the report, and none of what built the target.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from coordspec.boxes import enclosing_box
from coordspec.checks.finding import Finding, cut
from coordspec.contracts import NO_LOSS, Kind, Owner, payload_contract, rule
from coordspec.guard.case import Case, CaseEntry, key_number
from coordspec.guard.reading import outermost_close
from coordspec.jsonl.parse import WHITE_SPACE, parse_line

if TYPE_CHECKING:
    from coordspec.record import DetObject
    from coordspec.target.types import Slot

Label = tuple[Owner, Kind]


def entries_accounted_for(case: Case) -> Iterator[Finding]:
    """A target of the ground truth alone holds no other entry, and every owner has a row in the policy."""
    for entry in case.entries:
        if (entry in case.retained and not case.keeps_rollout) or entry.owner not in case.policy.rows:
            at = ("ids", _first_token(case, entry.piece.start))
            yield Finding("stray-entry", at, {"key": repr(entry.piece.key), "policy": case.policy.name})


def predictions_once(case: Case) -> Iterator[Finding]:
    """Every valid prediction is matched or false positive, each once."""
    report = case.target.report
    found = sorted([*(p for p, _ in report.matches), *report.fp])
    count = len(case.valid) if case.keeps_rollout else len(found)
    if found != list(range(count)):
        values = {"found": _shown(found), "what": "predictions", "count": count}
        yield Finding("prediction-partition", ("report", "fp"), values)


def ground_truth_once(case: Case) -> Iterator[Finding]:
    """Every ground-truth object is matched or missed, each once, and missed ones are in order."""
    report = case.target.report
    found = sorted([*(g for _, g in report.matches), *report.fn])
    if found != list(range(len(case.objects))) or list(report.fn) != sorted(report.fn):
        values = {"found": _shown(found), "what": "objects", "count": len(case.objects)}
        yield Finding("ground-truth-partition", ("report", "fn"), values)


def dropped_entries(case: Case) -> Iterator[Finding]:
    """The report drops exactly those retained entries that are no predictions."""
    said = [key for key, _ in case.target.report.dropped]
    found = [piece.key for piece in case.dropped]
    same = len(said) == len(found) and all(key in (None, name) for key, name in zip(found, said, strict=True))
    if case.keeps_rollout and not same:
        values = {"found": _shown(said), "expected": _shown(found)}
        yield Finding("dropped-entries", ("report", "dropped"), values)


def strict_json(case: Case) -> Iterator[Finding]:
    """Without its dropped entries, the text up to ``<|im_end|>`` is one strict JSON object."""
    data = case.reading.data[: case.reading.close + 1]
    if case.dropped:
        dropped = {piece.start for piece in case.dropped}
        pieces = [piece for piece in case.reading.pieces if piece.start not in dropped]
        sound = [data[piece.start : piece.end].lstrip(WHITE_SPACE + b",") for piece in pieces]
        data = b"{" + b", ".join(sound) + b"}"
    if _plainly_strict(data):
        return
    for fault in parse_line(data, len(data), len(data)).faults:
        reason = rule(fault.finding.rule).message.format_map(fault.finding.values)
        yield Finding("target-not-json", ("ids",), {"reason": reason})
        return


def _plainly_strict(data: bytes) -> bool:
    """True only if the text is strict JSON; False proves nothing. Cheap, for the many that are."""
    try:
        json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_refused)
    except (ValueError, RecursionError):
        return False
    return b"\\u" not in data


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")


def _refused(constant: str) -> None:
    raise ValueError(constant)


def keys(case: Case) -> Iterator[Finding]:
    """Written entries have the keys from ``start_id`` on, which no retained entry has."""
    numbers = [number for entry in case.retained if (number := key_number(entry.piece.key)) is not None]
    start = 1 + max(numbers, default=0)
    if case.target.report.start_id != start:
        values = {"value": case.target.report.start_id, "expected": start}
        yield Finding("start-id", ("report", "start_id"), values)
    for index, entry in enumerate(case.written):
        expected = payload_contract().key(start + index)
        if entry.piece.key != expected:
            at = ("ids", _first_token(case, entry.piece.start))
            yield Finding("injected-key", at, {"value": repr(entry.piece.key), "expected": expected})


def written_objects(case: Case) -> Iterator[Finding]:
    """Written entries are the ground truth as annotated, all of it; entries of matched objects are predictions."""
    missing = len(case.target.report.fn) - sum(entry.owner is Owner.FN for entry in case.written)
    if missing > 0:
        yield Finding("object-missing", ("ids",), {"index": case.target.report.fn[-missing]})
    for entry in case.written:
        expected = _object(case, entry.gt)
        if entry.piece.item != expected:
            at = ("ids", _first_token(case, entry.piece.start))
            values = {"index": entry.gt, "value": _said(entry.piece.item), "expected": _said(expected)}
            yield Finding("injected-object", at, values)


def generated_prefix(case: Case) -> Iterator[Finding]:
    """Ids before the cut are the generated ones, and the cut is before the rollout's outermost closing brace."""
    report = case.target.report
    if case.rollout_ids is None or not case.keeps_rollout:
        return
    ids = case.rollout_ids
    ids = ids[: ids.index(case.table.end_id)] if case.table.end_id in ids else ids
    rollout = case.table.join(ids)
    if report.fallback is not None:
        if rollout.lstrip(WHITE_SPACE).startswith(b"{"):
            yield Finding("prefix-text", ("report", "fallback"), {"position": 0})
        return
    cut_at = case.retained[-1].piece.end if case.retained else case.reading.opened
    if not report.truncated:
        close, _ = outermost_close(rollout, case.reading.opened)
        cut_at = -1 if close is None else close
    expected, found = rollout[:cut_at], case.reading.data[:cut_at]
    if cut_at < 0 or expected != found:
        at = next((i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), cut_at)
        yield Finding(
            "prefix-text", ("ids", _first_token(case, max(at, 0))), {"position": _first_token(case, max(at, 0))}
        )
        return
    end = 0
    for position, token_id in enumerate(ids):
        end += len(case.table.bytes_of[token_id])
        if end > cut_at:
            return
        if case.target.ids[position] != token_id:
            values = {**case.token(position), "value": case.target.ids[position], "expected": token_id}
            yield Finding("prefix-ids", ("ids", position), values)
            return


def weights_and_labels(case: Case) -> Iterator[Finding]:
    """Weight, owner and kind of each token are those of its characters by the policy."""
    if not _has_rows(case):
        return
    labels = label_bytes(case)
    target, starts, data = case.target, case.reading.starts, case.reading.data
    for position, (start, end) in enumerate(pairwise(starts)):
        here = labels[start:end]
        if here.count(here[0]) < len(here):
            here = [label for label, byte in zip(here, data[start:end], strict=True) if byte not in WHITE_SPACE] or here
        weights = [case.policy.weight(*label) for label in dict.fromkeys(here)]
        lowest = min(weights)
        owner, kind = list(dict.fromkeys(here))[weights.index(lowest)]
        weight = target.ce_weight[position]
        if weight != lowest:
            name = "masked-token-supervised" if weight > lowest else "supervised-token-masked"
            values = {**case.token(position), "owner": owner, "kind": kind, "value": weight, "expected": lowest}
            yield Finding(name, ("ce_weight", position), values)
        if (target.owner[position], target.kind[position]) != (owner, kind):
            said = f"{target.owner[position]} {target.kind[position]}"
            values = {**case.token(position), "owner": owner, "kind": kind, "value": said}
            yield Finding("token-label", ("owner", position), values)


def label_bytes(case: Case) -> list[Label]:
    """Owner and kind of every byte of the target."""
    reading = case.reading
    labels: list[Label] = [(Owner.FRAME, Kind.OPEN)] * reading.opened
    for piece, owner, _ in case.entries:
        labels += [(owner, Kind.STRUCT)] * (piece.end - piece.start)
        start, end = piece.desc or (0, 0)
        for position in range(_first_token(case, piece.start), _first_token(case, piece.end)):
            if case.target.ids[position] in case.table.coords.bin_of_id:
                first, behind = reading.starts[position : position + 2]
                labels[first:behind] = [(owner, Kind.COORD)] * (behind - first)
        labels[start:end] = [(owner, Kind.DESC)] * (end - start)
    labels += [(Owner.FRAME, Kind.CLOSE)] * (reading.close + 1 - len(labels))
    return labels + [(Owner.FRAME, Kind.END)] * (len(reading.data) - len(labels))


def slots_of_objects(case: Case) -> Iterator[Finding]:
    """Every matched and every written object has one set of slots, of its own coord tokens; nothing else has."""
    if not _has_rows(case):
        return
    expected = {(entry.owner, entry.gt): entry for entry in case.entries if entry.gt is not None}
    found: set[tuple[Owner, int]] = set()
    for index, slot in enumerate(case.target.slots):
        entry = expected.get((slot.group, slot.gt))
        if entry is None or (slot.group, slot.gt) in found:
            yield Finding("slot-object", ("slots", index), {"group": slot.group, "index": slot.gt})
            continue
        found.add((slot.group, slot.gt))
        yield from _slot(case, index, slot, entry)
    for owner, gt in expected.keys() - found:
        yield Finding("slots-missing", ("slots",), {"group": owner, "index": gt})


def _slot(case: Case, index: int, slot: Slot, entry: CaseEntry) -> Iterator[Finding]:
    if slot.positions != entry.piece.coords:
        values = {"value": _shown(slot.positions), "expected": _shown(entry.piece.coords)}
        yield Finding("slot-positions", ("slots", index, "positions"), values)
    wanted, written = _object(case, entry.gt), entry.piece.item
    if wanted is None or written is None:
        return  # another rule says so
    row = case.policy.rows[slot.group]
    box = wanted.bbox_2d or enclosing_box(wanted.poly or ())
    bins: tuple[int, ...] = wanted.bbox_2d or wanted.poly or ()
    if case.keeps_rollout and slot.group is Owner.MATCHED:
        bins = box if written.bbox_2d is not None else ()
    facts: dict[str, tuple[Any, Any]] = {
        "written_as": (slot.written_as, "poly" if written.bbox_2d is None else "bbox_2d"),
        "bins": (slot.bins, bins),
        "box": (slot.box, box),
        "geometry": (slot.geometry, row.geometry),
        "coord_loss": (slot.coord_loss, row.coord_loss if bins else NO_LOSS),
    }
    for name, (value, expected) in facts.items():
        if value != expected:
            values = {"field": name, "value": _shown(value), "expected": _shown(expected)}
            yield Finding("slot-values", ("slots", index, name), values)


RULES: Final[Sequence[Callable[[Case], Iterator[Finding]]]] = (
    entries_accounted_for,
    predictions_once,
    ground_truth_once,
    dropped_entries,
    strict_json,
    keys,
    written_objects,
    generated_prefix,
    weights_and_labels,
    slots_of_objects,
)
"""The rules that need a target which can be read."""


def _has_rows(case: Case) -> bool:
    return all(entry.owner in case.policy.rows for entry in case.entries)


def _first_token(case: Case, byte: int) -> int:
    """The first token that starts at or behind a byte."""
    return bisect_left(case.reading.starts, byte)


def _object(case: Case, gt: int | None) -> DetObject | None:
    return case.objects[gt] if gt is not None and 0 <= gt < len(case.objects) else None


def _said(item: DetObject | None) -> str:
    return "no sound object" if item is None else cut(repr(item))


def _shown(value: object) -> str:
    return cut(str(list(value) if isinstance(value, tuple) else value))
