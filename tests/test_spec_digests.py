"""Sentences of requirements and tables of cases have digests too, in ``openspec/digests.json``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coordspec.errors import InputError
from coordspec.spec.coverage import OUTCOMES, coverage
from coordspec.spec.digests import DIGESTS, SENTENCE, read_digests, write_digests
from test_spec_collection import A_QUESTION, SPEC_MD, SUMS, Project, failed

pytest_plugins = ["pytester"]
FILE = DIGESTS.as_posix()
ANSWER, SILENCE = ("answers", "Answer", SENTENCE), ("answers", "Silence", SENTENCE)
TABLE = ("answers", "Answer", "Sums")


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


def outcomes(project: Project) -> dict[str, str | None]:
    return {row.scenario: row.outcome for row in coverage(project.root, project.root / OUTCOMES).rows}


# ---------------------------------------------------------------- tables

EDITS = {
    "WHEN": ("it is asked for a sum", "it is asked for two sums"),
    "THEN": ("**THEN** it adds", "**THEN** it adds slowly"),
    "a row": ("sum: 3}", "sum: 3 }"),
    "a deleted row": ("  - {case: zero, x: 0, y: 0, sum: 0}\n", ""),
    "the harness": ("harness: add", "harness: add  # as before"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_table_is_stale(edit: str, project: Project) -> None:
    project.run()
    before = read_digests(project.root)[TABLE]
    project.edit(SPEC_MD, *EDITS[edit])
    result = project.run()
    result.assert_outcomes(passed=3, failed=1)
    project.run("--update-digests", SUMS).assert_outcomes(passed=1)
    new = read_digests(project.root)[TABLE]
    assert new != before
    failed(
        result,
        f"stale: {SPEC_MD}:15: the table of the scenario 'Sums' is not what was read: its digest is '{new}', {FILE} "
        f"says '{before}'. Read it, make tests/test_harness.py:4 (add) show what it says now, then run pytest with "
        "--update-digests",
    )
    assert outcomes(project)["Sums"] == "passed"


def test_a_stale_table_is_not_covered(project: Project) -> None:
    project.run()
    project.edit(SPEC_MD, *EDITS["a deleted row"])
    assert outcomes(project) == {"A question": "passed", "Sums": "stale", "No question": "passed"}
    assert project.covered() == (2, 3)


def test_a_table_that_nobody_has_read(project: Project) -> None:
    digests = read_digests(project.root)
    del digests[TABLE]
    write_digests(project.root, digests)
    failed(
        project.run(),
        f"unread: {SPEC_MD}:15: the table of the scenario 'Sums' has no digest in {FILE}. Read it, make "
        "tests/test_harness.py:4 (add) show what it says now, then run pytest with --update-digests",
    )
    assert outcomes(project)["Sums"] == "unread"


@pytest.mark.parametrize(
    ("old", "new"), [("\n", "\r\n"), ("- **WHEN** it is asked for a sum", "* **WHEN** it is\n  asked for a sum")]
)
def test_what_the_digest_ignores(old: str, new: str, project: Project) -> None:
    project.edit(SPEC_MD, old, new)
    project.run().assert_outcomes(passed=4)


# ---------------------------------------------------------------- sentences


def test_an_edited_sentence_is_one_failure(project: Project) -> None:
    project.run()
    before = read_digests(project.root)
    project.edit(SPEC_MD, "SHALL be silent", "MUST be silent")
    result = project.run()
    result.assert_outcomes(passed=4, failed=1)
    found = coverage(project.root, project.root / OUTCOMES)
    assert (found.covered, found.total, found.complete, len(found.unread)) == (3, 3, False, 1)
    project.run("--update-digests").assert_outcomes(passed=5)
    new = read_digests(project.root)
    assert {key for key in new if new[key] != before[key]} == {SILENCE}
    failed(
        result,
        f"stale: {SPEC_MD}:26: the sentence of the requirement 'Silence' is not what was read: its digest is "
        f"'{new[SILENCE]}', {FILE} says '{before[SILENCE]}'. Read it, make its scenarios show what it says now, then "
        "run pytest with --update-digests",
    )
    project.run().assert_outcomes(passed=4)
    assert coverage(project.root, project.root / OUTCOMES).complete


def test_without_the_file_nothing_was_read(project: Project) -> None:
    before = (project.root / DIGESTS).read_bytes()
    (project.root / DIGESTS).unlink()
    failed(
        project.run(),
        f"unread: {SPEC_MD}:8: the sentence of the requirement 'Answer' has no digest in {FILE}. Read it, make its "
        "scenarios show what it says now, then run pytest with --update-digests",
        f"FAILED {SPEC_MD}::Answer::(the requirement itself)*",
    )
    result = project.run("--update-digests")
    result.assert_outcomes(passed=6)
    assert (project.root / DIGESTS).read_bytes() == before
    result.stdout.fnmatch_lines(
        [
            f"coordspec: {FILE}: answers / Answer: (none) → *",
            f"coordspec: {FILE}: answers / Silence: (none) → *",
            f"coordspec: {FILE}: answers / Answer / Sums: (none) → *",
            "coordspec: 3 digests updated",
        ],
        consecutive=False,
    )


def test_only_what_is_selected_was_read(project: Project) -> None:
    (project.root / DIGESTS).unlink()
    project.run("--update-digests", f"{SPEC_MD}::Silence").assert_outcomes(passed=2)
    assert set(read_digests(project.root)) == {SILENCE}
    project.run("--update-digests", A_QUESTION).assert_outcomes(passed=1)
    assert set(read_digests(project.root)) == {SILENCE}


def test_xdist_sees_the_same(project: Project) -> None:
    project.edit(SPEC_MD, "SHALL be silent", "MUST be silent")
    project.run("-n2").assert_outcomes(passed=4, failed=1)


# ---------------------------------------------------------------- digests of nothing


def test_a_renamed_requirement(project: Project) -> None:
    """What stands in the file of it is said once, its tables included, and is taken out with it."""
    project.edit(SPEC_MD, "Requirement: Answer", "Requirement: Answers")
    project.edit("tests/test_bound.py", '"Answer"', '"Answers"')
    result = project.run()
    result.assert_outcomes(passed=3, failed=3)
    failed(
        result,
        f"{FILE}: holds a digest of the requirement 'Answer', which answers lacks. If it was given up on purpose, run "
        "pytest with --update-digests",
    )
    project.run("--update-digests").assert_outcomes(passed=6)
    assert {key[1] for key in read_digests(project.root)} == {"Answers", "Silence"}
    project.run().assert_outcomes(passed=4)


def test_a_deleted_table(project: Project) -> None:
    text = (project.root / SPEC_MD).read_text()
    table = text[text.index("#### Scenario: Sums") : text.index("### Requirement: Silence")]
    project.edit(SPEC_MD, table, "")
    failed(
        project.run(),
        f"{FILE}: holds a digest of the table of the scenario 'Sums', which 'Answer' of answers lacks. If it was given "
        "up on purpose, run pytest with --update-digests",
    )
    project.run("--update-digests").assert_outcomes(passed=4)
    assert TABLE not in read_digests(project.root)


def test_a_deleted_spec_is_told_with_another(project: Project) -> None:
    project.write("openspec/specs/more/spec.md", "## Requirements\n### Requirement: R\nIt SHALL.\n")
    project.read()
    (project.root / "openspec/specs/more/spec.md").unlink()
    failed(project.run(), f"{FILE}: holds a digest of the requirement 'R', which more lacks. *")


# ---------------------------------------------------------------- the file


def test_a_line_for_each(tmp_path: Path) -> None:
    (tmp_path / "openspec").mkdir()
    digests = {("b", "é", SENTENCE): "2", ("a", "R", "S"): "1", ("a", "R", SENTENCE): "0"}
    write_digests(tmp_path, digests)
    assert (tmp_path / DIGESTS).read_text("utf-8") == (
        '{"version": 1, "read": [\n'
        '{"capability": "a", "requirement": "R", "digest": "0"},\n'
        '{"capability": "a", "requirement": "R", "scenario": "S", "digest": "1"},\n'
        '{"capability": "b", "requirement": "é", "digest": "2"}\n'
        "]}\n"
    )
    assert read_digests(tmp_path) == digests


def test_no_digest_is_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "openspec").mkdir()
    write_digests(tmp_path, {})
    assert read_digests(tmp_path) == {}


ROW = {"capability": "a", "requirement": "R", "digest": "0"}
REMEDY = "restore it, or delete it and run pytest with --update-digests"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is no file of digests (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))"),
        ("[]", "is no file of digests"),
        ('{"version": 1}', "is no file of digests"),
        ('{"version": 1, "read": 1}', "is no file of digests"),
        ('{"version": 1, "read": [1]}', "is no file of digests"),
        ('{"version": 2, "read": []}', "is of version 2, not 1"),
        (
            json.dumps({"version": 1, "read": [{**ROW, "digest": 0}]}),
            "holds ('a', 'R', ''), which is no row of strings",
        ),
        (json.dumps({"version": 1, "read": [ROW, ROW]}), "holds 'a / R' twice, as after a merge of two branches"),
    ],
)
def test_a_file_that_is_something_else(text: str, reason: str, project: Project) -> None:
    project.write(FILE, text)
    with pytest.raises(InputError) as caught:
        read_digests(project.root)
    assert str(caught.value) == f"{FILE}: {reason}; {REMEDY}"
    result = project.run()
    assert result.ret == 2
    assert reason in result.stdout.str()
