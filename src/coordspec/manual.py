"""The pages of the documentation, as they are shipped beside the code."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, NamedTuple

_README: Final = "README.md"
_SUFFIX: Final = ".md"


class Page(NamedTuple):
    """One page: the name to ask for it, its title, and its Markdown."""

    name: str
    title: str
    text: str


@cache
def pages() -> Mapping[str, Page]:
    """Every page by its name, in the order of the folders of ``docs/``."""
    return {page.name: page for page in _below(files("coordspec._docs"), "")}


def _below(folder: Traversable, above: str) -> list[Page]:
    found: list[Page] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: (entry.is_dir(), entry.name)):
        if entry.is_dir():
            found += _below(entry, entry.name)
        elif entry.name.endswith(_SUFFIX):
            text = entry.read_text("utf-8")
            found.append(Page(_name(entry.name, above), _title(text), text))
    return found


def _title(text: str) -> str:
    """The first heading; above it a generated page has a comment that says what made it."""
    heading = next(line for line in text.splitlines() if line.startswith("# "))
    return heading.removeprefix("# ").replace("`", "")


def _name(file: str, folder: str) -> str:
    """``STAGE1_RUNBOOK.md`` is ``stage1-runbook``, the first page of a folder has the folder's name."""
    stem = folder if file == _README else file.removesuffix(_SUFFIX)
    return stem.lower().replace("_", "-")
