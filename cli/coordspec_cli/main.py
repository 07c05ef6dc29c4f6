"""The ``coordspec`` command: a table of commands, each loaded only when it is asked for."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

EXIT_CLEAN, EXIT_FINDINGS, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130

COMPLETE = "_COORDSPEC_COMPLETE"
"""The variable by which a shell asks for completions; ``main`` answers, as click's own would."""

GROUPS: Mapping[str, Mapping[str, str]] = {
    "Check data": {
        "validate": "Check contract files and say exactly what is wrong, and where.",
        "rule": "Explain one rule: why it matters, how to fix it, examples.",
        "rules": "List all rules.",
        "schema": "Print a file of the contract: the form of a config, a record, a payload; rules and tables.",
        "stats": "Count records, objects, geometries, descriptions and box sizes.",
    },
    "Prepare data": {
        "shapes": "Draw the embedded data set: scenes of coloured shapes with their annotations.",
        "convert": "Turn annotations of another format into a contract file.",
        "coords": "Turn a contract file between pixels, integer bins and coord tokens.",
        "fix": "Write a repaired copy of a contract file; safe repairs only.",
        "export": "Write contract files and prediction files in the formats of other tools.",
    },
    "Configs": {
        "check-config": "Find all that is wrong with training configs.",
        "config": "Begin a training config from a recipe, show one with the origin of every value, or compare two.",
    },
    "Train": {
        "tiny-model": "Make the embedded default: a Qwen3-VL of about 2 M parameters, untrained.",
        "expand-vocab": "Add the 1000 coord tokens to a checkpoint that has none of them.",
        "train": "Train as a config says, from contract files to checkpoints.",
        "guard": "Check dumped training targets: owners, weights and coordinate slots of every token.",
        "mask": "Show what a target teaches: its text by owner, kind and weight, its boxes; as text or as a page.",
        "merge-lora": "Merge a LoRA adapter into a plain checkpoint.",
    },
    "Answer and evaluate": {
        "infer": "Let a checkpoint answer every record of a contract file.",
        "eval": "Compare predictions with their ground truth: AP, F1, parse rates, calibration.",
        "checklist": "Check a trained checkpoint: strict outputs, losses, distributions at coordinates.",
    },
    "Look": {
        "report": "Make one page to look at: a data file, predictions with their data, or a training run.",
        "sheet": "Draw predictions and their ground truth into one picture.",
    },
    "Specs": {
        "spec": "Which scenarios are covered by tests, and what OpenSpec lets through.",
        "gate": "Pass only if specs, artifacts, tasks, bindings and tests agree.",
    },
    "Help": {
        "docs": "Print a page of the documentation, or list the pages.",
        "completion": "Print the script that completes commands and options in a shell.",
    },
}
"""Every command with its line of help, in the groups of ``--help``.

The command ``NAME`` is the object ``command`` of the module ``NAME``, dashes written as underscores; its docstring
holds what follows the line.
"""

COMMANDS: Mapping[str, str] = {name: text for group in GROUPS.values() for name, text in group.items()}

_WIDEST = 100  # a line that is longer is hard to read, however wide the terminal


class LazyGroup(click.Group):
    """Lists commands from ``COMMANDS`` without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"coordspec_cli.{cmd_name.replace('-', '_')}")
        from coordspec_cli.help import finish  # noqa: PLC0415 (not for --help)

        command: click.Command = module.command
        finish(command, cmd_name, COMMANDS[cmd_name])
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem  # noqa: PLC0415 (only to complete)

        # click's own imports every command, for its line of help
        names = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from coordspec.contracts import did_you_mean  # noqa: PLC0415 (only for the message)

            ctx.fail(f"no command is called {args[0]!r}{did_you_mean(args[0], list(COMMANDS))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        widest = max(map(len, COMMANDS))
        for title, commands in GROUPS.items():
            with formatter.section(title):  # all of them with one width for the names
                formatter.write_dl([(name.ljust(widest), text) for name, text in commands.items()])


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        from coordspec import __version__  # noqa: PLC0415 (reading package metadata costs more than --help)

        click.echo(f"coordspec {__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def cli() -> None:
    """Contracts, checks and training for models that write boxes.

    Exit status: 0 clean, 1 findings at error level, 2 wrong usage or unreadable input.
    """


cli.epilog = "\b\nExamples:\n  coordspec validate train.jsonl\n  coordspec COMMAND --help"


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit; the one place that turns errors into an exit status."""
    status = run(args)
    if status == EXIT_INTERRUPTED:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # another Ctrl-C must not turn the orderly end into a traceback
    sys.exit(status)


def run(args: list[str] | None = None) -> int:
    """Run the command line; returns the exit status instead of exiting."""
    from coordspec.errors import CoordspecError  # noqa: PLC0415 (keeps the order of imports: click first)
    from coordspec_cli.extras import missing  # noqa: PLC0415

    words = sys.argv[1:] if args is None else args
    if sys.stdout is None:
        click.echo("error: standard output is closed", err=True)
        return EXIT_USAGE
    if args is None and (asked := os.environ.get(COMPLETE)):
        from click.shell_completion import shell_complete  # noqa: PLC0415 (only to complete)

        return shell_complete(cli, {}, "coordspec", COMPLETE, asked)
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    try:
        with cli.make_context("coordspec", list(words), terminal_width=width) as context:
            status: Any = cli.invoke(context)
        sys.stdout.flush()
    except ModuleNotFoundError as error:
        said = missing(words[0], error) if words else None
        if said is None:
            raise
        click.echo(f"error: {said}", err=True)
        return EXIT_USAGE
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except CoordspecError as error:
        click.echo(f"error: {error}", err=True)
        return EXIT_USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of the output went away, so the job was not done
        silence_stdout()
        return EXIT_USAGE
    except OSError as error:  # inputs and output files have errors of their own; what is left is a full standard output
        silence_stdout()
        click.echo(f"error: the output cannot be written: {error.strerror or error}", err=True)
        return EXIT_USAGE
    return status if isinstance(status, int) else EXIT_CLEAN


def silence_stdout() -> None:
    """Point stdout at nothing, so that the interpreter does not complain about the closed pipe when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
