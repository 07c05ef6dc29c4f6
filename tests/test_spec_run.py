"""How scenarios run: fixtures, marks and harnesses."""

from __future__ import annotations

import pytest

from test_spec_collection import (
    A_QUESTION,
    HARNESS,
    SPEC,
    SPEC_MD,
    Project,
    bind,
    errors,
    failed,
)

pytest_plugins = ["pytester"]


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


# ---------------------------------------------------------------- fixtures and marks


def test_fixtures_of_every_scope(project: Project) -> None:
    text = SPEC.replace("```yaml coordspec", "```yaml")
    project.write(SPEC_MD, text)
    project.read()
    project.write(
        "tests/deep/conftest.py",
        """
import pytest
@pytest.fixture(scope="session")
def session_log():
    log = []
    yield log
    print("SESSION", *log)
@pytest.fixture(scope="package")
def package(session_log):
    session_log.append("package")
@pytest.fixture(autouse=True)
def around(session_log):
    session_log.append("in")
    yield
    session_log.append("out")
""",
    )
    project.write("tests/deep/__init__.py", "")
    (project.root / "tests/test_bound.py").unlink()
    project.write(
        "tests/deep/test_scopes.py",
        f"""
import pytest
from coordspec.spec import scenario

@pytest.fixture(scope="module")
def module(session_log):
    session_log.append("module")
    yield "module"
    session_log.append("module-end")

@pytest.fixture(scope="class")
def cls(session_log):
    session_log.append("class")

class TestAll:
    {bind("Answer", "A question", text=text)}
    def test_a(self, cls, package, module, request, tmp_path, monkeypatch, capsys):
        assert module == "module" and tmp_path.is_dir() and request.node.name == "test_a"

    {bind("Answer", "Sums", text=text)}
    def test_b(self, cls, module): pass

{bind("Silence", "No question", text=text)}
def test_c(module): pass
""",
    )
    result = project.run("-s", "openspec")
    result.assert_outcomes(passed=3)
    scopes = "package module class in out in out in out module-end"
    result.stdout.fnmatch_lines([f"*SESSION {scopes}"])


def test_a_teardown_that_fails_is_no_success(project: Project) -> None:
    project.edit("tests/test_bound.py", "def test_question():", "def test_question(bad):")
    project.write("tests/conftest.py", "import pytest\n@pytest.fixture\ndef bad():\n    yield\n    assert 0, 'late'\n")
    result = project.run()
    result.assert_outcomes(passed=4, errors=1)
    assert project.ends()["A question"] == "error"
    result.stdout.fnmatch_lines([f"ERROR {A_QUESTION} - *late*"])


@pytest.mark.parametrize(
    ("decorator", "end"),
    [
        ("@pytest.mark.skip(reason='later')", "skipped"),
        ("@pytest.mark.xfail", "xpassed"),
        ("@pytest.mark.xfail(strict=True)", "failed"),
        ("@pytest.mark.usefixtures('gone')", "error"),
    ],
)
def test_marks_of_the_function(project: Project, decorator: str, end: str) -> None:
    project.edit("tests/test_bound.py", "def test_question", f"{decorator}\ndef test_question")
    project.edit("tests/test_bound.py", "from coordspec", "import pytest\nfrom coordspec")
    project.run()
    assert project.ends()["A question"] == end
    assert project.covered() == (2, 3)


def test_xfail_is_not_covered(project: Project) -> None:
    project.edit("tests/test_bound.py", "assert 42", "import pytest; pytest.xfail('later')")
    project.run()
    assert project.ends()["A question"] == "xfailed"


def test_marks_select_scenarios(project: Project) -> None:
    project.pytester.makeini("[pytest]\ncoordspec_specs = openspec/specs\nmarkers = slow\n")
    project.edit("tests/test_bound.py", "def test_question", "@pytest.mark.slow\ndef test_question")
    project.edit("tests/test_bound.py", "from coordspec", "import pytest\nfrom coordspec")
    project.run("-m", "slow").assert_outcomes(passed=1, deselected=3)


def test_marks_that_a_conftest_puts_on_scenarios(project: Project) -> None:
    hook = (
        "def pytest_collection_modifyitems(items):\n    for item in items:\n        item.add_marker(pytest.mark.skip)\n"
    )
    project.write("conftest.py", f"import pytest\n{hook}")
    project.run("openspec").assert_outcomes(skipped=3)


