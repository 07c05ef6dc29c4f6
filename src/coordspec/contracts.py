"""``contracts/`` as typed values. Nothing else opens those files."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Final

import yaml

from coordspec.errors import Issue, Place, Severity


def contract_bytes(name: str) -> bytes:
    """The bytes of one file of the contract, such as ``record.schema.json``."""
    return files("coordspec._contracts").joinpath(name).read_bytes()


_SCHEMA: Final = ".schema.json"
_TABLE: Final = ".yaml"


@cache
def contract_files() -> Mapping[str, str]:
    """Every file of the contract by its short name: ``rules`` for ``rules.yaml``, ``record`` for its JSON Schema.

    Where a table has a schema too, the short name is the table's, and the schema is ``masks.schema``.
    """
    names = sorted(entry.name for entry in files("coordspec._contracts").iterdir())
    tables = {name.removesuffix(_TABLE): name for name in names if name.endswith(_TABLE)}
    schemas = [name for name in names if name.endswith(_SCHEMA)]
    short = {name: name.removesuffix(_SCHEMA) for name in schemas}
    named = {(f"{stem}.schema" if stem in tables else stem): name for name, stem in short.items()}
    return dict(sorted({**named, **tables}.items()))


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
    document = _table("rules")
    rules = [_rule(entry) for entry in document["rules"]]
    return RuleBook({rule.name: rule for rule in rules}, document["families"], document["subjects"])


def _table(name: str) -> Any:
    """The content of one YAML file of the contract."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(contract_bytes(f"{name}{_TABLE}"), Loader=loader)  # noqa: S506 (a safe loader either way)


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


class Owner(StrEnum):
    """Whose text a piece of a target is."""

    MATCHED = "matched"
    FP = "fp"
    FN = "fn"
    FRAME = "frame"


class Kind(StrEnum):
    """What a piece of a target is: of an object the first three, of the frame the others."""

    STRUCT = "struct"
    DESC = "desc"
    COORD = "coord"
    OPEN = "open"
    CLOSE = "close"
    END = "end"


class TargetText(StrEnum):
    """What the text of a target is made of."""

    ROLLOUT = "rollout"
    GROUND_TRUTH = "ground_truth"


NO_LOSS: Final = "none"
"""What ``geometry`` and ``coord_loss`` say where there is no such loss."""


@dataclass(frozen=True, slots=True)
class MaskRow:
    """What holds for the texts of one owner.

    ``weights`` are those of the cross entropy. ``geometry`` is the group of the box loss that the owner's objects enter
    (``matched``, ``fn`` or ``none``), ``coord_loss`` what their coordinate slots get beside it (``soft_ce_w1`` or
    ``none``).
    """

    weights: Mapping[Kind, float]
    geometry: str = NO_LOSS
    coord_loss: str = NO_LOSS


@dataclass(frozen=True, slots=True)
class MaskPolicy:
    """One row set of ``masks.yaml``. ``rows`` has the owners that targets under it can have."""

    name: str
    about: str
    target: TargetText
    rows: Mapping[Owner, MaskRow]

    def weight(self, owner: Owner, kind: Kind) -> float:
        """Weight of the cross entropy; KeyError where no target has such a text."""
        return self.rows[owner].weights[kind]


@dataclass(frozen=True, slots=True)
class MaskPolicies:
    """The policies of Channel-B by name, and the row sets of targets that are the ground truth and nothing else."""

    default: str
    by_name: Mapping[str, MaskPolicy]
    ground_truth: Mapping[str, MaskPolicy]

    def find(self, name: str) -> MaskPolicy:
        """The policy of that name.

        Raises:
            ValueError: there is none; the message lists the policies and says what was probably meant.
        """
        return _row_set(name, self.by_name, "mask policy")

    def find_ground_truth(self, name: str) -> MaskPolicy:
        """The row set of that name for targets without a rollout.

        Raises:
            ValueError: there is none; the message lists them and says what was probably meant.
        """
        return _row_set(name, self.ground_truth, "row set for the ground truth")


def _row_set(name: str, known: Mapping[str, MaskPolicy], what: str) -> MaskPolicy:
    if name not in known:
        raise ValueError(f"no {what} is called {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}")
    return known[name]


@cache
def mask_policies() -> MaskPolicies:
    """The supervision policies of ``contracts/masks.yaml``."""
    document = _table("masks")
    return MaskPolicies(
        default=document["default"],
        by_name={name: _policy(name, entry) for name, entry in document["policies"].items()},
        ground_truth={
            name: _policy(name, {"target": TargetText.GROUND_TRUTH, **entry})
            for name, entry in document["ground_truth"].items()
        },
    )


def _policy(name: str, entry: Mapping[str, Any]) -> MaskPolicy:
    rows = {owner: _mask_row(entry[owner]) for owner in Owner if owner in entry}
    return MaskPolicy(name, entry["about"], TargetText(entry["target"]), rows)


def _mask_row(entry: Mapping[str, Any]) -> MaskRow:
    losses = {name: entry[name] for name in ("geometry", "coord_loss") if name in entry}
    return MaskRow({kind: float(entry[kind]) for kind in Kind if kind in entry}, **losses)
