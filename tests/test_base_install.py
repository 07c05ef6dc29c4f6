"""Every command where the base install is all there is: it does its work, or names the extra that it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from base_install import base_distributions
from coordspec_cli.extras import EXTRAS, PACKAGES
from coordspec_cli.main import COMMANDS, cli
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

MISSING: dict[str, tuple[str, str]] = {
    "train": ("train run.yaml", "torch"),
    "infer": ("infer run a.jsonl -o out.jsonl", "torch"),
    "checklist": ("checklist run a.jsonl", "torch"),
    "tiny-model": ("tiny-model tiny", "torch"),
    "expand-vocab": ("expand-vocab run expanded", "torch"),
    "merge-lora": ("merge-lora run merged", "peft"),
    "eval": ("eval preds.jsonl a.jsonl", "numpy"),
    "sheet": ("sheet preds.jsonl a.jsonl -o sheet.png", "numpy"),
    "report": ("report preds.jsonl a.jsonl -o page.html", "numpy"),
    "mask": ("mask a.jsonl --tokenizer run", "numpy"),
    "guard": ("guard a.jsonl --tokenizer run", "numpy"),
}
"""What needs an extra, and the first package of it that is missed."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files for every command; ``run`` is a run folder and nothing else."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("base")
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


def command_words() -> Iterator[str]:
    """Every command, those of groups with their group."""
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        inner = sorted(command.commands) if isinstance(command, click.Group) else []
        yield from (f"{name} {one}" for one in inner) if inner else (name,)


def test_no_command_is_left_out() -> None:
    assert sorted({*WORDS, *MISSING}) == sorted(command_words())
    assert MISSING.keys() == EXTRAS.keys()


def test_the_base_install_is_what_is_declared() -> None:
    assert {"coordspec", "click", "rich", "pillow"} <= base_distributions()
    assert not {name.replace("_", "-") for name in PACKAGES} & base_distributions()


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_what_needs_no_extra_asks_for_none(words: str, folder: Path) -> None:
    done = base(folder, words)
    assert "Traceback" not in done.stderr
    assert "add the extra" not in done.stderr
    assert done.returncode in OTHER_STATUS.get(words, (0,)), done.stderr


@pytest.mark.parametrize(("name", "words", "package"), [(name, *case) for name, case in MISSING.items()], ids=MISSING)
def test_what_needs_an_extra_names_it(name: str, words: str, package: str, folder: Path) -> None:
    done = base(folder, words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: `coordspec {name}` needs the package {package}, which is not installed; "
        f"add the extra {EXTRAS[name]} to this installation: pip install 'coordspec[{EXTRAS[name]}]'\n"
    )
