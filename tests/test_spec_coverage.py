"""``coordspec spec coverage``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coordspec.errors import InputError
from coordspec.spec.coverage import OUTCOMES, Ran, coverage, read_outcomes, update_outcomes
from coordspec.spec.document import read_spec
from openspec_trees import read_all

SPEC = """\
## Requirements
### Requirement: R | x
It SHALL.
#### Scenario: One
- **WHEN** a
- **THEN** b
#### Scenario: Two
- **WHEN** c
- **THEN** d
"""
MD = "openspec/specs/demo/spec.md"
ONE = ("demo", "R | x", "One")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "openspec/specs/demo").mkdir(parents=True)
    (tmp_path / MD).write_text(SPEC)
    (tmp_path / "tests").mkdir()
    one = read_spec(tmp_path / MD, tmp_path).requirements[0].scenarios[0]
    call = f'@scenario("demo", "R | x", "One", digest="{one.digest}")'
    (tmp_path / "tests/test_a.py").write_text(f"from coordspec.spec import scenario\n\n{call}\ndef test_one(): pass\n")
    read_all(tmp_path)
    update_outcomes(tmp_path / OUTCOMES, {ONE: Ran("passed", one.digest, "tests/test_a.py::test_one")}, ["tests"])
    return tmp_path


def test_the_table(tree: Path, coordspec: Callable[..., Any]) -> None:
    done = coordspec("spec", "coverage")
    assert done.status == 1
    assert done.out == (
        f"{MD}\n"
        "  R | x\n"
        "    ✓ passed   One  tests/test_a.py::test_one\n"
        "    ✗ unbound  Two\n"
        "\n"
        "✗ 1 of 2 scenarios covered (50 %)\n"
    )


def test_json(tree: Path, coordspec: Callable[..., Any]) -> None:
    value = json.loads(coordspec("spec", "coverage", "--format", "json").out)
    assert (value["total"], value["covered"], value["faults"]) == (2, 1, [])
    assert value["scenarios"][0] == {
        "capability": "demo",
        "requirement": "R | x",
        "scenario": "One",
        "path": MD,
        "line": 4,
        "binding": "tests/test_a.py::test_one",
        "outcome": "passed",
        "covered": True,
    }
    assert value["scenarios"][1]["binding"] is value["scenarios"][1]["outcome"] is None


def test_markdown(tree: Path, coordspec: Callable[..., Any]) -> None:
    out = coordspec("spec", "coverage", "--format", "markdown").out
    assert "| R \\| x | One | `tests/test_a.py::test_one` | passed |\n| R \\| x | Two |  | unbound |\n" in out


def test_all_covered(tree: Path, coordspec: Callable[..., Any]) -> None:
    (tree / MD).write_text(SPEC.split("#### Scenario: Two", maxsplit=1)[0])
    done = coordspec("spec", "coverage", "--root", tree)
    assert done.status == 0
    assert done.out.endswith("✓ 1 of 1 scenario covered (100 %)\n")


def test_a_binding_to_no_scenario_is_a_fault(tree: Path, coordspec: Callable[..., Any]) -> None:
    (tree / MD).write_text(SPEC.split("#### Scenario: Two", maxsplit=1)[0])
    with (tree / "tests/test_a.py").open("a") as file:
        file.write('\n@scenario("demo", "R | x", "Gone", digest="")\ndef test_gone(): pass\n')
    done = coordspec("spec", "coverage")
    assert done.status == 1
    assert "error: tests/test_a.py:6 (test_gone): is bound to the scenario 'Gone'" in done.out
    assert done.out.endswith("✗ 1 of 1 scenario covered (100 %), 1 fault in bindings\n")


def test_nothing_to_cover_is_no_success(tree: Path, coordspec: Callable[..., Any]) -> None:
    (tree / MD).unlink()
    (tree / "tests/test_a.py").unlink()
    read_all(tree)
    done = coordspec("spec", "coverage")
    assert (done.status, done.out) == (1, "✗ there is no scenario in openspec/specs\n")


def test_bindings_are_those_of_the_last_run(tree: Path, coordspec: Callable[..., Any]) -> None:
    (tree / "tests").rename(tree / "checks")
    done = coordspec("spec", "coverage")
    assert done.status == 2
    assert "tests: is named as a place of bindings and is not there" in done.err
    assert "✗ not run  One  checks/test_a.py::test_one" in coordspec("spec", "coverage", "--bindings", "checks").out


@pytest.mark.parametrize("end", ["failed", "error", "skipped", "xfailed", "xpassed"])
def test_only_what_passed_is_covered(end: str, tree: Path) -> None:
    ran = read_outcomes(tree / OUTCOMES).ran[ONE]
    update_outcomes(tree / OUTCOMES, {ONE: Ran(end, ran.digest, ran.binding)}, ["tests"])
    found = coverage(tree, tree / OUTCOMES)
    assert (found.rows[0].outcome, found.covered) == (end, 0)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 2}', '{"version": 1, "scenarios": [{}], "bindings": []}']
)
def test_a_file_that_holds_no_outcomes(text: str, tree: Path) -> None:
    (tree / OUTCOMES).write_text(text)
    with pytest.raises(InputError, match="delete it and run pytest"):
        coverage(tree, tree / OUTCOMES)


def test_without_outcomes_nothing_is_covered(tree: Path) -> None:
    (tree / OUTCOMES).unlink()
    found = coverage(tree, tree / OUTCOMES)
    assert (found.covered, found.total, found.rows[0].binding) == (0, 2, "tests/test_a.py::test_one")
