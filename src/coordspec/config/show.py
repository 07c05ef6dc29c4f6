"""A resolved config as text: every value, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import yaml

from coordspec.config.extends import Resolved
from coordspec.config.model import Config
from coordspec.config.tree import find
from coordspec.errors import Pointer, dotted_path
from coordspec.findings.visible import visible

DEFAULT: Final = "default"


class Setting(NamedTuple):
    """One setting with its value. ``origin`` is ``file:line`` or ``default``; ``overrides`` are places that lost."""

    at: Pointer
    value: Any
    origin: str
    overrides: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return dotted_path(self.at)

    def value_of_json(self) -> dict[str, Any]:
        """As a JSON value, without the path."""
        return {"value": self.value, "origin": self.origin, "overrides": list(self.overrides)}


def settings(config: Config, resolved: Resolved) -> list[Setting]:
    """Every setting of a config in the order of the model; a section that is null counts as one setting."""
    return list(_settings(config.model_dump(mode="json"), (), resolved))


def _settings(values: Mapping[str, Any], above: Pointer, resolved: Resolved) -> Iterator[Setting]:
    for name, value in values.items():
        at = (*above, name)
        if isinstance(value, dict):
            yield from _settings(value, at, resolved)
            continue
        entry = find(resolved.root, at)
        places = [f"{place.path}:{place.line}" for place in entry.chain] if entry is not None else [DEFAULT]
        yield Setting(at, value, places[0], tuple(places[1:]))


def show_yaml(config: Config, resolved: Resolved) -> str:
    """The whole config as YAML, each value with its origin in a comment. Reading it gives the same values."""
    rows = []
    for setting in settings(config, resolved):
        lost = "".join(f", overrides {place}" for place in setting.overrides)
        rows.append((setting.at, setting.value, f"# {visible(setting.origin + lost)}"))
    return laid_out(rows)


def laid_out(rows: Iterable[tuple[Pointer, Any, str]]) -> str:
    """YAML of settings in the order of their sections, the comments of all of them in one column."""
    lines: list[tuple[str, str]] = []
    open_sections: Pointer = ()
    for at, value, comment in rows:
        above = at[:-1]
        for depth, name in enumerate(above):
            if open_sections[: depth + 1] != above[: depth + 1]:
                lines.append((f"{'  ' * depth}{name}:", ""))
                open_sections = above[: depth + 1]
        open_sections = above
        lines.append((f"{'  ' * len(above)}{at[-1]}: {yaml_text(value)}", comment))
    width = min(max(len(text) for text, comment in lines if comment), _COMMENT_COLUMN)
    return "".join(f"{text:<{width}}  {comment}".rstrip() + "\n" for text, comment in lines)


_COMMENT_COLUMN: Final = 60


def yaml_text(value: Any) -> str:
    """A value on one line, in a spelling that reads as the same value and shows no hidden character."""
    options: dict[str, Any] = {"default_flow_style": True, "width": float("inf"), "sort_keys": False}
    text: str = yaml.safe_dump(value, allow_unicode=True, **options)
    text = text.removesuffix("\n").removesuffix("\n...")
    if visible(text) != text:
        text = yaml.safe_dump(value, allow_unicode=False, default_style='"', **options).removesuffix("\n")
    return text


class Change(NamedTuple):
    """A setting that two configs do not have in common; None stands for a section that one of them does not have."""

    path: str
    old: Setting | None
    new: Setting | None


def changes(old: list[Setting], new: list[Setting]) -> list[Change]:
    """What differs in the values of two configs, in the order of the model; origins alone are no difference."""
    before, after = ({setting.at: setting for setting in side} for side in (old, new))
    both = list(dict.fromkeys([*before, *after]))
    pairs = [Change(dotted_path(at), before.get(at), after.get(at)) for at in both]
    return [pair for pair in pairs if pair.old is None or pair.new is None or pair.old.value != pair.new.value]
