"""The OpenSpec command line missing, misnamed or misbehaving: exit status 2, and words that say what to do."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from conftest import Done
from coordspec.contracts import rule
from coordspec.errors import InputError
from coordspec.spec import openspec_cli
from coordspec.spec.gate import gate
from coordspec.spec.openspec_cli import ask_openspec, environment, find_openspec, how_to_install
from limits import HANG_S, until
from openspec_trees import CHANGE, ROOT, complete_tree, openspec, write

VERSION = "case $1 in --version) echo 1.13.2; exit;; esac\n"
INSTALL = "install it: `npm install --save-dev @fission-ai/openspec@1.13.2` (needs Node.js 20.19+)"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return complete_tree(tmp_path / "tree")


@pytest.fixture
def fake(tmp_path: Path) -> Callable[[str], Path]:
    """An executable with these lines of shell in it."""

    def make(script: str, head: str = "#!/bin/sh\n") -> Path:
        path = write(tmp_path / "fake", head + script)
        path.chmod(0o755)
        return path

    return make


def reason(tree: Path, tool: Path | None, timeout_s: float = HANG_S) -> str:
    """What the gate says of a tool it cannot use; nothing else is wrong with the tree but that no tests were run."""
    outcome = gate(tree, tool, timeout_s)
    assert {issue.name for issue in outcome.issues} <= {"tests-not-run"}
    [error] = outcome.unreadable
    return error.reason


# ---------------------------------------------------------------- finding it


def test_what_to_install_is_what_package_json_pins() -> None:
    package = json.loads((ROOT / "package.json").read_text())
    lock = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    facts = rule("openspec-version").params
    assert package["devDependencies"] == {facts["package"]: facts["pinned"]}
    assert lock[f"node_modules/{facts['package']}"]["version"] == facts["pinned"]
    assert package["engines"]["node"].startswith(f">={facts['node']}")
    assert facts["pinned"].startswith(facts["series"] + ".")
    assert how_to_install() == INSTALL


def test_the_lock_file_names_no_other_registry() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"].values()
    resolved = [package["resolved"] for package in packages if "resolved" in package]
    assert [url for url in resolved if not url.startswith("https://registry.npmjs.org/")] == []
    assert [package for package in packages if "integrity" not in package and "devDependencies" not in package] == []


def test_the_one_in_node_modules_wins(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def executable(path: Path) -> Path:
        write(path, "#!/bin/sh\n").chmod(0o755)
        return path

    on_path = executable(tmp_path / "bin/openspec")
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert find_openspec(tree) == on_path
    above = executable(tmp_path / "node_modules/.bin/openspec")
    assert find_openspec(tree) == above
    own = executable(tree / "node_modules/.bin/openspec")
    assert find_openspec(tree) == own
    assert find_openspec(tree, on_path) == on_path
    own.chmod(0o644)
    assert find_openspec(tree) == above


def test_nowhere(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert reason(tree, None) == (
        f"the OpenSpec command line is not installed (not in node_modules/.bin of {tree} or a folder above it, "
        f"not on PATH); {INSTALL}"
    )


def test_named_wrongly(tree: Path, tmp_path: Path) -> None:
    plain = write(tmp_path / "plain", "#!/bin/sh\n")
    missing = tmp_path / "missing"
    assert reason(tree, missing) == f"does not exist, and was named as the OpenSpec command line; {INSTALL}"
    assert reason(tree, tmp_path) == "is not a file; name the openspec executable"
    assert reason(tree, plain) == "is not executable; name node_modules/.bin/openspec, or make it executable"


def test_not_a_program(tree: Path, fake: Callable[..., Path]) -> None:
    assert reason(tree, fake("garbage", head="")) == f"cannot be started: Exec format error; {INSTALL}"
    assert reason(tree, fake("", head="#!/no/such/interpreter\n")) == (
        f"cannot be started: No such file or directory; {INSTALL}"
    )


# ---------------------------------------------------------------- asking it


def test_without_node(tree: Path, fake: Callable[..., Path]) -> None:
    tool = fake("", head="#!/usr/bin/env no-such-node\n")
    said = reason(tree, tool)
    assert said.startswith("`openspec --version` printed no version, exit status 127; standard error: ")
    assert "no-such-node" in said


@pytest.mark.signal
def test_hanging(tree: Path, fake: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the limit stands still until the tool has said something, so that no load decides the test."""
    pid, said = tmp_path / "pid", tmp_path / "said"
    tool = fake(VERSION + f"sleep {HANG_S:g} & echo $! > '{pid}'; echo thinking; touch '{said}'; wait")
    looks = itertools.count()

    def clock() -> float:
        if next(looks) < 2:  # when the limit is set, and when the version is waited for
            return 0.0
        until(said.exists, "the tool speaks")
        return 600.0

    monkeypatch.setattr(openspec_cli, "time", SimpleNamespace(monotonic=clock))
    assert reason(tree, tool, 600) == (
        "`openspec status --all --json` did not end within 600 s (--timeout); standard output: thinking"
    )
    monkeypatch.undo()
    child = int(pid.read_text())
    until(lambda: not Path(f"/proc/{child}").exists() or _zombie(child), "what the tool had started ends with it")


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


