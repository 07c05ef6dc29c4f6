"""The lower bounds of pyproject.toml, constraints-lowest.txt and constraints.txt: one set of names, as tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def bounds() -> dict[str, set[Version]]:
    """Every direct dependency of any extra and the lower bounds that it is given; no other kind of bound is known."""
    found: dict[str, set[Version]] = {}
    for needs in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        for need in map(Requirement, needs):
            if need.name != PROJECT["name"]:
                (bound,) = need.specifier
                assert bound.operator == ">=", str(need)
                found.setdefault(canonicalize_name(need.name), set()).add(Version(bound.version))
    return found


def pins(name: str) -> dict[str, Version]:
    lines = (ROOT / name).read_text().splitlines()
    needs = [Requirement(line) for line in lines if line and not line.startswith("#")]
    made = {}
    for need in needs:
        (pin,) = need.specifier
        assert pin.operator == "==", str(need)
        made[canonicalize_name(need.name)] = Version(pin.version)
    assert len(made) == len(needs), f"{name} names a package twice"
    return made


def test_the_lowest_versions_are_the_bounds() -> None:
    lowest = pins("constraints-lowest.txt")
    assert {name: {lowest.get(name)} for name in bounds()} == bounds()


def test_no_version_that_ci_installs_is_below_its_bound() -> None:
    installed = pins("constraints.txt")
    assert [name for name, (bound,) in bounds().items() if installed[name] < bound] == []


@pytest.mark.parametrize("line", [line for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)])
def test_every_version_of_python_is_in_a_nightly_run(line: str) -> None:
    version = line.rpartition(" ")[2]
    makefile = (ROOT / "Makefile").read_text()
    (others,) = re.findall(r"^PYTHONS \?= (.*)$", makefile, re.MULTILINE)
    assert version == PROJECT["requires-python"].removeprefix(">=") or f"python{version}" in others.split()
