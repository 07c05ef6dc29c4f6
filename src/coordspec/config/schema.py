"""The typed config as a JSON Schema that editors understand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic.fields import FieldInfo

from coordspec.config.model import Config
from coordspec.config.section import Facts, Section, facts, section_of, section_text

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
"""The newest draft that the YAML language server of the common editors reads."""

EXTENDS: Final[Mapping[str, Any]] = {
    "description": "Configs that this one builds on: a path or a list of paths, relative to this file. This file wins "
    "over them, and a later one over an earlier one; mappings are merged, lists and single values replaced.",
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}},
    ],
}


_REPLACED: Final = frozenset({"title", "description", *Facts._fields})


def config_schema() -> dict[str, Any]:
    """``contracts/config.schema.json``: what one config file may hold.

    Nothing is required in it, since a file may leave anything to those that it extends; ``coordspec check-config``
    looks at the whole. Sections stand where they are used, so that an editor shows them without following references.
    """
    made = _mapping(Config)
    made["properties"] = {"extends": dict(EXTENDS), **made["properties"]}
    return {"$schema": DRAFT, "title": "coordspec training config", **made}


def _mapping(of: type[Section]) -> dict[str, Any]:
    properties: Mapping[str, Any] = of.model_json_schema()["properties"]
    return {
        "description": section_text(of),
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _property(field, properties[name]) for name, field in of.model_fields.items()},
    }


def _property(field: FieldInfo, made: Mapping[str, Any]) -> dict[str, Any]:
    """One key of a section; ``made`` is what pydantic says of it."""
    inner = section_of(field)
    if inner is None:
        limits = {key: value for key, value in made.items() if key not in _REPLACED}
        return {"description": _text(field), **_with_null(limits)}
    made_of = _mapping(inner)
    if field.annotation is not inner:
        made_of |= {"description": field.description, "type": ["object", "null"], "default": None}
    return made_of


def _text(field: FieldInfo) -> str:
    unit, source = facts(field)
    parts = (field.description, unit and f"Unit: {unit}.", f"Source: {source}.", field.is_required() and "Required.")
    return " ".join(part for part in parts if part)


def _with_null(node: dict[str, Any]) -> dict[str, Any]:
    """``anyOf`` a type and null as one list of types, which editors explain better."""
    match node.pop("anyOf", None):
        case None:
            return node
        case [one, {"type": "null"}]:
            enum = {"enum": [*one["enum"], None]} if "enum" in one else {}
            return {**one, "type": [one["type"], "null"], **enum, **node}
        case other:
            raise AssertionError(f"no form for {other}")