STATUS = '{"changes": [], "root": {"path": "%s", "source": "nearest"}}'
VALID = '{"items": []}'


def answering(tree: Path, status: str = "", validate: str = VALID, version: str = "1.13.2", code: int = 0) -> str:
    return (
        f"case $1 in --version) echo '{version}';; status) cat <<'X'\n{status or STATUS % tree}\nX\n;; "
        f"validate) cat <<'X'\n{validate}\nX\nexit {code};; esac\n"
    )


def test_a_fake_that_answers_well_is_taken(tree: Path, fake: Callable[..., Path]) -> None:
    assert ask_openspec(fake(answering(tree)), tree).version == "1.13.2"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"status": "garbage \x1b[31m"}, "`openspec status --all --json` printed no JSON, exit status 0; standard "
         "output: garbage \\x1b[31m"),
        ({"status": "{}"}, "`openspec status --all --json` printed other JSON than expected (Object missing required "
         "field `changes`), exit status 0; standard output: {}"),
        ({"validate": "[]"}, "`openspec validate --all --strict --json` printed other JSON than expected (Expected "
         "`object`, got `array`), exit status 0; standard output: []"),
        ({"validate": "{}"}, "`openspec validate --all --strict --json` printed JSON without items, exit status 0; "
         "standard output: {}"),
        ({"code": 1}, "`openspec validate --all --strict --json` printed an answer that its exit status does not fit, "
         "exit status 1; standard output: {\"items\": []}"),
        ({"version": "v8"}, "`openspec --version` printed no version, exit status 0; standard output: v8"),
        ({"version": ""}, "`openspec --version` printed no version, exit status 0; it printed nothing"),
    ],
)  # fmt: skip
def test_other_answers_than_promised(answers: dict[str, str], said: str, tree: Path, fake: Callable[..., Path]) -> None:
    assert reason(tree, fake(answering(tree, **answers))) == said  # type: ignore[arg-type]


def test_an_unknown_state_of_an_artifact_is_no_pass(tree: Path, fake: Callable[..., Path]) -> None:
    change = '{"changeName": "a", "artifacts": [{"id": "x", "outputPath": "x", "status": "fine", "requires": []}]}'
    status = STATUS % tree
    said = reason(tree, fake(answering(tree, status=status.replace("[]", f"[{change}]", 1))))
    assert "Invalid enum value 'fine'" in said


def test_crashing(tree: Path, fake: Callable[..., Path]) -> None:
    assert reason(tree, fake(VERSION + "echo 'SyntaxError: old node' >&2; exit 1")) == (
        "`openspec status --all --json` printed no JSON, exit status 1; standard error: SyntaxError: old node"
    )
    assert reason(tree, fake(VERSION + "kill -9 $$")) == (
        "`openspec status --all --json` printed no JSON, exit status -9; it printed nothing"
    )


def test_output_larger_than_a_pipe(tree: Path, fake: Callable[..., Path]) -> None:
    items = ", ".join(['{"id": "a", "type": "spec", "valid": true, "issues": []}'] * 5000)
    assert (
        len(ask_openspec(fake(answering(tree, validate=f'{{"items": [{items}]}}')), tree).validation.items or ())
        == 5000
    )


