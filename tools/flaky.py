"""Tests of pages, terminals and signals, again and again: on a busy machine and in odd surroundings.

python tools/flaky.py [--rounds N] [-- WORDS OF PYTEST]    A line for each round; exit status 1 if one was red.

Every round has two busy processes for each core beside it, and the next of five surroundings.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

WHICH: Final = "(page or terminal or signal) and not nightly"


@dataclass(frozen=True)
class Surroundings:
    """What a test run inherits. ``folder`` is the name of the folder for temporary files."""

    name: str
    variables: dict[str, str] = field(default_factory=dict)
    folder: str = "tmp"
    ignored: tuple[signal.Signals, ...] = ()
    umask: int = 0o022

    def apply(self) -> None:
        """In the process that becomes pytest."""
        os.umask(self.umask)
        for number in self.ignored:
            signal.signal(number, signal.SIG_IGN)


ALL: Final = (
    Surroundings("a plain terminal", {"TERM": "xterm-256color"}),
    Surroundings("in the background, interrupts ignored", {"TERM": "dumb"}, ignored=(signal.SIGINT, signal.SIGHUP)),
    Surroundings("40 columns, colours forced", {"COLUMNS": "40", "FORCE_COLOR": "1", "TZ": "Asia/Kathmandu"}),
    Surroundings("no colours, spaces in paths", {"NO_COLOR": "1", "LC_ALL": "C"}, folder="a folder, with ünicode"),
    Surroundings("cron", {"LANG": "POSIX", "TERM": "", "CI": "true"}, ignored=(signal.SIGINT,), umask=0o077),
)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Processes that do nothing but use a core."""
    spin = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(spin, stdin=subprocess.DEVNULL) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def play(surroundings: Surroundings, words: Sequence[str]) -> tuple[bool, str]:
    """One round; whether it was green, and what pytest printed."""
    with tempfile.TemporaryDirectory(prefix="coordspec-flaky-") as base:
        folder = Path(base, surroundings.folder)
        folder.mkdir()
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "--color=no",
                "-n",
                "2",
                "-m",
                WHICH,
                "-p",
                "no:cacheprovider",
                *words,
            ],
            env={**os.environ, **surroundings.variables, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=surroundings.apply,
            check=False,
        )
    return done.returncode == 0, done.stdout


def main() -> int:
    """Play the rounds; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--busy", type=int, default=2 * (os.cpu_count() or 1), help="busy processes beside a round")
    parser.add_argument("words", nargs="*", help="for pytest")
    asked = parser.parse_args()
    red = 0
    for number in range(asked.rounds):
        surroundings, start = ALL[number % len(ALL)], time.monotonic()
        with busy(asked.busy):
            green, said = play(surroundings, asked.words)
        last = said.strip().splitlines()[-1] if said.strip() else "nothing was printed"
        took = time.monotonic() - start
        print(
            f"round {number + 1} of {asked.rounds}, {surroundings.name}: {last.strip('= ')} ({took:.0f} s)", flush=True
        )
        if not green:
            red += 1
            print(said, flush=True)
    print(f"{asked.rounds - red} of {asked.rounds} rounds green")
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main())
