"""Keys: which are known, and what was probably meant by the others."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import yaml

from coordspec.checks.finding import shown
from coordspec.config.extends import EXTENDS
from coordspec.config.fault import Fault
from coordspec.config.fields import fields, names, paths_of
from coordspec.config.tree import YamlNode
from coordspec.contracts import contract_bytes, did_you_mean, rule
from coordspec.errors import Pointer, dotted_path

_CLOSE: Final = 0.7


def check_keys(root: YamlNode, at: Pointer = ()) -> Iterator[Fault]:
    """Every key that the model does not know; what stands below one is not looked at."""
    assert isinstance(root.value, Mapping)
    for key, entry in root.value.items():
        known = fields().get((*at, key))
        if known is None:
            name, values = meant_by(key, at)
            yield Fault(name, (*at, key), entry, values, on_key=True)
        elif known.section is not None and isinstance(entry.node.value, Mapping):
            yield from check_keys(entry.node, (*at, key))


def meant_by(key: str, above: Pointer) -> tuple[str, Mapping[str, object]]:
    """The rule that an unknown key breaks: removed, known by another name, misplaced, or unknown, maybe misspelt."""
    path = dotted_path((*above, key))
    if path in removed_keys():
        return "config-removed-key", {"path": path, **removed_keys()[path]}
    section = dotted_path(above)
    siblings = [str(at[-1]) for at in fields() if at[:-1] == above]
    name = key.strip().lower().replace("-", "_").replace(" ", "_")
    values = {"key": shown(key), "section": f"a setting of {section}" if section else "a section of a config"}
    if name in siblings:
        return "config-unknown-key", {**values, "suggestion": f" (did you mean {name!r}?)"}
    other = _other_name(name, above)
    if other is not None:
        return "config-other-name", {**values, **other}
    elsewhere = ("extends, at the top of the file",) if key == EXTENDS else paths_of(name)
    if elsewhere:
        return "config-misplaced-key", {**values, "paths": " or ".join(elsewhere)}
    suggestion = did_you_mean(name, siblings) or _close_elsewhere(name)
    return "config-unknown-key", {**values, "suggestion": suggestion}


def _other_name(name: str, above: Pointer) -> Mapping[str, object] | None:
    """What a name of another program, or a common short one, is called here: in the same section if it can be."""
    known: Mapping[str, Sequence[str]] = rule("config-other-name").params["names"]
    paths = known.get(name, ())
    near = [path for path in paths if above and path.startswith(f"{above[0]}.")]
    chosen = near or paths
    return {"path": " or ".join(chosen)} if chosen else None


def _close_elsewhere(name: str) -> str:
    close = difflib.get_close_matches(name, sorted(names()), n=1, cutoff=_CLOSE)
    return f" (did you mean {' or '.join(paths_of(close[0]))}?)" if close else ""


@cache
def removed_keys() -> Mapping[str, Mapping[str, str]]:
    """``contracts/removed_keys.yaml`` by dotted path."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document = yaml.load(contract_bytes("removed_keys.yaml"), Loader=loader)  # noqa: S506 (a safe loader either way)
    return {entry["path"]: {"reason": entry["reason"], "fix": entry["fix"]} for entry in document["removed"]}
