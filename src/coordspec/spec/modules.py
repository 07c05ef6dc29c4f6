"""Bound functions and harnesses as pytest collects them, in the tree of their own module, with fixtures and marks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from coordspec.spec.sources import HarnessSite, Site


class UnusableError(Exception):
    """A bound function that cannot be run; the text says why, and what to change."""


@dataclass(frozen=True, slots=True)
class BoundFunction:
    """A function as pytest found it; every scenario that it is bound to gets an item of its own."""

    collector: pytest.Module | pytest.Class
    name: str
    obj: object


class Modules:
    """The modules of bindings. Nodes are shared with the session, since pytest ties fixtures to nodes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.making = False
        self.kept: dict[tuple[str, str], BoundFunction] = {}
        self._nodes: dict[str, pytest.Module] = {}
        self._problems: dict[str, str] = {}

    def keep(self, function: BoundFunction, path: str, qualname: str) -> None:
        self.kept.setdefault((path, qualname), function)

    def function(self, site: Site, near: pytest.Collector) -> pytest.Function:
        """A new item for a bound function; ``near`` is a collector of this session.

        Raises:
            UnusableError: its module cannot be imported, or the function is not one test.
        """
        self._collect(site.path, near)
        bound = self.kept.get((site.path, site.function))
        if bound is None:
            raise UnusableError(
                f"{site.place}: pytest finds no such test; does the file give its name to something else?"
            )
        found = self._make(bound)
        if not found:
            raise UnusableError(f"{site.place}: pytest takes it for no test; call it test_{bound.name}")
        if len(found) > 1 or hasattr(found[0], "callspec"):
            raise UnusableError(
                f"{site.place}: is parametrised, or uses a fixture that is, and a scenario is one test; loop over the "
                "cases in the function, or put them into a `yaml coordspec` block"
            )
        return found[0]

    def harness(self, site: HarnessSite, near: pytest.Collector) -> Callable[..., Any]:
        """The function of a harness. Raises UnusableError if its module cannot be imported."""
        self._collect(site.path, near)
        found = getattr(self._nodes[site.path].obj, site.function, None)
        if not callable(found):
            raise UnusableError(f"{site.place}: is not there when the module is imported")
        return found  # type: ignore[no-any-return]  # a module's attribute is Any

    def _make(self, bound: BoundFunction) -> list[pytest.Function]:
        self.making = True
        try:
            hook = bound.collector.ihook.pytest_pycollect_makeitem
            made = hook(collector=bound.collector, name=bound.name, obj=bound.obj)
        finally:
            self.making = False
        items = made if isinstance(made, list) else [made]
        return [item for item in items if isinstance(item, pytest.Function)]

    def _collect(self, path: str, near: pytest.Collector) -> None:
        """Have the module collected once, so that its bound functions are kept."""
        if path not in self._nodes and path not in self._problems:
            try:
                node = self._nodes[path] = _module(self.root / path, near)
                _collect_all(node, path)
            except UnusableError as error:
                self._problems[path] = f"{path}: {error}"
        if path in self._problems:
            raise UnusableError(self._problems[path])


def _module(path: Path, near: pytest.Collector) -> pytest.Module:
    """The node of a module, found from the nearest folder that it and ``near`` are both in."""
    above = [node for node in near.listchain() if isinstance(node, pytest.Directory)]
    folders = [node for node in above if path.is_relative_to(node.path)]
    if not folders:
        raise UnusableError("lies outside the folder that pytest collects from; move it below the rootdir")
    node: pytest.Collector = folders[-1]
    for part in path.relative_to(node.path).parts:
        node = _child(node, node.path / part)
    assert isinstance(node, pytest.Module)
    return node


def _child(node: pytest.Collector, path: Path) -> pytest.Collector:
    """The node of a file or folder in a folder; also of what pytest would pass over for its name."""
    wanted = pytest.Directory if path.is_dir() else pytest.Module
    for child in _collected(node):
        if isinstance(child, wanted) and child.path == path:
            return child
    if path.is_dir():
        made: pytest.Collector | None = node.ihook.pytest_collect_directory(path=path, parent=node)
    else:
        made = node.ihook.pytest_pycollect_makemodule(module_path=path, parent=node)
    if not isinstance(made, wanted):
        raise UnusableError(f"{path.name} is something that pytest does not collect")
    return made


def _collected(node: pytest.Collector) -> Sequence[pytest.Item | pytest.Collector]:
    """The children of a node; the very nodes that the session goes on with."""
    report, _ = node.session._collect_one_node(node)  # there is no public way to share nodes
    if not report.passed:
        raise UnusableError(f"cannot be collected\n{report.longreprtext}")
    found: Sequence[pytest.Item | pytest.Collector] = report.result
    return found


def _collect_all(node: pytest.Collector, path: str) -> None:
    """Go through a module and its classes; also where pytest passes over modules, with --lf."""
    children = _collected(node)
    if not children and node.config.getoption("lf", False):
        call = pytest.CallInfo.from_call(lambda: list(node.collect()), "collect")
        if call.excinfo is not None:
            raise UnusableError(f"cannot be collected\n{node.repr_failure(call.excinfo)}")
        children = call.result
    for child in children:
        if isinstance(child, pytest.Class):
            _collect_all(child, path)
