"""``coordspec rules``: all rules, by family."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence

import click

from coordspec.contracts import Rule, rule_book
from coordspec.findings.explain import rule_value, with_placeholders
from coordspec_cli.tables import hung, terminal_width


@click.command("rules")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How they are written.")
@click.option(
    "--family",
    type=click.Choice(list(rule_book().families), case_sensitive=False),
    help="Only the rules of this family.",
)
def command(form: str, family: str | None) -> None:
    """`coordspec rule NAME` explains one of them."""
    rules = [rule for rule in rule_book().by_name.values() if family in (None, rule.family)]
    if form == "json":
        click.echo(json.dumps([rule_value(rule) for rule in rules], indent=2))
    else:
        click.echo("\n".join(_lines(rules, terminal_width(sys.stdout))))


def _lines(rules: Sequence[Rule], columns: int | None) -> Iterator[str]:
    width = max(len(rule.name) for rule in rules)
    family = None
    for rule in rules:
        if rule.family != family:
            yield from [""] if family is not None else []
            family = rule.family
            yield from hung(f"{family}  ", rule_book().families[family], columns)
        message = with_placeholders(rule.message)
        yield from hung(f"  {rule.code}  {rule.name:<{width}}  {rule.severity:<7}  ", message, columns)
