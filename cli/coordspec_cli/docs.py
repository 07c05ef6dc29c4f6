"""``coordspec docs``: the pages of the documentation, as they were installed."""

from __future__ import annotations

import sys

import click

from coordspec.contracts import did_you_mean
from coordspec.manual import Page, pages
from coordspec_cli.tables import show, titled


@click.command("docs")
@click.argument("page", metavar="[PAGE]", required=False)
def command(page: str | None) -> None:
    """In a terminal a page is laid out and comes in a pager; elsewhere it is the Markdown as it is."""
    found = pages()
    if page is None:
        rows = [[one.name, one.title] for one in found.values()]
        show([titled("Pages of the documentation", ["page", "title"], rows, words=True)])
        return
    name = page.lower().replace("_", "-").removesuffix(".md").rpartition("/")[2]
    if name not in found:
        raise click.UsageError(
            f"no page is called {page!r}{did_you_mean(name, list(found))}; `coordspec docs` lists all"
        )
    if sys.stdout.isatty():
        click.echo_via_pager(_laid_out(found[name]))
    else:
        click.echo(found[name].text, nl=False)


def _laid_out(page: Page) -> str:
    """The page as a terminal shows it."""
    from rich.console import Console  # noqa: PLC0415 (only for a terminal)
    from rich.markdown import Markdown  # noqa: PLC0415

    console = Console()
    with console.capture() as captured:
        console.print(Markdown(page.text, hyperlinks=False))
    return captured.get()
