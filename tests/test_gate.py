"""A healthy tree passes; every kind of decay turns the gate red, by the finding that names it and by nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Done
from coordspec.findings.outcome import Outcome
from coordspec.spec.gate import gate
from openspec_trees import CHANGE, healthy_tree, openspec, run_tests, write

SPEC = "openspec/specs/sums/spec.md"
TESTS = "tests/test_sums.py"
CHANGED = f"openspec/changes/{CHANGE}"


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = healthy_tree(tmp_path_factory.mktemp("healthy"))
    status, out = run_tests(root)
    assert status == 0, out
    return root


@pytest.fixture
def tree(healthy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(healthy, tmp_path / "tree"))


def replace(path: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / path).read_bytes().decode()
        assert old in text
        write(root / path, text.replace(old, new))

    return change


def delete(*paths: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for path in paths:
            shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()

    return change


def both(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda root: [change(root) for change in changes] and None


def archive(root: Path) -> None:
    (root / "openspec/changes/archive").mkdir()
    (root / CHANGED).rename(root / "openspec/changes/archive/x")


def findings_of(outcome: Outcome, root: Path) -> list[str]:
    """``rule path:line`` of everything that was found."""
    assert outcome.unreadable == ()
    return [f"{issue.name} {str(issue.place).removeprefix(f'{root}/')}" for issue in outcome.issues]


def test_the_healthy_tree_passes(coordspec: Callable[..., Done], healthy: Path) -> None:
    done = coordspec("gate", "--root", healthy, "--openspec", openspec())
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "note: 1 spec and 1 change are the records of this report",
        "note: openspec 1.13.2",
        "note: 2 of 2 scenarios covered",
        "✓ 2 records in 6 files are valid",
    ]


ONE, TWO = f"scenario-not-covered {SPEC}:11", f"scenario-not-covered {SPEC}:16"
BOUND = '@scenario("sums", "Adding", "No number"'
MARKED = replace(TESTS, "import add\n", "import add\nimport pytest\n")


def _last_test_deleted(root: Path) -> None:
    text = (root / TESTS).read_text()
    write(root / TESTS, text[: text.index(BOUND)])


# What decays, whether the gate sees it without another run of the tests, and what it says.
DECAYS: dict[str, tuple[Callable[[Path], None], bool, list[str]]] = {
    "edited THEN": (replace(SPEC, "the sum is 3", "the sum is 4"), True, [ONE]),
    "edited GIVEN": (replace(SPEC, "numbers 1 and 2", "numbers 1 and 3"), True, [ONE]),
    "new scenario": (
        replace(SPEC, "sum is 0\n", "sum is 0\n\n#### Scenario: Three\n- **WHEN** a\n- **THEN** b\n"),
        True,
        [f"scenario-not-covered {SPEC}:20"],
    ),
    "renamed scenario": (
        replace(SPEC, "Scenario: No number", "Scenario: Nothing"),
        True,
        [TWO, f"binding-fault {TESTS}:12"],
    ),
    "edited sentence": (replace(SPEC, "SHALL add.", "SHALL add quickly."), True, [f"not-read {SPEC}:8"]),
    "renamed requirement": (
        replace(SPEC, "Requirement: Adding", "Requirement: Sums"),
        True,
        [
            "not-read openspec/digests.json",
            f"not-read {SPEC}:8",
            ONE,
            TWO,
            f"binding-fault {TESTS}:7",
            f"binding-fault {TESTS}:12",
        ],
    ),
    "deleted test": (_last_test_deleted, True, [TWO]),
    "deleted tests": (delete(TESTS), True, [ONE, TWO]),
    "deleted spec": (
        delete(SPEC),
        True,
        ["not-read openspec/digests.json", f"binding-fault {TESTS}:7", f"binding-fault {TESTS}:12"],
    ),
    "skipped test": (both(MARKED, replace(TESTS, BOUND, f"@pytest.mark.skip\n{BOUND}")), False, [TWO]),
    "expected failure": (
        both(MARKED, replace(TESTS, BOUND, f"@pytest.mark.xfail\n{BOUND}"), replace(TESTS, "add() == 0", "add() == 1")),
        False,
        [TWO],
    ),
    "broken code": (replace("adder.py", "sum(numbers)", "sum(numbers) + 1"), False, [ONE, TWO]),
}


WORDS = {
    "edited THEN": "sums: Adding: the scenario Two numbers is not covered: the scenario was edited after "
    "tests/test_sums.py::test_two_numbers was bound to it",
    "edited sentence": "sums: Adding: its sentence is not what was read",
    "new scenario": "sums: Adding: the scenario Three is not covered: nothing is bound to it",
    "broken code": "sums: Adding: the scenario Two numbers is not covered: tests/test_sums.py::test_two_numbers ended "
    "as failed",
    "skipped test": "sums: Adding: the scenario No number is not covered: tests/test_sums.py::test_no_number ended as "
    "skipped",
}


@pytest.mark.parametrize("decay", DECAYS)
def test_decay_of_specs_and_tests(decay: str, tree: Path) -> None:
    """The gate is red without another run of the tests, or as soon as they have been run."""
    change, at_once, findings = DECAYS[decay]
    change(tree)
    outcome = gate(tree, openspec()) if at_once else None
    status, out = run_tests(tree)
    assert (status == 0) == (decay in ("skipped test", "expected failure")), out
    outcome = outcome or gate(tree, openspec())
    assert findings_of(outcome, tree) == findings
    assert WORDS.get(decay, outcome.issues[0].message) == outcome.issues[0].message


AHEAD = """from coordspec.spec import scenario

