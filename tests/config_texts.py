"""What the tests of configs share."""

from __future__ import annotations


def written(path: str, text: str, base: str = "base") -> str:
    """A config that extends a sound one; its last line writes this text as the value of a setting."""
    *above, name = path.split(".")
    lines = [f"{'  ' * depth}{step}:\n" for depth, step in enumerate(above)]
    return f"extends: {base}.yaml\n" + "".join(lines) + f"{'  ' * len(above)}{name}: {text}\n"
