"""``coordspec completion``: the script that lets a shell complete what is typed."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from coordspec_cli.main import COMPLETE, cli


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """The shell reads the script when it starts: put the line of the example into ~/.bashrc or ~/.zshrc, or write the
    output to ~/.config/fish/completions/coordspec.fish.

    bash has to be 4.4 or newer; that of macOS is not.
    """
    made = get_completion_class(shell)
    assert made is not None  # click has all three
    click.echo(made(cli, {}, "coordspec", COMPLETE).source())
