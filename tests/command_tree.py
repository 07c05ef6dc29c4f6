"""Every command of ``coordspec``, loaded, with the words that call it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from coordspec_cli.main import COMMANDS, cli


def every_command() -> Iterator[tuple[str, click.Command]]:
    """Groups and what is in them too: ``export`` and ``export coco``."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", made) for inner, made in command.commands.items())
