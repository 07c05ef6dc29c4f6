"""A JSON Schema of the contract, read keyword by keyword.

The code follows a fact by taking its keyword. What it did not take is a limit that ``jsonschema`` checks, or is
refused: a keyword that changes nothing is the one outcome that there is not.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeVar

from coordspec.contracts.files import ContractFileError, contract_path
from coordspec.errors import Pointer, json_pointer

T = TypeVar("T")
ANNOTATIONS: Final = frozenset(("title", "description", "$comment", "examples", "default", "deprecated"))
"""Keywords that ask nothing of a value."""


class SchemaNode:
    """One schema of a file. Every ``take`` removes a keyword; ``left`` are those that nobody took."""

    def __init__(self, value: object, file: str, at: Pointer = ()) -> None:
        self.file, self.at = file, at
        if not isinstance(value, dict):
            raise self.fault("", f"is {_shown(value)}, where the code reads a JSON object")
        self.left: dict[str, Any] = {name: item for name, item in value.items() if name not in ANNOTATIONS}

    def fault(self, keyword: str, reason: str) -> ContractFileError:
        """The refusal of a keyword, or of the whole schema."""
        pointer = json_pointer((*self.at, keyword) if keyword else self.at)
        return ContractFileError(f"{contract_path(self.file)}#{pointer}: {reason}")

    def take(self, keyword: str, kind: type[T]) -> T:
        """The value of a keyword that has to be there."""
        if keyword not in self.left:
            raise self.fault(keyword, "is missing, and the code reads it")
        value = self.left.pop(keyword)
        if type(value) is not kind:
            raise self.fault(keyword, f"is {_shown(value)}, where the code reads {_KINDS[kind]}")
        return value

    def only(self, keyword: str, wanted: object, why: str) -> None:
        """A keyword whose value the code is built for, ``why`` says how."""
        value = self.left.pop(keyword, None)
        if value != wanted or type(value) is not type(wanted):
            said = "is missing" if value is None else f"is {_shown(value)}"
            raise self.fault(keyword, f"{said}, and {why}: write {_shown(wanted)}")

    def at_least(self, keyword: str, least: int) -> None:
        """A lower limit that the code holds to be ``least``; a higher one is left, as a limit."""
        value = self.take(keyword, int)
        if value < least:
            raise self.fault(keyword, f"is {value}, and the rules refuse what is below {least}: write {least} or more")
        if value > least:
            self.left[keyword] = value

    def names(self, keyword: str, needed: Collection[str], known: Collection[str]) -> tuple[str, ...]:
        """A list of fields: all of ``needed``, none that is not ``known``."""
        value = self.take(keyword, list)
        for name in needed:
            if name not in value:
                raise self.fault(keyword, f"lacks {_shown(name)}, which the code cannot do without")
        for name in value:
            if name not in known:
                raise self.fault(keyword, f"names {_shown(name)}, which is none of the properties")
        return tuple(value)

    def child(self, keyword: str) -> SchemaNode:
        """The schema under a keyword, or the schemas by name."""
        return SchemaNode(self.take(keyword, dict), self.file, (*self.at, keyword))

    def close(self) -> None:
        """Refuse what nobody took."""
        for keyword in self.left:
            raise self.fault(keyword, "is a keyword that the code does not follow here: take it away")


_KINDS: Final[Mapping[type, str]] = {int: "an integer", str: "a string", list: "a list", dict: "a JSON object"}


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
