"""How long a config takes to check: in a process that has everything loaded, and as a whole process.

    python benchmarks/bench_config.py [ROUNDS]

The claims: at most 10 ms for a file after import, less than 0.3 s for `coordspec check-config FILE` as a process. Files
are the shipped recipes, each with all that it extends; data is not looked at. CPU time is printed beside wall time,
since it changes less when the machine has other work.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from coordspec.config.check import CheckOptions, check_config

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(str(path) for path in (ROOT / "configs").glob("*/*.yaml"))
OPTIONS = CheckOptions(data=False)


def milliseconds(path: str, rounds: int) -> tuple[float, float]:
    """Median wall and CPU time of one check."""
    wall, cpu = [], []
    for _ in range(rounds):
        start, used = time.perf_counter(), time.process_time()
        check_config(path, OPTIONS)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    return 1000 * statistics.median(wall), 1000 * statistics.median(cpu)


def process(rounds: int, *words: str) -> tuple[float, float]:
    """Median wall and CPU seconds of a process."""
    wall, cpu = [], []
    for _ in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], check=False, capture_output=True)
        wall.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(wall), statistics.median(cpu)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print(f"{len(FILES)} recipes, {rounds} rounds, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    check_config(FILES[0], OPTIONS)
    for path in FILES:
        wall, cpu = milliseconds(path, rounds)
        print(f"  {Path(path).relative_to(ROOT)}: {wall:.1f} ms, {cpu:.1f} ms of CPU")
    with tempfile.TemporaryDirectory() as name:
        broken = Path(name) / "broken.yaml"
        broken.write_text("".join(f"unknown_{n}: {{a: 1e-5}}\n" for n in range(200)))
        wall, cpu = milliseconds(str(broken), rounds)
        print(f"  200 unknown sections: {wall:.1f} ms, {cpu:.1f} ms of CPU")
    for label, words in (
        ("python -c pass", ["-c", "pass"]),
        ("python -c 'import pydantic; pydantic.BaseModel'", ["-c", "import pydantic; pydantic.BaseModel"]),
        ("coordspec --help", ["-m", "coordspec_cli", "--help"]),
        ("coordspec check-config", ["-m", "coordspec_cli", "check-config", "--no-data", FILES[-1]]),
    ):
        wall, cpu = process(rounds, *words)
        print(f"  {label}: {wall:.3f} s, {cpu:.3f} s of CPU")


if __name__ == "__main__":
    main()
