"""One config, or many: all that is wrong with them in one run, and the typed model of one that is sound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from coordspec.config.extends import Fault, Resolved, beside, issue_of, resolve, with_origin
from coordspec.config.model import Config
from coordspec.config.rules import View, check_between
from coordspec.config.values import check_keys, check_missing, check_traps, check_values, model_of
from coordspec.config.yaml_tree import YamlEntry, YamlNode, find, shown_node
from coordspec.contracts import rule, rule_book
from coordspec.errors import ContractError, InputError, Issue, Pointer, Severity, dotted_path
from coordspec.findings.outcome import Outcome

# ---------------------------------------------------------------- the files that a config names


_FILES = ("train", "val")


def check_data_files(root: YamlNode, max_line_bytes: int, *, records: bool) -> Iterator[Fault]:
    """What is wrong with the files that stand in a config, and with their first ``records`` if these are wanted.

    A value that is no path is not looked at.
    """
    for name in _FILES:
        listed = find(root, ("data", name))
        if listed is None or not isinstance(listed.node.value, tuple):
            continue
        for index, item in enumerate(listed.node.value):
            if isinstance(item.value, str) and item.value:
                yield from _check_file(("data", name, index), YamlEntry(item, listed.chain), max_line_bytes, records)
    for at, name in ((("data", "image_root"), "data-missing"), (("model", "path"), "model-missing")):
        folder = find(root, at)
        if folder is not None and isinstance(folder.node.value, str) and folder.node.value:
            path = beside(folder.node.place.path, folder.node.value)
            if not Path(path).is_dir():
                yield Fault(name, at, folder, {"value": shown_node(folder.node), "path": path, "what": "folder"})


def _check_file(at: Pointer, entry: YamlEntry, max_line_bytes: int, records: bool) -> Iterator[Fault]:
    path = beside(entry.node.place.path, str(entry.node.value))
    values = {"value": shown_node(entry.node), "path": path, "what": "file"}
    if not Path(path).is_file():
        yield Fault("data-missing", at, entry, values)
        return
    try:
        reason = _first_error(path, max_line_bytes) if records else ""
    except InputError as error:
        yield Fault("data-unreadable", at, entry, {**values, "reason": error.reason})
        return
    if reason:
        yield Fault("data-record", at, entry, {**values, "reason": reason})


def _first_error(path: str, max_line_bytes: int) -> str:
    """The first finding at error level in the first records, in words; the empty string if there is none."""
    from coordspec.record import RefusedLine, read_records  # noqa: PLC0415 (only where there is a file to read)

    first = list(islice(read_records(path, max_line_bytes), rule("data-record").params["records"]))
    refused = next((item for item in first if isinstance(item, RefusedLine)), None)
    if refused is None:
        return "" if first else "it holds no record"
    issue = refused.issues[0]
    where = dotted_path(issue.place.at or ())
    return f"line {refused.place.line}: {f'{where}: ' if where else ''}{issue.message} ({issue.code} {issue.name})"


# ---------------------------------------------------------------- one config, or many


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How configs are checked.

    ``rules`` are the names of the rules that count; ``strict`` makes warnings errors; with ``data`` the files that a
    config names are looked at, with ``records`` the first records in them too.
    """

    rules: frozenset[str] = field(default_factory=lambda: frozenset(rule_book().about("config").by_name))
    strict: bool = False
    data: bool = True
    records: bool = True

    def weighed(self, issue: Issue) -> Issue:
        """The finding with the severity that it has in this run."""
        strict = self.strict and issue.severity is Severity.WARNING
        return replace(issue, severity=Severity.ERROR) if strict else issue


@dataclass(frozen=True, slots=True)
class CheckedConfig:
    """What was found in a config. ``config`` is None if there is an error in it, under any options."""

    resolved: Resolved
    issues: tuple[Issue, ...]
    config: Config | None


