"""What a JSON Schema asks of a value beyond the rules: checked by the library ``jsonschema``, said in our words.

The contract's own schemas have such limits where somebody tightened them, and whoever prepares data may bring a
schema of their own. Both go through here.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from coordspec.contracts.files import did_you_mean
from coordspec.contracts.node import ANNOTATIONS, SchemaNode
from coordspec.errors import Pointer

if TYPE_CHECKING:
    from jsonschema import SchemaError, ValidationError

    AnyError: TypeAlias = ValidationError | SchemaError

_SHOWN: Final = 80
_NAMED: Final = ("properties", "patternProperties", "dependentSchemas", "$defs")
_LISTED: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_INNER: Final = (
    *("items", "additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties"),
    *("not", "if", "then", "else", "contains"),
)
_PLAIN: Final = (
    *("type", "enum", "const", "required", "dependentRequired", "format", "pattern", "$ref"),
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "uniqueItems"),
    *("minContains", "maxContains", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
)
_OF_A_FILE: Final = frozenset(("$schema", "$id"))
KEYWORDS: Final = frozenset((*_NAMED, *_LISTED, *_INNER, *_PLAIN))
"""The keywords of JSON Schema 2020-12 that are checked. Others would ask for something and get nothing."""


class Breach(NamedTuple):
    """Where a value breaks a limit, which keyword it breaks, how, and what the schema says of it."""

    at: Pointer
    keyword: str
    reason: str
    hint: str
    on_key: bool = False


@dataclass(frozen=True)
class SchemaLimits:
    """A schema of JSON Schema 2020-12 whose keywords are all known. ``name`` is that of its file, ``files`` are those
    that its references lead to, by their URI.
    """

    schema: Mapping[str, Any]
    name: str
    files: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def _validator(self) -> Any:
        from jsonschema import Draft202012Validator  # noqa: PLC0415 (only where a schema asks for something)
        from referencing import Registry  # noqa: PLC0415
        from referencing.jsonschema import DRAFT202012  # noqa: PLC0415

        known = [(uri, DRAFT202012.create_resource(schema)) for uri, schema in self.files.items()]
        registry: Registry[Any] = Registry().with_resources(known)
        checker = Draft202012Validator.FORMAT_CHECKER
        return Draft202012Validator(self.schema, registry=registry, format_checker=checker)

    def __getstate__(self) -> dict[str, Any]:
        """For worker processes, each of which compiles the schema once."""
        return {"schema": self.schema, "name": self.name, "files": self.files}

    def breaches(self, value: object) -> Iterator[Breach]:
        """Every breach, in the order of the schema."""
        for error in self._validator.iter_errors(value):
            yield _breach(error)


def limits_of(node: SchemaNode, properties: SchemaNode, fields: Collection[str]) -> SchemaLimits | None:
    """The limits that are left of the schema of an object, once the code has taken what it follows.

    Raises:
        ContractFileError: a keyword is not known, or its value is not what JSON Schema has there.
    """
    for name, value in properties.left.items():
        _check_left(value, properties, (name,))
    _check_left(node.left, node, ())
    if not node.left and not properties.left:
        return None
    known = {name: properties.left.get(name, True) for name in fields}  # for additionalProperties
    return SchemaLimits({**node.left, "properties": known}, node.file)


def _check_left(schema: object, node: SchemaNode, at: Pointer) -> None:
    for where, reason in keyword_faults(schema, refs=False):
        raise SchemaNode({}, node.file, (*node.at, *at, *where)).fault("", reason)


def keyword_faults(schema: object, *, refs: bool) -> Iterator[tuple[Pointer, str]]:
    """What is no schema, and every keyword that is not checked, at any depth; ``refs`` allows ``$ref``."""
    if schema == {}:
        return
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415 (only where a schema asks for something)

    try:
        Draft202012Validator.check_schema(schema)  # type: ignore[arg-type]  # that is what is asked
    except SchemaError as error:
        yield tuple(error.absolute_path), f"is no JSON Schema: {_reason(error)}"
        return
    for at, inner in subschemas(schema):
        known = KEYWORDS | ANNOTATIONS | _OF_A_FILE if refs and not at else KEYWORDS | ANNOTATIONS
        for keyword, value in inner.items():
            if keyword not in known:
                yield (*at, keyword), f"is a keyword that is not checked{did_you_mean(keyword, KEYWORDS)}"
            elif keyword == "$ref" and not refs:
                yield (*at, keyword), "is not followed here: write what it refers to"
            elif keyword == "format" and value not in _formats():
                yield (*at, keyword), f"is {value}, which is not checked; there are {', '.join(_formats())}"


def subschemas(schema: object, at: Pointer = ()) -> Iterator[tuple[Pointer, Mapping[str, Any]]]:
    """A schema and those inside of it, each with its place; true and false are left out, since they say all."""
    if not isinstance(schema, dict):
        return
    yield at, schema
    for keyword, inner in schema.items():
        if keyword in _NAMED:
            for name, part in inner.items():
                yield from subschemas(part, (*at, keyword, name))
        elif keyword in _LISTED:
            for index, part in enumerate(inner):
                yield from subschemas(part, (*at, keyword, index))
        elif keyword in _INNER:
            yield from subschemas(inner, (*at, keyword))


def _formats() -> list[str]:
    from jsonschema import Draft202012Validator  # noqa: PLC0415

    return sorted(Draft202012Validator.FORMAT_CHECKER.checkers)


# ---------------------------------------------------------------- in words


def _breach(error: ValidationError) -> Breach:
    described = error.schema.get("description", "") if isinstance(error.schema, dict) else ""
    at, keyword = tuple(error.absolute_path), str(error.validator)
    if keyword == "additionalProperties" and error.validator_value is False:
        return Breach((*at, _strange(error)), keyword, _reason(error), str(described), on_key=True)
    return Breach(at, keyword, _reason(error), str(described))


def _reason(error: AnyError) -> str:
    said = _REASONS.get(str(error.validator))
    return error.message[:_SHOWN] if said is None else said(error.instance, error.validator_value, error)


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _missing(error: AnyError) -> str:
    """The one field that this error is about; only the message says which."""
    return str(ast.literal_eval(error.message.removesuffix(" is a required property")))


def _strange(error: AnyError) -> str:
    """The first field that no schema beside it allows."""
    value: Any = error.instance
    beside: Any = error.schema
    allowed, patterns = beside.get("properties", ()), beside.get("patternProperties", ())
    return str(next(name for name in value if name not in allowed and not any(re.search(p, name) for p in patterns)))


def _count(noun: str, side: str) -> Callable[[Any, Any, AnyError], str]:
    return lambda value, limit, _: f"it has {len(value):,} {noun}, {side} {limit:,}"


def _bound(words: str) -> Callable[[Any, Any, AnyError], str]:
    return lambda value, limit, _: f"{_json(value)} is {words} {limit}"


_REASONS: Final[Mapping[str, Callable[[Any, Any, AnyError], str]]] = {
    "minLength": _count("characters", "at least"),
    "maxLength": _count("characters", "at most"),
    "minItems": _count("items", "at least"),
    "maxItems": _count("items", "at most"),
    "minProperties": _count("fields", "at least"),
    "maxProperties": _count("fields", "at most"),
    "minimum": _bound("below the minimum"),
    "maximum": _bound("above the maximum"),
    "exclusiveMinimum": _bound("not above"),
    "exclusiveMaximum": _bound("not below"),
    "multipleOf": _bound("no multiple of"),
    "enum": lambda value, known, _: f"{_json(value)} is none of {_json(known)}",
    "const": lambda value, wanted, _: f"{_json(value)} is not {_json(wanted)}",
    "pattern": lambda value, pattern, _: f"{_json(value)} does not match {_json(pattern)}",
    "format": lambda value, name, _: f"{_json(value)} is no {name}",
    "type": lambda value, kind, _: f"{_json(value)} is not of the type {_json(kind)}",
    "required": lambda _value, _names, error: f"{_json(_missing(error))} is missing",
    "additionalProperties": lambda _value, _limit, error: f"{_json(_strange(error))} is no field of it",
    "uniqueItems": lambda _value, _limit, _: "it has an item twice",
    "anyOf": lambda value, _limit, _: f"{_json(value)} is nothing that is allowed there",
    "oneOf": lambda value, _limit, _: f"{_json(value)} is none, or more than one, of what is allowed there",
    "not": lambda value, _limit, _: f"{_json(value)} is what the schema excludes",
}
