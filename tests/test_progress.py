"""Bars of long work: what they count, and that nobody sees one who did not wait."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from coordspec_cli import progress as module
from coordspec_cli.main import run
from coordspec_cli.progress import counted, progress, stages

pytestmark = pytest.mark.terminal

GOOD = '{"images":["a.png"],"objects":[{"bbox_2d":[1,2,3,4],"desc":"cat"}],"width":32,"height":32}\n'
PREDICTED = (
    '{"index":0,"images":["a.png"],"width":32,"height":32,"objects":[{"bbox_2d":[1,2,3,4],"desc":"cat","score":0.5}],'
    '"dropped":[],"truncated":false,"fallback":null,"text":null,"tokens":null,"run":null}\n'
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Every look at it takes ``step`` seconds."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def words(stream: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


@pytest.mark.parametrize(
    ("total", "unit", "shown"),
    [
        (None, "records", "7 records"),
        (9, "records", "7 of 9 records"),
        (9, "bytes", "7/9 bytes"),
        (None, "bytes", "7/? bytes"),
    ],
)
def test_what_is_done_is_shown_after_a_second(total: int | None, unit: Any, shown: str) -> None:
    stream = Terminal()
    with progress("counting", total, unit, stream, Clock(0.6)) as advance:
        for done in (3, 4):
            advance(done)
    assert "counting" in words(stream)
    assert shown in words(stream)
    assert "\x1b[2K" in stream.getvalue()  # it is gone afterwards


def test_short_work_shows_nothing() -> None:
    stream = Terminal()
    with progress("counting", 9, "records", stream, Clock(0.01)) as advance:
        for _ in range(9):
            advance(1)
    assert stream.getvalue() == ""


def test_nobody_looks() -> None:
    stream = io.StringIO()
    with progress("counting", 9, "records", stream, Clock(10)) as advance:
        advance(9)
    assert stream.getvalue() == ""


def test_a_bar_is_taken_away_when_the_work_fails() -> None:
    stream = Terminal()
    with pytest.raises(KeyError), progress("counting", 9, "records", stream, Clock(2)) as advance:  # noqa: PT012
        advance(1)
        raise KeyError
    assert "\x1b[?25h" in stream.getvalue()  # the cursor is back


def test_stages_share_one_bar() -> None:
    stream = Terminal()
    with stages(stream, Clock(0.3)) as note:
        for done in range(1, 6):
            note("reading", done, 10)
        assert re.search(r"reading .* 50%", words(stream))
        note("matching", 0, None)  # shown at once, though the last look was just now
        assert "matching" in words(stream)
        note("drawing", 3, 4)
    assert re.search(r"drawing .* 75%", words(stream))
    assert words(stream).index("reading") < words(stream).index("matching") < words(stream).index("drawing")
    assert "\x1b[2K" in stream.getvalue()


def test_short_stages_show_nothing() -> None:
    stream = Terminal()
    with stages(stream, Clock(0.2)) as note:
        for what in ("reading", "matching", "drawing"):
            note(what, 0, None)
    assert stream.getvalue() == ""


def test_nobody_looks_at_stages() -> None:
    stream = io.StringIO()
    with stages(stream, Clock(10)) as note:
        note("reading", 1, 2)
    assert stream.getvalue() == ""


def test_counted_hands_every_item_on() -> None:
    done: list[int] = []
    assert list(counted("abc", done.append)) == ["a", "b", "c"]
    assert done == [1, 1, 1]


COCO = '{"images":[{"id":1,"file_name":"a.png","width":9,"height":9}],"annotations":[],"categories":[]}'


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("stats a.jsonl", "bytes"),
        ("coords a.jsonl --to token -o out.jsonl", "bytes"),
        ("fix a.jsonl -o out.jsonl", "bytes"),
        ("validate a.jsonl --jobs 1", "bytes"),
        ("export coco a.jsonl -o out.json", "bytes"),
        ("export label-studio --data a.jsonl -o out.json", "bytes"),
        ("convert coco coco.json -o out.jsonl", "records"),
    ],
)
def test_long_work_tells_how_far_it_is(
    typed: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text(GOOD * 3)
    Path("coco.json").write_text(COCO)
    heard: list[tuple[int | None, str, int]] = []

    class Heard:
        def __init__(self, what: str, total: int | None, unit: str, stream: Any, clock: Callable[[], float]) -> None:
            self.total, self.unit = total, unit

        def advance(self, count: int) -> None:
            heard.append((self.total, self.unit, count))

        def close(self) -> None:
            pass

    monkeypatch.setattr(module, "_Bar", Heard)
    monkeypatch.setattr("sys.stderr", Terminal())
    assert run(typed.split()) == 0
    if told == "bytes":
        size = len(GOOD) * 3
        assert sum(count for _, unit, count in heard if unit == "bytes") == size
        assert {total for total, unit, _ in heard if unit == "bytes"} == {size}
    else:
        assert heard == [(None, "records", 1)]
    capsys.readouterr()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("report a.jsonl -o a.html", ["checking", "counting", "making pictures"]),
        (
            "report p.jsonl a.jsonl -o p.html",
            ["reading predictions", "reading data", "matching", "checking", "making pictures", "matching boxes"],
        ),
        ("sheet p.jsonl a.jsonl -o p.png", ["reading predictions", "reading data", "matching", "drawing"]),
        ("eval p.jsonl a.jsonl", ["matching boxes", "intervals of boxes", "AP of boxes"]),
    ],
)
def test_work_in_stages_tells_which(
    typed: str, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32)).save("a.png")
    Path("a.jsonl").write_text(GOOD)
    Path("p.jsonl").write_text(PREDICTED)
    heard: dict[str, tuple[int, int | None]] = {}

    def note(_: Any, what: str, done: int, total: int | None) -> None:
        heard[what] = (done, total)

    monkeypatch.setattr(module._Bar, "note", note)
    monkeypatch.setattr("sys.stderr", Terminal())
    assert run(typed.split()) == 0
    assert list(heard) == told
    assert all(done == total for done, total in heard.values() if total is not None)
    capsys.readouterr()