@scenario("sums", "Subtracting", "Less", digest="")
def test_less(): pass
"""
ARTIFACTS: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "missing artifact": (
        delete(f"{CHANGED}/design.md"),
        [f"artifact-out-of-order {CHANGED}/tasks.md"],
    ),
    "requirement without SHALL": (
        replace(f"{CHANGED}/specs/sums/spec.md", "SHALL", "can"),
        [f"openspec-validate {CHANGED}/specs/sums/spec.md:5"],
    ),
    # no decay at all
    "ticked in order": (replace(f"{CHANGED}/tasks.md", "- [ ] 1.1", "- [x] 1.1"), []),
    "archived": (both(replace(f"{CHANGED}/tasks.md", "- [ ]", "- [x]"), archive), []),
    "archived unticked": (
        archive,
        [f"archived-unticked openspec/changes/archive/x/tasks.md:{line}" for line in (3, 4)],
    ),
    "next artifact not written": (delete(f"{CHANGED}/design.md", f"{CHANGED}/tasks.md"), []),
    "test before the archive": (
        lambda root: write(root / "tests/test_ahead.py", AHEAD) and None,
        ["binding-fault tests/test_ahead.py:3"],
    ),
    "glued heading": (
        replace(f"{CHANGED}/specs/sums/spec.md", "- **THEN** 2 is left", "- **THEN** 2 is left\n\n####Scenario: More"),
        [f"heading-space {CHANGED}/specs/sums/spec.md:12"],
    ),
    "lint": (
        replace(f"{CHANGED}/specs/sums/spec.md", "- **THEN** 2 is left", "- 2 is left"),
        [f"missing-step {CHANGED}/specs/sums/spec.md:8"],
    ),
    "other line ends": (replace(SPEC, "\n", "\r\n"), []),
}


@pytest.mark.parametrize("decay", ARTIFACTS)
def test_decay_of_changes(decay: str, tree: Path) -> None:
    change, findings = ARTIFACTS[decay]
    change(tree)
    found = findings_of(gate(tree, openspec()), tree)
    assert [text.replace(str(tree), "") for text in found] == findings


def test_everything_at_once_is_one_run(coordspec: Callable[..., Done], tree: Path) -> None:
    for change in (
        DECAYS["edited THEN"][0],
        ARTIFACTS["missing artifact"][0],
        ARTIFACTS["requirement without SHALL"][0],
    ):
        change(tree)
    done = coordspec("gate", "--root", tree, "--openspec", openspec(), "--format", "json")
    report = json.loads(done.out)
    assert done.status == 1
    assert report["summary"]["by_rule"] == {
        "artifact-out-of-order": 1,
        "openspec-validate": 1,
        "scenario-not-covered": 1,
    }
    assert (report["summary"]["records"], report["summary"]["invalid"]) == (2, 2)
    assert "1 of 2 scenarios covered" in report["notes"]


def test_outcomes_that_are_something_else_are_no_pass(tree: Path) -> None:
    write(tree / ".coordspec/outcomes.json", "{")
    [error] = gate(tree, openspec()).unreadable
    assert error.subject == str(tree / ".coordspec/outcomes.json")


def test_a_file_that_cannot_be_read_is_no_pass(tree: Path) -> None:
    write(tree / SPEC, b"# sums \xff\n")
    assert {error.subject for error in gate(tree, openspec()).unreadable} == {str(tree / SPEC)}
