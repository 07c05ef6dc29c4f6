"""``coordspec config``: a config to begin with, what one means, and where two of them differ."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from textwrap import wrap

import click

from coordspec.config.check import CheckedConfig, CheckOptions, check_config, outcome_of
from coordspec.config.recipes import RECIPES, about, recipe_text
from coordspec.config.show import Change, Setting, changes, settings, show_yaml, yaml_text
from coordspec.contracts import did_you_mean
from coordspec.findings.text import write_text
from coordspec.findings.visible import encodable, visible, write_line
from coordspec.jsonl.write import write_whole
from coordspec_cli.main import EXIT_CLEAN, EXIT_FINDINGS, EXIT_USAGE
from coordspec_cli.tables import hung, show, terminal_width, titled


@click.group("config")
def command() -> None:
    pass


@command.command("init")
@click.argument("name", metavar="[RECIPE]", required=False)
@click.option("-o", "--output", "out", metavar="FILE", type=click.Path(path_type=Path), help="File to write.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
def init_command(name: str | None, out: Path | None, overwrite: bool) -> int:
    """Write the recipe RECIPE as one commented file, for you to change; without RECIPE, list the recipes.

    The file says all that the recipe sets, and why, and extends nothing. Without -o it goes to standard output.
    """
    if name is None:
        show(
            [titled("Recipes", ["recipe", "what it trains"], [[known, about(known)] for known in RECIPES], words=True)]
        )
        return EXIT_CLEAN
    if name not in RECIPES:
        raise click.UsageError(
            f"no recipe is called {name!r}{did_you_mean(name, list(RECIPES))}; there are {', '.join(RECIPES)}"
        )
    text = recipe_text(name)
    if out is None:
        click.echo(text, nl=False)
        return EXIT_CLEAN
    with write_whole(out, overwrite=overwrite) as stream:
        stream.write(text.encode())
    file = click.format_filename(out)
    click.echo(f"{file}: change the paths in it, then: coordspec check-config {file}")
    return EXIT_CLEAN


@command.command("show")
@click.argument("file", metavar="FILE")
@click.option(
    "--format",
    "form",
    type=click.Choice(["yaml", "json"]),
    default="yaml",
    show_default=True,
    help="YAML with the origins as comments, or JSON; its keys are explained in `coordspec docs check-config`.",
)
def show_command(file: str, form: str) -> int:
    """Print the whole config with the origin of every value: file and line, or default.

    What the config extends is resolved, and defaults are filled in: this is what a run from it uses. Its data is not
    looked at.

    Exit status: 0 shown, 1 the config has errors (they go to standard error), 2 a file that cannot be read.
    """
    checked = _checked(file)
    if checked is None:
        return EXIT_FINDINGS
    config, resolved = checked.config, checked.resolved
    assert config is not None
    if form == "json":
        value = {
            "files": [encodable(path) for path in resolved.files],
            "config": config.model_dump(mode="json"),
            "settings": {setting.path: setting.value_of_json() for setting in settings(config, resolved)},
        }
        click.echo(json.dumps(value, indent=2))
        return EXIT_CLEAN
    for line in show_yaml(config, resolved).splitlines():
        for part in _fitted(line, terminal_width(sys.stdout)):
            write_line(sys.stdout, part)
    return EXIT_CLEAN


def _fitted(line: str, width: int | None) -> list[str]:
    """A setting and its origin, below each other where they do not fit a terminal. Still YAML where values fit."""
    text, sign, origin = line.rpartition("  # ")
    if width is None or len(line) <= width or not sign:
        return [line] if width is None else hung("", line, width)
    indent = " " * (len(text) - len(text.lstrip()))
    mark = f"{indent}  # "
    origins = wrap(origin, max(width - len(mark), 1), break_on_hyphens=False)
    return [*hung(indent, text.strip(), width), *(mark + part for part in origins)]


@command.command("diff")
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A line for each setting that differs, or JSON; its keys are explained in `coordspec docs check-config`.",
)
def diff_command(old: str, new: str, form: str) -> int:
    """Say which settings have other values in config B than in config A, and where both come from.

    Resolved values are compared, defaults included, so two files that say the same in different ways are the same.

    Exit status, as that of diff: 0 the same, 1 different, 2 one of them has errors or cannot be read.
    """
    sides = [_checked(old), _checked(new)]
    if None in sides:
        return EXIT_USAGE
    first, second = ([*settings(c.config, c.resolved)] if c and c.config else [] for c in sides)
    found = changes(first, second)
    if form == "json":
        click.echo(json.dumps({"same": not found, "changes": [_change_value(change) for change in found]}, indent=2))
    else:
        for change in found:
            for line in hung(f"{change.path}: ", _sides(change), terminal_width(sys.stdout)):
                write_line(sys.stdout, line)
    return EXIT_FINDINGS if found else EXIT_CLEAN


def _checked(file: str) -> CheckedConfig | None:
    """The config, or None if it has errors; those are then on standard error."""
    checked = check_config(file, CheckOptions(data=False))
    if checked.config is None:
        write_text(outcome_of([file], [checked]), sys.stderr)
        return None
    return checked


def _sides(change: Change) -> str:
    return f"{_side(change.old)} -> {_side(change.new)}"


def _side(setting: Setting | None) -> str:
    return "nothing" if setting is None else f"{yaml_text(setting.value)} ({visible(setting.origin)})"


def _change_value(change: Change) -> dict[str, object]:
    sides = {"old": change.old, "new": change.new}
    return {"path": change.path, **{name: side and side.value_of_json() for name, side in sides.items()}}
