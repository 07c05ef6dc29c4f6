"""Targets as JSON lines, so that what was trained on can be looked at and checked later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from coordspec.record import CoordForm, DetObject
from coordspec.target.objects import GroundTruth, ground_truth_objects, objects_from_json
from coordspec.target.types import Target

if TYPE_CHECKING:
    from coordspec.rollout.tokens import TokenTable


class Dump(NamedTuple):
    """What one line of a file of dumped targets holds.

    ``sample`` says which sample it is, as ``train.jsonl:7`` or as one likes. ``rollout_ids`` is None for a target that
    has no rollout, or whose rollout was not kept. ``tokenizer`` is the ``TokenTable.fingerprint`` of the tokenizer.
    """

    sample: str
    gt: tuple[DetObject, ...]
    rollout_ids: tuple[int, ...] | None
    target: Target
    tokenizer: str


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of a line, in the order in which they are written."""

    sample: str
    tokenizer: str
    gt: list[Any]
    rollout_ids: tuple[int, ...] | None
    target: Target


def target_to_json(
    sample: str, target: Target, gt: GroundTruth, table: TokenTable, rollout_ids: Sequence[int] | None = None
) -> str:
    """One line for a file of dumped targets, without line end; ``target_from_json`` reads it.

    Raises:
        ContractError: an object of the ground truth breaks a rule of the record.
    """
    value = {
        "sample": sample,
        "tokenizer": table.fingerprint,
        "gt": [item.fields(CoordForm.INT) for item in ground_truth_objects(gt, table)],
        "rollout_ids": None if rollout_ids is None else [int(token_id) for token_id in rollout_ids],
        "target": msgspec.to_builtins(target),
    }
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def target_from_json(value: object) -> Dump:
    """The dumped target that a parsed line holds.

    Raises:
        ContractError: an object of the ground truth breaks a rule of the record.
        ValueError: the value is no dumped target; the message says which field is at fault.
    """
    try:
        line = msgspec.convert(value, _Line)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    return Dump(line.sample, objects_from_json(line.gt), line.rollout_ids, line.target, line.tokenizer)
