"""A coordspec command in an environment that has the base install alone, as far as its imports can tell.

python tests/base_install.py WORDS …
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from types import ModuleType

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def base_distributions() -> frozenset[str]:
    """coordspec without extras, and all that it brings."""
    found: set[str] = set()
    new = ["coordspec"]
    while new:
        name = normal(new.pop())
        if name in found:
            continue
        try:
            needed = requires(name) or []
        except PackageNotFoundError:  # of another platform
            continue
        found.add(name)
        new += [match[0] for one in needed if "extra ==" not in one and (match := _NAME.match(one))]
    return frozenset(found)


class NothingElse(MetaPathFinder):
    """Refuses to find packages of other distributions than those of the base install."""

    def __init__(self) -> None:
        base, owners = base_distributions(), packages_distributions()
        self.refused = {name for name, of in owners.items() if not base & {normal(one) for one in of}}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in self.refused:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


if __name__ == "__main__":
    sys.meta_path.insert(0, NothingElse())
    from coordspec_cli.main import main

    main(sys.argv[1:])
