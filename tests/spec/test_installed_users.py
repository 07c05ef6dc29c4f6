"""Bindings of ``openspec/specs/cli``: what an installed package has to read and to begin with, and its extras."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import yaml
from spec_tools import coordspec, folder

from coordspec.config.recipes import RECIPES, recipe_text
from coordspec.manual import pages
from coordspec.spec.binding import harness, scenario
from test_base_install import base, small_files

ROOT = Path(__file__).parents[2]


@functools.cache
def files() -> Path:
    """The files that commands are called with, made once."""
    return small_files(Path(tempfile.mkdtemp(prefix="coordspec-tests-")))


@harness("missing-extra")
def missing_extra(words: str, package: str, extra: str) -> None:
    done = base(files(), words)
    name = words.split(maxsplit=1)[0]
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: `coordspec {name}` needs the package {package}, which is not installed; "
        f"add the extra {extra} to this installation: pip install 'coordspec[{extra}]'\n"
    )


@scenario("cli", "Installed without a checkout", "A recipe to begin with", digest="1c44274379f1")
def test_a_recipe_to_begin_with() -> None:
    with folder() as here:
        done = coordspec("config", "init", "stage2", "-o", "run.yaml")
        assert done == (0, "run.yaml: change the paths in it, then: coordspec check-config run.yaml\n", "")
        text = (here / "run.yaml").read_text("utf-8")
        assert text == recipe_text("stage2") == coordspec("config", "init", "stage2").out
        settings = [line for line in text.splitlines() if ": " in line and not line.startswith("#")]
        assert [line for line in settings if "  # " not in line] == []
        assert "extends" not in yaml.safe_load(text)
        (here / "run.yaml").write_text("mine")
        again = coordspec("config", "init", "stage1", "-o", "run.yaml")
        assert (again.status, (here / "run.yaml").read_text()) == (2, "mine")
        assert "run.yaml: exists" in again.err
        assert coordspec("config", "init", "stage1", "-o", "run.yaml", "--overwrite").status == 0
    listed = coordspec("config", "init").out.splitlines()[2:]
    assert [line.split()[0] for line in listed] == list(RECIPES)
    unknown = coordspec("config", "init", "stage3")
    assert unknown.status == 2
    assert "no recipe is called 'stage3' (did you mean 'stage2'?)" in unknown.err


@scenario("cli", "Installed without a checkout", "A page to read", digest="89dcdd751509")
def test_a_page_to_read() -> None:
    listed = coordspec("docs").out.splitlines()[2:]
    assert {line.split()[0] for line in listed} == set(pages())
    done = coordspec("docs", "stage1-runbook")
    assert done == (0, (ROOT / "docs/training/STAGE1_RUNBOOK.md").read_text("utf-8"), "")
    unknown = coordspec("docs", "losss")
    assert unknown.status == 2
    assert "no page is called 'losss' (did you mean 'losses'?); `coordspec docs` lists all" in unknown.err
