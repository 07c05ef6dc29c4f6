"""The checked config as a person reads it, and as a JSON Schema that editors understand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import yaml
from pydantic.fields import FieldInfo

from coordspec.config.extends import Resolved
from coordspec.config.model import Config
from coordspec.config.sections import Facts, Section, facts, section_of, section_text
from coordspec.config.yaml_tree import find
from coordspec.errors import Pointer, dotted_path
from coordspec.findings.visible import visible

# ---------------------------------------------------------------- a resolved config as text


DEFAULT: Final = "default"


class Setting(NamedTuple):
    """One setting with its value. ``origin`` is ``file:line`` or ``default``; ``overrides`` are places that lost."""

    at: Pointer
    value: Any
    origin: str
    overrides: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return dotted_path(self.at)

    def value_of_json(self) -> dict[str, Any]:
        """As a JSON value, without the path."""
        return {"value": self.value, "origin": self.origin, "overrides": list(self.overrides)}


def settings(config: Config, resolved: Resolved) -> list[Setting]:
    """Every setting of a config in the order of the model; a section that is null counts as one setting."""
    return list(_settings(config.model_dump(mode="json"), (), resolved))


def _settings(values: Mapping[str, Any], above: Pointer, resolved: Resolved) -> Iterator[Setting]:
    for name, value in values.items():
        at = (*above, name)
        if isinstance(value, dict):
            yield from _settings(value, at, resolved)
            continue
        entry = find(resolved.root, at)
        places = [f"{place.path}:{place.line}" for place in entry.chain] if entry is not None else [DEFAULT]
        yield Setting(at, value, places[0], tuple(places[1:]))


def show_yaml(config: Config, resolved: Resolved) -> str:
    """The whole config as YAML, each value with its origin in a comment. Reading it gives the same values."""
    rows = []
    for setting in settings(config, resolved):
        lost = "".join(f", overrides {place}" for place in setting.overrides)
        rows.append((setting.at, setting.value, f"# {visible(setting.origin + lost)}"))
    return laid_out(rows)


def laid_out(rows: Iterable[tuple[Pointer, Any, str]]) -> str:
    """YAML of settings in the order of their sections, the comments of all of them in one column."""
    lines: list[tuple[str, str]] = []
    open_sections: Pointer = ()
    for at, value, comment in rows:
        above = at[:-1]
        for depth, name in enumerate(above):
            if open_sections[: depth + 1] != above[: depth + 1]:
                lines.append((f"{'  ' * depth}{name}:", ""))
                open_sections = above[: depth + 1]
        open_sections = above
        lines.append((f"{'  ' * len(above)}{at[-1]}: {yaml_text(value)}", comment))
    width = min(max(len(text) for text, comment in lines if comment), _COMMENT_COLUMN)
    return "".join(f"{text:<{width}}  {comment}".rstrip() + "\n" for text, comment in lines)


_COMMENT_COLUMN: Final = 60


def yaml_text(value: Any) -> str:
    """A value on one line, in a spelling that reads as the same value and shows no hidden character."""
    options: dict[str, Any] = {"default_flow_style": True, "width": float("inf"), "sort_keys": False}
    text: str = yaml.safe_dump(value, allow_unicode=True, **options)
    text = text.removesuffix("\n").removesuffix("\n...")
    if visible(text) != text:
        text = yaml.safe_dump(value, allow_unicode=False, default_style='"', **options).removesuffix("\n")
    return text


class Change(NamedTuple):
    """A setting that two configs do not have in common; None stands for a section that one of them does not have."""

    path: str
    old: Setting | None
    new: Setting | None


def changes(old: list[Setting], new: list[Setting]) -> list[Change]:
    """What differs in the values of two configs, in the order of the model; origins alone are no difference."""
    before, after = ({setting.at: setting for setting in side} for side in (old, new))
    both = list(dict.fromkeys([*before, *after]))
    pairs = [Change(dotted_path(at), before.get(at), after.get(at)) for at in both]
    return [pair for pair in pairs if pair.old is None or pair.new is None or pair.old.value != pair.new.value]


# ---------------------------------------------------------------- the config as a JSON Schema


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
