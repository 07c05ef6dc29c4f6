"""What a run leaves behind: outcomes, and digests in bindings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from test_spec_collection import (
    A_QUESTION,
    NO_QUESTION,
    SPEC_MD,
    Project,
    digest,
    errors,
)

pytest_plugins = ["pytester"]


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


# ---------------------------------------------------------------- outcomes


def test_a_part_of_the_run_updates_a_part_of_the_outcomes(project: Project) -> None:
    project.run()
    project.edit("tests/test_bound.py", "assert 42", "assert not 42")
    project.run(NO_QUESTION)
    assert project.covered() == (3, 3)
    project.run(A_QUESTION)
    assert project.ends() == {"A question": "failed", "Sums": "passed", "No question": "passed"}


def test_collecting_writes_nothing(project: Project) -> None:
    project.run("--collect-only")
    assert not (project.root / ".coordspec").exists()


def test_another_function_is_another_outcome(project: Project) -> None:
    project.run()
    project.edit("tests/test_bound.py", "def test_question", "def test_other_question")
    assert project.covered() == (2, 3)


def test_outcomes_that_cannot_be_kept_are_no_success(project: Project) -> None:
    project.write(".coordspec/outcomes.json", "[]")
    result = project.run()
    assert result.ret == 3
    result.stdout.fnmatch_lines(
        ["coordspec: the outcomes are not kept: *is no file of outcomes; delete it and run pytest"]
    )


# ---------------------------------------------------------------- --update-digests


def test_update_digests(project: Project) -> None:
    project.edit(SPEC_MD, "answers 42", "answers 43")
    project.edit(SPEC_MD, "says nothing", "says little")
    before = (project.root / "tests/test_bound.py").read_text()
    result = project.run("--update-digests")
    result.assert_outcomes(passed=4)
    text = (project.root / SPEC_MD).read_text()
    new = digest("A question", text)
    result.stdout.fnmatch_lines(
        [
            f"coordspec: tests/test_bound.py:4: test_question: {digest('A question')} → {new}",
            f"coordspec: tests/test_bound.py:8: test_silence: {digest('No question')} → *",
            "coordspec: 2 digests updated",
        ]
    )
    after = (project.root / "tests/test_bound.py").read_text()
    assert after == before.replace(digest("A question"), new).replace(
        digest("No question"), digest("No question", text)
    )
    project.run().assert_outcomes(passed=4)


def test_update_digests_and_fixtures_of_a_conftest(project: Project) -> None:
    project.write("tests/conftest.py", "import pytest\n@pytest.fixture\ndef near(): return 1\n")
    project.edit("tests/test_bound.py", "def test_question():", "def test_question(near):")
    project.edit(SPEC_MD, "answers 42", "answers 43")
    project.run("--update-digests", A_QUESTION).assert_outcomes(passed=1)


def test_only_selected_digests_are_updated(project: Project) -> None:
    project.edit(SPEC_MD, "answers 42", "answers 43")
    project.edit(SPEC_MD, "says nothing", "says little")
    project.run("--update-digests", A_QUESTION).assert_outcomes(passed=1)
    project.run().assert_outcomes(passed=3, failed=1)


def test_update_digests_touches_the_literal_alone(project: Project) -> None:
    name = "tests/test_bound.py"
    text = "# ünïcode\r\nfrom coordspec.spec import scenario\r\n\r\n"
    text += "é = '''a\r\nb'''; 字 = 1\r\n@scenario('answers', 'Answer', 'A question',\r\n"
    text += "    digest = 'x' 'y'  ,)  # é\r\ndef test_a(): 'x'\r\n"
    project.write(name, text)
    (project.root / name).chmod(0o640)
    result = project.run("--update-digests", "openspec")
    assert "1 digests updated" in result.stdout.str()
    assert (project.root / name).read_bytes().decode() == text.replace("'x' 'y'", f"'{digest('A question')}'")
    assert (project.root / name).stat().st_mode & 0o777 == 0o640


def test_update_digests_with_nothing_to_do(project: Project) -> None:
    result = project.run("--update-digests")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["coordspec: 0 digests updated"])


def test_update_digests_refuses_a_file_that_has_changed(project: Project) -> None:
    project.edit(SPEC_MD, "answers 42", "answers 43")
    rewrite = "p.write_text('# a line\\n' + p.read_text())"
    hook = "import pathlib\ndef pytest_collection_modifyitems():\n\n"
    hook += f"    p = pathlib.Path('tests/test_bound.py')\n    {rewrite}\n"
    project.write("conftest.py", hook)
    before = (project.root / "tests/test_bound.py").read_text()
    result = project.run("--update-digests")
    assert result.ret == 4
    result.stderr.fnmatch_lines(
        ["*tests/test_bound.py: has changed since its bindings were read: line 4 does not hold *"]
    )
    assert (project.root / "tests/test_bound.py").read_text() == "# a line\n" + before


def test_update_digests_writes_nothing_when_the_collection_failed(project: Project) -> None:
    project.edit(SPEC_MD, "answers 42", "answers 43")
    project.edit("tests/test_bound.py", '"Silence"', '"Silense"')
    before = (project.root / "tests/test_bound.py").read_text()
    result = project.run("--update-digests")
    errors(result, "no digest is updated, since the collection failed")
    assert (project.root / "tests/test_bound.py").read_text() == before


def test_update_digests_needs_one_process(project: Project) -> None:
    result = project.run("--update-digests", "-n2")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*--update-digests edits files and needs one process; add -n0*"])


def test_the_library_does_not_import_pytest(pytester: pytest.Pytester) -> None:
    code = "import sys, coordspec.spec, coordspec.spec.coverage, coordspec.spec.lint; print('pytest' in sys.modules)"
    result = pytester.runpython_c(code)
    assert result.stdout.str().strip() == "False"


def test_the_message_of_an_unbound_scenario_can_be_pasted(project: Project) -> None:
    (project.root / "tests/test_bound.py").unlink()
    out = project.run().stdout.str()
    shown = re.findall(r"^@scenario\(.*\)$", out, re.MULTILINE)
    calls = list(dict.fromkeys(shown))  # under CI pytest repeats whole messages in its short summary
    assert len(calls) == 2
    body = "".join(f"{call}\ndef test_{n}(): pass\n" for n, call in enumerate(calls))
    project.write("tests/test_pasted.py", f"from coordspec.spec import scenario\n{body}")
    project.run().assert_outcomes(passed=3)
    assert Path(project.root, ".coordspec/outcomes.json").is_file()
