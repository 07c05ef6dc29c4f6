"""``coordspec rule``: one rule explained."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Final

import click

from coordspec.contracts import Rule, rule_book
from coordspec.findings.explain import rule_markdown, rule_text, rule_value

FORMATS: Final[Mapping[str, Callable[[Rule], str]]] = {
    "text": rule_text,
    "markdown": rule_markdown,
    "json": lambda rule: json.dumps(rule_value(rule), indent=2) + "\n",
}


@click.command("rule")
@click.argument("name")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="text", help="How it is written.")
def command(name: str, form: str) -> None:
    """NAME is a rule's name or code, such as coord-range or GEO003."""
    book = rule_book()
    rule = book.find(name)
    if name.upper() in book.families:
        raise click.UsageError(
            f"{name.upper()} is a family of rules; `coordspec rules --family {name.upper()}` lists it"
        )
    if rule is None:
        raise click.UsageError(f"no rule is called {name!r}{book.suggestion(name)}; `coordspec rules` lists all")
    click.echo(FORMATS[form](rule), nl=False)
