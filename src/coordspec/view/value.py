"""Samples as JSON: what ``coordspec mask --format json`` prints, and what the page is made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from coordspec.findings.visible import encodable, visible
from coordspec.record import CoordForm, DetObject

if TYPE_CHECKING:
    from coordspec.contracts import MaskPolicy
    from coordspec.view.sample import EntryView, TargetView


def document(samples: Iterable[TargetView]) -> dict[str, Any]:
    """What ``--format json`` prints; its keys are explained in docs/training/MASK.md."""
    listed = list(samples)
    policies = {sample.policy.name: _policy(sample.policy) for sample in listed}
    return {"policies": policies, "samples": [_sample(sample) for sample in listed]}


def _policy(policy: MaskPolicy) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for owner, row in policy.rows.items():
        rows[owner.value] = {kind.value: weight for kind, weight in row.weights.items()}
        rows[owner.value] |= {"geometry": row.geometry, "coord_loss": row.coord_loss}
    return {"about": policy.about, "target": policy.target.value, "rows": rows}


def _sample(sample: TargetView) -> dict[str, Any]:
    target, picture = sample.target, sample.picture
    image = None
    if picture is not None:
        image = {"path": visible(picture.path), "width": picture.width, "height": picture.height, "more": picture.more}
    return {
        "sample": encodable(sample.name),
        "policy": target.policy,
        "image": image,
        "ids": list(target.ids),
        "texts": list(sample.texts),
        "ce_weight": list(target.ce_weight),
        "owner": [owner.value for owner in target.owner],
        "kind": [kind.value for kind in target.kind],
        "bins": list(sample.bins),
        "entries": [_entry(entry) for entry in sample.entries],
        "slots": msgspec.to_builtins(target.slots),
        "objects": [_object(item) for item in sample.objects],
        "predictions": [_object(item) for item in sample.predictions],
        "report": _report(msgspec.to_builtins(target.report)),
        "left_out": sample.left_out,
        "issues": [{"code": i.code, "name": i.name, "message": visible(i.message)} for i in sample.issues],
    }


def _entry(entry: EntryView) -> dict[str, Any]:
    return {
        "key": None if entry.key is None else visible(entry.key),
        "owner": entry.owner.value,
        "prediction": entry.prediction,
        "gt": entry.gt,
        "reason": None if entry.reason is None else entry.reason.value,
        "iou": entry.iou,
        "start": entry.start,
        "end": entry.end,
    }


def _report(report: Mapping[str, Any]) -> dict[str, Any]:
    dropped = [{"key": visible(key), "reason": reason} for key, reason in report["dropped"]]
    return {**report, "dropped": dropped}


def _object(item: DetObject) -> dict[str, Any]:
    return {**item.fields(CoordForm.INT), "desc": visible(item.desc)}
