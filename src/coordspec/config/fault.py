"""A rule that a config breaks, and what a person needs to know of the files that made it so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from coordspec.config.extends import Resolved
from coordspec.config.tree import YamlEntry
from coordspec.contracts import rule
from coordspec.errors import Issue, Place, Pointer, Severity


class Fault(NamedTuple):
    """A rule broken at an entry of the resolved config: at its key where ``on_key`` is True, else at its value."""

    rule: str
    at: Pointer
    entry: YamlEntry
    values: Mapping[str, object]
    on_key: bool = False
    severity: Severity | None = None

    @property
    def weight(self) -> Severity:
        return self.severity or rule(self.rule).severity


def issue_of(fault: Fault, resolved: Resolved) -> Issue:
    """The finding of a fault, with the chain of files that set the value behind its message."""
    place = fault.entry.key if fault.on_key else fault.entry.node.place
    made = rule(fault.rule).issue(replace(place, at=fault.at), fault.values, fault.severity)
    return _behind(made, [*_overridden(fault.entry), *_extended(place.path, resolved)])


def with_origin(issue: Issue, resolved: Resolved) -> Issue:
    """A finding on the text of a file, with the files that extend it behind its message."""
    return _behind(issue, list(_extended(issue.place.path, resolved)))


def _behind(issue: Issue, remarks: list[str]) -> Issue:
    return replace(issue, message=f"{issue.message} ({'; '.join(remarks)})") if remarks else issue


def _overridden(entry: YamlEntry) -> Iterator[str]:
    """``stage2.yaml:12 overrides base.yaml:70``, and that what it overrides itself."""
    if len(entry.chain) > 1:
        yield " overrides ".join(f"{place.path}:{place.line}" for place in entry.chain)


def _extended(path: str, resolved: Resolved) -> Iterator[str]:
    """``run.yaml:1 extends it``, and so on up to the config that was checked."""
    what = "it"
    while (name := resolved.extended_by.get(path)) is not None:
        yield f"{name.path}:{name.line} extends {what}"
        path = what = name.path


def place_of(entry: YamlEntry, seen_from: Place) -> str:
    """Where an entry stands, as short as it can be said in a finding at another place."""
    key = entry.key
    return f"line {key.line}" if key.path == seen_from.path else f"{key.path}:{key.line}"
