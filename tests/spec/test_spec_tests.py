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
from coordspec.spec.digests import DIGESTS
from openspec_trees import healthy_tree, openspec, read_all, run_tests, write

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


TABLE = """
#### Scenario: Tables
- **WHEN** the numbers of a table are added
- **THEN** the sum is theirs

```yaml coordspec
harness: add
cases:
  - {numbers: [1, 2], sum: 3}
  - {numbers: [], sum: 0}
```
"""
TABLE_TEST = """from adder import add
from coordspec.spec import harness

@harness("add")
def check_sum(numbers, sum):
    assert add(*numbers) == sum
"""


@contextlib.contextmanager
def tabled() -> Iterator[Path]:
    """The copy with a table of cases, and everything read."""
    with copied() as root:
        write(root / SPEC, (root / SPEC).read_text() + TABLE)
        write(root / "tests/test_tables.py", TABLE_TEST)
        read_all(root)
        yield root


@harness("read-again")
def read_again(old: str, new: str, line: int) -> None:
    with tabled() as root:
        edit(root / SPEC, old, new)
        status, out = run_tests(root)
        assert (status, "1 failed" in out, f"stale: {SPEC}:{line}: " in out) == (1, True, True), out
        status, out = run_tests(root, "--update-digests")
        assert (status, "1 digests updated" in out) == (0, True), out
        status, out = run_tests(root)
        assert (status, "3 passed" in out) == (0, True), out


@scenario("spec-tests", "Sentences and tables are read", "Nobody has read it", digest="482ac4edc3df")
def test_nobody_has_read_it() -> None:
    with tabled() as root:
        (root / DIGESTS).unlink()
        status, out = run_tests(root)
    assert (status, "2 failed, 2 passed" in out) == (1, True), out
    assert f"unread: {SPEC}:8: the sentence of the requirement 'Adding'" in out
    assert f"unread: {SPEC}:20: the table of the scenario 'Tables'" in out


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


@harness("lint-change")
def lint_change(file: str, text: str, rule: str, line: int | None) -> None:
    with copied() as root:
        path = write(root / "openspec" / file, text)
        done = coordspec("spec", "lint", "--root", root, "--format", "json")
    found = [(issue["name"], issue["path"], issue["line"]) for issue in done.report["issues"]]
    assert (done.status, found) == (1, [(rule, str(path), line)])


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


@harness("gate-stages")
def gate_stages(artifacts: list[str], ticked: bool, status: int, complete: int) -> None:
    with copied() as root:
        folder = root / "openspec/changes/add-subtraction"
        for name in ("proposal.md", "specs", "design.md", "tasks.md"):
            if name not in artifacts:
                STEPS["remove"](folder / name)
        if ticked:
            STEPS["tick"](folder / "tasks.md")
        words = ("gate", "--root", root, "--openspec", openspec())
        assert (coordspec(*words).status, coordspec(*words, "--complete").status) == (status, complete)


@harness("gate-once")
def gate_once(file: str, old: str | None, new: str, rule: str) -> None:
    with copied() as root:
        path = root / "openspec/changes/add-subtraction" / file
        path.write_text(new) if old is None else edit(path, old, new)
        done = coordspec("gate", "--root", root, "--openspec", openspec(), "--format", "json")
    assert (done.status, [issue["name"] for issue in done.report["issues"]]) == (1, [rule])


@scenario("spec-tests", "The gate", "A healthy tree", digest="60e99b2e570e")
def test_a_healthy_tree() -> None:
    assert coordspec("gate", "--root", passed(), "--openspec", openspec()).status == 0


@scenario("spec-tests", "The gate", "The tool is missing", digest="6cefeccedb59")
def test_the_tool_is_missing(tmp_path: Path) -> None:
    done = coordspec("gate", "--root", passed(), "--openspec", tmp_path / "nothing")
    assert done.status == 2
    assert "npm install --save-dev" in done.out + done.err
