"""Free-form JSON as rows of a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from coordspec.findings.visible import shown


def flat(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The leaves of a JSON object with their dotted paths, safe to show. A list is a leaf."""
    left: list[tuple[str, Any]] = [("", value)]
    while left:
        at, item = left.pop()
        if isinstance(item, Mapping) and item:
            left += [(f"{at}.{key}" if at else str(key), inner) for key, inner in reversed(list(item.items()))]
        elif at:
            yield shown(at), shown(item if isinstance(item, str) else json.dumps(item, ensure_ascii=False))
