"""The files that a config names: they are there, and their first records keep the record contract."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from coordspec.config.beside import beside
from coordspec.config.fault import Fault
from coordspec.config.tree import YamlEntry, YamlNode, find, shown_node
from coordspec.contracts import rule
from coordspec.errors import InputError, Pointer, dotted_path

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
