"""The files of ``contracts/``. Nothing else opens them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml

from coordspec.errors import CoordspecError


class ContractFileError(CoordspecError):
    """A file of the contract says what the code cannot follow; the message has file, pointer and keyword."""


def contract_bytes(name: str) -> bytes:
    """The bytes of one file of the contract, such as ``record.schema.json``."""
    return files("coordspec._contracts").joinpath(name).read_bytes()


def contract_path(name: str) -> str:
    """Where a file of the contract lies, for a message."""
    return str(files("coordspec._contracts").joinpath(name))


_SCHEMA: Final = ".schema.json"
_TABLE: Final = ".yaml"


@cache
def contract_files() -> Mapping[str, str]:
    """Every file of the contract by its short name: ``rules`` for ``rules.yaml``, ``record`` for its JSON Schema.

    Where a table has a schema too, the short name is the table's, and the schema is ``masks.schema``.
    """
    names = sorted(entry.name for entry in files("coordspec._contracts").iterdir())
    tables = {name.removesuffix(_TABLE): name for name in names if name.endswith(_TABLE)}
    schemas = [name for name in names if name.endswith(_SCHEMA)]
    short = {name: name.removesuffix(_SCHEMA) for name in schemas}
    named = {(f"{stem}.schema" if stem in tables else stem): name for name, stem in short.items()}
    return dict(sorted({**named, **tables}.items()))


@cache
def schema(name: str) -> Mapping[str, Any]:
    """One JSON Schema of the contract, by its file name without ``.schema.json``."""
    file = f"{name}{_SCHEMA}"
    try:
        loaded: Mapping[str, Any] = json.loads(contract_bytes(file))
    except ValueError as error:
        raise ContractFileError(f"{contract_path(file)}: is no JSON: {error}") from error
    return loaded


def table(name: str) -> Any:
    """The content of one YAML file of the contract."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    file = f"{name}{_TABLE}"
    try:
        return yaml.load(contract_bytes(file), Loader=loader)  # noqa: S506 (a safe loader either way)
    except (yaml.YAMLError, UnicodeError) as error:
        said = " ".join(str(error).split())
        raise ContractFileError(f"{contract_path(file)}: is no YAML: {said}") from error


def did_you_mean(word: str, known: Collection[str]) -> str:
    """`` (did you mean 'objects'?)``, or nothing when no known word is close."""
    lowered = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.strip().lower(), list(lowered), n=1, cutoff=0.7)
    return f" (did you mean {lowered[close[0]]!r}?)" if close else ""
