"""What stands in a config against what the model takes: unknown keys, words that YAML 1.1 reads otherwise, types."""

from __future__ import annotations

import datetime
import difflib
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import yaml
from pydantic import ValidationError

from coordspec.checks.finding import shown
from coordspec.config.extends import EXTENDS, Fault, beside
from coordspec.config.model import Config, Takes, fields, names, paths_of, takes
from coordspec.config.yaml_tree import YamlEntry, YamlNode, find, kind, nearest, shown_node, walk
from coordspec.contracts import contract_bytes, did_you_mean, rule
from coordspec.errors import Pointer, Severity, dotted_path

# ---------------------------------------------------------------- keys


_CLOSE: Final = 0.7


def check_keys(root: YamlNode, at: Pointer = ()) -> Iterator[Fault]:
    """Every key that the model does not know; what stands below one is not looked at."""
    assert isinstance(root.value, Mapping)
    for key, entry in root.value.items():
        known = fields().get((*at, key))
        if known is None:
            name, values = meant_by(key, at)
            yield Fault(name, (*at, key), entry, values, on_key=True)
        elif known.section is not None and isinstance(entry.node.value, Mapping):
            yield from check_keys(entry.node, (*at, key))


def meant_by(key: str, above: Pointer) -> tuple[str, Mapping[str, object]]:
    """The rule that an unknown key breaks: removed, known by another name, misplaced, or unknown, maybe misspelt."""
    path = dotted_path((*above, key))
    if path in removed_keys():
        return "config-removed-key", {"path": path, **removed_keys()[path]}
    section = dotted_path(above)
    siblings = [str(at[-1]) for at in fields() if at[:-1] == above]
    name = key.strip().lower().replace("-", "_").replace(" ", "_")
    values = {"key": shown(key), "section": f"a setting of {section}" if section else "a section of a config"}
    if name in siblings:
        return "config-unknown-key", {**values, "suggestion": f" (did you mean {name!r}?)"}
    other = _other_name(name, above)
    if other is not None:
        return "config-other-name", {**values, **other}
    elsewhere = ("extends, at the top of the file",) if key == EXTENDS else paths_of(name)
    if elsewhere:
        return "config-misplaced-key", {**values, "paths": " or ".join(elsewhere)}
    suggestion = did_you_mean(name, siblings) or _close_elsewhere(name)
    return "config-unknown-key", {**values, "suggestion": suggestion}


def _other_name(name: str, above: Pointer) -> Mapping[str, object] | None:
    """What a name of another program, or a common short one, is called here: in the same section if it can be."""
    known: Mapping[str, Sequence[str]] = rule("config-other-name").params["names"]
    paths = known.get(name, ())
    near = [path for path in paths if above and path.startswith(f"{above[0]}.")]
    chosen = near or paths
    return {"path": " or ".join(chosen)} if chosen else None


def _close_elsewhere(name: str) -> str:
    close = difflib.get_close_matches(name, sorted(names()), n=1, cutoff=_CLOSE)
    return f" (did you mean {' or '.join(paths_of(close[0]))}?)" if close else ""


