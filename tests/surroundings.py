"""What a test run inherits, taken away: a test says itself which terminal, colours, language and signals it means."""

from __future__ import annotations

import os
import signal
from collections.abc import MutableMapping
from typing import Final

TAKEN_AWAY: Final = (
    *("COLUMNS", "LINES", "TERM_PROGRAM", "COLORTERM"),
    *("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PY_COLORS", "TTY_COMPATIBLE", "TTY_INTERACTIVE"),
    *("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "LC_NUMERIC", "LC_TIME", "LC_COLLATE", "TZ"),
    *("PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONINSPECT", "PYTHONIOENCODING"),
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    *("PAGER", "MANPAGER"),
)
SET: Final = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"}
"""One thread for each process: pytest-xdist has one on every core already, and threads that wait spin."""


def neutral(environment: MutableMapping[str, str]) -> None:
    """Make an environment the one that tests are written for."""
    for name in TAKEN_AWAY:
        environment.pop(name, None)
    environment.update(SET)


def neutralise() -> None:
    """The same for this process and all that it starts.

    A shell without job control starts what runs in the background, and cron and nohup all they start, with SIGINT
    ignored. Children would inherit that, and no interrupt would reach them.
    """
    neutral(os.environ)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
