"""The ``yaml coordspec`` block of a scenario: the harness it names, and its cases."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from coordspec.spec.document import Scenario
from coordspec.spec.markdown import CASES, FencedBlock
from coordspec.yaml_nodes import MAX_DEPTH, deep_line

LABEL: Final = "case"
"""The key of a case that names it in messages and is not handed to the harness."""


class CasesError(ValueError):
    """A block that does not say which harness runs which cases; the text says what to write."""

    def __init__(self, line: int, reason: str) -> None:
        self.line = line
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class BlockCase:
    """One call of a harness; ``label`` tells it apart from the others of its block."""

    label: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cases:
    """What a block asks for."""

    harness: str
    cases: tuple[BlockCase, ...]


def coordspec_blocks(scenario: Scenario) -> list[FencedBlock]:
    """The blocks of a scenario that are meant to be run."""
    return [block for block in scenario.blocks if block.info == CASES]


def read_cases(block: FencedBlock) -> Cases:
    """The harness and the cases of a block. Keys beside ``harness`` and ``cases`` belong to every case.

    Raises:
        CasesError: the block is no YAML mapping of that shape.
    """
    value = _load(block)
    if not isinstance(value, dict) or not isinstance(value.get("harness"), str) or not value["harness"]:
        raise CasesError(block.line, "the block names no harness; begin it with `harness: NAME`")
    if odd := [key for key in value if not isinstance(key, str)]:
        raise CasesError(block.line, f"the key {odd[0]!r} is no string; put it in quotes")
    shared = {key: item for key, item in value.items() if key not in ("harness", "cases")}
    if "cases" not in value:
        return Cases(value["harness"], (BlockCase("the block", shared),))
    cases = value["cases"]
    if not isinstance(cases, list) or not cases:
        raise CasesError(block.line, "`cases` is no list with a case in it; write `- {name: value, …}` below it")
    return Cases(value["harness"], tuple(_case(block, n, case, shared) for n, case in enumerate(cases, 1)))


def _case(block: FencedBlock, number: int, case: object, shared: Mapping[str, Any]) -> BlockCase:
    if not isinstance(case, dict) or not all(isinstance(key, str) for key in case):
        raise CasesError(block.line, f"case {number} is no mapping of names to values; write `- {{name: value, …}}`")
    if both := sorted(shared.keys() & case.keys()):
        raise CasesError(block.line, f"case {number} and the block around it both set {both[0]!r}; keep one of them")
    label = f"case {number}" + (f" ({case[LABEL]})" if LABEL in case else "")
    return BlockCase(label, {**shared, **{key: value for key, value in case.items() if key != LABEL}})


def _load(block: FencedBlock) -> object:
    if (line := deep_line(block.text)) is not None:
        raise CasesError(block.line + line, f"the block is nested deeper than {MAX_DEPTH} levels")
    try:
        return yaml.load(block.text, Loader=_Loader)  # noqa: S506 (a safe loader)
    except yaml.MarkedYAMLError as error:
        line = block.line + 1 + (error.problem_mark.line if error.problem_mark else 0)
        raise CasesError(line, f"the block is no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise CasesError(block.line, f"the block is no YAML: {error}") from error


if TYPE_CHECKING:
    _SafeLoader = yaml.SafeLoader
else:
    _SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):
    """YAML as its 1.2 core schema reads it: ``on`` is a word, ``1e-6`` a number, and a key stands once."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012 (declared by the base class, and filled below)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name is not None and name in seen:
                problem = f"the key {key.value!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first))
