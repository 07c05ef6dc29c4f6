"""The pytest plugin: what is collected, where, and how it is selected; and a project to try it on."""

from __future__ import annotations

import json

import pytest

from coordspec.spec.coverage import coverage
from coordspec.spec.document import parse_spec
from openspec_trees import read_all

pytest_plugins = ["pytester"]

SPEC = """\
# Answers

## Purpose
To be asked.

## Requirements

### Requirement: Answer
The program SHALL answer.

#### Scenario: A question
- **WHEN** it is asked
- **THEN** it answers 42

#### Scenario: Sums
- **WHEN** it is asked for a sum
- **THEN** it adds

```yaml coordspec
harness: add
cases:
  - {x: 1, y: 2, sum: 3}
  - {case: zero, x: 0, y: 0, sum: 0}
```

### Requirement: Silence
The program SHALL be silent.

#### Scenario: No question
- **WHEN** it is not asked
- **THEN** it says nothing
"""
HARNESS = """
from coordspec.spec import harness

@harness("add")
def add(x, y, sum):
    assert x + y == sum
"""
SPEC_MD = "openspec/specs/answers/spec.md"
A_QUESTION = f"{SPEC_MD}::Answer::A question"
SUMS = f"{SPEC_MD}::Answer::Sums"
NO_QUESTION = f"{SPEC_MD}::Silence::No question"


def digest(title: str, text: str = SPEC) -> str:
    scenarios = [s for r in parse_spec(text, "", "").requirements for s in r.scenarios]
    return next(s.digest for s in scenarios if s.title == title)


def bind(requirement: str, title: str, *, text: str = SPEC, capability: str = "answers") -> str:
    return f'@scenario("{capability}", "{requirement}", "{title}", digest="{digest(title, text)}")'


BOUND = f"""
from coordspec.spec import scenario

{bind("Answer", "A question")}
def test_question():
    assert 42

{bind("Silence", "No question")}
def test_silence():
    pass

def test_plain():
    pass
"""


