"""``record.schema.json`` as typed values: what every check, codec and reader of records follows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from coordspec.contracts.files import schema
from coordspec.contracts.limits import SchemaLimits, limits_of
from coordspec.contracts.node import SchemaNode
from coordspec.contracts.rules import rule

FILE: Final = "record.schema.json"
_FIELDS: Final = ("images", "width", "height", "objects")
_GEOMETRIES: Final = ("bbox_2d", "poly")
_CONTROL: Final = r"[\u0000-\u001f\u007f-\u009f]"
_TYPES: Final = {"images": "array", "width": "integer", "height": "integer", "objects": "array", "metadata": "object"}
_RULES: Final = "the rules are written for it"


@dataclass(frozen=True, slots=True)
class RecordContract:
    """The facts that checks and codecs need. ``more`` and ``object_more`` are optional or required fields beyond those
    that the code has a use for: they are checked and carried along. ``limits`` are what the schema asks of a record
    beyond the rules, ``object_limits`` what it asks of one object; None where it asks nothing.
    """

    required: tuple[str, ...]
    fields: frozenset[str]
    more: tuple[str, ...]
    object_required: tuple[str, ...]
    object_fields: frozenset[str]
    object_more: tuple[str, ...]
    geometries: tuple[str, ...]
    min_bin: int
    max_bin: int
    min_width: int
    min_height: int
    bbox_arity: int
    poly_min: int
    legacy: frozenset[str]
    limits: SchemaLimits | None
    object_limits: SchemaLimits | None

    @property
    def plain(self) -> bool:
        """Whether the contract asks no more than the fast paths know; where it does, they say yes to nothing."""
        fixed = set(self.required) == set(_FIELDS) and self.object_required == ("desc",)
        return fixed and not (self.more or self.object_more or self.limits or self.object_limits)


@cache
def record_contract() -> RecordContract:
    """The record contract, read once from its schema.

    Raises:
        ContractFileError: the schema says what the code cannot follow.
    """
    root = SchemaNode(schema("record"), FILE)
    for name in ("$schema", "$id"):
        root.take(name, str)
    root.only("type", "object", "a line is an object")
    properties, defs = root.child("properties"), root.child("$defs")
    coords = _coords(defs)
    item = _object(defs.child("object"), coords["poly_min"] // 2)
    return RecordContract(**coords, **item, **_record(root, properties))


def _record(root: SchemaNode, properties: SchemaNode) -> dict[str, Any]:
    fields = tuple(properties.left)
    known = {name: properties.child(name) for name in (*_FIELDS, "summary", "metadata")}
    more = tuple(properties.left)
    for name, kind in _TYPES.items():
        known[name].only("type", kind, _RULES)
    known["images"].at_least("minItems", 1)
    path = known["images"].child("items")
    _text(path, f"^(?:{'|'.join(rule('image-path-not-relative').params['kinds'].values())})|{_CONTROL}")
    if path.left:
        known["images"].left["items"] = path.left
    known["objects"].only("items", {"$ref": "#/$defs/object"}, "an object is what $defs says")
    _text(known["summary"], _CONTROL)
    sides = {f"min_{name}": _least_side(known[name]) for name in ("width", "height")}
    properties.left |= {name: node.left for name, node in known.items() if node.left}
    return {
        "required": root.names("required", _FIELDS, fields),
        "fields": frozenset(fields),
        "more": more,
        "limits": limits_of(root, properties, fields),
        **sides,
    }


def _least_side(node: SchemaNode) -> int:
    least = node.take("minimum", int)
    if least < 1:
        raise node.fault("minimum", f"is {least}, and an image has at least one pixel: write 1 or more")
    return least


def _object(item: SchemaNode, points: int) -> dict[str, Any]:
    item.only("type", "object", _RULES)
    properties = item.child("properties")
    fields = tuple(properties.left)
    desc, poly_points = properties.child("desc"), properties.child("poly_points")
    special = rule("special-token-desc").params
    _text(desc, "|".join((_CONTROL, special["pattern"], *map(re.escape, special["tokens"]))))
    poly_points.only("type", "integer", _RULES)
    poly_points.only("minimum", points, "a poly has as many points")
    left = {"desc": desc, "poly_points": poly_points}
    for name in _GEOMETRIES:
        left[name] = properties.child(name)
        left[name].only("$ref", f"#/$defs/{name}", "a geometry is what $defs says")
    item.only("oneOf", [{"required": [name]} for name in _GEOMETRIES], "an object has exactly one geometry")
    legacy = rule("legacy-key").params["replacements"]
    branches = [{"required": [key]} for key in legacy]
    item.only("not", {"anyOf": branches}, "these are the keys that legacy-key in rules.yaml replaces")
    more = tuple(properties.left)
    for name in more:
        if name in legacy:
            raise properties.fault(name, "is a key that legacy-key in rules.yaml replaces; it cannot be a field too")
    properties.left |= {name: node.left for name, node in left.items() if node.left}
    return {
        "object_required": item.names("required", ("desc",), fields),
        "object_fields": frozenset(fields),
        "object_more": more,
        "geometries": _GEOMETRIES,
        "legacy": frozenset(legacy),
        "object_limits": limits_of(item, properties, fields),
    }


def _coords(defs: SchemaNode) -> dict[str, Any]:
    """The definitions of bins, tokens and the two geometries, each of which the codec and the losses are built for."""
    bins, token = defs.child("bin"), defs.child("coord_token")
    built = "the codec, the coord tokens of the model and the losses are built for norm1000"
    bins.only("type", "integer", built)
    bins.only("minimum", 0, built)
    bins.only("maximum", 999, built)
    token.only("type", "string", built)
    token.only("pattern", r"^<\|coord_(?:0|[1-9][0-9]{0,2})\|>$(?!\n)", built)
    box = defs.child("bbox_2d")
    box.only("type", "array", _RULES)
    for name in ("minItems", "maxItems"):
        box.only(name, 4, "a box has the corners x1, y1, x2, y2")
    box.only("anyOf", list(_all_of("bin", "coord_token")), "a geometry has bins or coord tokens, and never both")
    poly = defs.child("poly")
    branches = poly.take("anyOf", list)
    least = SchemaNode(branches[0] if branches else None, FILE, (*poly.at, "anyOf", 0)).take("minItems", int)
    if least < 6 or least % 2 or branches != _poly(least):  # noqa: PLR2004 (a triangle)
        form = "a poly is a flat list of an even number of coordinates from 6, or a list of half as many points"
        raise poly.fault("anyOf", f"does not say what the rules do: {form}")
    for node in (bins, token, box, poly):
        node.close()
    return {"min_bin": 0, "max_bin": 999, "bbox_arity": 4, "poly_min": least}


def _all_of(*names: str) -> Any:
    return ({"items": {"$ref": f"#/$defs/{name}"}} for name in names)


def _poly(least: int) -> list[Any]:
    pair = {"type": "array", "minItems": 2, "maxItems": 2}
    points = [{"items": {**pair, **branch}} for branch in _all_of("bin", "coord_token")]
    return [
        {"type": "array", "minItems": least, "anyOf": list(_all_of("bin", "coord_token"))},
        {"type": "array", "minItems": least // 2, "anyOf": points},
    ]


def _text(node: SchemaNode, forbidden: str) -> None:
    """Text that is not blank and holds none of what a rule forbids."""
    node.only("type", "string", _RULES)
    node.at_least("minLength", 1)
    node.only("pattern", r"\S", "the rules refuse blank text")
    node.only("not", {"pattern": forbidden}, "this is what rules.yaml forbids in it")
