"""Every command and every option of it stands in a page of the documentation."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from command_tree import every_command

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = {page: page.read_text("utf-8") for page in DOCS.rglob("*.md")}


@pytest.mark.parametrize(("words", "command"), list(every_command()), ids=str)
def test_every_option_is_documented_where_its_command_is(words: str, command: click.Command) -> None:
    pages = [text for text in PAGES.values() if f"coordspec {words}" in text]
    assert pages, f"no page of docs/ names `coordspec {words}`"
    options = [param for param in command.params if isinstance(param, click.Option)]
    spellings = [option.opts for option in options if option.name != "help"]
    missing = [names for names in spellings if not any(name in text for text in pages for name in names)]
    assert missing == [], f"options of `coordspec {words}` that no page of it names"
