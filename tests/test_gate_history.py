"""The archived changes of the two proposals are whole: the real command line makes of them what they promised."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from coordspec.spec.document import CHANGES, SPECS, read_spec, spec_files
from coordspec.spec.lint import lint_tree
from limits import HANG_S
from openspec_trees import ROOT, openspec, raw, write

ARCHIVE = ROOT / CHANGES / "archive"
PROMISED = {
    "2026-11-22-align-stage2-full-idea-contracts-2026-02-09": {
        "public-data-pipeline": 2,
        "rollout-matching-sft": 11,
        "stage2-ab-training": 11,
    },
    "2026-11-22-update-stage1-softce-w1": {"coord-token-mode": 14, "training-config": 7},
}
NOT_YET = """# public-data-pipeline Specification

## Purpose
The road from public annotations to contract files, before anything was trained on them.

## Requirements

### Requirement: One codec for coordinates
There SHALL be one codec.

#### Scenario: There and back
- **WHEN** a bin is turned into a pixel and back
- **THEN** it is the same bin
"""


@pytest.fixture(params=PROMISED)
def change(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A change as it was when it was open, in a tree that knows nothing of it."""
    write(tmp_path / "openspec/config.yaml", "schema: spec-driven\n")
    write(tmp_path / SPECS / "public-data-pipeline/spec.md", NOT_YET)
    return Path(shutil.copytree(ARCHIVE / request.param, tmp_path / CHANGES / request.param.split("-", 3)[3]))


def test_an_archived_change_applies_whole(change: Path, tmp_path: Path) -> None:
    promised = PROMISED[f"2026-11-22-{change.name}"]
    assert {path.parent.name for path in change.glob("specs/*/spec.md")} == set(promised)
    assert lint_tree(tmp_path) == []
    answer = raw(tmp_path, "validate", change.name, "--strict", "--json").answer
    assert [item["valid"] for item in answer["items"]] == [True]
    quiet = {**os.environ, "OPENSPEC_TELEMETRY": "0", "CI": "1", "NO_COLOR": "1"}
    words = [openspec(), "archive", change.name, "--yes"]
    done = subprocess.run(words, cwd=tmp_path, env=quiet, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert (done.returncode, "Warning" in done.stdout) == (0, False), done.stdout + done.stderr
    documents = {document.capability: document for document in (read_spec(p, tmp_path) for p in spec_files(tmp_path))}
    before = {"public-data-pipeline": 1}
    assert {name: len(documents[name].requirements) - before.get(name, 0) for name in promised} == promised


def test_no_task_of_an_archived_change_is_open() -> None:
    assert [issue for issue in lint_tree(ROOT) if issue.name == "archived-unticked"] == []
