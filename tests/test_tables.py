"""What is printed fits a terminal and loses nothing; without a terminal every line is whole."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from coordspec_cli.main import run

pytestmark = pytest.mark.terminal

RECORD = '{"images":["a.png"],"objects":[{"bbox_2d":[1,2,3,4],"desc":"%s"}],"width":32,"height":32}\n'
DESC = "a long description " * 6 + "end"
CONFIG = Path(__file__).resolve().parent.parent / "configs" / "stage1" / "retrain.yaml"


class Terminal(io.StringIO):
    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


def printed(typed: list[str], terminal: bool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    assert run(typed) == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()


COMMANDS = [["rules"], ["config", "show", str(CONFIG)], ["stats", "a.jsonl"]]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text(RECORD % DESC)


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("typed", COMMANDS, ids=lambda typed: typed[0])
def test_nothing_exceeds_the_terminal_and_nothing_is_lost(
    typed: list[str], columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")  # means nothing where there is no terminal
    whole = printed(typed, False, monkeypatch)
    monkeypatch.setenv("COLUMNS", str(columns))
    fitted = printed(typed, True, monkeypatch)
    assert [line for line in fitted if len(line) > columns] == []
    assert letters(fitted) == letters(whole)


def letters(lines: list[str]) -> list[str]:
    """What is said, however it is broken; a broken cell mixes with others, a broken comment repeats its sign."""
    return sorted(re.sub(r"[\s#]", "", "".join(lines)))


def test_lines_are_whole_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert any(DESC in line for line in printed(["stats", "a.jsonl"], False, monkeypatch))


def test_shown_origins_stay_whole_for_grep(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = printed(["config", "show", str(CONFIG)], False, monkeypatch)
    assert [line for line in lines if line.lstrip().startswith("#")] == []
