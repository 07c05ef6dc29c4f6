"""Words that YAML 1.1 reads as something else than people mean: ``1e-5``, ``yes``, ``010``, ``1:30``, dates."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from coordspec.checks.finding import shown
from coordspec.config.fields import Takes
from coordspec.config.tree import YamlNode
from coordspec.errors import Severity

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
