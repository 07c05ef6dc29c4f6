"""Bindings of ``openspec/specs/spec-tests``."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from spec_tools import coordspec

from coordspec.spec.binding import harness, scenario
from openspec_trees import healthy_tree, openspec, run_tests, write

SPEC = Path("openspec/specs/sums/spec.md")
TESTS = Path("tests/test_sums.py")


@cache
def passed() -> Path:
    """A healthy tree of which the tests have run; nobody changes it."""
    folder = tempfile.mkdtemp(prefix="coordspec-healthy-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    root = healthy_tree(Path(folder))
    status, out = run_tests(root)
    assert status == 0, out
    return root


@contextlib.contextmanager
def copied() -> Iterator[Path]:
    """A copy of it to break."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(passed(), Path(folder) / "tree"))


@pytest.fixture
def tree() -> Iterator[Path]:
    with copied() as root:
        yield root


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


@scenario("spec-tests", "Scenarios are tests", "Bound scenarios", digest="6a50dd75c7b0")
def test_bound_scenarios(tree: Path) -> None:
    status, out = run_tests(tree)
    assert (status, "2 passed" in out) == (0, True), out


@scenario("spec-tests", "Scenarios are tests", "An edited THEN", digest="46a1d7e768ef")
def test_an_edited_then(tree: Path) -> None:
    edit(tree / SPEC, "the sum is 3", "the sum is 4")
    status, out = run_tests(tree)
    assert (status, "1 failed, 1 passed" in out) == (1, True), out
    assert "Two numbers" in out


@scenario("spec-tests", "Scenarios are tests", "Nothing bound", digest="d72805aed4b3")
def test_nothing_bound(tree: Path) -> None:
    edit(tree / SPEC, "the sum is 0\n", "the sum is 0\n\n#### Scenario: Three\n- **WHEN** a\n- **THEN** b\n")
    status, out = run_tests(tree)
    assert (status, "1 failed, 2 passed" in out, "skipped" in out) == (1, True, False), out


@scenario("spec-tests", "Scenarios are tests", "A binding without a scenario", digest="7105f7b9a997")
def test_a_binding_without_a_scenario(tree: Path) -> None:
    edit(tree / SPEC, "Scenario: No number", "Scenario: Nothing")
    status, out = run_tests(tree)
    assert status != 0
    assert f"{TESTS}:12" in out


@scenario("spec-tests", "Scenarios are tests", "Not configured", digest="c4ac7ef87a3a")
def test_not_configured(tree: Path) -> None:
    write(tree / "pytest.ini", "[pytest]\npythonpath = .\n")
    status, out = run_tests(tree)
    assert (status, "2 passed" in out, "spec.md" in out) == (0, True, False), out


@scenario("spec-tests", "Coverage of scenarios", "Everything passed", digest="4ef58cb4d7c3")
def test_everything_passed() -> None:
    done = coordspec("spec", "coverage", "--root", passed(), "--format", "json")
    assert (done.status, done.report["covered"], done.report["total"]) == (0, 2, 2)


@scenario("spec-tests", "Coverage of scenarios", "A skipped test", digest="1664542fb5c4")
def test_a_skipped_test(tree: Path) -> None:
    edit(tree / TESTS, "from adder import add\n", "import pytest\nfrom adder import add\n")
    edit(
        tree / TESTS,
        '@scenario("sums", "Adding", "No number"',
        '@pytest.mark.skip\n@scenario("sums", "Adding", "No number"',
    )
    status, out = run_tests(tree)
    assert status == 0, out
    done = coordspec("spec", "coverage", "--root", tree, "--format", "json")
    assert (done.status, done.report["covered"], done.report["total"]) == (1, 1, 2)


@harness("lint")
def lint(old: str, new: str, rules: list[str]) -> None:
    with copied() as root:
        assert coordspec("spec", "lint", "--root", root).status == 0
        edit(root / SPEC, old, new)
        done = coordspec("spec", "lint", "--root", root, "--format", "json")
    assert (done.status, [issue["name"] for issue in done.report["issues"]]) == (1, rules)
    assert all(issue["path"].endswith(str(SPEC)) and issue["line"] > 0 for issue in done.report["issues"])


STEPS: dict[str, Callable[[Path], object]] = {
    "remove": lambda path: shutil.rmtree(path) if path.is_dir() else path.unlink(),
    "blank": lambda path: path.write_text(" \n"),
    "tick": lambda path: edit(path, "[ ]", "[x]"),
}


@harness("gate-decay")
def gate_decay(rule: str, file: str, **steps: str) -> None:
    with copied() as root:
        for name, path in steps.items():
            STEPS[name](root / path)
        done = coordspec("gate", "--root", root, "--openspec", openspec(), "--format", "json")
    found = {issue["name"]: issue for issue in done.report["issues"]}
    assert (done.status, rule in found) == (1, True), done
    assert found[rule]["path"].endswith(file)


@scenario("spec-tests", "The gate", "A healthy tree", digest="60e99b2e570e")
def test_a_healthy_tree() -> None:
    assert coordspec("gate", "--root", passed(), "--openspec", openspec()).status == 0


@scenario("spec-tests", "The gate", "The tool is missing", digest="6cefeccedb59")
def test_the_tool_is_missing(tmp_path: Path) -> None:
    done = coordspec("gate", "--root", passed(), "--openspec", tmp_path / "nothing")
    assert done.status == 2
    assert "npm install --save-dev" in done.out + done.err
