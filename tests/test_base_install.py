"""Every command where the base install is all there is: it does its work, or names the extra that it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from base_install import base_distributions
from command_tree import every_command
from coordspec.spec.cases import coordspec_blocks, read_cases
from coordspec.spec.document import read_spec
from coordspec_cli.extras import EXTRAS, PACKAGES
from limits import HANG_S
from test_startup import COCO, CONFIG, PREDICTION, RECORD

SCRIPT = Path(__file__).with_name("base_install.py")

WORDS: dict[str, str] = {
    "validate": "validate a.jsonl --check-images",
    "fix": "fix a.jsonl -o fixed.jsonl",
    "stats": "stats a.jsonl",
    "convert": "convert coco coco.json -o converted.jsonl",
    "export coco": "export coco a.jsonl -o out-coco.json",
    "export coco-results": "export coco-results preds.jsonl --instances coco.json -o out-results.json",
    "export label-studio": "export label-studio --data a.jsonl -o out-tasks.json",
    "coords": "coords a.jsonl --to token -o tokens.jsonl",
    "shapes": "shapes --train 2 --val 1 -o shapes",
    "rule": "rule coord-range",
    "rules": "rules",
    "schema": "schema record",
    "docs": "docs install",
    "completion": "completion fish",
    "config init": "config init stage1 -o my_run.yaml",
    "config show": "config show run.yaml",
    "config diff": "config diff run.yaml run.yaml",
    "check-config": "check-config run.yaml",
    "spec coverage": "spec coverage",
    "spec lint": "spec lint",
    "gate": "gate --root .",
    "report": "report run -o run.html",
}
"""What every command does that needs no extra. ``report`` needs one for predictions alone."""

OTHER_STATUS = {"gate --root .": (2,), "spec coverage": (1,)}
"""Statuses of a folder without OpenSpec's command line and without a scenario; of all others it is 0."""

ROOT = Path(__file__).parents[1]


def missing_cases() -> list[dict[str, str]]:
    """The table of the scenario: what needs an extra, and the first package of it that is missed."""
    document = read_spec(ROOT / "openspec/specs/cli/spec.md", ROOT)
    scenarios = {scenario.title: scenario for one in document.requirements for scenario in one.scenarios}
    (block,) = coordspec_blocks(scenarios["An extra that is missing"])
    return [dict(case.values) for case in read_cases(block).cases]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_files(tmp_path_factory.mktemp("base"))


def small_files(folder: Path) -> Path:
    """Small files for every command; ``run`` is a run folder and nothing else."""
    from PIL import Image

    (folder / "a.jsonl").write_text(json.dumps(RECORD) + "\n")
    (folder / "coco.json").write_text(json.dumps(COCO))
    (folder / "preds.jsonl").write_text(json.dumps(PREDICTION) + "\n")
    Image.new("RGB", (64, 48)).save(folder / "a.png")
    (folder / "run.yaml").write_text(CONFIG)
    (folder / "run").mkdir()
    (folder / "run/metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    (folder / "openspec/specs").mkdir(parents=True)
    return folder


def base(folder: Path, words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )


def test_no_command_is_left_out() -> None:
    needy = [case["words"].split()[0] for case in missing_cases()]
    runnable = [words for words, command in every_command() if not isinstance(command, click.Group)]
    assert sorted({*WORDS, *needy}) == sorted(runnable)
    assert sorted(needy) == sorted(EXTRAS)


def test_the_base_install_is_what_is_declared() -> None:
    assert {"coordspec", "click", "rich", "pillow"} <= base_distributions()
    assert not {name.replace("_", "-") for name in PACKAGES} & base_distributions()


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_what_needs_no_extra_asks_for_none(words: str, folder: Path) -> None:
    done = base(folder, words)
    assert "Traceback" not in done.stderr
    assert "add the extra" not in done.stderr
    assert done.returncode in OTHER_STATUS.get(words, (0,)), done.stderr
