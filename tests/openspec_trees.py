"""Small OpenSpec trees to build, to break, and to ask the real command line about."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from coordspec.spec.cases import coordspec_blocks
from coordspec.spec.digests import SENTENCE, write_digests
from coordspec.spec.document import read_spec, spec_files
from limits import HANG_S

ROOT = Path(__file__).parent.parent

SPEC = """# sums

## Purpose
Sums are what the examples of the gate are about, and nothing else is.

## Requirements

### Requirement: Adding
The adder SHALL add.

#### Scenario: Two numbers
- **GIVEN** the numbers 1 and 2
- **WHEN** they are added
- **THEN** the sum is 3

#### Scenario: No number
- **WHEN** nothing is added
- **THEN** the sum is 0
"""

DELTA = """# sums

## ADDED Requirements

### Requirement: Subtracting
The adder SHALL subtract.

#### Scenario: Less
- **WHEN** 1 is taken from 3
- **THEN** 2 is left
"""

PROPOSAL = """## Why
Users of the adder want to take numbers away from others too, and cannot.

## What Changes
- The adder subtracts.

## Capabilities

### Modified Capabilities
- `sums`: subtracting

## Impact
None.
"""

DESIGN = "## Context\nThere is an adder.\n\n## Decisions\nSubtract by adding the negative.\n"
TASKS = "## 1. Code\n\n- [ ] 1.1 Subtract\n- [ ] 1.2 Test it\n"
CHANGE = "add-subtraction"


def openspec() -> Path:
    """The command line that package.json pins; without it these tests fail, since they would test nothing."""
    local = ROOT / "node_modules/.bin/openspec"
    found = local if local.exists() else shutil.which("openspec")
    assert found, "the OpenSpec command line is not installed: run `npm ci` in the repository (needs Node.js 20.19+)"
    return Path(found)


def write(path: Path, content: str | bytes) -> Path:
    """Write a file as it is, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def add_spec(root: Path, capability: str = "sums", text: str | bytes = SPEC) -> Path:
    return write(root / f"openspec/specs/{capability}/spec.md", text)


def add_change(root: Path, name: str = CHANGE, schema: str = "spec-driven") -> Path:
    """A change with all its artifacts; returns its folder."""
    folder = root / "openspec/changes" / name
    write(folder / ".openspec.yaml", f"schema: {schema}\ncreated: 2026-01-01\n")
    write(folder / "proposal.md", PROPOSAL)
    write(folder / "specs/sums/spec.md", DELTA)
    write(folder / "design.md", DESIGN)
    write(folder / "tasks.md", TASKS)
    return folder


def read_all(root: Path) -> None:
    """Write down that somebody has read all sentences and tables of the specs."""
    found: dict[tuple[str, str, str], str] = {}
    for document in (read_spec(path, root) for path in spec_files(root)):
        for requirement in document.requirements:
            found[document.capability, requirement.title, SENTENCE] = requirement.digest
            for scenario in requirement.scenarios:
                if coordspec_blocks(scenario):
                    found[document.capability, requirement.title, scenario.title] = scenario.digest
    write_digests(root, found)


def complete_tree(root: Path) -> Path:
    """One spec with two scenarios, one complete change; returns the root."""
    write(root / "openspec/config.yaml", "schema: spec-driven\n")
    add_spec(root)
    add_change(root)
    read_all(root)
    return root


class Raw(NamedTuple):
    """What the command line itself did."""

    status: int
    answer: Any


def raw(root: Path, *arguments: str) -> Raw:
    """Ask the real command line, without anything of coordspec in between."""
    quiet = {"OPENSPEC_TELEMETRY": "0", "DO_NOT_TRACK": "1", "CI": "1", "NO_COLOR": "1"}
    words, alone = [openspec(), *arguments], {**os.environ, **quiet}
    done = subprocess.run(words, cwd=root, env=alone, capture_output=True, timeout=HANG_S, check=False)
    return Raw(done.returncode, json.loads(done.stdout))


MODIFIED = """# sums

## MODIFIED Requirements

### Requirement: Adding
The adder SHALL add quickly.

#### Scenario: Two numbers
- **WHEN** they are added
- **THEN** the sum is there at once
"""


DOUBLING = """
### Requirement: Doubling
The adder SHALL double.

#### Scenario: Twice
- **WHEN** 2 is doubled
- **THEN** the sum is 4
"""
DOUBLING_DELTA = "# sums\n\n## ADDED Requirements\n" + DOUBLING
DOUBLING_MODIFIED = DOUBLING_DELTA.replace("ADDED", "MODIFIED").replace("is 4", "is 5")
DOUBLING_TEST = """from coordspec.spec import scenario

@scenario("sums", "Doubling", "Twice", digest="{digest}")
def test_twice(): pass
"""
RENAMED = """## RENAMED Requirements

- FROM: `### Requirement: Adding`
- TO: `### Requirement: Doubling`
"""


