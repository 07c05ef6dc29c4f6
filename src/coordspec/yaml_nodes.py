"""The nodes of a YAML file that somebody brings: bounded before they are made.

The composer of libyaml's binding is recursive and has no limit: 200 KB of ``- - - …`` end the process with a
segmentation fault, without a word. Its parser is not, so depth is counted on the events first.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

MAX_DEPTH: Final = 100
"""Levels of a YAML file. Tables of names and cases of a scenario have three."""
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def compose(data: bytes | str) -> yaml.Node | None:
    """The root of the only document, as ``yaml.compose`` gives it; None for an empty one.

    Raises:
        ValueError: the text is no YAML, is more than one document, or is nested deeper than ``MAX_DEPTH``.
    """
    if (line := deep_line(data)) is not None:
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels in line {line}")
    try:
        root: yaml.Node | None = yaml.compose(data, Loader=_LOADER)
    except (yaml.YAMLError, UnicodeError) as error:
        raise ValueError(f"is no YAML: {' '.join(str(error).split())}") from error
    return root


def deep_line(data: bytes | str) -> int | None:
    """The line, from 1, in which a text gets deeper than ``MAX_DEPTH``; None if it does not before its first fault."""
    depth = 0
    try:
        for event in yaml.parse(data, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                return int(event.start_mark.line) + 1  # type: ignore[union-attr]  # what was read has a place
    except (yaml.YAMLError, UnicodeError):
        return None  # whoever reads it next says what it is
    return None


def scalar(node: yaml.Node) -> str | None:
    """The text of a scalar as it is written, so that ``no`` and ``1`` are words; None for a list or a mapping."""
    return node.value if isinstance(node, yaml.ScalarNode) else None
