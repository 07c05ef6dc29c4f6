"""How long tests wait: for what is over in seconds, so that only what hangs is ended. No test asserts a time."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Final

HANG_S: Final = 900.0
"""Seconds of the clock after which a process counts as one that hangs, whatever else the machine does."""

CPU_S: Final = 90
"""Seconds of processor time for work that takes two or three; what grows with the square of its input takes hours."""


def limit_cpu() -> None:
    """For ``preexec_fn``: SIGXCPU ends the process when it has used ``CPU_S``, however busy the machine is."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + HANG_S
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {HANG_S:g} s"
        time.sleep(0.01)
