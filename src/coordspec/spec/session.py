"""The state and the hooks of one pytest run whose scenarios are tests. Imported only where the plugin is on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import FunctionType
from typing import Any, Final

import pytest
from _pytest.runner import runtestprotocol

from coordspec.errors import InputError
from coordspec.spec.binding import bound_scenarios
from coordspec.spec.coverage import OUTCOMES, PASSED, Ran, update_outcomes
from coordspec.spec.digests import DIGESTS, SENTENCE, Key, read_digests, write_digests
from coordspec.spec.document import SpecDocument, shown_path
from coordspec.spec.nodes import BoundFunction, Modules, ScenarioItem, SpecFile, UnreadItem
from coordspec.spec.resolve import BoundScenario, Resolution, Unread, fault_message, resolve_tree
from coordspec.spec.sources import update_digests

_ATTRIBUTE: Final = "coordspec_scenario"
"""The attribute of a report that says which scenario it is about; xdist carries it to the controller."""


class SpecSession:
    """Hooks, and what they share. ``root`` is the folder that holds ``openspec/``."""

    def __init__(self, config: pytest.Config, specs: Path, bindings: Sequence[Path]) -> None:
        self.config = config
        self.specs = specs
        self.root = specs.parent.parent
        self.bindings = [shown_path(path, self.root) for path in bindings]
        self.modules = Modules(self.root)
        self.ends: dict[Key, Ran] = {}
        self.running: ScenarioItem | None = None
        self.collected_specs = False
        self._fill_testpaths()
        if config.getoption("update_digests") and config.getoption("dist", "no") != "no":
            raise pytest.UsageError("--update-digests edits files and needs one process; add -n0")

    def _fill_testpaths(self) -> None:
        """Where the paths to test come from the configuration, the specs are among them."""
        config = self.config
        if config.args_source is config.ArgsSource.TESTPATHS:
            paths = [(config.invocation_params.dir / arg).resolve() for arg in config.args]
            if not any(self.specs.resolve().is_relative_to(path) for path in paths):
                config.args.append(str(self.specs))

    # ------------------------------------------------------------ what there is

    @cached_property
    def _resolved(self) -> tuple[dict[str, SpecDocument], Resolution]:
        documents, resolution = resolve_tree(self.root, self.bindings)
        return {document.path: document for document in documents}, resolution

    def document(self, path: Path) -> SpecDocument | None:
        return self._resolved[0].get(shown_path(path, self.root))

    def scenarios(self, document: SpecDocument) -> list[BoundScenario]:
        return [found for found in self._resolved[1].scenarios if found.document is document]

    def unread(self, document: SpecDocument) -> list[Unread]:
        """What of a spec is to be read, and with the first spec what is of no spec."""
        documents, resolution = self._resolved
        known = {other.capability for other in documents.values()}
        first = document is next(iter(documents.values()))
        return [
            each
            for each in resolution.unread
            if each.capability == document.capability or (first and each.capability not in known)
        ]

    def faults(self, document: SpecDocument) -> Iterator[tuple[str, str]]:
        """What is wrong beyond single scenarios, with a name for each; what belongs to no spec comes with the first."""
        documents, resolution = self._resolved
        for index, fault in enumerate(document.faults):
            yield f"{fault.rule} in line {fault.line}", fault_message(document, index)
        for orphan in resolution.orphans:
            if orphan.capability == document.capability:
                yield "binding to no scenario", orphan.message
        if self.collected_specs:
            return
        self.collected_specs = True
        known = {other.capability for other in documents.values()}
        for orphan in resolution.orphans:
            if orphan.capability not in known:
                yield "binding to no spec", orphan.message
        for message in resolution.faults:
            yield "bindings", message

    # ------------------------------------------------------------ collection

    def pytest_report_header(self) -> str:
        return f"coordspec: {shown_path(self.specs, self.root)}, bindings in {', '.join(self.bindings) or 'no place'}"

    def pytest_ignore_collect(self, collection_path: Path, config: pytest.Config) -> bool | None:
        """A capability may be called ``build`` or ``dist``, which pytest does not search elsewhere."""
        if config.getoption("ignore") or config.getoption("ignore_glob"):
            return None
        below = collection_path.is_relative_to(self.specs) and not collection_path.name.startswith(".")
        return False if below and collection_path.is_dir() else None

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        below = file_path.name == "spec.md" and file_path.is_relative_to(self.specs)
        return SpecFile.from_parent(parent, path=file_path, specs=self) if below else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(
        self, collector: pytest.Module | pytest.Class, name: str, obj: object
    ) -> list[pytest.Item] | None:
        """Bound functions are kept for their scenarios, and are no tests beside them."""
        if self.modules.making or not isinstance(obj, FunctionType) or not bound_scenarios(obj):
            return None
        path = shown_path(Path(obj.__code__.co_filename), self.root)
        if path != shown_path(collector.path, self.root):
            return []  # imported from where it is bound
        if (path, obj.__qualname__) not in self._known_functions:
            where = f"{path}:{obj.__code__.co_firstlineno}: {obj.__qualname__}"
            raise pytest.Collector.CollectError(
                f"{where} is bound to a scenario where nobody looks for bindings; name its file or folder in "
                f"coordspec_bindings ({', '.join(self.bindings)}), and import scenario from coordspec.spec"
            )
        self.modules.keep(BoundFunction(collector, name, obj), path, obj.__qualname__)
        return []

    @cached_property
    def _known_functions(self) -> frozenset[tuple[str, str]]:
        """All bound functions that are read from source, those with a fault of any kind included."""
        _, resolution = self._resolved
        return frozenset((site.path, site.function) for site in resolution.sites)

    def pytest_report_collectionfinish(self) -> str | None:
        count = len(self.modules.kept)
        if self.collected_specs or not count:
            return None
        return f"coordspec: {count} bound functions run as scenarios, and only so: pytest {self.specs}"

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> Iterator[None]:
        """Bring scenarios and functions together before, and update digests after others have selected items."""
        for item in items:
            if isinstance(item, ScenarioItem):
                item.take(item.resolved)
        yield
        if self.config.getoption("update_digests") and not self.config.option.collectonly:
            self._update_digests(session, items)

    def _update_digests(self, session: pytest.Session, selected: Sequence[pytest.Item]) -> None:
        if session.testsfailed:
            self._say("coordspec: no digest is updated, since the collection failed")
            return
        stale = [item for item in selected if isinstance(item, ScenarioItem) and item.resolved.stale]
        unread = [item for item in selected if isinstance(item, UnreadItem)]
        edits = [(item.resolved.site, item.resolved.scenario.digest) for item in stale if item.resolved.site]
        read: dict[Key, str | None] = {item.unread.key: item.unread.digest for item in unread}
        read |= {item.resolved.key: item.resolved.scenario.digest for item in stale if item.resolved.harness}
        try:
            changes = [*update_digests(self.root, edits), *self._update_file(read)]
        except InputError as error:
            raise pytest.UsageError(str(error)) from error
        for change in changes:
            self._say(f"coordspec: {change}")
        self._say(f"coordspec: {len(changes)} digests updated")
        for item in stale:
            item.take(replace(item.resolved, gap=""))
        for sentence in unread:
            sentence.problem = ""

    def _update_file(self, read: Mapping[Key, str | None]) -> Iterator[str]:
        """Write what was read into the file of digests; None takes a digest out. Gives a line for each change."""
        if not read:
            return
        before = read_digests(self.root)
        after = {**before, **read}
        gone = {key[:2] for key, digest in read.items() if digest is None and key[2] == SENTENCE}
        kept = {key: digest for key, digest in after.items() if digest is not None and key[:2] not in gone}
        write_digests(self.root, kept)
        for key, digest in read.items():
            name = " / ".join(part for part in key if part)
            yield f"{DIGESTS}: {name}: {before.get(key, '(none)')} → {digest or '(none)'}"

    def _say(self, line: str) -> None:
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(line)

    # ------------------------------------------------------------ the run

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if not isinstance(item, ScenarioItem | UnreadItem):
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        # What is torn down behind an item depends on where the next one runs, and a scenario runs elsewhere.
        following = nextitem.runner() if isinstance(nextitem, ScenarioItem) else nextitem
        self.running = item if isinstance(item, ScenarioItem) else None
        try:
            runtestprotocol(item.runner() if isinstance(item, ScenarioItem) else item, nextitem=following)
        finally:
            self.running = None
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:  # noqa: ARG002 (pytest's signature)
        """What is reported of a bound function goes by the name and the place of its scenario."""
        report: pytest.TestReport = yield
        if (running := self.running) is None:
            return report
        resolved = running.resolved
        if report.nodeid != running.nodeid:
            report.nodeid = running.nodeid
            report.location = running.location
        if report.failed and not resolved.gap:
            report.sections.append((f"scenario {resolved.place}", resolved.scenario.body))
        setattr(report, _ATTRIBUTE, [*resolved.key, resolved.scenario.digest, resolved.binding or ""])
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        known: list[str] | None = getattr(report, _ATTRIBUTE, None)
        if known is None:
            self._crashed(report)
            return
        capability, requirement, scenario, digest, binding = known
        if (outcome := _outcome(report)) is not None:
            self.ends[capability, requirement, scenario] = Ran(outcome, digest, binding)

    def _crashed(self, report: pytest.TestReport) -> None:
        """A report that xdist made up when the process of a scenario died."""
        if report.failed and "spec.md::" in report.nodeid:
            for resolved in self._resolved[1].scenarios:
                if report.nodeid.endswith(ScenarioItem.nodeid_of(resolved)):
                    self.ends[resolved.key] = Ran("error", resolved.scenario.digest, resolved.binding or "")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(self.config, "workerinput") or not self.ends:
            return
        try:
            update_outcomes(self.root / OUTCOMES, self.ends, self.bindings)
        except (InputError, OSError) as error:
            self._say(f"coordspec: the outcomes are not kept: {error}")
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def _outcome(report: pytest.TestReport) -> str | None:
    """What a phase says about the whole; None where it says nothing, such as a setup that went well."""
    if report.failed:
        return "failed" if report.when == "call" else "error"
    if report.skipped:
        return "xfailed" if hasattr(report, "wasxfail") else "skipped"
    if report.when != "call":
        return None
    return "xpassed" if hasattr(report, "wasxfail") else PASSED
