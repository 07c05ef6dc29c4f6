"""Values: what the model says of them, in plain words and at their places."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from coordspec.config.beside import beside
from coordspec.config.fault import Fault
from coordspec.config.fields import Takes, fields, takes
from coordspec.config.model import Config
from coordspec.config.traps import trap
from coordspec.config.tree import YamlEntry, YamlNode, find, kind, nearest, shown_node, walk
from coordspec.contracts import did_you_mean
from coordspec.errors import Pointer, dotted_path

_PLACEHOLDER: Final = "-"


def check_traps(root: YamlNode) -> Iterator[Fault]:
    """Values that YAML 1.1 reads as something else than people mean."""
    for at, entry in walk(root):
        known = takes(at)
        found = trap(entry.node, known) if known is not None and known.section is None else None
        if found is not None:
            yield Fault(found.rule, at, entry, found.values, severity=found.severity)


def check_missing(root: YamlNode) -> Iterator[Fault]:
    """Settings without a default that stand in none of the files; each at the section that it would stand in."""
    for at, known in fields().items():
        if known.required and known.section is None and find(root, at) is None:
            above, entry = nearest(root, at)
            if isinstance(entry.node.value, Mapping):
                values = {"path": dotted_path(at), "expected": known.expected}
                yield Fault("config-missing-key", above, entry, values, on_key=True)


def model_of(root: YamlNode, without: Collection[Pointer]) -> Config:
    """The typed config, but for the settings at some pointers, which have their defaults or a placeholder.

    Raises:
        ValidationError: the model refuses a value.
    """
    value: dict[str, Any] = _plain(root, (), frozenset(without))
    for at, known in fields().items():
        left_out = find(root, at) is None or any(at[:length] in without for length in range(len(at) + 1))
        if known.required and known.section is None and left_out:
            holder = value.setdefault(str(at[0]), {})
            if isinstance(holder, dict):
                holder[at[1]] = [_PLACEHOLDER] if tuple in known.kinds else _PLACEHOLDER
    return Config.model_validate(value)


def check_values(root: YamlNode, error: ValidationError) -> Iterator[Fault]:
    """The model's findings, one for each value however many of its forms failed."""
    told: dict[Pointer, tuple[str, str]] = {}
    for item in error.errors(include_url=False, include_input=False):
        at, _ = nearest(root, tuple(item["loc"]))
        reason = str(item["ctx"]["error"]) if item["type"] == "value_error" else ""
        told.setdefault(at, (item["type"], reason))
    for at, (type_, reason) in told.items():
        entry = find(root, at)
        known = takes(at)
        assert entry is not None, at
        assert known is not None, at
        yield _fault(at, entry, known, type_, reason)


def _fault(at: Pointer, entry: YamlEntry, known: Takes, type_: str, reason: str) -> Fault:
    node = entry.node
    values: dict[str, object] = {"value": shown_node(node), "type": kind(node), "expected": known.expected}
    if known.choices and isinstance(node.value, str):
        choices = ", ".join(known.choices)
        suggestion = did_you_mean(node.value, known.choices)
        return Fault("config-choice", at, entry, {**values, "choices": choices, "suggestion": suggestion})
    if reason:
        return Fault("config-value", at, entry, {**values, "reason": reason})
    if type_.endswith(("_type", "_parsing")):
        return Fault("config-type", at, entry, values)
    if isinstance(node.value, float) and not math.isfinite(node.value):
        values["expected"] = "a finite number"
    return Fault("config-range", at, entry, values)


def _plain(node: YamlNode, at: Pointer, without: frozenset[Pointer]) -> Any:
    """The value as the model gets it: without what is left out, paths resolved beside the file they stand in."""
    if isinstance(node.value, Mapping):
        inner = ((key, entry.node) for key, entry in node.value.items() if (*at, key) not in without)
        return {key: _plain(item, (*at, key), without) for key, item in inner}
    if isinstance(node.value, tuple):
        return [_plain(item, (*at, index), without) for index, item in enumerate(node.value)]
    known = takes(at) if isinstance(node.value, str) else None
    if known is not None and known.is_path and node.value:
        return beside(node.place.path, str(node.value))
    return node.value