class Project:
    """A folder with specs and bindings, and pytest run in it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.root = pytester.path
        pytester.makeini("[pytest]\ntestpaths = tests\ncoordspec_specs = openspec/specs\nfilterwarnings = error\n")
        self.write(SPEC_MD, SPEC)
        self.write("tests/test_bound.py", BOUND)
        self.write("tests/test_harness.py", HARNESS)
        self.read()

    def read(self) -> None:
        """Somebody has read the sentences and the tables as they stand."""
        read_all(self.root)

    def write(self, name: str, text: str | bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def run(self, *args: str) -> pytest.RunResult:
        return self.pytester.runpytest_inprocess("-p", "no:hypothesispytest", *args)

    def ends(self) -> dict[str, str]:
        rows = json.loads((self.root / ".coordspec/outcomes.json").read_text())["scenarios"]
        return {row["scenario"]: row["outcome"] for row in rows}

    def covered(self) -> tuple[int, int]:
        found = coverage(self.root, self.root / ".coordspec/outcomes.json")
        return found.covered, found.total


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


def failed(result: pytest.RunResult, *lines: str) -> None:
    """The run is red, and says these lines."""
    assert result.ret == 1
    result.stdout.fnmatch_lines(lines, consecutive=False)


def errors(result: pytest.RunResult, *texts: str) -> None:
    """The collection failed, and says these texts."""
    assert result.ret == 2
    out = result.stdout.str()
    assert [text for text in texts if text not in out] == []


# ---------------------------------------------------------------- collection


def test_it_is_off_unless_configured(project: Project) -> None:
    project.pytester.makeini("[pytest]\n")
    result = project.run("-v")
    result.assert_outcomes(passed=3)
    result.stdout.no_fnmatch_line("*spec.md*")
    assert not (project.root / ".coordspec").exists()


def test_update_digests_means_nothing_when_it_is_off(project: Project) -> None:
    project.pytester.makeini("[pytest]\n")
    result = project.run("--update-digests")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*--update-digests needs coordspec_specs = openspec/specs in pytest's configuration*"])


def test_the_tree_is_file_requirement_scenario(project: Project) -> None:
    result = project.run("--collect-only")
    result.stdout.fnmatch_lines(
        [
            "*<SpecFile spec.md>",
            "*<RequirementNode Answer>",
            "*<ScenarioItem A question>",
            "*<ScenarioItem Sums>",
            "*<RequirementNode Silence>",
            "*<ScenarioItem No question>",
        ]
    )


def test_everything_that_is_bound_passes(project: Project) -> None:
    result = project.run("-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [f"{name} PASSED*" for name in ("tests/test_bound.py::test_plain", A_QUESTION, SUMS, NO_QUESTION)],
        consecutive=False,
    )
    assert project.ends() == {"A question": "passed", "Sums": "passed", "No question": "passed"}
    assert project.covered() == (3, 3)


def test_an_item_is_located_at_its_heading(project: Project) -> None:
    items, _ = project.pytester.inline_genitems("-p", "no:hypothesispytest")
    lines = SPEC.splitlines()
    found = {item.name: item.location for item in items if item.nodeid.startswith(SPEC_MD)}
    assert found["Sums"] == (SPEC_MD, lines.index("#### Scenario: Sums"), "Answer: Sums")
    assert len(found) == 3


@pytest.mark.parametrize(
    ("arguments", "passed"),
    [
        ([A_QUESTION], ["A question"]),
        ([A_QUESTION, NO_QUESTION], ["A question", "No question"]),
        ([f"{SPEC_MD}::Answer"], ["A question", "Sums"]),
        ([SPEC_MD], ["A question", "Sums", "No question"]),
        (["openspec"], ["A question", "Sums", "No question"]),
        (["-k", "Silence"], ["No question"]),
        (["-k", "test_question"], ["A question"]),
        (["--deselect", A_QUESTION, "openspec"], ["Sums", "No question"]),
    ],
)
def test_selection(project: Project, arguments: list[str], passed: list[str]) -> None:
    project.run(*arguments).assert_outcomes(passed=len(passed), deselected=None)
    assert sorted(project.ends()) == sorted(passed)


def test_last_failed(project: Project) -> None:
    project.edit("tests/test_bound.py", "assert 42", "assert not 42")
    project.run().assert_outcomes(passed=3, failed=1)
    project.run("--lf").assert_outcomes(failed=1)
    project.edit("tests/test_bound.py", "assert not 42", "assert 42")
    project.run("--lf").assert_outcomes(passed=1)


def test_last_failed_of_several_files(project: Project) -> None:
    project.edit("tests/test_bound.py", "assert 42", "assert not 42")
    project.write("tests/test_other.py", "def test_red():\n    assert False\n")
    project.run().assert_outcomes(passed=3, failed=2)
    project.run("--lf").assert_outcomes(failed=2)


def test_brackets_and_colons_in_titles_can_be_selected(project: Project) -> None:
    text = SPEC.replace("Requirement: Answer", "Requirement: a::b [x]").replace("A question", "q [y] :: z")
    project.write(SPEC_MD, text)
    project.read()
    project.write(
        "tests/test_bound.py",
        f"from coordspec.spec import scenario\n{bind('a::b [x]', 'q [y] :: z', text=text)}\ndef test_q(): pass\n",
    )
    project.run(f"{SPEC_MD}::a: :b (x)::q (y) : : z").assert_outcomes(passed=1)
    project.run("--lf", "openspec")
    project.run("--lf", "openspec").assert_outcomes(failed=1)


@pytest.mark.parametrize("name", ["build", "dist", "node_modules/deep"])
def test_a_capability_may_have_a_name_that_pytest_passes_over(project: Project, name: str) -> None:
    project.write(f"openspec/specs/{name}/spec.md", SPEC.replace("harness: add", "harness: add "))
    failed(project.run("openspec"), f"FAILED openspec/specs/{name}/spec.md::Answer::A question*")


def test_specs_of_a_nested_capability(project: Project) -> None:
    project.write("openspec/specs/a/b/spec.md", SPEC)
    project.read()
    project.write("tests/test_ab.py", BOUND.replace('"answers"', '"a/b"'))
    project.run("openspec").assert_outcomes(passed=6)


def test_xdist(project: Project) -> None:
    project.edit("tests/test_bound.py", "assert 42", "assert not 42")
    result = project.run("-n2")
    result.assert_outcomes(passed=3, failed=1)
    assert project.ends() == {"A question": "failed", "Sums": "passed", "No question": "passed"}
    assert project.covered() == (2, 3)


def test_xdist_and_a_process_that_dies(project: Project) -> None:
    project.run().assert_outcomes(passed=4)
    project.edit("tests/test_bound.py", "    assert 42", "    import os\n    os._exit(3)")
    result = project.run("-n1")
    assert result.ret == 1
    assert project.ends()["A question"] == "error"


@pytest.mark.parametrize(
    ("ini", "message"),
    [
        ("coordspec_specs = specs", "coordspec_specs is 'specs', which is no folder openspec/specs"),
        ("coordspec_specs = x/openspec/specs", "there is no such folder"),
        ("coordspec_specs = openspec/specs\ncoordspec_bindings = tset", "tset, which is not there"),
    ],
)
def test_wrong_configuration(project: Project, ini: str, message: str) -> None:
    project.pytester.makeini(f"[pytest]\n{ini}\n")
    result = project.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*{message}*"])


def test_bindings_elsewhere(project: Project) -> None:
    project.pytester.makeini(
        "[pytest]\ncoordspec_specs = openspec/specs\ncoordspec_bindings = checks tests/test_harness.py\n"
    )
    (project.root / "tests/test_bound.py").unlink()
    project.write("checks/bindings.py", BOUND)
    project.run("openspec").assert_outcomes(passed=3)


def test_a_file_of_bindings_alone_says_where_its_functions_run(project: Project) -> None:
    result = project.run("tests/test_bound.py")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["coordspec: 2 bound functions run as scenarios, and only so: pytest *openspec/specs"])


def test_specs_that_come_first_leave_the_other_tests_alone(project: Project) -> None:
    project.pytester.makeini("[pytest]\ncoordspec_specs = openspec/specs\n")
    project.write("tests/test_other.py", "def test_other(): pass\n")
    project.run().assert_outcomes(passed=5)
    project.run("openspec", "tests").assert_outcomes(passed=5)
    project.run("openspec", "tests/test_bound.py").assert_outcomes(passed=4)
