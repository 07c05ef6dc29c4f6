"""What users copy: the pre-commit hooks, the workflow and the page name commands, rules and versions that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest
import yaml

from coordspec.contracts import rule, rule_book
from coordspec_cli.main import cli
from openspec_trees import ROOT

HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
WORKFLOW = (ROOT / "examples/github-actions/coordspec.yml").read_text()
PAGE = (ROOT / "docs/spec/GATE.md").read_text()
FACTS = rule("openspec-version").params


def find(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words name, and its arguments."""
    found: click.Command = cli
    with click.Context(cli) as context:
        while isinstance(found, click.Group) and words:
            command = found.get_command(context, words[0])
            assert command is not None, words
            found, words = command, words[1:]
    return found, words


def check_usage(line: str) -> None:
    program, *words = shlex.split(line)
    assert program == "coordspec"
    command, arguments = find(words)
    command.make_parser(click.Context(command)).parse_args(arguments)


def commands() -> Iterator[str]:
    yield from (hook["entry"] for hook in HOOKS)
    for step in yaml.safe_load(WORKFLOW)["jobs"]["gate"]["steps"]:
        yield from re.findall(r"^coordspec .*$", step.get("run", ""), re.MULTILINE)


def test_the_hooks() -> None:
    assert [hook["id"] for hook in HOOKS] == ["coordspec-validate", "coordspec-spec-lint", "coordspec-gate"]
    assert {hook["language"] for hook in HOOKS} == {"python"}
    assert [hook["id"] for hook in HOOKS if hook["id"] not in PAGE] == []
    takes = re.compile(HOOKS[0]["files"])
    assert [bool(takes.search(name)) for name in ("a.jsonl", "d/a.jsonl.gz", "a.jsonl.zst", "a.json")] == [1, 1, 1, 0]


@pytest.mark.parametrize("line", list(commands()))
def test_every_command_that_is_named_exists(line: str) -> None:
    check_usage(line)


def test_the_workflow_runs_everything_in_order() -> None:
    job = yaml.safe_load(WORKFLOW)["jobs"]["gate"]
    steps = " ".join(step.get("uses", step.get("run", "")) for step in job["steps"])
    installs = ["setup-python", "setup-node", "pip install vendor/coordspec", "npm ci"]
    order = [*installs, "coordspec validate", "python -m pytest", "coordspec gate"]
    places = [steps.index(word) for word in order]
    assert places == sorted(places)


def test_versions_are_those_of_the_rules() -> None:
    install = f"npm install --save-dev --save-exact {FACTS['package']}@{FACTS['pinned']}"
    assert install in PAGE
    assert install in WORKFLOW
    assert f"Node.js {FACTS['node']}" in PAGE
    assert f"Node.js {FACTS['node']}" in (ROOT / "Makefile").read_text()


def test_every_rule_of_the_gate_is_on_the_page() -> None:
    names = [item.name for item in rule_book().by_name.values() if item.family == "GAT"]
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_every_option_is_on_the_page() -> None:
    command, _ = find(["gate"])
    options = [param for param in command.params if isinstance(param, click.Option)]
    assert [param.opts for param in options if not any(name in PAGE for name in param.opts)] == []
