"""``payload.schema.json`` as typed values: how the answer of a model is written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from coordspec.contracts.files import schema
from coordspec.contracts.node import SchemaNode
from coordspec.contracts.record import record_contract

FILE: Final = "payload.schema.json"
_KEY: Final = re.compile(r"\^([A-Za-z_]+)\[1-9\]\[0-9\]\*\$\(\?!\\n\)")
_BUILT: Final = "the reader of rollouts and the rules are written for it"


@dataclass(frozen=True, slots=True)
class PayloadContract:
    """``prefix`` is what stands before the number in a key; the separators stand between entries and behind keys."""

    prefix: str
    item_separator: str
    key_separator: str

    def key(self, number: int) -> str:
        """The key of an entry, counted from 1."""
        return f"{self.prefix}{number}"


@cache
def payload_contract() -> PayloadContract:
    """The payload contract, read once from its schema.

    Raises:
        ContractFileError: the schema says what the code cannot follow.
    """
    root = SchemaNode(schema("payload"), FILE)
    for name in ("$schema", "$id"):
        root.take(name, str)
    root.only("type", "object", _BUILT)
    names, separators = root.child("propertyNames"), root.child("x-separators")
    pattern = names.take("pattern", str)
    key = _KEY.fullmatch(pattern)
    if key is None:
        form = r"^object_[1-9][0-9]*$(?!\n), with other letters for object_"
        raise names.fault("pattern", f"is {pattern}, and a key is a word and a number from 1: write {form}")
    between = _separator(separators, "item", ","), _separator(separators, "key", ":")
    _entry(root.child("additionalProperties"))
    for node in (names, separators, root):
        node.close()
    return PayloadContract(key[1], *between)


def _separator(node: SchemaNode, name: str, mark: str) -> str:
    value = node.take(name, str)
    if value.strip(" \t\r\n") != mark:
        raise node.fault(name, f"is {value!r}, and JSON has a {mark} here, with white space around it or none")
    return value


def _entry(entry: SchemaNode) -> None:
    """Nothing here differs from the record, and the record is where it is said."""
    contract = record_contract()
    entry.only("type", "object", _BUILT)
    entry.only("required", ["desc"], _BUILT)
    entry.only("additionalProperties", False, _BUILT)
    entry.only("oneOf", [{"required": [name]} for name in contract.geometries], "an entry has exactly one geometry")
    properties = entry.child("properties")
    desc = properties.child("desc")
    desc.only("type", "string", _BUILT)
    desc.only("minLength", 1, _BUILT)
    desc.only("$ref", "record.schema.json#/$defs/object/properties/desc", "a desc is what the record says")
    desc.close()
    arity = contract.bbox_arity
    for name, limits in (
        ("bbox_2d", {"minItems": arity, "maxItems": arity}),
        ("poly", {"minItems": contract.poly_min}),
    ):
        node = properties.child(name)
        for keyword, value in limits.items():
            node.only(keyword, value, f"the record's {name} says so")
        node.only("type", "array", _BUILT)
        node.only("items", {"$ref": "record.schema.json#/$defs/coord_token"}, "a model writes coord tokens")
        node.close()
    properties.close()
    entry.close()
