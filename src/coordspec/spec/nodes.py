"""The tree that pytest shows: a spec, its requirements, an item for each scenario; and the modules of bindings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from coordspec.errors import InputError
from coordspec.spec.cases import coordspec_blocks, read_cases
from coordspec.spec.resolve import BoundScenario, Unread
from coordspec.spec.sources import HarnessSite, Site

if TYPE_CHECKING:
    from coordspec.spec.session import SpecSession


def node_name(title: str) -> str:
    """A title as a part of a node id, where ``::`` and ``[`` mean something else."""
    return title.replace("::", ": :").replace("[", "(").replace("]", ")")


class SpecFile(pytest.File):
    """``openspec/specs/<capability>/spec.md``"""

    def __init__(self, *, specs: SpecSession, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.specs = specs

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        try:
            document = self.specs.document(self.path)
            if document is None:
                return
            faults = list(self.specs.faults(document))
        except InputError as error:
            raise self.CollectError(str(error)) from error
        for number, (name, message) in enumerate(faults, 1):
            yield FaultItem.from_parent(self, name=f"fault {number}: {name}", message=message)
        titles = dict.fromkeys(requirement.title for requirement in document.requirements)
        scenarios, unread = self.specs.scenarios(document), self.specs.unread(document)
        for title in titles:
            below = [resolved for resolved in scenarios if resolved.requirement.title == title]
            own = [each for each in unread if each.digest and each.key[1] == title]
            yield RequirementNode.from_parent(self, name=node_name(title), scenarios=below, unread=own)
        for each in unread:
            if each.digest is None:
                name = "digest of nothing: " + " / ".join(part for part in each.key if part)
                yield UnreadItem.from_parent(self, name=node_name(name), unread=each)


class RequirementNode(pytest.Collector):
    """One requirement, and an item for its sentence where that was not read."""

    def __init__(self, *, scenarios: list[BoundScenario], unread: list[Unread], **keywords: Any) -> None:
        super().__init__(**keywords)
        self.scenarios = scenarios
        self.unread = unread

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        assert isinstance(self.parent, SpecFile)
        for each in self.unread:
            yield UnreadItem.from_parent(self, name="(the requirement itself)", unread=each)
        for resolved in self.scenarios:
            name = node_name(resolved.scenario.title)
            if resolved.conflict:
                yield FaultItem.from_parent(self, name=name, message=resolved.conflict)
            else:
                yield ScenarioItem.from_parent(self, name=name, resolved=resolved, specs=self.parent.specs)


class FaultItem(pytest.Collector):
    """Something in a spec or in bindings that leaves open what is tested: a collection error."""

    def __init__(self, *, message: str, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.message = message

    def collect(self) -> Iterator[pytest.Item]:
        raise self.CollectError(self.message)


class GapError(Exception):
    """A scenario that nothing shows to hold; the text says what to do."""


class CasesFailedError(Exception):
    """The cases of a block that failed."""


class UnreadItem(pytest.Item):
    """A requirement or a digest that somebody has to read; it passes once the digests are updated."""

    def __init__(self, *, unread: Unread, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.unread = unread
        self.problem = unread.message

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, self.unread.line and self.unread.line - 1, self.name

    def runtest(self) -> None:
        if self.problem:
            raise GapError(self.problem)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, GapError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)


class ScenarioItem(pytest.Item):
    """One scenario. It fails by itself if there is a gap, runs its cases, or has its bound function run."""

    def __init__(self, *, resolved: BoundScenario, specs: SpecSession, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.specs = specs
        self.inner: pytest.Function | None = None
        self.harness: Callable[..., Any] | None = None
        self.copied: list[pytest.Mark] = []
        self.skipped = ""
        self.resolved = resolved
        self.problem = resolved.gap

    def take(self, resolved: BoundScenario) -> None:
        """Get what shows the scenario; if that is of no use, the item fails when it is run.

        Called when all else is collected, so that getting a module is in nobody's way.
        """
        self.resolved = resolved
        self.problem = resolved.gap
        if self.problem:
            return
        try:
            if resolved.site is not None:
                self.inner = self.specs.modules.function(resolved.site, self.parent)  # type: ignore[arg-type]
                self._copy_marks(self.inner)
            elif resolved.harness is not None:
                self.harness = self.specs.modules.harness(resolved.harness, self.parent)  # type: ignore[arg-type]
        except SkippedModuleError as error:
            self.skipped = str(error)
        except UnusableError as error:
            said = f"{resolved.place}: the scenario {resolved.scenario.title!r}"
            self.problem = f"unusable: {said} cannot be run: {error}"

    def _copy_marks(self, inner: pytest.Function) -> None:
        self.copied = list(inner.iter_markers())
        self.own_markers.extend(self.copied)
        self.keywords.update({mark.name: mark for mark in self.copied})
        self.extra_keyword_matches.add(inner.name)

    @staticmethod
    def nodeid_of(resolved: BoundScenario) -> str:
        """The end of the node id: from the path below the root on."""
        names = (resolved.document.path, node_name(resolved.requirement.title), node_name(resolved.scenario.title))
        return "::".join(names)

    def runner(self) -> pytest.Item:
        """The item that pytest runs: that of the bound function, with marks that were put on the scenario, or this."""
        if self.inner is None:
            return self
        self.inner.own_markers.extend(mark for mark in self.own_markers if mark not in self.copied)
        self.copied = list(self.own_markers)
        return self.inner

    def reportinfo(self) -> tuple[Path, int, str]:
        requirement, scenario = self.resolved.requirement.title, self.resolved.scenario.title
        return self.path, self.resolved.scenario.line - 1, f"{requirement}: {scenario}"

    def runtest(self) -> None:
        if self.skipped:
            pytest.skip(self.skipped)
        if self.problem or self.harness is None:
            raise GapError(self.problem)
        failed: list[str] = []
        cases = read_cases(coordspec_blocks(self.resolved.scenario)[0]).cases
        through = (KeyboardInterrupt, pytest.exit.Exception, pytest.skip.Exception, pytest.xfail.Exception)
        for case in cases:
            call = pytest.CallInfo.from_call(partial(self.harness, **case.values), "call", reraise=through)
            if call.excinfo is not None:
                failed.append(f"{case.label}: {_values(case.values)}\n{self._shown(call.excinfo)}")
        if failed:
            head = f"{self.resolved.place}: {len(failed)} of {len(cases)} cases of the harness fail"
            raise CasesFailedError("\n\n".join([f"{head} ({self.specs_place})", *failed]))

    @property
    def specs_place(self) -> str:
        assert self.resolved.harness is not None
        return self.resolved.harness.place

    def _shown(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:
        """The failure from the harness on; pytest's own frames are of no use."""
        assert self.harness is not None
        file = Path(self.harness.__code__.co_filename) if hasattr(self.harness, "__code__") else None
        own = excinfo.traceback.cut(path=file) if file is not None else excinfo.traceback
        excinfo.traceback = own
        return str(excinfo.getrepr(style="short", chain=False))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, GapError | CasesFailedError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)


def _values(values: Any) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


# ---------------------------------------------------------------- the modules of bindings


class UnusableError(Exception):
    """A bound function that cannot be run; the text says why, and what to change."""


class SkippedModuleError(UnusableError):
    """The module of a bound function says itself that it is skipped here, and why."""


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
        self._problems: dict[str, UnusableError] = {}

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
                self._problems[path] = type(error)(f"{path}: {error}")
        if path in self._problems:
            raise self._problems[path]


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
    if report.skipped:
        assert isinstance(report.longrepr, tuple), "of what is skipped, pytest keeps path, line and reason"
        raise SkippedModuleError(report.longrepr[2].removeprefix("Skipped: "))
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