@cache
def removed_keys() -> Mapping[str, Mapping[str, str]]:
    """``contracts/removed_keys.yaml`` by dotted path."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load(contract_bytes("removed_keys.yaml"), Loader=loader)  # noqa: S506 (a safe loader either way)
    return {entry["path"]: {"reason": entry["reason"], "fix": entry["fix"]} for entry in document["removed"]}


# ---------------------------------------------------------------- words that YAML 1.1 reads otherwise


_NUMBER: Final = re.compile(r"([-+]?)(\d[\d_]*)?(?:\.(\d[\d_]*)?)?(?:[eE]([-+]?)(\d+))?")
_OCTAL: Final = re.compile(r"[-+]?0[0-7_]+|[-+]?0o[0-7_]+")
_SIXTIES: Final = re.compile(r"[-+]?\d[\d_]*(?::[0-5]?\d)+(?:\.[\d_]*)?")
_WORDS: Final = frozenset(("yes", "no", "on", "off"))
_NULLS: Final = frozenset(("None", "none", "nil"))


class Trap(NamedTuple):
    """A rule, how much it weighs here, and the values of its texts."""

    rule: str
    severity: Severity
    values: Mapping[str, object]


def trap(node: YamlNode, known: Takes) -> Trap | None:
    """What is misleading about a value at a place that takes ``known``.

    It is an error where the setting is not what was written: a number that is read as text, or text that is read as
    something else, or another number. Where the value is the one that was meant, it is a warning.
    """
    if not node.plain:
        return None
    text, value, wanted = node.text, node.value, known.kinds
    if isinstance(value, bool):
        return _word(text, value, wanted) if text.lower() in _WORDS else None
    if isinstance(value, str):
        return _text(text, known)
    if isinstance(value, datetime.date):
        return _trap("config-date", text, quoted(text)) if str in wanted else None
    if not isinstance(value, int | float) or not wanted & {int, float, str}:
        return None
    if _SIXTIES.fullmatch(text):
        instead = quoted(text) if str in wanted else f"{value}"
        return _trap("config-sexagesimal", text, instead, number=value)
    if _OCTAL.fullmatch(text) and value:
        decimal = text.replace("_", "").lstrip("-+").lstrip("0")
        return _trap("config-octal", text, quoted(text) if str in wanted else f"{decimal} or {value}", number=value)
    return None


def quoted(text: str) -> str:
    return f"{shown(text)}, in quotes"


def _trap(rule: str, text: str, instead: str, severity: Severity = Severity.ERROR, **values: object) -> Trap:
    return Trap(rule, severity, {"value": text, "instead": instead, **values})


def _word(text: str, value: bool, wanted: frozenset[type]) -> Trap | None:
    boolean = str(value).lower()
    if bool in wanted:
        return _trap("config-word-boolean", text, boolean, Severity.WARNING, boolean=boolean)
    return _trap("config-word-boolean", text, quoted(text), boolean=boolean) if str in wanted else None


def _text(text: str, known: Takes) -> Trap | None:
    """Text where a number is taken or null is, in a spelling that other languages have for them."""
    if known.null and text in _NULLS:
        return _trap("config-none-text", text, "null")
    number = yaml_number(text) if known.kinds & {int, float} else None
    return None if number is None else _trap("config-number-text", text, number)


def yaml_number(text: str) -> str | None:
    """A number that YAML 1.1 takes for text, in a spelling that it takes for a number; None for other text."""
    if _OCTAL.fullmatch(text) and "o" in text:
        return str(int(text.replace("_", ""), 8))
    match = _NUMBER.fullmatch(text)
    if match is None or not (match[2] or match[3]):
        return None
    sign, whole, part, exponent_sign, exponent = match.groups(default="")
    if not exponent:
        return f"{sign}{whole.lstrip('0') or '0'}" + (f".{part}" if "." in text else "")
    return f"{sign}{whole or '0'}.{part or '0'}e{exponent_sign or '+'}{exponent}"


# ---------------------------------------------------------------- values


_PLACEHOLDER: Final = "-"


def check_traps(root: YamlNode) -> Iterator[Fault]:
    """Values that YAML 1.1 reads as something else than people mean."""
    for at, entry in walk(root):
        known = takes(at)
        found = trap(entry.node, known) if known is not None and known.section is None else None
        if found is not None:
            yield Fault(found.rule, at, entry, found.values, severity=found.severity)


def check_missing(root: YamlNode) -> Iterator[Fault]:
    """Settings without a default that stand in none of the files; each at the section that it would stand in."""
    for at, known in fields().items():
        if known.required and known.section is None and find(root, at) is None:
            above, entry = nearest(root, at)
            if isinstance(entry.node.value, Mapping):
                values = {"path": dotted_path(at), "expected": known.expected}
                yield Fault("config-missing-key", above, entry, values, on_key=True)


def model_of(root: YamlNode, without: Collection[Pointer]) -> Config:
    """The typed config, but for the settings at some pointers, which have their defaults or a placeholder.

    Raises:
        ValidationError: the model refuses a value.
    """
    value: dict[str, Any] = _plain(root, (), frozenset(without))
    for at, known in fields().items():
        left_out = find(root, at) is None or any(at[:length] in without for length in range(len(at) + 1))
        if known.required and known.section is None and left_out:
            holder = value.setdefault(str(at[0]), {})
            if isinstance(holder, dict):
                holder[at[1]] = [_PLACEHOLDER] if tuple in known.kinds else _PLACEHOLDER
    return Config.model_validate(value)


def check_values(root: YamlNode, error: ValidationError) -> Iterator[Fault]:
    """The model's findings, one for each value however many of its forms failed."""
    told: dict[Pointer, tuple[str, str]] = {}
    for item in error.errors(include_url=False, include_input=False):
        at, _ = nearest(root, tuple(item["loc"]))
        reason = str(item["ctx"]["error"]) if item["type"] == "value_error" else ""
        told.setdefault(at, (item["type"], reason))
    for at, (type_, reason) in told.items():
        entry = find(root, at)
        known = takes(at)
        assert entry is not None, at
        assert known is not None, at
        yield _fault(at, entry, known, type_, reason)


def _fault(at: Pointer, entry: YamlEntry, known: Takes, type_: str, reason: str) -> Fault:
    node = entry.node
    values: dict[str, object] = {"value": shown_node(node), "type": kind(node), "expected": known.expected}
    if known.choices and isinstance(node.value, str):
        choices = ", ".join(known.choices)
        suggestion = did_you_mean(node.value, known.choices)
        return Fault("config-choice", at, entry, {**values, "choices": choices, "suggestion": suggestion})
    if reason:
        return Fault("config-value", at, entry, {**values, "reason": reason})
    if type_.endswith(("_type", "_parsing")):
        return Fault("config-type", at, entry, values)
    if isinstance(node.value, float) and not math.isfinite(node.value):
        values["expected"] = "a finite number"
    return Fault("config-range", at, entry, values)


def _plain(node: YamlNode, at: Pointer, without: frozenset[Pointer]) -> Any:
    """The value as the model gets it: without what is left out, paths resolved beside the file they stand in."""
    if isinstance(node.value, Mapping):
        inner = ((key, entry.node) for key, entry in node.value.items() if (*at, key) not in without)
        return {key: _plain(item, (*at, key), without) for key, item in inner}
    if isinstance(node.value, tuple):
        return [_plain(item, (*at, index), without) for index, item in enumerate(node.value)]
    known = takes(at) if isinstance(node.value, str) else None
    if known is not None and known.is_path and node.value:
        return beside(node.place.path, str(node.value))
    return node.value
