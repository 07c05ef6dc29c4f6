"""The tools that keep the suite from being red by chance, seen failing."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from limits import HANG_S
from surroundings import SET, TAKEN_AWAY, neutral

TOOLS = Path(__file__).parent.parent / "tools"


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


CHECK = tool("check_page_tests")
HELPER = "def lit(page):\n    return page.evaluate('1')\n\n"


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("assert page.locator('a').count() == 1", ".count()"),
        ("assert 'x' in page.inner_text('body')", ".inner_text()"),
        ("assert not page.locator('a').is_visible(), 'why'", ".is_visible()"),
        ("if x:\n    assert [one.text_content() for one in all] == []", ".text_content()"),
        (HELPER + "assert lit(page) == 2", "lit() with .evaluate()"),
        ("assert 'aXa'.count('a') == 2", None),
        ("expect(page.locator('a')).to_have_count(1)", None),
        (HELPER + "eventually(lambda: lit(page), 2)", None),
        ("text = page.inner_text('body')\nassert text", None),
    ],
)
def test_an_assert_that_reads_a_page_once(source: str, named: str | None) -> None:
    found = list(CHECK.faults(source, "t.py"))
    line = source.count("\n", 0, source.find("assert")) + 1
    what = "write expect(locator).to_… of Playwright, or eventually(lambda: …, value) of tests/browser.py"
    assert found == ([] if named is None else [f"t.py:{line}: an assert reads the page once ({named}); {what}"])


def test_the_check_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.py").write_text("assert page.is_hidden()\n")
    assert CHECK.main([str(tmp_path / "t.py")]) == 1
    assert capsys.readouterr().err.startswith(f"{tmp_path}/t.py:1: an assert reads the page once (.is_hidden());")


def test_surroundings_are_taken_away() -> None:
    odd = {**dict.fromkeys(TAKEN_AWAY, "1"), "TERM": "dumb", "HOME": "/here"}
    neutral(odd)
    assert odd == {**SET, "HOME": "/here"}


def test_children_can_be_interrupted_whatever_the_parent_ignored() -> None:
    """The test run itself may have been started with SIGINT ignored; then this is the test of ``neutralise``."""
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    run = f"subprocess.run([sys.executable, '-c', {code!r}])"
    program = f"import surroundings, subprocess, sys; surroundings.neutralise(); {run}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert done.stdout == "False\n"


def test_a_red_round_is_red(tmp_path: Path) -> None:
    """The tool plays a test that fails in one of the five surroundings alone."""
    (tmp_path / "test_odd.py").write_text(
        "import os, pytest\n@pytest.mark.terminal\ndef test_odd(): assert os.environ.get('COLUMNS') != '40'\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    terminal:\n    page:\n    signal:\n    nightly:\n")
    words = [sys.executable, TOOLS / "flaky.py", "--rounds", "3", "--busy", "0", "--", "-o", "addopts="]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-1] == "2 of 3 rounds green"
    assert "round 3 of 3, 40 columns, colours forced: 1 failed" in done.stdout
    assert os.environ.get("COLUMNS") is None
