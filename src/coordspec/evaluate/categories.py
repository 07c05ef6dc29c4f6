"""From the words of a desc to a category: equal after normalisation, or as a table says."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from coordspec.checks.text import is_blank
from coordspec.errors import InputError
from coordspec.jsonl.parse import parse_line
from coordspec.jsonl.read import open_bytes
from coordspec.yaml_nodes import compose, scalar

MAX_TABLE_BYTES: Final = 1 << 26


def normalised(desc: str) -> str:
    """The desc in Unicode NFKC, case-folded, each run of white space as one space, none at the ends.

    NFKC is applied before and after folding, since either can undo the other. Nothing else is touched: accents,
    articles, plurals and punctuation tell categories apart.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", desc).casefold())
    return " ".join(folded.split())


@dataclass(frozen=True, slots=True)
class Categories:
    """Which descs mean the same. ``table`` holds normalised descs and the normalised categories that they mean."""

    table: Mapping[str, str] = field(default_factory=dict)

    def of(self, desc: str) -> str:
        """The category of a desc: what the table says, or the normalised desc itself."""
        own = normalised(desc)
        return self.table.get(own, own)


def read_categories(path: str) -> Categories:
    """The table of a JSON file, or of a YAML file (.yaml, .yml): one mapping from descs to categories.

    Raises:
        InputError: the file cannot be read, is no mapping of texts to texts, or gives one desc two categories.
    """
    with open_bytes(path) as stream:
        data = stream.read(MAX_TABLE_BYTES + 1)
    if len(data) > MAX_TABLE_BYTES:
        raise InputError(path, f"is longer than {MAX_TABLE_BYTES} bytes; name a table of descs and categories")
    pairs = _yaml_pairs(path, data) if Path(path).suffix in (".yaml", ".yml") else _json_pairs(path, data)
    table: dict[str, str] = {}
    for desc, category in pairs:
        if not isinstance(desc, str) or not isinstance(category, str) or is_blank(desc) or is_blank(category):
            raise InputError(path, f"{desc!r}: {category!r} is no pair of texts, desc: category")
        known = table.setdefault(normalised(desc), normalised(category))
        if known != normalised(category):
            raise InputError(path, f"the desc {desc!r} has two categories, {known!r} and {category!r}")
    return Categories(table)


def _json_pairs(path: str, data: bytes) -> list[tuple[Any, Any]]:
    parsed = parse_line(data, len(data), MAX_TABLE_BYTES)
    if parsed.faults:
        finding = parsed.faults[0].finding
        raise InputError(path, f"is no strict JSON ({finding.rule})")
    if not isinstance(parsed.value, dict):
        raise InputError(path, 'is no JSON object; write {"desc": "category", …}')
    return list(parsed.value.items())


def _yaml_pairs(path: str, data: bytes) -> list[tuple[Any, Any]]:
    """The pairs as they are written: every scalar is text, so that ``no`` and ``1`` are words."""
    try:
        node = compose(data)
    except ValueError as error:
        raise InputError(path, str(error)) from error
    if not isinstance(node, yaml.MappingNode):
        raise InputError(path, "is no YAML mapping; write `desc: category`, one a line")
    return [(scalar(key), scalar(value)) for key, value in node.value]
