"""Fixtures that more than one test module uses; each gives a function."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import pytest

from coordspec_cli.main import run
from limits import HANG_S
from surroundings import neutralise

neutralise()  # before anything that looks at the environment when it is imported

# No example of a property is too slow: on a busy machine each one may be.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")

# An installation of coordspec[test] alone has none of these, and what needs them is skipped there and says why.
_MISSING = frozenset(
    name for name in ("torch", "peft", "accelerate", "tensorboard") if importlib.util.find_spec(name) is None
)
_OF_TRANSFORMERS = "requires the PyTorch library"  # what its classes say that need torch
_REASON = "needs the extra `train`, which is not installed here"


def pytest_configure(config: pytest.Config) -> None:
    if _MISSING and os.environ.get("CI"):
        raise pytest.UsageError(f"CI runs every test, and these are not installed: {', '.join(sorted(_MISSING))}")


def _lacks_training(error: BaseException | None) -> bool:
    """True for the import of what is not installed here, whatever was raised from it."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name in _MISSING:
            return True
        if "torch" in _MISSING and isinstance(error, ImportError) and _OF_TRANSFORMERS in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makemodule() -> Generator[None, pytest.Module, pytest.Module]:
    """A module that cannot be imported for want of the extra ``train`` is skipped; for any other reason, it fails."""
    module = yield
    if _MISSING and module is not None:
        load = module._getobj

        def loaded() -> object:
            try:
                return load()
            except pytest.Collector.CollectError as error:
                if _lacks_training(error):
                    pytest.skip(_REASON, allow_module_level=True)
                raise

        module._getobj = loaded  # type: ignore[method-assign]
    return module


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """The same for a test that imports it when it runs."""
    try:
        return (yield)
    except ImportError as error:
        if _lacks_training(error):
            pytest.skip(_REASON)
        raise


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
