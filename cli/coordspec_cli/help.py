"""What every command gets beside its own text: its line of help, examples, and completion of files."""

from __future__ import annotations

from inspect import cleandoc
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

from coordspec_cli.examples import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterable

_FILES: Final = frozenset(
    [
        "A",
        "ADAPTER",
        "B",
        "CKPT",
        "CONFIG",
        "DATA",
        "FILE",
        "HTML",
        "IN",
        "OUT",
        "PATH",
        "PATHS",
        "PNG",
        "PREDS",
        "SRC",
        "TABLE",
    ]
)  # of arguments and options that take a plain text
_DIRS: Final = frozenset({"DIR"})


class PathWord(click.types.StringParamType):
    """A text that a shell completes as a file or a folder; ``-`` and globs are as good, so nothing is checked."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        return [CompletionItem(incomplete, type=self.kind)]


class NarrowFormatter(click.HelpFormatter):
    """click's, but the column of options leaves half of a narrow terminal to their help."""

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        super().write_dl(rows, min(col_max, self.width // 2 - col_spacing), col_spacing)


class HelpContext(click.Context):
    """The context of every command but the outermost."""

    formatter_class = NarrowFormatter


def finish(command: click.Command, words: str, summary: str) -> None:
    """Give a command, and those inside it, what is kept in tables. ``words`` call it: ``export coco``."""
    if command.short_help is not None:
        return  # it is finished; modules live as long as the process
    command.context_class = HelpContext
    command.short_help = summary
    command.help = "\n\n".join(filter(None, [summary, cleandoc(command.help or "")]))
    command.epilog = "\n\n".join(filter(None, [examples(EXAMPLES.get(words, ())), command.epilog]))
    for param in command.params:
        kind = _kind(param)
        if kind is not None:
            param.type = PathWord(kind)
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            line, _, rest = cleandoc(inner.help or "").partition("\n\n")
            inner.help = rest
            finish(inner, f"{words} {name}", " ".join(line.split()))


def examples(lines: Iterable[str]) -> str:
    """The part of a help page with command lines, which are not wrapped."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def _kind(param: click.Parameter) -> str | None:
    """``file`` or ``dir`` where a plain text names one."""
    word = (param.metavar or "").strip("[].")
    if type(param.type) is not click.types.StringParamType:
        return None
    return "file" if word in _FILES else "dir" if word in _DIRS else None
