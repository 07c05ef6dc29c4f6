"""``contracts/`` as typed values. Nothing else opens those files."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from coordspec.errors import Issue, Place, Severity


def contract_bytes(name: str) -> bytes:
    """The bytes of one file of the contract, such as ``record.schema.json``."""
    return files("coordspec._contracts").joinpath(name).read_bytes()


@dataclass(frozen=True, slots=True)
class Rule:
    """One diagnostic: everything that is ever said about it."""

    code: str
    name: str
    severity: Severity
    message: str
    fix: str
    why: str
    spec: str
    good: str
    bad: str | None
    bad_encoding: str
    options: Mapping[str, Any]
    params: Mapping[str, Any]

    @property
    def family(self) -> str:
        return self.code.rstrip("0123456789")

    @property
    def bad_line(self) -> bytes | None:
        """The bad example as the bytes that stand in a file, without line end."""
        return None if self.bad is None else self.bad.encode(self.bad_encoding)

    def issue(self, place: Place, values: Mapping[str, object], severity: Severity | None = None) -> Issue:
        """The finding of this rule at ``place``; ``values`` fill the message and the hint."""
        return Issue(
            self.code,
            self.name,
            severity or self.severity,
            place,
            self.message.format_map(values),
            self.fix.format_map(values),
        )


@dataclass(frozen=True, slots=True)
class RuleBook:
    """All rules by name, in the order of the file, and what their families are about."""

    by_name: Mapping[str, Rule]
    families: Mapping[str, str]
    subjects: Mapping[str, Collection[str]]

    def about(self, subject: str) -> RuleBook:
        """The part of the book on one subject: ``data`` or ``spec``."""
        families = self.subjects[subject]
        return RuleBook(
            {name: rule for name, rule in self.by_name.items() if rule.family in families},
            {family: text for family, text in self.families.items() if family in families},
            {subject: families},
        )

    def find(self, word: str) -> Rule | None:
        """The rule of that name or code, whatever the case of the letters."""
        low = word.strip().lower().replace("_", "-")
        return next((r for r in self.by_name.values() if low in (r.name, r.code.lower())), None)

    def select(self, words: Collection[str]) -> frozenset[str]:
        """Names of the rules that the words mean: names, codes, or families such as ``GEO``.

        Raises:
            ValueError: a word means no rule; the message says what was probably meant.
        """
        names: set[str] = set()
        for word in words:
            rule = self.find(word)
            family = [r.name for r in self.by_name.values() if r.family == word.strip().upper()]
            if rule is None and not family:
                raise ValueError(f"no rule is called {word!r}{self.suggestion(word)}")
            names.update(family or [rule.name] if rule is not None else family)
        return frozenset(names)

    def suggestion(self, word: str) -> str:
        known = [*self.by_name, *(r.code for r in self.by_name.values()), *self.families]
        return did_you_mean(word, known)


def did_you_mean(word: str, known: Collection[str]) -> str:
    """`` (did you mean 'objects'?)``, or nothing when no known word is close."""
    lowered = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.strip().lower(), list(lowered), n=1, cutoff=0.7)
    return f" (did you mean {lowered[close[0]]!r}?)" if close else ""


@cache
def rule_book() -> RuleBook:
    """The rules of ``contracts/rules.yaml``."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load(contract_bytes("rules.yaml"), Loader=loader)  # noqa: S506 (a safe loader either way)
    rules = [_rule(entry) for entry in document["rules"]]
    return RuleBook({rule.name: rule for rule in rules}, document["families"], document["subjects"])


def _rule(entry: Mapping[str, Any]) -> Rule:
    optional = {"bad_encoding": "utf-8", "options": {}, "params": {}}
    rule = Rule(**{**optional, **entry})
    return replace(rule, severity=Severity(rule.severity))


def rule(name: str) -> Rule:
    """The rule of that name; KeyError is a bug of the caller."""
    return rule_book().by_name[name]


@dataclass(frozen=True, slots=True)
class RecordContract:
    """The facts of ``record.schema.json`` that checks and codecs need."""

    required: tuple[str, ...]
    fields: frozenset[str]
    object_required: tuple[str, ...]
    object_fields: frozenset[str]
    geometries: tuple[str, ...]
    min_bin: int
    max_bin: int
    min_side: int
    bbox_arity: int
    poly_min: int
    legacy: frozenset[str]


@cache
def schema(name: str) -> Mapping[str, Any]:
    """One JSON Schema of the contract, by its file name without ``.schema.json``."""
    loaded: Mapping[str, Any] = json.loads(contract_bytes(f"{name}.schema.json"))
    return loaded


@cache
def record_contract() -> RecordContract:
    """The record contract, read once from its schema."""
    record = schema("record")
    defs = record["$defs"]
    item = defs["object"]
    return RecordContract(
        required=tuple(record["required"]),
        fields=frozenset(record["properties"]),
        object_required=tuple(item["required"]),
        object_fields=frozenset(item["properties"]),
        geometries=tuple(branch["required"][0] for branch in item["oneOf"]),
        min_bin=defs["bin"]["minimum"],
        max_bin=defs["bin"]["maximum"],
        min_side=record["properties"]["width"]["minimum"],
        bbox_arity=defs["bbox_2d"]["maxItems"],
        poly_min=defs["poly"]["anyOf"][0]["minItems"],
        legacy=frozenset(rule("legacy-key").params["replacements"]),
    )
