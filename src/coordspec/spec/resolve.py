"""Scenarios and bindings brought together: what shows which scenario, and what is wrong between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from coordspec.contracts import did_you_mean, rule
from coordspec.errors import Place
from coordspec.spec.cases import CasesError, coordspec_blocks, read_cases
from coordspec.spec.digests import DIGESTS, SENTENCE, Key, read_digests
from coordspec.spec.document import Requirement, Scenario, SpecDocument, read_spec, spec_files
from coordspec.spec.sources import HarnessSite, Site, Sources, read_sources


@dataclass(frozen=True, slots=True)
class BoundScenario:
    """One scenario and what is bound to it; ``binding`` names it, and is what outcomes are kept under.

    ``read`` is the digest of the text that somebody has read: that of its function's decorator, or of its table.

    ``conflict`` is why nobody can say what shows it (two bindings, two scenarios of that title); ``gap`` is why nothing
    that can be run does (unbound, stale, a broken block). At most one of the two is set, and then there is no outcome.
    """

    document: SpecDocument
    requirement: Requirement
    scenario: Scenario
    site: Site | None = None
    harness: HarnessSite | None = None
    binding: str | None = None
    read: str | None = None
    conflict: str = ""
    gap: str = ""

    @property
    def key(self) -> Key:
        return (self.document.capability, self.requirement.title, self.scenario.title)

    @property
    def place(self) -> str:
        return f"{self.document.path}:{self.scenario.line}"

    @property
    def stale(self) -> bool:
        return (self.site or self.harness) is not None and self.read != self.scenario.digest


@dataclass(frozen=True, slots=True)
class Unread:
    """A requirement whose sentence nobody has read as it stands, or, with ``digest`` None, a digest of nothing.

    ``line`` is that of the requirement.
    """

    key: Key
    digest: str | None
    message: str
    line: int | None = None

    @property
    def capability(self) -> str:
        return self.key[0]


@dataclass(frozen=True, slots=True)
class Orphan:
    """A binding to no scenario, and what is wrong with it."""

    capability: str
    message: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """Every scenario in the order of the specs, every binding that belongs to none, and what else is to be read."""

    scenarios: tuple[BoundScenario, ...]
    orphans: tuple[Orphan, ...] = ()
    faults: tuple[str, ...] = ()
    sites: tuple[Site, ...] = ()
    unread: tuple[Unread, ...] = ()


def resolve_tree(root: Path, bindings: Sequence[str | Path]) -> tuple[list[SpecDocument], Resolution]:
    """The specs below ``root/openspec/specs`` and what is bound to them in the files that ``bindings`` name.

    Raises:
        InputError: a spec, a file of bindings or that of digests cannot be read.
    """
    documents = [read_spec(path, root) for path in spec_files(root)]
    return documents, resolve(documents, read_sources(root, bindings), read_digests(root))


def resolve(documents: Sequence[SpecDocument], sources: Sources, digests: Mapping[Key, str]) -> Resolution:
    """Bring specs, bindings and the digests of what was read together."""
    sites: dict[Key, list[Site]] = defaultdict(list)
    for site in sources.sites:
        sites[site.bound[:3]].append(site)
    harnesses: dict[str, list[HarnessSite]] = defaultdict(list)
    for item in sources.harnesses:
        harnesses[item.name].append(item)
    found = (resolved for document in documents for resolved in _of_document(document, sites, harnesses))
    scenarios = tuple(_held_to_digest(resolved, digests) for resolved in found)
    known = {resolved.key for resolved in scenarios}
    orphans = [site for key, bound in sites.items() if key not in known for site in bound]
    faults = [*sources.faults, *_doubled(harnesses)]
    lost = tuple(Orphan(site.bound.capability, _orphan(site, documents)) for site in orphans)
    unread = (*_sentences(documents, digests), *_digests_of_nothing(documents, scenarios, digests))
    return Resolution(scenarios, lost, tuple(faults), sources.sites, unread)


def fault_message(document: SpecDocument, index: int) -> str:
    """``path:12: the fence … is never closed (SPC001): close it …``"""
    fault = document.faults[index]
    issue = rule(fault.rule).issue(Place(document.path, fault.line), fault.values)
    return f"{issue.place}: {issue}; {issue.hint}"


def _of_document(
    document: SpecDocument, sites: Mapping[Key, list[Site]], harnesses: Mapping[str, list[HarnessSite]]
) -> Iterator[BoundScenario]:
    by_key: dict[tuple[str, str], list[tuple[Requirement, Scenario]]] = defaultdict(list)
    for requirement in document.requirements:
        for scenario in requirement.scenarios:
            by_key[requirement.title, scenario.title].append((requirement, scenario))
    for titles, found in by_key.items():
        requirement, scenario = found[0]
        resolved = BoundScenario(document, requirement, scenario)
        if len(found) > 1:
            others = ", ".join(f"{document.path}:{other.line}" for _, other in found[1:])
            reason = f"has the title of another scenario of its requirement, at {others}; give each a title of its own"
            conflict = f"{resolved.place}: the scenario {scenario.title!r} {reason}"
            yield replace(resolved, binding="two scenarios", conflict=conflict)
        else:
            yield _bind(resolved, sites.get((document.capability, *titles), []), harnesses)


def _bind(resolved: BoundScenario, sites: Sequence[Site], harnesses: Mapping[str, list[HarnessSite]]) -> BoundScenario:
    blocks = coordspec_blocks(resolved.scenario)
    said = f"{resolved.place}: the scenario {resolved.scenario.title!r}"
    if len(sites) > 1:
        places = " and at ".join(site.place for site in sites)
        both = " and ".join(site.binding for site in sites)
        return replace(resolved, binding=both, conflict=f"{said} is bound twice, at {places}; keep one of them")
    if sites and blocks:
        place = f"{resolved.document.path}:{blocks[0].line}"
        reason = f"is bound to {sites[0].place} and to the block at {place}; remove the decorator or the block"
        return replace(resolved, binding=f"{sites[0].binding} and a block", conflict=f"{said} {reason}")
    if len(blocks) > 1:
        lines = " and ".join(str(block.line) for block in blocks)
        reason = f"has two blocks that are run, in lines {lines}; make them one"
        return replace(resolved, binding="two blocks", conflict=f"{said} {reason}")
    if sites:
        return replace(resolved, site=sites[0], binding=sites[0].binding, read=sites[0].bound.digest)
    if blocks:
        return _bind_block(resolved, harnesses)
    return replace(resolved, gap=_unbound(resolved, said))


def _bind_block(resolved: BoundScenario, harnesses: Mapping[str, list[HarnessSite]]) -> BoundScenario:
    block = coordspec_blocks(resolved.scenario)[0]
    path = resolved.document.path
    resolved = replace(resolved, binding="a block")
    try:
        name = read_cases(block).harness
    except CasesError as error:
        return replace(resolved, gap=f"broken block: {path}:{error.line}: {error.reason}")
    if name not in harnesses:
        guess = did_you_mean(name, list(harnesses))
        reason = f'no harness is called {name!r}{guess}; put @harness("{name}") on the function that runs a case'
        return replace(resolved, gap=f"broken block: {path}:{block.line}: {reason}")
    return replace(resolved, harness=harnesses[name][0], binding=f"harness {name}")


def _unbound(resolved: BoundScenario, said: str) -> str:
    capability, requirement, title = map(_quoted, resolved.key)
    call = f'@scenario({capability}, {requirement}, {title}, digest="{resolved.scenario.digest}")'
    return f"unbound: {said} is bound to nothing; write a test that shows it, and decorate it with\n{call}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _held_to_digest(resolved: BoundScenario, digests: Mapping[Key, str]) -> BoundScenario:
    """The scenario, with a gap where it is not what somebody has read."""
    if resolved.harness is not None:
        resolved = replace(resolved, read=digests.get(resolved.key))
    if resolved.gap or not resolved.stale:
        return resolved
    return replace(resolved, gap=_stale(resolved) if resolved.site else _stale_table(resolved))


def _stale_table(resolved: BoundScenario) -> str:
    assert resolved.harness is not None
    said = f"{resolved.place}: the table of the scenario {resolved.scenario.title!r}"
    todo = f"Read it, make {resolved.harness.place} show what it says now, then run pytest with --update-digests"
    if resolved.read is None:
        return f"unread: {said} has no digest in {DIGESTS}. {todo}"
    is_now = f"its digest is {resolved.scenario.digest!r}, {DIGESTS} says {resolved.read!r}"
    return f"stale: {said} is not what was read: {is_now}. {todo}"


def _sentences(documents: Sequence[SpecDocument], digests: Mapping[Key, str]) -> Iterator[Unread]:
    """The requirements whose own text, the sentence above their scenarios, was not read as it stands."""
    for document in documents:
        seen: set[str] = set()
        for requirement in document.requirements:
            key = (document.capability, requirement.title, SENTENCE)
            if requirement.title in seen or digests.get(key) == requirement.digest:
                continue
            seen.add(requirement.title)
            said = f"{document.path}:{requirement.line}: the sentence of the requirement {requirement.title!r}"
            todo = "Read it, make its scenarios show what it says now, then run pytest with --update-digests"
            if key in digests:
                is_now = f"its digest is {requirement.digest!r}, {DIGESTS} says {digests[key]!r}"
                message = f"stale: {said} is not what was read: {is_now}. {todo}"
            else:
                message = f"unread: {said} has no digest in {DIGESTS}. {todo}"
            yield Unread(key, requirement.digest, message, requirement.line)


def _digests_of_nothing(
    documents: Sequence[SpecDocument], scenarios: Sequence[BoundScenario], digests: Mapping[Key, str]
) -> Iterator[Unread]:
    """Digests of requirements and tables that are not there any more."""
    sentences = {(d.capability, requirement.title, SENTENCE) for d in documents for requirement in d.requirements}
    tables = {resolved.key for resolved in scenarios if coordspec_blocks(resolved.scenario)}
    gone = digests.keys() - sentences - tables
    for key in sorted(gone):
        capability, requirement, scenario = key
        if scenario and (capability, requirement, SENTENCE) in gone:
            continue  # said once, of the requirement, and taken out with it
        where = f"{requirement!r} of {capability}" if scenario else capability
        what = f"the table of the scenario {scenario!r}" if scenario else f"the requirement {requirement!r}"
        todo = "If it was given up on purpose, run pytest with --update-digests"
        yield Unread(key, None, f"{DIGESTS}: holds a digest of {what}, which {where} lacks. {todo}")


def _stale(resolved: BoundScenario) -> str:
    assert resolved.site is not None
    says = repr(resolved.site.bound.digest) if resolved.site.bound.digest else "nothing"
    digest = resolved.scenario.digest
    return (
        f"stale: {resolved.place}: the scenario {resolved.scenario.title!r} is not what {resolved.site.place} was "
        f"bound to: its digest is {digest!r}, the binding says {says}. Read the scenario, make the test show what it "
        f'says now, then write digest="{digest}", or run pytest with --update-digests'
    )


def _orphan(site: Site, documents: Sequence[SpecDocument]) -> str:
    """What a binding misses: the capability, the requirement in it, or the scenario in that; and what is close."""
    capability, requirement, title, _ = site.bound
    document = next((d for d in documents if d.capability == capability), None)
    if document is None:
        guess = did_you_mean(capability, [d.capability for d in documents])
        what = f"openspec/specs/{capability}/spec.md is not there{guess}"
        return f"{site.place}: is bound to a scenario of a capability that has no spec: {what}; {_REMEDY}"
    found = [r for r in document.requirements if r.title == requirement]
    if not found:
        guess = did_you_mean(requirement, [r.title for r in document.requirements])
        what = f"the requirement {requirement!r}, which {document.path} lacks{guess}"
        return f"{site.place}: is bound to {what}; {_REMEDY}"
    titles = [s.title for r in found for s in r.scenarios]
    where = f"{document.path}:{found[0].line} ({requirement!r})"
    guess = did_you_mean(title, titles)
    return f"{site.place}: is bound to the scenario {title!r}, which {where} lacks{guess}; {_REMEDY}"


_REMEDY = "correct the binding, or delete it"


def _doubled(harnesses: Mapping[str, list[HarnessSite]]) -> Iterator[str]:
    for name, found in harnesses.items():
        if len(found) > 1:
            places = " and at ".join(item.place for item in found)
            yield f"two harnesses are called {name!r}, at {places}; give each a name of its own"
