"""The shipped recipes as a file to begin with: one config that says all it sets, and why."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from coordspec.config.check import CheckOptions, check_config
from coordspec.config.model import Config, fields
from coordspec.config.sections import Section, section_of
from coordspec.config.show import DEFAULT, Setting, laid_out, settings

RECIPES: Final[Mapping[str, str]] = {
    "stage1": "stage1/retrain.yaml",
    "stage1-hard-ce": "stage1/retrain_hard_ce.yaml",
    "stage1-lora": "stage1/retrain_lora.yaml",
    "stage2": "stage2_ab/mixed.yaml",
    "stage2-a-only": "stage2_ab/a_only.yaml",
    "rollout-matching": "rollout_matching/sft.yaml",
}
"""Recipes by the name that a person asks for, and their files below ``configs/``."""

_HEAD: Final = """\
# coordspec config init {name}: {about}
# Change the paths, then: coordspec check-config THIS_FILE && coordspec train THIS_FILE
# What is not here has its default. `coordspec config show THIS_FILE` prints every setting, `coordspec docs config`
# explains them.
"""
_COMMENT: Final = re.compile(r"(?:^|\s)# (.*)$")
_SENTENCE: Final = re.compile(r"(.+?)[.:](?:\s|$)")


def about(name: str) -> str:
    """The first sentence of a recipe: what it trains."""
    lines = files("coordspec._configs").joinpath(RECIPES[name]).read_text("utf-8").splitlines()
    said = " ".join(line.removeprefix("# ") for line in lines[1:] if line.startswith("# "))
    found = _SENTENCE.match(said)
    return found[1] if found else said


def recipe_text(name: str) -> str:
    """A recipe as one commented YAML file: what it and the files it extends set, paths relative to the file.

    A comment is the one that stands at the value in the recipe, else the first sentence of the setting's description.
    """
    with as_file(files("coordspec._configs")) as folder:
        checked = check_config(str(folder / RECIPES[name]), CheckOptions(data=False))
        assert checked.config is not None, f"the recipe {name} is sound"
        chosen = [one for one in settings(checked.config, checked.resolved) if one.origin != DEFAULT]
        rows = [(one.at, _value(one, folder), f"# {_why(one)}") for one in chosen]
    return _HEAD.format(name=name, about=about(name)) + "\n" + laid_out(rows)


def _value(setting: Setting, configs: Path) -> object:
    """The value; a path as one beside the new file, where the recipe's is beside the folder of the recipes."""
    known = fields()[setting.at]
    if known.is_path:
        return _beside(setting.value, configs)
    if known.item is not None and known.item.is_path:
        return [_beside(path, configs) for path in setting.value]
    return setting.value


def _beside(path: str, configs: Path) -> str:
    return Path(os.path.relpath(path, configs.parent)).as_posix()


def _why(setting: Setting) -> str:
    file, _, line = setting.origin.rpartition(":")
    said = _COMMENT.search(Path(file).read_text("utf-8").splitlines()[int(line) - 1])
    return said[1] if said else _first_sentence(setting)


def _first_sentence(setting: Setting) -> str:
    """Of the description in the model, the one place where it stands."""
    *above, name = map(str, setting.at)
    section: type[Section] = Config
    for step in above:
        section = _inner(section, step)
    text = section.model_fields[name].description or ""
    found = _SENTENCE.match(text)
    return found[1] if found else text


def _inner(section: type[Section], name: str) -> type[Section]:
    found = section_of(section.model_fields[name])
    assert found is not None, name
    return found
