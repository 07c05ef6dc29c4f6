"""Every kind of decay makes a run red, and the coverage too."""

from __future__ import annotations

import pytest

from test_spec_collection import (
    A_QUESTION,
    SPEC,
    SPEC_MD,
    Project,
    bind,
    digest,
    errors,
    failed,
)

pytest_plugins = ["pytester"]


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


def test_an_edited_then_is_stale(project: Project) -> None:
    project.run()
    project.edit(SPEC_MD, "answers 42", "answers 43")
    new = digest("A question", SPEC.replace("answers 42", "answers 43"))
    failed(
        project.run(),
        f"stale: {SPEC_MD}:11: the scenario 'A question' is not what tests/test_bound.py:4 (test_question) was "
        f"bound to: its digest is '{new}', the binding says '{digest('A question')}'. Read the scenario, make the test "
        f'show what it says now, then write digest="{new}", or run pytest with --update-digests',
    )
    assert project.covered() == (2, 3)


def test_an_edited_heading_is_an_orphan_and_unbound(project: Project) -> None:
    project.edit(SPEC_MD, "Scenario: A question", "Scenario: A good question")
    errors(
        project.run(),
        f"tests/test_bound.py:4 (test_question): is bound to the scenario 'A question', which {SPEC_MD}:8 ('Answer') "
        "lacks (did you mean 'A good question'?); correct the binding, or delete it",
    )


def test_a_deleted_binding_is_a_failing_scenario(project: Project) -> None:
    project.run()
    project.edit("tests/test_bound.py", bind("Answer", "A question") + "\n", "")
    failed(
        project.run(),
        f"unbound: {SPEC_MD}:11: the scenario 'A question' is bound to nothing; write a test *",
        bind("Answer", "A question"),
    )
    assert project.covered() == (2, 3)


def test_a_scenario_bound_twice(project: Project) -> None:
    project.write(
        "tests/test_twice.py",
        f"from coordspec.spec import scenario\n{bind('Answer', 'A question')}\ndef test_2(): pass\n",
    )
    errors(
        project.run(),
        f"ERROR {A_QUESTION}",
        f"{SPEC_MD}:11: the scenario 'A question' is bound twice, at tests/test_bound.py:4 (test_question) and at "
        "tests/test_twice.py:2 (test_2); keep one of them",
    )


def test_a_scenario_bound_to_a_function_and_a_block(project: Project) -> None:
    project.write(
        "tests/test_twice.py", f"from coordspec.spec import scenario\n{bind('Answer', 'Sums')}\ndef test_2(): pass\n"
    )
    errors(
        project.run(),
        f"{SPEC_MD}:15: the scenario 'Sums' is bound to tests/test_twice.py:2 (test_2) and to the block at "
        f"{SPEC_MD}:19; remove the decorator or the block",
    )


def test_two_scenarios_of_one_title(project: Project) -> None:
    project.edit(SPEC_MD, "Scenario: Sums", "Scenario: A question")
    errors(
        project.run(),
        f"{SPEC_MD}:11: the scenario 'A question' has the title of another scenario of its requirement, at "
        f"{SPEC_MD}:15",
    )
    assert project.covered() == (0, 2)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"answers"', '"anwsers"', "openspec/specs/anwsers/spec.md is not there (did you mean 'answers'?)"),
        (
            '"Silence"',
            '"Silense"',
            f"is bound to the requirement 'Silense', which {SPEC_MD} lacks (did you mean 'Silence'?)",
        ),
    ],
)
def test_an_orphan(project: Project, old: str, new: str, message: str) -> None:
    project.edit("tests/test_bound.py", old, new)
    errors(project.run(), message)


def test_an_orphan_leaves_the_others_to_run(project: Project) -> None:
    project.edit("tests/test_bound.py", '"Silence"', '"Silense"')
    result = project.run("--continue-on-collection-errors")
    result.assert_outcomes(passed=3, failed=1, errors=1)


@pytest.mark.parametrize("fence", ["```", "~~~~"])
def test_an_unclosed_fence(project: Project, fence: str) -> None:
    project.edit(SPEC_MD, "### Requirement: Silence", f"{fence}\n### Requirement: Silence")
    errors(project.run(), f"{SPEC_MD}:26: what {fence} opens here is never closed (SPC001)")


def test_a_scenario_in_a_comment(project: Project) -> None:
    project.edit(SPEC_MD, "#### Scenario: No question", "<!--\n#### Scenario: No question")
    errors(project.run(), "`#### Scenario: No question` stands in a comment, and OpenSpec reads it (SPC003)")


@pytest.mark.parametrize(
    "text", [SPEC.replace("\n", "\r\n").encode(), b"\xef\xbb\xbf" + SPEC.encode(), SPEC.replace("\n", "\r").encode()]
)
def test_line_ends_and_byte_order_marks_change_nothing(project: Project, text: bytes) -> None:
    project.write(SPEC_MD, text)
    project.run().assert_outcomes(passed=4)


def test_a_spec_that_is_not_utf8(project: Project) -> None:
    project.write(SPEC_MD, SPEC.encode() + b"\xff")
    errors(project.run(), f"{SPEC_MD}: is not UTF-8: byte 0xff")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('digest="', 'digest="" + "', "is bound by something else than four string literals"),
        ('"Answer"', 'f"Answer"', "is bound by something else than four string literals"),
        ("def test_plain():", "def test_plain(:", "is no Python that can be read"),
    ],
)
def test_bindings_that_cannot_be_read_from_source(project: Project, old: str, new: str, message: str) -> None:
    project.edit("tests/test_bound.py", old, new)
    errors(project.run("openspec"), message)


def test_a_bound_class_is_refused(project: Project) -> None:
    text = f"from coordspec.spec import scenario\n{bind('Answer', 'A question')}\n"
    text += "class TestIt:\n    def test_it(self): pass\n"
    project.write("tests/test_bound.py", text)
    errors(
        project.run("openspec"), "tests/test_bound.py:2: TestIt is a class; put the decorator on one of its functions"
    )


def test_a_binding_where_nobody_looks(project: Project) -> None:
    project.pytester.makeini("[pytest]\ncoordspec_specs = openspec/specs\ncoordspec_bindings = tests/test_harness.py\n")
    errors(project.run(), "tests/test_bound.py:4: test_question is bound to a scenario where nobody looks for bindings")


def test_a_binding_through_another_name(project: Project) -> None:
    project.write("tests/helper.py", "from coordspec.spec import scenario as show\n")
    project.edit("tests/test_bound.py", "from coordspec.spec import scenario", "from helper import show as scenario")
    errors(project.run(), "and import scenario from coordspec.spec")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("import coordspec.spec", "coordspec.spec.scenario"),
        ("import coordspec.spec as s", "s.scenario"),
        ("from coordspec import spec", "spec.scenario"),
        ("from coordspec.spec.binding import scenario as bound", "bound"),
    ],
)
def test_names_of_the_decorator(project: Project, line: str, name: str) -> None:
    project.edit("tests/test_bound.py", "from coordspec.spec import scenario", line)
    project.edit("tests/test_bound.py", "@scenario", f"@{name}")
    project.run().assert_outcomes(passed=4)


def test_an_imported_binding_runs_once(project: Project) -> None:
    project.write("tests/test_zoo.py", "from test_bound import test_question, test_plain\n")
    project.run().assert_outcomes(passed=5)
