"""``coordspec docs`` and ``coordspec config init``: what an installed package has to read and to begin with."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from conftest import Done, command
from coordspec.config.check import CheckOptions, check_config
from coordspec.config.model import fields
from coordspec.config.recipes import RECIPES, recipe_text
from coordspec.config.show import settings
from coordspec.contracts import rule_book
from coordspec.manual import pages

ROOT = Path(__file__).parents[1]
Run = Callable[..., Done]
POINTER = re.compile(r"`coordspec docs ([a-z0-9-]+)`")


def test_every_page_has_a_name_of_its_own_and_a_title() -> None:
    files = list((ROOT / "docs").rglob("*.md"))
    assert len(pages()) == len(files)
    assert all(page.title and not page.title.startswith(("#", "<")) for page in pages().values())


@pytest.mark.parametrize("word", ["stage1-runbook", "STAGE1_RUNBOOK", "docs/training/STAGE1_RUNBOOK.md"])
def test_a_page_is_found_by_its_name_or_its_file(word: str, coordspec: Run) -> None:
    done = coordspec("docs", word)
    assert (done.status, done.err) == (0, "")
    assert done.out == (ROOT / "docs/training/STAGE1_RUNBOOK.md").read_text("utf-8")


def test_a_terminal_gets_the_page_laid_out(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        command("docs", "formats"), cwd=tmp_path, stdout=theirs, env={**os.environ, "PAGER": "cat"}
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        said += part
    os.close(ours)
    assert child.wait() == 0
    assert b"Report formats" in said
    assert b"# Report formats" not in said, "Markdown is laid out, not shown as it is"


def test_pages_that_messages_point_to_are_there() -> None:
    sources = [path.read_text("utf-8") for folder in ("src", "cli") for path in (ROOT / folder).rglob("*.py")]
    texts = [*sources, *(f"{rule.fix} {rule.why}" for rule in rule_book().by_name.values())]
    named = {name for text in texts for name in POINTER.findall(text)}
    assert len(named) > 10
    assert named <= set(pages())


def test_no_message_names_a_file_that_only_a_checkout_has() -> None:
    texts = {str(path): path.read_text("utf-8") for path in (ROOT / "cli").rglob("*.py")}
    texts |= {rule.name: f"{rule.message} {rule.fix}" for rule in rule_book().by_name.values()}
    assert [name for name, text in texts.items() if re.search(r"docs/\w+/?\w*\.md|\bconfigs/", text)] == []


def test_no_placeholder_and_no_index_that_has_no_coordspec() -> None:
    texts = [path for folder in ("docs", "examples", "configs") for path in (ROOT / folder).rglob("*.*")]
    texts += [ROOT / name for name in ("README.md", "CONTRIBUTING.md", ".pre-commit-hooks.yaml")]
    for path in texts:
        if path.suffix not in (".md", ".yml", ".yaml"):
            continue
        text = path.read_text("utf-8")
        assert not re.search(r"OWNER|YOUR[-_]ORG|example\.com", text), path
        assert not re.search(r"pip install (?:-\S+ )*coordspec(?:\s|$)", text), path


# ------------------------------------------------------------------------------------------------------------- recipes


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_of_one_file_is_the_recipe(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting is that of the shipped file with all it extends, but for where paths lead."""
    (tmp_path / "run.yaml").write_text(recipe_text(name), "utf-8")
    shipped, made = (check_config(str(path), CheckOptions(data=False)) for path in
                     (ROOT / "configs" / RECIPES[name], tmp_path / "run.yaml"))  # fmt: skip
    assert made.config is not None, made.issues
    assert shipped.config is not None
    assert made.issues == ()
    old, new = settings(shipped.config, shipped.resolved), settings(made.config, made.resolved)
    for one, other in zip(old, new, strict=True):
        known = fields()[one.at]
        if not (known.is_path or (known.item and known.item.is_path)):
            assert (one.at, one.value) == (other.at, other.value)
    assert Path(made.config.training.output_dir).parent == tmp_path / "runs"


@pytest.mark.parametrize("name", RECIPES)
def test_every_line_of_a_recipe_says_why(name: str) -> None:
    lines = recipe_text(name).split("\n\n", 1)[1].splitlines()
    assert [line for line in lines if ": " in line and "  # " not in line] == []
    assert "extends" not in yaml.safe_load(recipe_text(name))


def test_python_needs_no_terminal_for_a_page() -> None:
    code = "from coordspec.manual import pages; print(len(pages()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert int(done.stdout) == len(pages())
