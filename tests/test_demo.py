"""The demo: its first act as a whole, and what the second one says of its numbers."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NAMES = ("demo", "demo_breaks", "demo_table", "demo_training")


@pytest.fixture(scope="module")
def tools() -> Iterator[dict[str, ModuleType]]:
    """The modules of the demo, which lie beside each other in tools/."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        yield {name: importlib.import_module(name) for name in NAMES}
        for name in NAMES:
            del sys.modules[name]


# ------------------------------------------------------------------------------------------------------------- act one


def test_act_one(
    tools: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    demo = tools["demo"]
    assert demo.clear(demo.FOLDER)
    demo.act_one(demo.FOLDER, 5, 40)
    demo.ending("Next.", 0.0)
    said, noted = capsys.readouterr()
    assert "45 records in 2 files are valid" in said
    assert "✗ 10 errors in 10 of 43 records (1 file)" in said
    assert "GEO007 inverted-box (error)" in said
    assert "repaired.jsonl: 43 lines read, 1 changed, 1 removed" in noted
    assert "demo-out/findings.html   the faults of the broken copy" in said
    assert "answers.html" not in said, "what is not there is not named"
    assert (tmp_path / "demo-out/findings.html").stat().st_size > 10_000


def test_act_one_is_done_without_torch() -> None:
    """Nothing of it may need more than the base install, which has neither torch nor numpy."""
    code = (
        "import sys, pathlib, tempfile, os; sys.path.insert(0, sys.argv[1]); import demo; "
        "os.chdir(tempfile.mkdtemp()); demo.act_one(pathlib.Path('.'), 2, 40); "
        "sys.exit(' '.join({'torch', 'numpy', 'transformers', 'scipy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, ROOT / "tools"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_only_a_folder_of_a_demo_is_replaced(tools: dict[str, ModuleType], tmp_path: Path) -> None:
    folder = tmp_path / "demo-out"
    folder.mkdir()
    (folder / "mine.txt").write_text("kept")
    assert not tools["demo"].clear(folder)
    assert (folder / "mine.txt").read_text() == "kept"
    (folder / tools["demo"].MARK).touch()
    assert tools["demo"].clear(folder)
    assert [path.name for path in folder.iterdir()] == [tools["demo"].MARK]


def test_another_word_is_refused(tools: dict[str, ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    assert tools["demo"].main(["--slow"]) == 2
    assert capsys.readouterr().err == "usage: python tools/demo.py [--quick]\n"


def test_a_command_that_ends_otherwise_stops_the_demo(
    tools: dict[str, ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="ended with exit status 2, not 0"):
        tools["demo"].run(0, "validate", tmp_path / "nowhere.jsonl")
    with pytest.raises(SystemExit, match="ended with exit status 2"):
        tools["demo"].quiet((0,), "validate", tmp_path / "nowhere.jsonl")
    assert capsys.readouterr().err.count("nowhere.jsonl") >= 2, "what the quiet command said is shown"


# ------------------------------------------------------------------------------------------------------------ progress


class Clock:
    """Seconds that pass when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def course(tools: dict[str, ModuleType], *, tty: bool) -> str:
    """What is shown of a run of 40 steps of 3 s each, resumed at none, with the loss logged every tenth step."""
    stream, clock = io.StringIO(), Clock()
    progress = tools["demo_training"].Progress(stream, clock, tty=tty)
    progress.note("checking\nfiles")
    progress.start(0, 40)
    for step in range(1, 41):
        clock.now += 3
        if step % 10 == 0:
            progress.metrics(step, {"loss": 100 / step})
        progress.metrics(step, {"eval/loss": 99.0})
        progress.advance(step)
    progress.note("evaluating")
    progress.end()
    return stream.getvalue()


def test_progress_off_a_terminal_is_ten_lines(tools: dict[str, ModuleType]) -> None:
    lines = course(tools, tty=False).splitlines()
    assert len(lines) == 10
    assert lines[0] == "  step  4 of 40   1:48 left"
    assert lines[4] == "  step 20 of 40   loss  5.000   1:00 left"
    assert lines[9] == "  step 40 of 40   loss  2.500   0:00 left"


def test_progress_on_a_terminal_is_one_line(tools: dict[str, ModuleType]) -> None:
    shown = course(tools, tty=True)
    assert shown.count("\n") == 1
    assert shown.endswith("\r\x1b[K  step 40 of 40   loss  2.500   0:00 left\n")
    assert "\r\x1b[K  checking …\r\x1b[K  step  1 of 40   1:57 left" in shown


# --------------------------------------------------------------------------------------------------------------- table


@pytest.fixture
def some(tools: dict[str, ModuleType]) -> Any:
    return tools["demo_table"].Measured(0.9, 0.8, 0.847, 0.7, 0.79, 0.012, 56.4, chance=0.04)


def test_the_table(tools: dict[str, ModuleType], some: Any) -> None:
    make = tools["demo_table"]
    nothing = make.Measured(None, 0.0, None, 0.0, None, None, 160.0, chance=0.0)
    lines = list(make.table([make.Model("untrained", "as made", nothing), make.Model("Stage-1", "trained", some)]))
    assert lines[:11] == [
        " " * 34 + "untrained   Stage-1",
        "right boxes among those written           -      0.90",
        "objects that got a right box           0.00      0.80",
        "F1, boxes alone                           -      0.85",
        "F1, the words right too                0.00      0.70",
        "mean IoU of right boxes                   -      0.79",
        "boxes that repeat another                 -      0.01",
        "tokens an answer                        160        56",
        "",
        "untrained  as made",
        "Stage-1    trained",
    ]
    assert lines[11] == ""
    assert " ".join(lines[12:]) == " ".join(make.KEY)


def test_the_table_of_the_demo_fits_a_terminal(tools: dict[str, ModuleType], some: Any) -> None:
    make, demo = tools["demo_table"], tools["demo"]
    models = [make.Model(name, meaning.format(steps=60), some) for name, _, meaning in demo.MODELS]
    assert max(map(len, make.table(models))) <= 78


def test_what_is_measured_is_what_eval_says(tools: dict[str, ModuleType]) -> None:
    interval = {"f1_50": [0.80, 0.88]}
    alone = {"precision_50": 0.9, "recall_50": 0.8, "f1_50": 0.847, "intervals": interval}
    found = {
        "boxes": {"class_agnostic": alone, "class_aware": {"f1_50": 0.7}, "mean_iou": 0.79},
        "duplicates": {"rate": None},
        "outputs": {"tokens_per_output": 56.4},
    }
    make = tools["demo_table"]
    assert make.measured(found) == make.Measured(0.9, 0.8, 0.847, 0.7, 0.79, None, 56.4, pytest.approx(0.04))
    alone["intervals"] = {"f1_50": None}
    assert make.measured(found).chance == 0


@pytest.mark.parametrize(
    ("first", "longer", "second", "said"),
    [
        (
            0.85,
            0.86,
            0.80,
            "Stage-1 took F1 of boxes from 0.00 to 0.85. It finds most objects.\n"
            "More of the same raised it to 0.86; Stage-2 for as many steps lowered it to 0.80.\n"
            "F1 with the words right too: 0.70 after Stage-1, 0.70 after more of it, 0.60 after Stage-2.\n"
            "So for boxes Stage-2 was the worse way to go on in this run: 0.06 lies between them; "
            "with 200 pictures, up to 0.04 can be chance.",
        ),
        (
            0.70,
            0.704,
            0.80,
            "Stage-1 took F1 of boxes from 0.00 to 0.70. It still misses or misplaces many objects.\n"
            "More of the same left it at 0.70; Stage-2 for as many steps raised it to 0.80.\n"
            "F1 with the words right too: 0.70 after Stage-1, 0.70 after more of it, 0.60 after Stage-2.\n"
            "So for boxes Stage-2 was the better way to go on in this run: 0.10 lies between them; "
            "with 200 pictures, up to 0.04 can be chance.",
        ),
        (
            0.85,
            0.86,
            0.83,
            "Stage-1 took F1 of boxes from 0.00 to 0.85. It finds most objects.\n"
            "More of the same raised it to 0.86; Stage-2 for as many steps lowered it to 0.83.\n"
            "F1 with the words right too: 0.70 after Stage-1, 0.70 after more of it, 0.60 after Stage-2.\n"
            "So for boxes this run cannot say which way to go on is better: 0.03 lies between them; "
            "with 200 pictures, up to 0.04 can be chance.",
        ),
    ],
    ids=["worse", "better", "chance"],
)
def test_the_verdict_follows_from_the_numbers(
    tools: dict[str, ModuleType], some: Any, first: float, longer: float, second: float, said: str
) -> None:
    stages = [replace(some, boxes=value) for value in (None, first, longer, second)]
    stages[3] = replace(stages[3], words=0.6)
    assert "\n".join(tools["demo_table"].verdict(stages, 200)) == said


def test_what_fails_is_one_line(tools: dict[str, ModuleType]) -> None:
    items = [
        {"measured": "outputs read", "value": 1.0, "limit": 0.99, "passed": True},
        {"measured": "slots with one mode", "value": 0.613, "limit": 0.95, "passed": False},
        {"measured": "undercoverage", "value": None, "limit": 0.1, "passed": False},
    ]
    say = tools["demo_table"].failed_items
    assert say({"items": items}) == (
        "Of the 3 checks of a trained model (`coordspec checklist`), Stage-1 fails: slots with one mode (0.61, the "
        "limit is 0.95); undercoverage (not measured, the limit is 0.1)."
    )
    assert say({"items": items[:1] * 6}) == (
        "All 6 checks of a trained model (`coordspec checklist`) pass for Stage-1."
    )
