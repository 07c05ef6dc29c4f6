"""How long scenarios take to collect: a generated tree of specs and bindings, in a pytest process of its own.

    python benchmarks/bench_spec.py [SCENARIOS]

The claim: 600 scenarios collect in less than a second. What counts is the time that pytest itself says it collected
for, which leaves out the start of Python and of pytest; the wall clock of the process is printed beside it, and that of
a pytest process that collects nothing. Hypothesis' plugin is off, since its import would be counted.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from coordspec.spec.digests import write_digests
from coordspec.spec.markdown import scenario_digest
from coordspec.spec.resolve import resolve_tree

RUNS = 7
SCENARIOS_OF_A_SPEC = 20
SCENARIOS_OF_A_REQUIREMENT = 4
INI = "[pytest]\ntestpaths = tests\ncoordspec_specs = openspec/specs\n"
BODY = (
    "- **GIVEN** a file of {n} records\n- **WHEN** it is checked, and checked again\n- **THEN** {n} records are valid\n"
)
BLOCK = "\n```yaml coordspec\nharness: add\ncases:\n  - {{x: {n}, y: 1}}\n  - {{x: 1, y: {n}}}\n```\n"


def write_tree(root: Path, scenarios: int) -> None:
    """Specs of 20 scenarios each and a module of bindings for each of them; every fourth scenario is a block."""
    (root / "pytest.ini").write_text(INI)
    (root / "tests").mkdir()
    harness = "from coordspec.spec import harness\n\n\n@harness('add')\ndef add(x, y):\n    assert x + y > 0\n"
    (root / "tests/test_harness.py").write_text(harness)
    for first in range(0, scenarios, SCENARIOS_OF_A_SPEC):
        number = first // SCENARIOS_OF_A_SPEC
        spec = f"# cap-{number}\n\n## Purpose\n\nTo be read by a benchmark.\n\n## Requirements\n"
        module = "from coordspec.spec import scenario\n"
        for n in range(first, min(first + SCENARIOS_OF_A_SPEC, scenarios)):
            requirement = f"Requirement {n // SCENARIOS_OF_A_REQUIREMENT}"
            if n % SCENARIOS_OF_A_REQUIREMENT == 0:
                spec += f"\n### Requirement: {requirement}\n\nThe program SHALL do it.\n"
            body = BODY.format(n=n) + (BLOCK.format(n=n) if n % 4 == 0 else "")
            spec += f"\n#### Scenario: Number {n}\n{body}"
            if n % 4:
                call = f'"cap-{number}", "{requirement}", "Number {n}", digest="{scenario_digest(body)}"'
                module += f"\n\n@scenario({call})\ndef test_{n}(tmp_path):\n    assert tmp_path\n"
        folder = root / f"openspec/specs/cap-{number}"
        folder.mkdir(parents=True)
        (folder / "spec.md").write_text(spec)
        (root / f"tests/test_cap_{number}.py").write_text(module)
    _, found = resolve_tree(root, ["tests"])
    read = {unread.key: unread.digest for unread in found.unread if unread.digest}
    tables = {resolved.key: resolved.scenario.digest for resolved in found.scenarios if resolved.harness}
    write_digests(root, read | tables)


def collect(root: Path, *arguments: str) -> tuple[float, float, int]:
    """Seconds of collection as pytest says, seconds of the process, and the number of items."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:hypothesispytest", *arguments]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    found = re.search(r"(\d+) tests? collected in ([\d.]+)s", done.stdout)
    if found is None:
        return 0.0, wall, 0
    return float(found[2]), wall, int(found[1])


def main() -> None:
    scenarios = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_tree(root, scenarios)
        start = time.perf_counter()
        _, resolution = resolve_tree(root, ["tests"])
        static = time.perf_counter() - start
        assert len(resolution.scenarios) == scenarios
        assert not resolution.orphans
        runs = [collect(root) for _ in range(RUNS)]
        assert {run[2] for run in runs} == {scenarios}, runs
        idle = [collect(root, "--ignore=tests", "--ignore=openspec", "-o", "coordspec_specs=")[1] for _ in range(RUNS)]
    inside, wall = ([run[i] for run in runs] for i in (0, 1))
    print(f"{scenarios} scenarios, {RUNS} runs, the first of them without byte code")
    print(f"  specs and bindings read and brought together: {static:.3f} s")
    print(f"  collected by pytest: median {statistics.median(inside):.2f} s, slowest {max(inside):.2f} s")
    print(f"  wall clock of the process: median {statistics.median(wall):.2f} s")
    print(f"  wall clock of a pytest that collects nothing: median {statistics.median(idle):.2f} s")


if __name__ == "__main__":
    main()
