"""Starting is cheap: help loads no heavy package, and nothing that trains nothing touches torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from coordspec_cli.main import COMMANDS, cli

HEAVY = {"torch", "pydantic", "rich", "yaml", "msgspec", "jsonschema", "PIL", "zstandard", "numpy", "multiprocessing"}
RECORD = {"images": ["a.png"], "width": 64, "height": 48, "objects": [{"desc": "cat", "bbox_2d": [1, 2, 30, 40]}]}
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
    "categories": [{"id": 1, "name": "cat"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "area": 1200, "iscrowd": 0}],
}

VOC = "<annotation><filename>a.png</filename><size><width>64</width><height>48</height></size></annotation>"
PREDICTION = {"index": 0, "images": ["a.png"], "width": 64, "height": 48, "objects": [], "dropped": []}
PREDICTION |= {"truncated": False, "fallback": None, "text": None, "tokens": None, "run": None}

CONFIG = "model: {path: .}\ndata: {train: [a.jsonl]}\ntraining: {output_dir: run}\n"

SHOW_MODULES = """
import sys
from coordspec_cli.main import run
status = run(sys.argv[1:])
print("MODULES", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(status)
"""

RUNS: dict[str, list[str]] = {
    "validate": ["validate", "a.jsonl"],
    "validate pixels": ["validate", "a.jsonl", "--coord-space", "pixel", "--format", "json"],
    "rule": ["rule", "coord-range"],
    "rules": ["rules"],
    "schema": ["schema", "config"],
    "fix": ["fix", "a.jsonl", "-o", "fixed.jsonl"],
    "stats": ["stats", "a.jsonl"],
    "convert": ["convert", "coco", "coco.json", "-o", "converted.jsonl"],
    "convert voc": ["convert", "voc", "a.xml", "-o", "converted.jsonl"],
    "export coco": ["export", "coco", "a.jsonl", "-o", "out.json"],
    "export coco-results": ["export", "coco-results", "preds.jsonl", "--instances", "coco.json", "-o", "out.json"],
    "export label-studio": ["export", "label-studio", "--data", "a.jsonl", "-o", "out.json"],
    "coords": ["coords", "a.jsonl", "--to", "token", "-o", "tokens.jsonl"],
    "report": ["report", "a.jsonl", "-o", "page.html"],
    "report of a run": ["report", "run", "-o", "run.html"],
    "shapes": ["shapes", "--train", "2", "--val", "1", "-o", "shapes"],
    "check-config": ["check-config", "run.yaml"],
    "config": ["config", "show", "run.yaml"],
}
OTHERS = sorted(COMMANDS.keys() - {args[0] for args in RUNS.values()})
"""Commands that need more than a small file; they are loaded, and run no further than their help."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small contract file, a COCO file, and a package ``torch`` that must not be imported."""
    (tmp_path / "a.jsonl").write_text(json.dumps(RECORD) + "\n")
    (tmp_path / "coco.json").write_text(json.dumps(COCO))
    (tmp_path / "a.xml").write_text(VOC)
    (tmp_path / "preds.jsonl").write_text(json.dumps(PREDICTION) + "\n")
    (tmp_path / "run.yaml").write_text(CONFIG)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    for name in ("torch", "transformers", "scipy"):
        (tmp_path / "fake" / name).mkdir(parents=True)
        (tmp_path / "fake" / name / "__init__.py").write_text(f'raise RuntimeError("{name} was imported")\n')
    return tmp_path


READ_MASKS = {"check-config", "checklist", "config", "infer", "mask", "train"}


def modules(folder: Path, *args: str) -> set[str]:
    """The packages that a command loaded."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW_MODULES, *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "fake")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("MODULES ")
    return set(last.split()[1:])


def test_the_fake_packages_would_be_found(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import torch"],
        env={**os.environ, "PYTHONPATH": str(folder / "fake")},
        capture_output=True,
        check=False,
    )
    assert b"RuntimeError: torch was imported" in done.stderr


@pytest.mark.parametrize("args", [["--help"], ["-h"], []], ids=str)
def test_help_loads_nothing_heavy(args: list[str], folder: Path) -> None:
    if not args:
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "coordspec_cli"], cwd=folder, capture_output=True, check=False
        )
        loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.decode().splitlines()}
        assert "click" in loaded
    else:
        loaded = modules(folder, *args)
    assert loaded & HEAVY == set()


def test_version_loads_nothing_heavy(folder: Path) -> None:
    assert modules(folder, "--version") & HEAVY == set()


@pytest.mark.parametrize("args", [*RUNS.values(), *([name, "--help"] for name in OTHERS)], ids=[*RUNS, *OTHERS])
def test_no_command_loads_torch(args: list[str], folder: Path) -> None:
    loaded = modules(folder, *args)
    assert loaded & {"torch", "transformers", "scipy"} == set()
    wanted = {"jsonschema"} if args[0] in READ_MASKS else set()
    assert loaded & {"jsonschema"} == wanted, "the rules are coordspec's own; masks.yaml is held to its schema"


def test_validation_looks_at_no_images_unless_asked(folder: Path) -> None:
    assert "PIL" not in modules(folder, "validate", "a.jsonl")


def test_importing_the_package_loads_no_torch(folder: Path) -> None:
    code = "import sys, coordspec, coordspec.record, coordspec.validate.run; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(folder / "fake")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


# ---------------------------------------------------------------------------------------------------------------- help


def command_named(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_a_help(name: str) -> None:
    command = command_named(name)
    assert command.help
    assert COMMANDS[name].endswith(".")
    assert COMMANDS[name].rstrip(".")
    text = command.get_help(click.Context(command, info_name=name))
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.help, f"{name} {param.opts[0]} has no help"
            assert max(param.opts, key=len) in text
        else:
            assert param.make_metavar(click.Context(command)).strip("[].") in text.replace("\n", " ")


def test_help_lists_every_command() -> None:
    text = cli.get_help(click.Context(cli, info_name="coordspec"))
    for name, short in COMMANDS.items():
        assert name in text
        assert short.split()[0] in text
