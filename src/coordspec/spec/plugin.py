"""The pytest plugin: scenarios of ``openspec/specs`` as test items. Off unless ``coordspec_specs`` is configured.

A scenario is an item of its own in the tree of its spec. The function that is bound to it is collected by pytest where
it stands, with all its fixtures and marks, and is run in the scenario's stead: what pytest reports of the function goes
by the name and the place of the scenario.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from coordspec.spec.session import SpecSession

_NAME: Final = "coordspec-specs"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("coordspec_specs", "The folder of specs whose scenarios are tests: openspec/specs", default="")
    parser.addini("coordspec_bindings", "Files and folders that hold bindings; default: tests", type="args", default=[])
    group = parser.getgroup("coordspec", "OpenSpec scenarios")
    group.addoption(
        "--update-digests",
        action="store_true",
        help="Write into the bindings of the selected scenarios that you have read them as they now stand.",
    )


def pytest_configure(config: pytest.Config) -> None:
    folder = str(config.getini("coordspec_specs"))
    if not folder:
        if config.getoption("update_digests"):
            raise pytest.UsageError("--update-digests needs coordspec_specs = openspec/specs in pytest's configuration")
        return
    from coordspec.spec.session import SpecSession  # noqa: PLC0415 (costs nothing where the plugin is off)

    if config.pluginmanager.get_plugin(_NAME) is None:
        config.pluginmanager.register(SpecSession(config, _specs(config, folder), _bindings(config)), _NAME)


def _base(config: pytest.Config) -> Path:
    return config.inipath.parent if config.inipath is not None else config.rootpath


def _specs(config: pytest.Config, folder: str) -> Path:
    path = _base(config) / folder
    if path.parts[-2:] != ("openspec", "specs"):
        raise pytest.UsageError(f"coordspec_specs is {folder!r}, which is no folder openspec/specs")
    if not path.is_dir():
        raise pytest.UsageError(f"coordspec_specs is {folder!r}, and there is no such folder in {_base(config)}")
    return path


def _bindings(config: pytest.Config) -> list[Path]:
    named: list[str] = config.getini("coordspec_bindings")
    paths = [_base(config) / name for name in named or ["tests"]]
    for path in paths if named else ():
        if not path.exists():
            raise pytest.UsageError(f"coordspec_bindings names {path}, which is not there")
    return [path for path in paths if path.exists()]


def spec_session(config: pytest.Config) -> SpecSession | None:
    """The plugin's state in this run; None where it is off."""
    found: SpecSession | None = config.pluginmanager.get_plugin(_NAME)
    return found
