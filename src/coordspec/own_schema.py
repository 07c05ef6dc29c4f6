"""A JSON Schema that whoever prepares data brings: what they ask of a record beyond the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote

from coordspec.contracts import SchemaLimits, keyword_faults, subschemas
from coordspec.errors import InputError, Pointer, json_pointer
from coordspec.jsonl.parse import parse_line
from coordspec.jsonl.read import open_bytes

MAX_BYTES: Final = 1 << 20
MAX_FILES: Final = 32
_BASE: Final = "https://schemas.invalid/"  # never asked: relative references are resolved against it
_IN_PLACE: Final = ("$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
"""Keywords whose schemas look at the very value that theirs looks at."""


def read_schema(path: str) -> SchemaLimits:
    """The limits of a file of JSON Schema 2020-12, compiled once. A ``$ref`` leads to a place in the file, or to a file
    in its folder or below it.

    Raises:
        InputError: a file cannot be read, is no strict JSON or no such schema, has a keyword that is not checked, or a
            ``$ref`` that leads out of the folder, to nothing, or back to itself.
    """
    schemas = _Schemas(Path(path).parent)
    schemas.read(Path(path).name)
    for name in schemas.files:
        for at, inner in subschemas(schemas.files[name]):
            schemas.refuse_cycle(name, at, inner, [])
    files = {_BASE + name: schema for name, schema in schemas.files.items()}
    return SchemaLimits({"$ref": _BASE + Path(path).name}, path, files)


class _Schemas:
    """The files of a folder that refer to each other, by their paths below it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, Any] = {}

    def read(self, name: str) -> None:
        """Read a file, and those that it refers to."""
        if len(self.files) >= MAX_FILES:
            raise self._error(name, (), f"is one file too many; a schema refers to at most {MAX_FILES}")
        schema = self.files[name] = _parsed(str(self.folder / name))
        for at, reason in keyword_faults(schema, refs=True):
            raise self._error(name, at, reason)
        for at, inner in subschemas(schema):
            if "$ref" in inner:
                target = self._file(name, (*at, "$ref"), inner["$ref"])
                if target not in self.files:
                    self.read(target)

    def refuse_cycle(self, name: str, at: Pointer, schema: Any, trail: list[int]) -> None:
        """A schema that comes back to itself without looking deeper into the value would never end."""
        if not isinstance(schema, dict):
            return
        if id(schema) in trail:
            raise self._error(name, at, "leads back to itself, and would never end")
        for keyword in sorted(schema.keys() & _IN_PLACE):
            for file, part in self._parts(name, at, keyword, schema[keyword]):
                self.refuse_cycle(file, at if file == name else (), part, [*trail, id(schema)])

    def _parts(self, name: str, at: Pointer, keyword: str, value: Any) -> Iterator[tuple[str, Any]]:
        if keyword == "$ref":
            file = self._file(name, (*at, keyword), value)
            yield file, self._target(name, (*at, keyword), file, value)
        elif keyword == "dependentSchemas":
            yield from ((name, part) for part in value.values())
        else:
            yield from ((name, part) for part in (value if isinstance(value, list) else [value]))

    def _file(self, name: str, at: Pointer, reference: str) -> str:
        """The file that a reference leads to, below the folder."""
        file = reference.partition("#")[0]
        if not file:
            return name
        target = PurePosixPath(name).parent / file
        if ":" in file or "\\" in file or target.is_absolute() or ".." in target.parts:
            raise self._error(name, at, f"{reference!r} leads out of the folder: name a file beside this one, or below")
        return str(target)

    def _target(self, name: str, at: Pointer, file: str, reference: str) -> Any:
        """What a reference leads to: by a JSON pointer, the one form that is followed."""
        pointer, found = reference.partition("#")[2], self.files[file]
        if pointer and not pointer.startswith("/"):
            raise self._error(name, at, f"{reference!r} is no JSON pointer: write #/$defs/NAME")
        for step in pointer.split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            inner = dict(enumerate(found)) if isinstance(found, list) else found
            at_key: Any = int(key) if isinstance(found, list) and key.isdecimal() else key
            if not isinstance(inner, dict) or at_key not in inner:
                raise self._error(name, at, f"{reference!r} leads to nothing")
            found = inner[at_key]
        return found

    def _error(self, name: str, at: Pointer, reason: str) -> InputError:
        return InputError(f"{self.folder / name}#{json_pointer(at)}", reason)


def _parsed(path: str) -> Any:
    with open_bytes(path) as stream:
        data = stream.read(MAX_BYTES + 1)
    parsed = parse_line(data, len(data), MAX_BYTES)
    if parsed.faults:
        raise InputError(path, f"is no strict JSON ({parsed.faults[0].finding.rule})")
    if isinstance(parsed.value, dict):
        parsed.value.pop("$id", None)  # files are known by their places, and references are read from there
    return parsed.value
