"""The tree that pytest shows: a spec, its requirements, and an item for each scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from coordspec.errors import InputError
from coordspec.spec.cases import coordspec_blocks, read_cases
from coordspec.spec.modules import UnusableError
from coordspec.spec.resolve import Resolved

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

    def collect(self) -> Iterator[pytest.Collector]:
        try:
            document = self.specs.document(self.path)
            if document is None:
                return
            faults = list(self.specs.faults(document))
        except InputError as error:
            raise self.CollectError(str(error)) from error
        for number, (name, message) in enumerate(faults, 1):
            yield Fault.from_parent(self, name=f"fault {number}: {name}", message=message)
        titles = dict.fromkeys(requirement.title for requirement in document.requirements)
        scenarios = self.specs.scenarios(document)
        for title in titles:
            below = [resolved for resolved in scenarios if resolved.requirement.title == title]
            yield RequirementNode.from_parent(self, name=node_name(title), scenarios=below)


class RequirementNode(pytest.Collector):
    """One requirement."""

    def __init__(self, *, scenarios: list[Resolved], **keywords: Any) -> None:
        super().__init__(**keywords)
        self.scenarios = scenarios

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        assert isinstance(self.parent, SpecFile)
        for resolved in self.scenarios:
            name = node_name(resolved.scenario.title)
            if resolved.conflict:
                yield Fault.from_parent(self, name=name, message=resolved.conflict)
            else:
                yield ScenarioItem.from_parent(self, name=name, resolved=resolved, specs=self.parent.specs)


class Fault(pytest.Collector):
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


class ScenarioItem(pytest.Item):
    """One scenario. It fails by itself if there is a gap, runs its cases, or has its bound function run."""

    def __init__(self, *, resolved: Resolved, specs: SpecSession, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.specs = specs
        self.inner: pytest.Function | None = None
        self.harness: Callable[..., Any] | None = None
        self.copied: list[pytest.Mark] = []
        self.resolved = resolved
        self.problem = resolved.gap

    def take(self, resolved: Resolved) -> None:
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
        except UnusableError as error:
            said = f"{resolved.place}: the scenario {resolved.scenario.title!r}"
            self.problem = f"unusable: {said} cannot be run: {error}"

    def _copy_marks(self, inner: pytest.Function) -> None:
        self.copied = list(inner.iter_markers())
        self.own_markers.extend(self.copied)
        self.keywords.update({mark.name: mark for mark in self.copied})
        self.extra_keyword_matches.add(inner.name)

    @staticmethod
    def nodeid_of(resolved: Resolved) -> str:
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
