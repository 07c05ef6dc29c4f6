"""``rules.yaml`` as typed values: every diagnostic."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from coordspec.contracts.files import ContractFileError, contract_path, did_you_mean, table
from coordspec.errors import Issue, Place, Severity


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


@cache
def rule_book() -> RuleBook:
    """The rules of ``contracts/rules.yaml``."""
    document = table("rules")
    rules = [_rule(entry) for entry in document["rules"]]
    return RuleBook({rule.name: rule for rule in rules}, document["families"], document["subjects"])


def _rule(entry: Mapping[str, Any]) -> Rule:
    optional = {"bad_encoding": "utf-8", "options": {}, "params": {}}
    try:
        rule = Rule(**{**optional, **entry})
        return replace(rule, severity=Severity(rule.severity))
    except (TypeError, ValueError) as error:
        which = f"the rule {entry.get('name')}" if isinstance(entry, dict) else repr(entry)
        raise ContractFileError(f"{contract_path('rules.yaml')}: {which}: {error}") from error


def rule(name: str) -> Rule:
    """The rule of that name; KeyError is a bug of the caller."""
    return rule_book().by_name[name]