def test_another_version_is_a_warning(tree: Path, fake: Callable[..., Path]) -> None:
    outcome = gate(tree, fake(answering(tree, version="2.0.1")))
    [issue] = [i for i in outcome.issues if i.name == "openspec-version"]
    assert (issue.severity, issue.place.path) == ("warning", str(tree / "package.json"))
    assert issue.message == "openspec 2.0.1 is not a version this gate was checked against (1.13.x)"
    assert issue.hint == "pin the one that is: `npm install --save-dev --save-exact @fission-ai/openspec@1.13.2`"


@pytest.mark.parametrize(
    ("root", "reason"),
    [
        ('{"path": "/elsewhere", "source": "nearest"}', "openspec takes /elsewhere instead (nearest)"),
        ('{"path": "TREE", "source": "implicit"}', "openspec takes TREE instead (implicit)"),
        ("null", "openspec names none"),
    ],
)
def test_another_root_than_this_one(root: str, reason: str, tree: Path, fake: Callable[..., Path]) -> None:
    status = f'{{"changes": [], "root": {root.replace("TREE", str(tree))}}}'
    [issue] = gate(tree, fake(answering(tree, status=status))).issues
    assert issue.message == f"tree is no OpenSpec root: {reason.replace('TREE', str(tree))}"


def test_it_is_run_in_the_root_and_told_to_be_quiet(tree: Path, fake: Callable[..., Path], tmp_path: Path) -> None:
    tool = fake(f'pwd >> {tmp_path}/log; env >> {tmp_path}/log; read line && echo "$line" >> {tmp_path}/log; exit 3')
    with pytest.raises(InputError):
        ask_openspec(tool, tree)
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0] == str(tree)
    expected = ("OPENSPEC_TELEMETRY=0", "DO_NOT_TRACK=1", "NO_COLOR=1", "CI=1", "OPENSPEC_NO_UPDATE_CHECK=1")
    assert [line for line in expected if line not in lines] == []


def test_the_environment_is_otherwise_the_callers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    monkeypatch.setenv("OPENSPEC_TELEMETRY", "1")
    given = environment(tmp_path)
    assert "FORCE_COLOR" not in given
    assert given["HTTPS_PROXY"] == "http://proxy"
    assert given["OPENSPEC_TELEMETRY"] == "0"
    assert given["PATH"] == os.environ["PATH"]


# ---------------------------------------------------------------- the command


def test_a_missing_tool_is_exit_status_2_and_the_rest_is_still_checked(
    coordspec: Callable[..., Done], tree: Path
) -> None:
    write(tree / "openspec/specs/sums/spec.md", "")
    done = coordspec("gate", "--root", tree, "--openspec", "nothing", "--format", "json")
    report = json.loads(done.out)
    assert done.status == 2
    assert report["unreadable"] == [
        {"path": "nothing", "reason": f"does not exist, and was named as the OpenSpec command line; {INSTALL}"}
    ]
    assert str(tree / "openspec/specs/sums/spec.md") in {issue["path"] for issue in report["issues"]}


def test_the_timeout_is_an_option(coordspec: Callable[..., Done], tree: Path, fake: Callable[..., Path]) -> None:
    done = coordspec("gate", "--root", tree, "--openspec", fake("sleep 60"), "--timeout", "0.2")
    assert done.status == 2
    assert "`openspec --version` did not end within 0.2 s (--timeout); it printed nothing" in done.out


def test_formats(coordspec: Callable[..., Done], tree: Path, tmp_path: Path) -> None:
    design = tree / f"openspec/changes/{CHANGE}/design.md"
    design.write_text("")
    done = coordspec(
        "gate", "--root", tree, "--openspec", openspec(), "--format", "github", "--format", "json", "-o", "r"
    )
    assert done.status == 1
    assert (
        f"::error file={design},title=GAT006 blank-artifact::the change add-subtraction has a blank file for design\n"
        not in done.out  # the hint follows on the same line
    )
    assert (
        f"::error file={design},title=GAT006 blank-artifact::the change {CHANGE} has a blank file for design%0A"
        in done.out
    )
    assert json.loads((tmp_path / "r").read_text())["summary"]["by_rule"]["blank-artifact"] == 1


def test_wrong_usage(coordspec: Callable[..., Done], tmp_path: Path) -> None:
    assert coordspec("gate", "--root", tmp_path / "nothing").status == 2
    assert coordspec("gate", "--timeout", "0").status == 2
    assert coordspec("gate", "extra").status == 2
