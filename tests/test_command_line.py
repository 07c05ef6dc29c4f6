"""Help pages, completion and suggestions: the habits of a command line."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from command_tree import every_command
from coordspec_cli.examples import EXAMPLES
from coordspec_cli.main import COMMANDS, GROUPS, cli, run

pytestmark = pytest.mark.terminal

MODULES = Path(__file__).resolve().parent.parent / "cli" / "coordspec_cli"


WORDS = [words for words, _ in every_command()]


def test_every_command_is_in_one_group() -> None:
    assert sorted(name for group in GROUPS.values() for name in group) == sorted(COMMANDS)
    assert all((MODULES / f"{name.replace('-', '_')}.py").is_file() for name in COMMANDS)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_line_of_help_is_kept_in_one_place(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help is not None
    assert command.short_help == COMMANDS[name]
    assert command.help.split("\n\n")[0] == COMMANDS[name]
    assert command.help.count(COMMANDS[name]) == 1
    source = (MODULES / f"{name.replace('-', '_')}.py").read_text("utf-8")
    assert COMMANDS[name] not in source


def test_examples_are_of_commands_that_exist() -> None:
    assert set(EXAMPLES) == set(WORDS)


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("words", ["", *[words for words in WORDS if words in COMMANDS], "export coco"])
def test_help_fits_the_terminal(
    words: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run([*words.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    examples = {f"    {line}" for line in [*EXAMPLES.get(words, ()), "coordspec validate train.jsonl"]}
    lines = [line for line in shown.splitlines() if line not in examples]  # those are copied, so they stay whole
    if columns == 40:  # a list of choices is one word, and can be wider than this
        lines = [line for line in lines if "|" not in line]
    assert [line for line in lines if len(line) > min(columns, 100)] == []


def test_no_line_of_help_is_cut_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    context = click.Context(cli)
    for words in ("config", "export", "spec"):
        group = cli.get_command(context, words)
        assert isinstance(group, click.Group)
        assert run([words, "--help"]) == 0
        page = " ".join(capsys.readouterr().out.split())
        assert [name for name, inner in group.commands.items() if f"{name} {inner.short_help}" not in page] == []
    assert run(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert [name for name, text in COMMANDS.items() if f"{name} {text}" not in shown] == []


# ---------------------------------------------------------------------------------------------------------- completion


def complete(shell: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "coordspec_cli"],
        env={**os.environ, "_COORDSPEC_COMPLETE": f"{shell}_complete", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


BASH = """
eval "$(coordspec completion bash)"
compopt() { printf 'compopt %s %s\\n' "$@"; }
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_coordspec_completion coordspec
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["va"], ["validate"]),
        (["ru"], ["rule", "rules"]),
        (["validate", "--max-e"], ["--max-errors"]),
        (["validate", "--coord-space", "pi"], ["pixel"]),
        (["export", "coco"], ["coco", "coco-results"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["stats", "tr"], ["compopt -o default"]),
        (["validate", "tr"], ["compopt -o default"]),
        (["convert", "coco", "inst"], ["compopt -o default"]),
        (["fix", "a.jsonl", "-o", "b"], ["compopt -o default"]),
        (["shapes", "-o", "b"], ["compopt -o dirnames"]),
    ],
    ids=str,
)
def test_bash_completes(typed: list[str], offered: list[str], tmp_path: Path) -> None:
    name = tmp_path / "coordspec"
    name.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m coordspec_cli "$@"\n')
    name.chmod(0o755)
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH, "bash", "coordspec", *typed],
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ([line for line in done.stdout.splitlines() if line], done.stderr) == (offered, "")


def test_fish_is_answered() -> None:
    shown = complete("fish", COMP_WORDS="coordspec rules --format", COMP_CWORD="j").splitlines()
    assert shown[0].startswith("plain")
    assert "json" in "".join(shown)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_ask_this_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert f"_COORDSPEC_COMPLETE={shell}_complete" in capsys.readouterr().out


# --------------------------------------------------------------------------------------------------------- wrong words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["vaildate", "a"], "did you mean"),
        (["validate", "--stict", "a"], "'--strict'"),
        (["export", "coco", "--overwrit", "a"], "Did you mean '--overwrite'?"),
    ],
    ids=str,
)
def test_what_is_misspelt_is_suggested(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    assert said in capsys.readouterr().err
