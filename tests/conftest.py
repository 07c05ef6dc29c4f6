"""Fixtures that more than one test module uses; each gives a function."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from coordspec_cli.main import run
from limits import HANG_S
from surroundings import neutralise

neutralise()  # before anything that looks at the environment when it is imported


class Done(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


@pytest.fixture
def coordspec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Run a command in this process, in ``tmp_path``."""
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> Done:
        capsys.readouterr()
        status = run([str(arg) for arg in args])
        return Done(status, *capsys.readouterr())

    return call


@pytest.fixture
def spawn(tmp_path: Path) -> Callable[..., Done]:
    """Run a command as a process of its own, in ``tmp_path``; keywords go to ``subprocess.run``."""

    def call(*args: object, **keywords: Any) -> Done:
        keywords = {"input": b"", "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": HANG_S, **keywords}
        done = subprocess.run(command(*args), cwd=tmp_path, check=False, **keywords)
        return Done(done.returncode, (done.stdout or b"").decode(), (done.stderr or b"").decode())

    return call


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Start a command as a process of its own, in ``tmp_path``; keywords go to ``subprocess.Popen``."""
    return lambda *args, **keywords: subprocess.Popen(command(*args), cwd=tmp_path, **keywords)


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "coordspec_cli", *map(os.fspath, map(str, args))]