def check_config(path: str, options: CheckOptions = CheckOptions()) -> CheckedConfig:
    """Check one config with all that it extends. Findings are in the order of files, lines and columns.

    Raises:
        InputError: the file cannot be opened.
    """
    resolved = resolve(path)
    config, faults = _check(resolved, options)
    found = [with_origin(issue, resolved) for issue in resolved.issues]
    found += [issue_of(fault, resolved) for fault in faults]
    broken = any(issue.severity is Severity.ERROR for issue in found)
    order = {name: index for index, name in enumerate(resolved.files)}
    kept = [options.weighed(issue) for issue in found if issue.name in options.rules]
    kept.sort(key=lambda issue: (order[issue.place.path], issue.place.line or 0, issue.place.column or 0))
    return CheckedConfig(resolved, tuple(kept), None if broken else config)


def load_config(path: str, options: CheckOptions = CheckOptions()) -> Config:
    """The typed config of a file, for a run.

    Raises:
        InputError: the file cannot be opened.
        ContractError: there is an error in the config; every finding at error level is in it.
    """
    checked = check_config(path, replace(options, rules=CheckOptions().rules))
    errors = [issue for issue in checked.issues if issue.severity is Severity.ERROR]
    if errors or checked.config is None:
        raise ContractError(errors)
    return checked.config


def check_files(paths: Sequence[str], options: CheckOptions = CheckOptions()) -> Outcome:
    """Check configs and say what was found; each is a record of the report. Unreadable ones are named in it."""
    checked: list[CheckedConfig] = []
    unreadable: list[InputError] = []
    for path in paths:
        try:
            checked.append(check_config(path, options))
        except InputError as error:
            unreadable.append(error)
    return outcome_of(paths, checked, unreadable)


def outcome_of(
    paths: Sequence[str], checked: Sequence[CheckedConfig], unreadable: Sequence[InputError] = ()
) -> Outcome:
    """The result of a command on some configs. What is wrong with a file that several of them extend is said once."""
    found = {(issue.name, issue.place): issue for one in reversed(checked) for issue in reversed(one.issues)}
    listed = tuple(reversed(found.values()))
    invalid = sum(any(issue.severity is Severity.ERROR for issue in one.issues) for one in checked)
    return Outcome(
        files=tuple(paths),
        records=len(checked),
        valid=len(checked) - invalid,
        invalid=invalid,
        errors=sum(issue.severity is Severity.ERROR for issue in listed),
        warnings=sum(issue.severity is Severity.WARNING for issue in listed),
        by_rule=Counter(issue.name for issue in listed),
        issues=listed,
        unreadable=tuple(unreadable),
        notes=("each config is a record of this report",),
    )


def _check(resolved: Resolved, options: CheckOptions) -> tuple[Config, list[Fault]]:
    """The faults of keys, values, settings against each other and files; and the model without what is faulty."""
    root = resolved.root
    faults = list(check_keys(root))
    unknown = {fault.at for fault in faults}
    out = unknown | _misread(resolved)
    trapped = [fault for fault in check_traps(root) if not _below(fault.at, out)]
    faults += trapped
    out |= {_setting(fault.at) for fault in trapped if fault.weight is Severity.ERROR}
    while True:
        try:
            config = model_of(root, out)
            break
        except ValidationError as error:
            refused = list(check_values(root, error))
            named = {_setting(fault.at) for fault in refused}
            assert not named <= out, "a value that is left out cannot be refused"
            faults += refused
            out |= named
    if resolved.whole:
        faults += check_missing(root)
        faults += check_between(View(config, root), frozenset(out))
    if options.data:
        faults += check_data_files(root, config.data.max_line_bytes, records=options.records)
    return config, faults


def _misread(resolved: Resolved) -> set[Pointer]:
    """Settings whose value a finding on the text of its file is about."""
    found = [(issue.place, find(resolved.root, issue.place.at)) for issue in resolved.issues if issue.place.at]
    return {_setting(place.at or ()) for place, entry in found if entry and replace(place, at=None) == entry.node.place}


def _below(at: Pointer, places: Collection[Pointer]) -> bool:
    return any(at[: len(place)] == place for place in places)


def _setting(at: Pointer) -> Pointer:
    """The setting that a place belongs to: an item of a list belongs to the list."""
    return tuple(step for step in at if isinstance(step, str))