def tree_of_changes(root: Path) -> Path:
    """A spec and one change for each state that a change can be in; the name of a change is its state.

    The requirement Doubling is built: it is in the main spec, and a test is bound to its scenario.
    """
    complete_tree(root)
    add_spec(root, text=SPEC + DOUBLING)
    doubling = read_spec(root / "openspec/specs/sums/spec.md", root).requirements[1].scenarios[0]
    write(root / "tests/test_doubling.py", DOUBLING_TEST.format(digest=doubling.digest))
    read_all(root)
    everything = ("proposal.md", "specs", "design.md", "tasks.md")

    def change(name: str, without: Iterable[str] = (), schema: str = "spec-driven", **contents: str | bytes) -> None:
        folder = add_change(root, name, schema)
        for part in without:
            shutil.rmtree(folder / part) if (folder / part).is_dir() else (folder / part).unlink()
        for part, content in contents.items():
            write(
                folder / {"specs": "specs/sums/spec.md", "metadata": ".openspec.yaml"}.get(part, f"{part}.md"), content
            )

    change("bare", everything)
    change("begun", everything[1:])
    change("specified", everything[2:])
    change("designed", everything[3:])
    change("blank-design", design="")
    change("blank-design-ticked", design="", tasks=TASKS.replace("[ ]", "[x]"))
    change("blank-delta", specs=b"\xef\xbb\xbf \r\n\t\r\n")
    change("blank-tasks", tasks=" \n")
    change("no-design", ["design.md"])
    change("no-proposal", ["proposal.md"])
    change("no-delta", ["specs"])
    change("tasks-alone", everything[:3])
    change("skips-specs", ["specs"], metadata="schema: spec-driven\nskip_specs: true\n")
    change("skips-and-has", metadata="schema: spec-driven\nskip_specs: true\n")
    change("other-schema", schema="spec-drivn")
    change("broken-metadata", metadata="schema: [\n")
    change("scenario-loss", specs=MODIFIED)
    change("no-operation", specs=DELTA.replace("## ADDED", "## NEW"))
    change("exists", specs=DELTA.replace("Subtracting", "Adding"))
    change("refused", specs=RENAMED)
    change("no-boxes", tasks=TASKS.replace("[ ] ", ""))
    change("crlf", **{k: v.replace("\n", "\r\n") for k, v in PARTS.items()})
    change("bom", **{k: "\ufeff" + v for k, v in PARTS.items()})
    change("ticked", tasks=TASKS.replace("[ ]", "[x]"))
    change("ticked-but-one", tasks=TASKS.replace("[ ]", "[x]", 1))
    change("ticked-synced", specs=DOUBLING_DELTA, tasks=TASKS.replace("[ ]", "[x]"))
    change("ticked-early", ["design.md"], tasks=TASKS.replace("[ ]", "[x]"))
    change("built-early", ["design.md", "tasks.md"], specs=DOUBLING_DELTA)
    change("added-otherwise", ["design.md", "tasks.md"], specs=DOUBLING_DELTA.replace("is 4", "is 5"))
    change("ticked-modified", specs=DOUBLING_MODIFIED, tasks=TASKS.replace("[ ]", "[x]"))
    change("notes-alone", ["specs"])
    write(root / "openspec/changes/notes-alone/specs/sums/notes.md", "What was thought.\n")
    change("ticked-in-fence", ["design.md"], tasks=TASKS + "\n```\n- [x] 1.3 as an example\n```\n")
    write(root / "openspec/changes/folder/nested/proposal.md", PROPOSAL)
    return root


PARTS = {"proposal": PROPOSAL, "specs": DELTA, "design": DESIGN, "tasks": TASKS}


BINDINGS = '''"""What shows the scenarios of the tree."""

from adder import add
from coordspec.spec.binding import scenario


@scenario("sums", "Adding", "Two numbers", digest="{digests[0]}")
def test_two_numbers():
    assert add(1, 2) == 3


@scenario("sums", "Adding", "No number", digest="{digests[1]}")
def test_no_number():
    assert add() == 0
'''


def healthy_tree(root: Path) -> Path:
    """A complete tree with code, and a test bound to each of its two scenarios."""
    complete_tree(root)
    write(root / "adder.py", "def add(*numbers):\n    return sum(numbers)\n")
    [requirement] = read_spec(root / "openspec/specs/sums/spec.md", root).requirements
    digests = [scenario.digest for scenario in requirement.scenarios]
    write(root / "tests/test_sums.py", BINDINGS.format(digests=digests))
    write(root / "pytest.ini", "[pytest]\ncoordspec_specs = openspec/specs\npythonpath = .\n")
    return root


def run_tests(root: Path, *options: str) -> tuple[int, str]:
    """Run pytest with the plugin in the tree; returns its exit status and what it printed."""
    words = (
        sys.executable,
        "-B",
        "-m",
        "pytest",
        "-q",
        "-p",
        "coordspec.spec.plugin",
        "-p",
        "no:cacheprovider",
        *options,
    )
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}  # the plugin comes by name, and only once
    done = subprocess.run(
        words, cwd=root, env={**os.environ, **alone}, capture_output=True, text=True, timeout=HANG_S, check=False
    )
    return done.returncode, done.stdout + done.stderr