def test_parametrised_bindings_are_refused(project: Project) -> None:
    project.edit(
        "tests/test_bound.py", "def test_question():", "@pytest.mark.parametrize('n', [1, 2])\ndef test_question(n):"
    )
    project.edit("tests/test_bound.py", "from coordspec", "import pytest\nfrom coordspec")
    failed(
        project.run(),
        "unusable: *test_question*is parametrised, or uses a fixture that is, and a scenario is one test*",
    )
    assert project.covered() == (2, 3)


def test_parametrised_fixtures_are_refused(project: Project) -> None:
    project.edit("tests/test_bound.py", "def test_question():", "def test_question(n):")
    project.write(
        "tests/conftest.py", "import pytest\n@pytest.fixture(params=[1])\ndef n(request): return request.param\n"
    )
    failed(project.run(), "unusable: *uses a fixture that is*")


def test_a_function_bound_to_several_scenarios_runs_for_each(project: Project) -> None:
    project.write(
        "tests/test_bound.py",
        f"""
from coordspec.spec import scenario
{bind("Answer", "A question")}
{bind("Silence", "No question")}
def test_both(tmp_path):
    (tmp_path / "x").mkdir()
""",
    )
    project.run("openspec").assert_outcomes(passed=3)


def test_a_binding_that_is_no_test(project: Project) -> None:
    project.edit("tests/test_bound.py", "def test_question", "def question")
    failed(project.run(), "unusable: *test_bound.py:4 (question): pytest takes it for no test; call it test_question")


def test_a_module_that_cannot_be_imported(project: Project) -> None:
    project.run()
    project.edit("tests/test_bound.py", "from coordspec", "import gone\nfrom coordspec")
    failed(project.run("openspec"), "*unusable: *tests/test_bound.py: cannot be collected", "*No module named 'gone'*")
    assert project.ends() == {"A question": "failed", "Sums": "passed", "No question": "failed"}


def test_a_module_that_skips_itself(project: Project) -> None:
    skip = 'import pytest\npytest.skip("no GPU here", allow_module_level=True)\nfrom coordspec'
    project.edit("tests/test_bound.py", "from coordspec", skip)
    done = project.run("openspec", "-rs")
    done.assert_outcomes(passed=1, skipped=2)
    done.stdout.fnmatch_lines(["SKIPPED * tests/test_bound.py: no GPU here"])
    assert project.ends() == {"A question": "skipped", "Sums": "passed", "No question": "skipped"}


def test_a_failure_shows_the_scenario(project: Project) -> None:
    project.edit("tests/test_bound.py", "assert 42", "assert 41 == 42")
    failed(project.run(), "*assert 41 == 42*", f"*- scenario {SPEC_MD}:11 -*", "- [*][*]THEN[*][*] it answers 42")


# ---------------------------------------------------------------- harnesses


def test_every_failing_case_is_listed(project: Project) -> None:
    project.edit(SPEC_MD, "x: 1, y: 2, sum: 3", "x: 1, y: 2, sum: 4")
    project.edit(SPEC_MD, "y: 0, sum: 0", "y: 0, sum: 1")
    project.read()
    failed(
        project.run(),
        f"{SPEC_MD}:15: 2 of 2 cases of the harness fail (tests/test_harness.py:4 (add))",
        "case 1: x=1, y=2, sum=4",
        "E*assert (1 + 2) == 4",
        "case 2 (zero): x=0, y=0, sum=1",
        "E*assert (0 + 0) == 1",
    )


def test_a_harness_that_is_not_there(project: Project) -> None:
    project.edit(SPEC_MD, "harness: add", "harness: addd")
    failed(project.run(), f"broken block: {SPEC_MD}:19: no harness is called 'addd' (did you mean 'add'?)*")
    assert project.covered() == (2, 3)


def test_a_case_with_another_argument(project: Project) -> None:
    project.edit(SPEC_MD, "x: 1, y: 2", "x: 1, z: 2")
    project.read()
    failed(project.run(), "E*TypeError: add() got an unexpected keyword argument 'z'")


def test_a_block_that_is_no_yaml(project: Project) -> None:
    project.edit(SPEC_MD, "  - {x: 1, y: 2, sum: 3}", "  - {x: 1, y: [}")
    failed(project.run(), f"broken block: {SPEC_MD}:22: the block is no YAML: *")


def test_a_harness_that_skips_covers_nothing(project: Project) -> None:
    project.write("tests/test_harness.py", HARNESS + "    import pytest\n    pytest.skip('later')\n")
    project.run().assert_outcomes(passed=3, skipped=1)
    assert project.covered() == (2, 3)


def test_two_harnesses_of_one_name(project: Project) -> None:
    project.write("tests/test_more.py", HARNESS)
    errors(
        project.run(), "two harnesses are called 'add', at tests/test_harness.py:4 (add) and at tests/test_more.py:4"
    )
