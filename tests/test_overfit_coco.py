"""Training on a few real images reproduces their boxes to the bin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks/overfit_coco.py"
COCO_TINY = ROOT.parent / "shared/data/coco_tiny"


@pytest.mark.nightly
@pytest.mark.skipif(not COCO_TINY.is_dir(), reason="shared/data/coco_tiny is not here")
def test_eight_images_of_coco_are_reproduced_exactly(tmp_path: Path) -> None:
    done = run("--work", str(tmp_path / "work"))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert sum(line.endswith(", exact") for line in lines) == 8
    assert lines[-1].startswith("8 of 8 images exact ")


def test_without_the_data_it_says_so(tmp_path: Path) -> None:
    done = run("--data", str(tmp_path / "none"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{tmp_path / 'none'} is not there; name the folder with --data\n"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), *words]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, check=False)
