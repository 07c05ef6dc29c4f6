"""What a JSON Schema asks of a record or an object beyond the rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from coordspec.checks.finding import Finding, cut
from coordspec.contracts import SchemaLimits
from coordspec.errors import Pointer

_DO: Final = "write what the schema asks for"


def check_limits(limits: SchemaLimits | None, value: object, at: Pointer = ()) -> Iterator[Finding]:
    """A finding for everything in a value that breaks a limit; the hint is what the schema says of it."""
    if limits is None:
        return
    for breach in limits.breaches(value):
        values = {"reason": breach.reason, "keyword": cut(breach.keyword), "schema": limits.name}
        yield Finding("schema-limit", (*at, *breach.at), {**values, "hint": breach.hint or _DO}, breach.on_key)
