"""Bindings of ``openspec/specs/training-config``, and of the config commands of ``openspec/specs/cli``."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError
from spec_tools import Done, coordspec
from spec_tools import folder as empty_folder

from config_texts import written
from coordspec.config.check import load_config
from coordspec.spec.binding import harness, scenario

ROOT = Path(__file__).parents[2]
SOUND = ROOT / "tests/fixtures/configs"
VARIANTS = {"stage1_sft": "base.yaml", "stage2_ab": "stage2.yaml"}
LOSS = "custom.coord_soft_ce_w1"


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A new folder with sound configs and their data, as the working directory."""
    with empty_folder() as here:
        shutil.copytree(SOUND, here, dirs_exist_ok=True)
        yield here


def findings(text: str, *options: str, **files: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit status and findings of ``coordspec check-config run.yaml`` on this text, beside the sound configs."""
    with folder() as here:
        for name, content in {**files, "run": text}.items():
            (here / f"{name}.yaml").write_text(content, "utf-8")
        done = coordspec("check-config", "run.yaml", "--format", "json", *options)
    assert "Traceback" not in done.err
    return done.status, done.report["issues"]


def one(text: str, *options: str, **files: str) -> dict[str, Any]:
    """The only finding, which is an error if the exit status says so."""
    status, found = findings(text, *options, **files)
    assert len(found) == 1, found
    assert status == int(found[0]["severity"] == "error")
    return found[0]


def place(issue: Mapping[str, Any]) -> str:
    return f"{issue['path']}:{issue['line']}:{issue['column']}"


def pointer(path: str) -> str:
    return "/" + path.replace(".", "/")


def overlay(settings: Mapping[str, object], base: str = "base.yaml") -> str:
    """A config that extends a sound one and sets these dotted paths."""
    tree: dict[str, Any] = {"extends": base}
    for path, value in settings.items():
        *above, name = path.split(".")
        below = tree
        for step in above:
            below = below.setdefault(step, {})
        below[name] = value
    return yaml.safe_dump(tree, sort_keys=False)


# -------------------------------------------------------------------------------------------------------- removed keys


@harness("removed-key")
def removed_key(key: str, path: str, message: str) -> None:
    issue = one(f"extends: base.yaml\ncustom:\n  {key}: 1\n")
    assert (place(issue), issue["pointer"], issue["severity"]) == ("run.yaml:3:3", pointer(path), "error")
    assert issue["message"].startswith(message)


@scenario("training-config", "Removed keys fail fast", "Switched off is still there", digest="6378b3552d78")
def test_switched_off_is_still_there() -> None:
    said = {
        one(f"extends: base.yaml\ncustom:\n  coord_loss: {v}\n")["message"] for v in ("null", "{}", "{enabled: false}")
    }
    assert len(said) == 1
    assert said.pop().startswith("custom.coord_loss was removed: ")


@scenario("training-config", "Removed keys fail fast", "The key comes from a parent", digest="f5244fa6f39b")
def test_the_key_comes_from_a_parent() -> None:
    parent = (SOUND / "base.yaml").read_text() + "  coord_loss: {}\n"
    issue = one("extends: base.yaml\n", base=parent)
    lines = parent.count("\n")
    assert place(issue) == f"base.yaml:{lines}:3"
    assert "(run.yaml:1 extends it)" in issue["message"]


@scenario("training-config", "Removed keys fail fast", "Both keys at once", digest="80dc59134f34")
def test_both_keys_at_once() -> None:
    status, found = findings(
        "extends: base.yaml\ncustom: {coord_loss: 1, coord_expectation_metrics: 2, trainer_varant: 3}\n"
    )
    assert status == 1
    assert [issue["name"] for issue in found] == ["config-removed-key", "config-removed-key", "config-unknown-key"]


# ---------------------------------------------------------------------------------------------------------- coord loss


@harness("coord-modes")
def coord_modes(coord_tokens: bool | str, coord_soft_ce_w1: bool | str, exit: int) -> None:  # noqa: A002 (a key of the block)
    keys = {"coord_tokens": coord_tokens, "coord_soft_ce_w1": coord_soft_ce_w1}
    base = yaml.safe_load((SOUND / "base.yaml").read_text())
    set_ = {name: {"enabled": value} for name, value in keys.items() if value != "absent"}
    base["custom"] = {"trainer_variant": "stage1_sft", **set_}
    assert findings(yaml.safe_dump(base))[0] == exit


@scenario("training-config", "Coord tokens need their loss", "The message", digest="edc41bfb63a4")
def test_the_message() -> None:
    text = (
        "extends: base.yaml\ncustom:\n  trainer_variant: stage1_sft\n  coord_tokens:\n    enabled: true\n"
        "  coord_soft_ce_w1:\n    enabled: false\n"
    )
    issue = one(text)
    assert place(issue) == "run.yaml:5:5"
    assert f"{LOSS}.enabled is false (line 7)" in issue["message"]
    assert issue["hint"] == f"write {LOSS}.enabled: true"


@harness("config-defaults")
def config_defaults(path: str, value: object) -> None:
    with folder() as here:
        (here / "run.yaml").write_text(
            "model: {path: model}\ndata: {train: [train.jsonl]}\ntraining: {output_dir: run}\n"
            "custom: {coord_soft_ce_w1: {enabled: true}}\n"
        )
        shown = coordspec("config", "show", "run.yaml", "--format", "json").report
    assert shown["settings"][path] == {"value": value, "origin": "default", "overrides": []}


@harness("config-refused")
def config_refused(path: str, value: object) -> None:
    text = overlay({path: value})
    status, found = findings(text)
    errors = [issue for issue in found if issue["severity"] == "error"]
    assert (status, len(errors)) == (1, 1)
    line, column = len(text.splitlines()), text.splitlines()[-1].index(": ") + 3
    assert (errors[0]["pointer"], place(errors[0])) == (pointer(path), f"run.yaml:{line}:{column}")


@scenario("training-config", "Settings of the coord loss", "Nothing teaches the token", digest="1d96a835615d")
def test_nothing_teaches_the_token() -> None:
    issue = one(overlay({f"{LOSS}.gate_weight": 0, f"{LOSS}.ce_weight": 0}))
    assert issue["severity"] == "warning"
    assert f"{LOSS}.gate_weight" in issue["message"]
    assert f"{LOSS}.ce_weight" in issue["message"]
    assert "nothing teaches the model to write a coord token" in issue["message"]


# ---------------------------------------------------------------------------------------------------------------- keys


@scenario("training-config", "One document, known keys", "A misspelt key", digest="f05f48911646")
def test_a_misspelt_key() -> None:
    issue = one("extends: base.yaml\ncustom:\n  coord_soft_ce_w1:\n    gate_wieght: 1\n")
    assert (place(issue), issue["pointer"]) == ("run.yaml:4:5", pointer(f"{LOSS}.gate_wieght"))
    assert "(did you mean 'gate_weight'?)" in issue["message"]


@scenario("training-config", "One document, known keys", "A key in the wrong section", digest="0acc873ebf3b")
def test_a_key_in_the_wrong_section() -> None:
    issue = one(written("training.gate_weight", "1"))
    assert issue["hint"] == f"write {LOSS}.gate_weight"


@scenario("training-config", "One document, known keys", "A wrong type", digest="86318c74cef3")
def test_a_wrong_type() -> None:
    issue = one(written(f"{LOSS}.target_sigma", "two"))
    assert (place(issue), issue["message"]) == ("run.yaml:4:19", '"two" is a string, not a number above 0')


@scenario("training-config", "One document, known keys", "A repeated key", digest="d6fd3da12e3b")
def test_a_repeated_key() -> None:
    issue = one(written(f"{LOSS}.w1_weight", "1") + "    w1_weight: 2\n")
    assert (place(issue), issue["severity"]) == ("run.yaml:5:5", "error")
    assert "stands in line 4" in issue["message"]


@scenario("training-config", "One document, known keys", "An unknown variant", digest="8bd332d90f08")
def test_an_unknown_variant() -> None:
    issue = one(written("custom.trainer_variant", "stage3"))
    assert issue["severity"] == "error"
    assert "none of stage1_sft, rollout_matching_sft, stage2_ab" in issue["message"]


# ------------------------------------------------------------------------------------------------------------- extends


@scenario("training-config", "Configs extend configs", "Who wins", digest="a0b26f17a97d")
def test_who_wins() -> None:
    files = {
        "run": f"extends: [base.yaml, a.yaml, b.yaml]\n{LOSS_SECTION}    w1_weight: 1\n",
        "a": f"{LOSS_SECTION}    w1_weight: 2\n    target_sigma: 3\n",
        "b": f"{LOSS_SECTION}    w1_weight: 4\n",
    }
    with folder() as here:
        for name, text in files.items():
            (here / f"{name}.yaml").write_text(text)
        shown = coordspec("config", "show", "run.yaml", "--format", "json").report["settings"]
    weight, sigma = shown[f"{LOSS}.w1_weight"], shown[f"{LOSS}.target_sigma"]
    assert (weight["value"], weight["origin"], weight["overrides"]) == (1, "run.yaml:4", ["b.yaml:3", "a.yaml:3"])
    assert (sigma["value"], sigma["origin"]) == (3, "a.yaml:4")


LOSS_SECTION = "custom:\n  coord_soft_ce_w1:\n"


@scenario("training-config", "Configs extend configs", "Lists are replaced", digest="be0a2c25f8dd")
def test_lists_are_replaced() -> None:
    with folder() as here:
        (here / "parent.yaml").write_text("extends: base.yaml\ndata: {train: [train.jsonl, val.jsonl]}\n")
        (here / "run.yaml").write_text("extends: parent.yaml\ndata: {train: [val.jsonl]}\n")
        assert load_config("run.yaml").data.train == ("val.jsonl",)


@scenario("training-config", "Configs extend configs", "A cycle", digest="36baafc656c9")
def test_a_cycle() -> None:
    with folder() as here:
        (here / "a.yaml").write_text("extends: b.yaml\n")
        (here / "b.yaml").write_text("extends: a.yaml\n")
        done = coordspec("check-config", "a.yaml", "--format", "json")
    (issue,) = done.report["issues"]
    assert (done.status, issue["severity"]) == (1, "error")
    assert "a.yaml → b.yaml → a.yaml" in issue["message"]


@scenario("training-config", "Configs extend configs", "A missing parent", digest="010a8a51f79d")
def test_a_missing_parent() -> None:
    issue = one("extends: [base.yaml, parents/none.yaml]\n")
    assert (place(issue), issue["severity"]) == ("run.yaml:1:22", "error")
    assert "parents/none.yaml" in issue["message"]


@scenario("training-config", "One place for a default", "A config cannot change on the way", digest="c91c188a71c5")
def test_a_config_cannot_change_on_the_way() -> None:
    with folder():
        config = load_config("base.yaml")
    with pytest.raises(ValidationError):
        config.training.seed = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        config.training = config.training  # type: ignore[misc]


# -------------------------------------------------------------------------------------------------------- words of YAML


@harness("config-trap")
def config_trap(path: str, text: str, rule: str, severity: str, hint: str) -> None:
    issue = one(written(path, text))
    assert (issue["name"], issue["severity"], issue["hint"]) == (rule, severity, hint)
    assert (issue["pointer"], place(issue)) == (pointer(path), f"run.yaml:3:{len(path.split('.')[1]) + 5}")


@harness("config-no-trap")
def config_no_trap(path: str, text: str) -> None:
    assert findings(written(path, text)) == (0, [])


# ------------------------------------------------------------------------------------------------ files, keys, settings


@harness("config-text")
def config_text(text: str, rule: str, at: str) -> None:
    issue = one(text)
    assert (issue["name"], issue["severity"], place(issue)) == (rule, "error", at)


@scenario("training-config", "Files that are no configs", "Hostile files", digest="6b7cd0192d78")
def test_hostile_files() -> None:
    bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    bomb += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    files = {
        "config-too-deep": b"[" * 100_000,
        "config-too-many-values": "\n".join(bomb).encode(),
        "config-binary": b"model: \0",
        "config-encoding": b"model: \xff",
        "config-too-long": b"# x\n" * (1 << 19),
    }
    with folder() as here:
        for name, data in files.items():
            (here / "run.yaml").write_bytes(data)
            done = coordspec("check-config", "run.yaml", "--format", "json")
            assert ([issue["name"] for issue in done.report["issues"]], done.status) == ([name], 1)
            assert done.err == ""


@scenario("training-config", "Files that are no configs", "Three faults in one file", digest="01fd2bde6c5e")
def test_three_faults_in_one_file() -> None:
    text = overlay({"training.sead": 1, "training.bf16": "x", f"{LOSS}.enabled": False})
    status, found = findings(text)
    assert status == 1
    assert [issue["name"] for issue in found] == ["config-unknown-key", "config-type", "coord-loss-required"]


@harness("config-meant")
def config_meant(key: str, rule: str, meant: str) -> None:
    issue = one(written(key, "1"))
    *above, _ = key.split(".")
    assert (issue["name"], place(issue)) == (rule, f"run.yaml:{len(above) + 2}:{2 * len(above) + 1}")
    assert meant in issue["message"]


@harness("config-between")
def config_between(variant: str, set: dict[str, Any], rule: str, severity: str, at: str) -> None:  # noqa: A002 (a key)
    issue = one(overlay(set, VARIANTS[variant]))
    assert (issue["name"], issue["severity"], issue["pointer"]) == (rule, severity, pointer(at))


@scenario("training-config", "Rules between settings", "Both places", digest="8d17f8a7fb2b")
def test_both_places() -> None:
    parent = "extends: stage2.yaml\nrollout_matching:\n  decoding:\n    max_new_tokens: 1024\n"
    issue = one("extends: parent.yaml\ntemplate:\n  max_length: 512\n", parent=parent)
    assert (issue["severity"], issue["path"], issue["line"]) == ("error", "parent.yaml", 4)
    assert "template.max_length is 512 (run.yaml:3)" in issue["message"]


@scenario("training-config", "Rules between settings", "The chain of files", digest="fc360b13570a")
def test_the_chain_of_files() -> None:
    sound = (SOUND / "base.yaml").read_text().split("training:")[0]
    rest = "training: {output_dir: run}\ncustom: {trainer_variant: stage2_ab}\n"
    base = f"{sound}stage2_ab:\n  schedule: {{b_ratio: 0.5}}\n{rest}"
    child = "extends: base.yaml\nstage2_ab:\n  schedule:\n    # too many\n    b_ratio: 2\n"
    with folder() as here:
        (here / "base.yaml").write_text(base)
        (here / "stage2.yaml").write_text(child)
        (issue,) = coordspec("check-config", "stage2.yaml", "--format", "json").report["issues"]
    assert base.split("b_ratio", maxsplit=1)[0].count("\n") + 1 == 7
    assert "(stage2.yaml:5 overrides base.yaml:7)" in issue["message"]


@harness("config-files")
def config_files(path: str, value: Any, rule: str | None, severity: str = "error", without_data: bool = False) -> None:
    text = overlay({path: value})
    status, found = findings(text)
    assert [(issue["name"], issue["severity"]) for issue in found] == ([(rule, severity)] if rule else [])
    assert status == int(bool(rule) and severity == "error")
    assert all(issue["pointer"].startswith(pointer(path)) for issue in found)
    assert len(findings(text, "--no-data")[1]) == int(without_data)


@scenario("training-config", "Files that a config names", "Beside the file", digest="4e45e64567d4")
def test_beside_the_file() -> None:
    with folder() as here:
        (here / "deep").mkdir()
        (here / "deep/run.yaml").write_text("extends: ../base.yaml\n")
        assert coordspec("check-config", "deep/run.yaml", "--format", "json").report["issues"] == []
        assert load_config("deep/run.yaml").data.train == ("train.jsonl",)


# -------------------------------------------------------------------------------------------------------------- origins


@scenario("training-config", "Origin of every value", "Shown with origins", digest="f1c1733853b7")
def test_shown_with_origins() -> None:
    with folder() as here:
        (here / "run.yaml").write_text("extends: base.yaml\ntraining:\n  output_dir: other\n")
        done = coordspec("config", "show", "run.yaml")
        assert yaml.safe_load(done.out) == load_config("run.yaml").model_dump(mode="json")
    lines = [re.sub(r" +#", " #", line.strip()) for line in done.out.splitlines()]
    assert "output_dir: other # run.yaml:3, overrides base.yaml:7" in lines
    assert "path: model # base.yaml:3" in lines
    assert "seed: 42 # default" in lines


@scenario("training-config", "Origin of every value", "Differences", digest="4a4802465b16")
def test_differences() -> None:
    with folder() as here:
        (here / "same.yaml").write_text("extends: base.yaml\ntraining: {seed: 0x2A}\n")
        (here / "other.yaml").write_text("extends: base.yaml\ntraining: {seed: 7}\n")
        assert coordspec("config", "diff", "base.yaml", "same.yaml")[:2] == (0, "")
        done = coordspec("config", "diff", "same.yaml", "other.yaml")
    assert done[:2] == (1, "training.seed: 42 (same.yaml:2) -> 7 (other.yaml:2)\n")


# ------------------------------------------------------------------------------------------------------ shipped configs

SHIPPED = sorted((ROOT / "configs").rglob("*.yaml"))


@scenario("training-config", "Shipped configs", "They pass", digest="284335d358bd")
def test_they_pass() -> None:
    assert SHIPPED
    done = coordspec("check-config", ROOT / "configs", "--no-data", "--format", "json")
    assert (done.status, done.report["summary"]["files"]) == (0, len(SHIPPED))
    warnings = [issue for issue in done.report["issues"] if issue["severity"] != "advice"]
    assert all(issue["message"].startswith("legacy/ablation") for issue in warnings)
    assert all("ablation" in issue["path"] for issue in done.report["issues"])


@scenario("training-config", "Shipped configs", "Editors know them", digest="205262434328")
def test_editors_know_them() -> None:
    schema = ROOT / "contracts/config.schema.json"
    validator = jsonschema.Draft7Validator(json.loads(schema.read_text()))
    for path in SHIPPED:
        first, second, *_ = path.read_text().splitlines()
        assert second.startswith("# "), "it says what it is for"
        target = first.removeprefix("# yaml-language-server: $schema=")
        assert target != first, path
        assert (path.parent / target).resolve() == schema
        validator.validate(yaml.safe_load(path.read_text()))


# ------------------------------------------------------------------------------------------------------- the commands


@harness("config-status")
def config_status(words: str, status: int) -> None:
    texts = {"good": "", "other": "training: {seed: 7}\n", "warning": "training: {bf16: on}\n", "error": "zzz: 1\n"}
    with folder() as here:
        for name, text in texts.items():
            (here / f"{name}.yaml").write_text(f"extends: base.yaml\n{text}")
        done: Done = coordspec(*words.split())
    assert done.status == status
    assert "Traceback" not in done.err


@scenario("cli", "Config commands", "A config as JSON report", digest="63b9cca591da")
def test_a_config_as_json_report() -> None:
    issue = one("extends: base.yaml\nzzz: 1\n")
    values = (issue["code"], issue["path"], issue["line"], issue["column"], issue["byte_offset"], issue["pointer"])
    assert values == ("CFG201", "run.yaml", 2, 1, 19, "/zzz")
