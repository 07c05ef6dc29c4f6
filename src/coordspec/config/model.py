"""The typed config: the one place of every setting, its range and its default.

A run receives this object as it was checked. Nothing after it clamps, guesses or fills in; rules between two settings
are those of ``coordspec check-config``.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Final, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import Field
from pydantic.fields import FieldInfo

from coordspec.config.sections import Custom, Data, Eval, IsPath, Logging, Model, Section, Template, section
from coordspec.config.training import ROLLOUT_MATCHING, Lora, RolloutMatching, Stage2Ab, Training
from coordspec.errors import Pointer

# ---------------------------------------------------------------- the typed config


class Config(Section):
    """Everything about one run."""

    model: Model
    data: Data
    template: Template = section(Template)
    training: Training
    lora: Lora = section(Lora)
    custom: Custom = section(Custom)
    stage2_ab: Stage2Ab | None = Field(
        None, description="Settings of the variant stage2_ab, which needs them; null with another one."
    )
    rollout_matching: RolloutMatching = section(RolloutMatching)
    eval: Eval = section(Eval)
    logging: Logging = section(Logging)

    @property
    def mask_policy(self) -> str | None:
        """The row set of ``contracts/masks.yaml`` that rollouts are supervised by; None in Stage-1.

        Raises:
            ValueError: ``mask_policy`` and ``reordered_gt_sft`` contradict each other, or ``stage2_ab`` is missing.
        """
        match self.custom.trainer_variant:
            case "stage1_sft":
                return None
            case "rollout_matching_sft":
                return ROLLOUT_MATCHING
            case "stage2_ab":
                if self.stage2_ab is None:
                    raise ValueError("the variant stage2_ab needs the section stage2_ab")
                return self.stage2_ab.channel_b.policy

    @property
    def iou_gate(self) -> float:
        """The IoU below which a prediction and an object are no match, where targets are built from rollouts."""
        return self.rollout_matching.iou_gate if self.stage2_ab is None else self.stage2_ab.channel_b.iou_gate


# ---------------------------------------------------------------- what it takes at each place


_WORDS: Final[Mapping[type, tuple[str, str]]] = {
    bool: ("true or false", "booleans"),
    int: ("an integer", "integers"),
    float: ("a number", "numbers"),
    str: ("a string", "strings"),
}
_LIMITS: Final = ("gt", "ge", "lt", "le", "min_length", "pattern")
_RANGES: Final[Mapping[frozenset[str], str]] = {
    frozenset(): "",
    frozenset({"gt"}): " above {gt:g}",
    frozenset({"ge"}): " of at least {ge:g}",
    frozenset({"gt", "le"}): " above {gt:g} and of at most {le:g}",
    frozenset({"ge", "lt"}): " of at least {ge:g} and below {lt:g}",
    frozenset({"ge", "le"}): " from {ge:g} to {le:g}",
}


@dataclass(frozen=True, slots=True)
class Takes:
    """What a value may be. ``kinds`` are Python types; a list has the type tuple, a section has ``section``."""

    kinds: frozenset[type] = frozenset()
    words: str = ""
    section: type[Section] | None = None
    choices: tuple[str, ...] = ()
    item: Takes | None = None
    is_path: bool = False
    required: bool = False
    null: bool = False

    @property
    def expected(self) -> str:
        """In words: ``a number above 0, or null``."""
        return f"{self.words}, or null" if self.null else self.words


Fields: TypeAlias = Mapping[Pointer, Takes]


@cache
def fields() -> Fields:
    """Everything that a config may hold by its path, sections before what is in them."""
    return dict(_below(Config, ()))


def takes(at: Pointer) -> Takes | None:
    """What the model takes at a pointer; None for a place that it does not know. Indices are those of any item."""
    steps = tuple(step for step in at if isinstance(step, str))
    known = fields().get(steps)
    for _ in range(len(at) - len(steps)):
        known = known.item if known is not None else None
    return known


@cache
def paths_of(name: str) -> tuple[str, ...]:
    """The dotted paths of all settings and sections with that name."""
    return tuple(".".join(map(str, at)) for at in fields() if at[-1] == name)


@cache
def names() -> frozenset[str]:
    """The names of all settings and sections."""
    return frozenset(str(at[-1]) for at in fields())


def _below(section: type[Section], above: Pointer) -> Iterator[tuple[Pointer, Takes]]:
    for name, info in section.model_fields.items():
        known = _field(info)
        yield (*above, name), known
        if known.section is not None:
            yield from _below(known.section, (*above, name))


def _field(info: FieldInfo) -> Takes:
    return replace(_takes(info.annotation, info.metadata), required=info.is_required())


def _takes(annotation: Any, facts: list[Any]) -> Takes:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _takes(parts[0], [*parts[1:], *facts])
    if origin in (Union, types.UnionType):
        return _union(parts, facts)
    if origin is Literal:
        return _choices(parts)
    if origin is tuple:
        item = _takes(parts[0], [])
        return Takes(frozenset({tuple}), _list_words(item, _bounds(facts)), item=item)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return Takes(frozenset({dict}), "a mapping of settings", section=annotation)
    bounds = _bounds(facts)
    if "enum" in bounds:
        return _choices(bounds["enum"])
    path = any(isinstance(fact, IsPath) for fact in facts)
    return Takes(frozenset({annotation}), _scalar_words(annotation, bounds, path), is_path=path)


def _union(parts: tuple[Any, ...], facts: list[Any]) -> Takes:
    rest = [part for part in parts if part is not types.NoneType]
    assert len(rest) == 1, "a setting is of one type, or null"
    return replace(_takes(rest[0], facts), null=len(rest) < len(parts))


def _choices(values: tuple[str, ...]) -> Takes:
    return Takes(frozenset({str}), f"one of {', '.join(values)}", choices=values)


def _bounds(facts: list[Any]) -> dict[str, Any]:
    """Limits by their names, however deep the model's annotations hold them."""
    bounds: dict[str, Any] = {}
    for fact in facts:
        if isinstance(fact, FieldInfo):
            bounds |= _bounds(fact.metadata)
            if callable(fact.json_schema_extra):
                fact.json_schema_extra(bounds)
        else:
            bounds |= {name: getattr(fact, name) for name in _LIMITS if hasattr(fact, name)}
    return bounds


def _scalar_words(kind: type, bounds: Mapping[str, Any], path: bool) -> str:
    if path:
        return "a path"
    if kind is str:
        if str(bounds.get("pattern", "")).startswith("^https?://"):
            return "a URL that begins with http:// or https://"
        return "a string that is not empty" if bounds.get("min_length") else "a string"
    limits = frozenset(bounds) & {"gt", "ge", "lt", "le"}
    return _WORDS[kind][0] + _RANGES[limits].format_map(bounds)


def _list_words(item: Takes, bounds: Mapping[str, Any]) -> str:
    single, many = next(words for kind, words in _WORDS.items() if kind in item.kinds)
    what = "paths" if item.is_path else item.words.replace(single, many).replace("that is not", "that are not")
    return f"a list of one or more {what}" if bounds.get("min_length") else f"a list of {what}"
