"""Bindings of ``openspec/specs/cli``, "Command line habits"."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys

import click
import pytest
from spec_tools import coordspec, folder

from coordspec.contracts import rule_book
from coordspec.spec.binding import scenario
from coordspec_cli.examples import EXAMPLES
from coordspec_cli.main import COMMANDS, cli
from coordspec_cli.progress import progress

pytestmark = pytest.mark.terminal

MAIN = """import sys
from coordspec_cli.main import main
try:
    main()
except SystemExit:
    print(sorted({"pydantic", "rich", "yaml", "coordspec_cli.convert", "coordspec_cli.config"} & sys.modules.keys()))
"""


@scenario("cli", "Command line habits", "A shell asks for names", digest="ff86dd16225c")
def test_a_shell_asks_for_names() -> None:
    asked = {"_COORDSPEC_COMPLETE": "zsh_complete", "COMP_WORDS": "coordspec con", "COMP_CWORD": "1"}
    words = [sys.executable, "-c", MAIN]
    done = subprocess.run(words, env={**os.environ, **asked}, capture_output=True, text=True, timeout=60, check=True)
    *shown, imported = done.stdout.splitlines()
    assert shown == [text for name in ("convert", "config") for text in ("plain", name, COMMANDS[name])]
    assert imported == "[]"


@scenario("cli", "Command line habits", "Every page has an example", digest="dfede671b6f0")
def test_every_page_has_an_example() -> None:
    for words, examples in EXAMPLES.items():
        page = coordspec(*words.split(), "--help").out
        assert "  Examples:\n" in page, words
        for line in examples:
            assert f"    {line}\n" in page
            assert len(line) <= 76  # with the indent it fits a terminal of 80 columns
            typed = line.removeprefix('eval "$(').removesuffix(')"').split(" > ")[0]
            assert typed.startswith(f"coordspec {words}")
            parse(shlex.split(typed)[1:])


def parse(words: list[str]) -> None:
    """Parse as click would, down to the last command, where all that is named exists; run nothing."""
    with folder() as here:
        for word in words[1:]:
            (here / word).mkdir(exist_ok=True, parents=True)
        command: click.Command = cli
        context = cli.make_context("coordspec", list(words))
        while isinstance(command, click.Group):
            name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            assert found is not None
            context, command = found.make_context(name, rest, parent=context), found


@scenario("cli", "Command line habits", "Lines off a terminal", digest="ef74b18996b5")
def test_lines_off_a_terminal() -> None:
    words = [sys.executable, "-m", "coordspec_cli", "rules"]
    done = subprocess.run(words, env={**os.environ, "COLUMNS": "40"}, capture_output=True, timeout=60, check=True)
    lines = [line for line in done.stdout.decode().splitlines() if line.startswith("  ")]
    assert [line.split()[1] for line in lines] == [
        rule.name for family in rule_book().families for rule in rule_book().by_name.values() if rule.family == family
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@scenario("cli", "Command line habits", "A reader that looks", digest="3e314f4ce709")
def test_a_reader_that_looks() -> None:
    stream, ticks = Terminal(), iter([0.0, 0.9, 1.1])
    with progress("counting", 9, "records", stream, lambda: next(ticks)) as advance:
        advance(3)
        assert stream.getvalue() == ""
        advance(4)
        assert "7 of 9 records" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert stream.getvalue().endswith("\x1b[2K")
