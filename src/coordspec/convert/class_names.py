"""Files that give names to class numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from coordspec.convert.counts import Counts
from coordspec.convert.descs import category_desc
from coordspec.convert.entries import parsed
from coordspec.errors import InputError
from coordspec.jsonl.read import open_bytes
from coordspec.yaml_nodes import compose, scalar

MAX_BYTES: Final = 1 << 26
SHAPE: Final = "a .txt or .names file has one name a line, a .yaml file the key names, a .json file numbers and names"


def read_class_names(path: str, counts: Counts) -> Mapping[int, str]:
    """Descs by class number. A line of text counts from 0; YAML has them under ``names``, as a list or a mapping; JSON
    is a list, or an object such as ``{"0": "cat"}``.

    Raises:
        InputError: the file cannot be read, or has another form.
        SourceError: a name breaks a rule on descs.
    """
    with open_bytes(path) as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(path, f"is longer than {MAX_BYTES} bytes; {SHAPE}")
    descs: dict[int, str] = {}
    for key, name in _pairs(path, data):
        number = int(key) if str(key).isascii() and str(key).isdigit() else None
        if number is None or not isinstance(name, str):
            raise InputError(path, f"{key!r}: {name!r} is no class number and its name; {SHAPE}")
        if number in descs:
            raise InputError(path, f"the class number {number} stands twice")
        desc = category_desc(name, f"{path}: class {number}")
        counts.shared_descs += desc in descs.values()
        descs[number] = desc
    if not descs:
        raise InputError(path, f"holds no class names; {SHAPE}")
    return descs


def _pairs(path: str, data: bytes) -> Iterable[tuple[Any, Any]]:
    suffix = Path(path).suffix.lower()
    if suffix == ".json":
        value = parsed(data, path).value
    elif suffix in (".yaml", ".yml"):
        value = _yaml_names(path, data)
    else:
        value = _lines(path, data)
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, list):
        return enumerate(value)
    raise InputError(path, f"holds no class names; {SHAPE}")


def _lines(path: str, data: bytes) -> list[str]:
    """One name a line; blank lines at the end are none."""
    try:
        return data.decode().rstrip().splitlines()
    except UnicodeDecodeError as error:
        raise InputError(path, f"is not UTF-8: {error.reason} at byte {error.start}") from error


def _yaml_names(path: str, data: bytes) -> object:
    """What stands under ``names``, every scalar as text, so that ``no`` and ``1`` are words."""
    try:
        root = compose(data)
    except ValueError as error:
        raise InputError(path, str(error)) from error
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    found = [node for key, node in pairs if scalar(key) == "names"]
    if len(found) != 1:
        raise InputError(path, f"has {len(found)} keys names, not one; {SHAPE}")
    if isinstance(found[0], yaml.SequenceNode):
        return [scalar(node) for node in found[0].value]
    if isinstance(found[0], yaml.MappingNode):
        return _unrepeated(path, [(scalar(key), scalar(value)) for key, value in found[0].value])
    return None


def _unrepeated(path: str, pairs: list[tuple[str | None, str | None]]) -> dict[str | None, str | None]:
    if len(dict(pairs)) != len(pairs):
        raise InputError(path, "a class number stands twice under names")
    return dict(pairs)
