"""``coordspec check-config``, ``config show`` and ``config diff``: what is found, where, and in which words."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config_texts import written
from coordspec.config.check import CheckOptions, check_config, load_config
from coordspec.config.model import Config, fields, paths_of, takes
from coordspec.config.rules import CROSS_FIELD
from coordspec.config.sections import Section
from coordspec.config.show import yaml_text
from coordspec.config.values import removed_keys
from coordspec.contracts import contract_bytes, rule, rule_book
from coordspec.errors import ContractError, Severity

HERE = Path(__file__).parent
CONFIGS = HERE / "fixtures/configs"
CASES = yaml.safe_load((HERE / "cases/config/broken.yaml").read_text("utf-8"))
BASE, STAGE2 = "extends: base.yaml\n", "extends: stage2.yaml\n"
CHANNEL_B = STAGE2 + "stage2_ab: {channel_b: "
PLAIN = CheckOptions()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sound configs with their data, in the working directory."""
    shutil.copytree(CONFIGS, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(text: str, options: CheckOptions = PLAIN, **files: str) -> list[str]:
    """``place: severity: path: message (code)`` of every finding."""
    for name, content in {"run": text, **files}.items():
        Path(f"{name}.yaml").write_text(content, "utf-8")
    return [f"{i.place}: {i.severity.value}: {i}" for i in check_config("run.yaml", options).issues]


# ---------------------------------------------------------------- one fault each


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_a_config_with_one_fault(case: dict[str, Any], folder: Path) -> None:
    text = case["text"] if "text" in case else written(case["set"], case["to"], case.get("base", "base"))
    for name, content in {**case.get("files", {}), "run.yaml": text}.items():
        (folder / name).write_text(content, "utf-8")
    (issue,) = check_config("run.yaml").issues
    assert str(issue.place) == case["at"]
    assert (issue.name, issue.severity.value) == (case["rule"], case.get("severity", "error"))
    assert str(issue) == f"{case['says']} ({issue.code})"


def test_there_are_enough_cases_and_each_has_its_own_name() -> None:
    assert len({case["case"] for case in CASES}) == len(CASES) >= 60


def test_no_text_of_pydantic_reaches_a_person() -> None:
    theirs = re.compile(r"Input should|Field required|valid \w+|type=|Extra inputs|greater than|at least 1 char")
    assert [case["says"] for case in CASES if theirs.search(case["says"])] == []


@pytest.mark.parametrize("name", ["base.yaml", "stage2.yaml"])
def test_the_sound_configs_are_sound(name: str, folder: Path) -> None:
    assert check_config(name, CheckOptions(strict=True)).issues == ()


# ---------------------------------------------------------------- all at once


def test_faults_of_every_kind_are_found_in_one_run(folder: Path) -> None:
    text = (
        BASE
        + "trainig: 1\nmodel:\n  path: nothing\n  dtype: f32\n"
        + "data:\n  train: [faulty.jsonl, nothing.jsonl]\n  max_samples: 0\n"
        + "training:\n  seed: 1\n  seed: 2\n  learning_rate: 1e-5\n  bf16: on\nlogging:\n  console: 1\n  jsonl: ${X}\n"
        + "template: {min_pixels: 20, max_pixels: 10}\n"
    )
    names = [re.search(r"\((CFG\d+)\)$", line)[1] for line in check(text)]  # type: ignore[index]
    expected = "201 504 302 503 501 303 011 304 305 301 018 413"
    assert names == [f"CFG{number}" for number in expected.split()]


def test_a_faulty_value_is_not_compared_with_others(folder: Path) -> None:
    text = STAGE2 + "template:\n  max_length: many\nrollout_matching:\n  decoding:\n    max_new_tokens: 9999999\n"
    assert [line.split(": ")[0] for line in check(text)] == ["run.yaml:3:15"]


def test_rules_between_settings_wait_for_a_missing_parent(folder: Path) -> None:
    assert [
        line.rsplit(" ", 1)[1] for line in check("extends: [no.yaml]\ncustom: {coord_tokens: {enabled: true}}\n")
    ] == ["(CFG102)"]


def test_a_file_that_two_configs_extend_is_reported_once(folder: Path, coordspec: Callable[..., Any]) -> None:
    for name, text in (
        ("old", BASE + "custom: {coord_loss: 1}\n"),
        ("a", "extends: old.yaml\n"),
        ("b", "extends: old.yaml\n"),
    ):
        (folder / f"{name}.yaml").write_text(text)
    done = coordspec("check-config", "a.yaml", "b.yaml", "--format", "json")
    report = json.loads(done.out)
    assert done.status == 1
    assert [issue["path"] for issue in report["issues"]] == ["old.yaml"]
    assert (report["summary"]["invalid"], report["summary"]["errors"]) == (2, 1)


# ---------------------------------------------------------------- severities and choices


def test_strict_makes_warnings_errors_and_leaves_advice(folder: Path) -> None:
    text = STAGE2 + "training: {bf16: on}\nstage2_ab: {n_softctx_iter: 3}\n"
    weak, hard = (
        [line.split(": ")[1] for line in check(text, CheckOptions(strict=strict))] for strict in (False, True)
    )
    assert (weak, hard) == (["warning", "advice"], ["error", "advice"])
    assert load_config("run.yaml").training.bf16 is True
    with pytest.raises(ContractError, match=r"YAML reads on as true"):
        load_config("run.yaml", CheckOptions(strict=True))


def test_rules_can_be_chosen_but_not_for_a_run(folder: Path) -> None:
    ignoring = CheckOptions(rules=frozenset(rule_book().about("config").by_name) - {"config-type"})
    assert check(BASE + "training: {seed: x}\n", ignoring) == []
    assert check_config("run.yaml", ignoring).config is None
    with pytest.raises(ContractError, match="is a string, not an integer"):
        load_config("run.yaml", ignoring)


def test_a_path_that_no_file_can_have(folder: Path) -> None:
    text = 'model: {path: "a\\0b"}\ndata: {train: ["a\\0b"], val: ["x\\0"]}\ntraining: {output_dir: "r\\0"}\n'
    assert [line.rsplit(" ", 1)[1] for line in check(text)] == ["(CFG504)", "(CFG501)", "(CFG501)"]


def test_only_the_first_records_are_looked_at(folder: Path) -> None:
    good, records = (folder / "train.jsonl").read_text(), rule("data-record").params["records"]
    bad = (folder / "faulty.jsonl").read_text()
    (folder / "train.jsonl").write_text(good * records + bad)
    assert check(BASE) == []
    (folder / "train.jsonl").write_text(good * (records - 1) + bad)
    assert f"line {records}: objects[0].bbox_2d[2]: 1000 is above" in check(BASE)[0]


def test_a_pipe_is_no_data_file(folder: Path) -> None:
    os.mkfifo("pipe.jsonl")
    assert "the file pipe.jsonl does not exist" in check(BASE + "data: {train: [pipe.jsonl]}\n")[0]


@pytest.mark.parametrize(
    ("text", "rule_name"),
    [
        (BASE + "template: {max_pixels: 4194304}\n", "image-too-long"),
        (BASE + "template: {max_pixels: 4194303}\n", None),
        (STAGE2 + "template: {max_pixels: 2097152}\n", "image-too-long"),
        (STAGE2 + "template: {max_pixels: 2097151}\n", None),
        (STAGE2 + "rollout_matching: {decoding: {max_new_tokens: 4095}}\n", None),
        (STAGE2 + "stage2_ab: {schedule: {b_ratio: 0}}\nrollout_matching: {decoding: {max_new_tokens: 4096}}\n", None),
        (BASE + "training: {max_steps: 10, warmup_steps: 9}\n", None),
        (BASE + "training: {max_steps: 1, warmup_steps: 0.9}\n", None),
        (BASE + "template: {min_pixels: 1024, max_pixels: 1024}\n", None),
        (BASE + "model: {attn_implementation: flash_attention_2, dtype: bfloat16}\n", None),
        (BASE + "data: {val: [val.jsonl]}\neval: {metric_for_best: loss}\n", None),
        (BASE + "training: {seed: 00}\n", None),
        (CHANNEL_B + "{mask_policy: reordered_gt_sft, reordered_gt_sft: true}}\n", "mask-policy-legacy"),
        (CHANNEL_B + "{mask_policy: rollout_matching, reordered_gt_sft: false}}\n", "mask-policy-legacy"),
        (CHANNEL_B + "{mask_policy: unified, reordered_gt_sft: false}}\n", None),
        (CHANNEL_B + "{mask_policy: reordered_gt_sft, reordered_gt_sft: false}}\n",
         "mask-policy-contradiction"),
    ],
)  # fmt: skip
def test_where_a_rule_begins(text: str, rule_name: str | None, folder: Path) -> None:
    check(text)
    assert [issue.name for issue in check_config("run.yaml").issues] == [rule_name] * (rule_name is not None)


# ---------------------------------------------------------------- the model


def test_a_config_with_errors_raises_all_of_them(folder: Path) -> None:
    check(BASE + "training: {seed: x, lr: 1}\n")
    with pytest.raises(ContractError) as raised:
        load_config("run.yaml")
    assert [issue.code for issue in raised.value.issues] == ["CFG301", "CFG202"]
    assert str(raised.value).startswith("run.yaml:2:18: training.seed: ")


VALUES: dict[type, list[str]] = {
    bool: ["true", "on", "1", "'true'", "null", "[true]"],
    int: ["5", "1.5", "1e-5", "-5", "010", "'5'", "true", "null", "99999999999999999999"],
    float: ["0.5", "5", "1e-5", ".nan", "-.inf", "'0.5'", "true", "null", "-1"],
    str: ["abc", "''", "5", "yes", "None", "null", "2026-11-22", "[a]", "unified"],
    tuple: ["[a]", "[]", "[0.5]", "a", "null", "[[a]]", "[1e-5, b]", "{a: 1}"],
    dict: ["{}", "null", "5", "[]", "{zzz: 1}"],
}
PLACES = [(at, value) for at, known in fields().items() for kind in known.kinds for value in VALUES[kind]]


@pytest.mark.parametrize("at", list(fields()), ids=".".join)
def test_every_setting_takes_what_the_model_takes_and_nothing_else(at: tuple[str, ...], folder: Path) -> None:
    known = takes(at)
    assert known is not None
    for kind in known.kinds:
        for value in VALUES[kind]:
            nested = "".join(f"{name}: {{" for name in at[:-1]) + f"{at[-1]}: {value}" + "}" * (len(at) - 1)
            Path("run.yaml").write_text(f"{STAGE2}{nested}\n", "utf-8")
            found = check_config("run.yaml", CheckOptions(data=False))
            errors = [issue for issue in found.issues if issue.severity is Severity.ERROR]
            assert bool(errors) is (found.config is None)
            if found.config is not None:
                assert isinstance(found.config, Config)
            else:
                assert all(issue.message and issue.hint and issue.place.line for issue in errors)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
)
@given(st.lists(st.sampled_from(PLACES), min_size=1, max_size=8))
def test_any_mixture_of_faults_ends_in_findings(folder: Path, chosen: list[tuple[tuple[str, ...], str]]) -> None:
    tree: dict[str, Any] = {"extends": "stage2.yaml"}
    for at, value in chosen:
        below: Any = tree
        for step in at[:-1]:
            below = below.setdefault(step, {}) if isinstance(below, dict) else {}
        if isinstance(below, dict) and not isinstance(below.get(at[-1]), dict):
            below[at[-1]] = yaml.safe_load(value)
    Path("run.yaml").write_text(yaml.safe_dump(tree), "utf-8")
    found = check_config("run.yaml")
    assert (found.config is None) is any(issue.severity is Severity.ERROR for issue in found.issues)
    assert len({(str(issue.place), issue.name, issue.message) for issue in found.issues}) == len(found.issues)


def test_every_setting_is_said_in_words() -> None:
    assert [at for at, known in fields().items() if not known.words or "typing" in known.words] == []
    assert takes(("eval", "iou_thresholds")).expected == (  # type: ignore[union-attr]
        "a list of one or more numbers above 0 and of at most 1"
    )
    assert takes(("data", "train", 3)).is_path  # type: ignore[union-attr]
    assert {known.section for known in fields().values()} - {None} <= set(_sections(Section))


def _sections(of: type[Section]) -> list[type[Section]]:
    return [inner for below in of.__subclasses__() for inner in (below, *_sections(below))]


# ---------------------------------------------------------------- tables


def test_removed_keys_are_well_formed_and_really_gone() -> None:
    document = yaml.safe_load(contract_bytes("removed_keys.yaml"))
    assert set(document) == {"removed"}
    known = {".".join(map(str, at)) for at in fields()}
    for entry in document["removed"]:
        assert set(entry) == {"path", "reason", "fix", "see"}, entry
        assert entry["path"] not in known
        assert set(entry["see"]) <= known
        assert not any(entry[name].endswith(".") or entry[name] != entry[name].strip() for name in ("reason", "fix"))
    assert {"custom.coord_loss", "custom.coord_expectation_metrics"} <= removed_keys().keys()
    assert len(removed_keys()) == len(document["removed"])


@pytest.mark.parametrize("path", sorted(removed_keys()))
@pytest.mark.parametrize("value", ["null", "{}", "{enabled: false}", "0.5"])
def test_a_removed_key_is_refused_whatever_its_value(path: str, value: str, folder: Path) -> None:
    depth = path.count(".")
    lines = check(written(path, value, "stage2"))
    place = f"run.yaml:{depth + 2}:{2 * depth + 1}"
    assert lines == [f"{place}: error: {path}: {path} was removed: {removed_keys()[path]['reason']} (CFG204)"]


def test_other_names_lead_to_settings() -> None:
    known = {".".join(map(str, at)) for at in fields()}
    names = rule("config-other-name").params["names"]
    assert [name for name, paths in names.items() if not paths or not set(paths) <= known] == []
    assert {name for name in names if paths_of(name)} == {"batch_size"}, "a name that is right somewhere else"


def test_rules_between_settings_name_settings_that_exist() -> None:
    known = {".".join(map(str, at)) for at in fields()}
    assert [path for _, reads in CROSS_FIELD for path in reads if path not in known] == []


# ---------------------------------------------------------------- the command


def test_the_text_report(folder: Path, coordspec: Callable[..., Any]) -> None:
    (folder / "run.yaml").write_text(BASE + "training:\n  lr: 1\n")
    done = coordspec("check-config", "run.yaml", "base.yaml")
    assert (done.status, done.err) == (1, "")
    assert done.out == (
        'run.yaml:3:3: error: training.lr: "lr" is not a setting of training; here it is training.learning_rate '
        "(CFG202 config-other-name)\n"
        "    hint: write training.learning_rate\n"
        "\n"
        "  1  error    CFG202  config-other-name\n"
        "\n"
        "note: each config is a record of this report\n"
        "✗ 1 error in 1 of 2 records (2 files)\n"
    )


def test_formats_and_exit_status(folder: Path, coordspec: Callable[..., Any]) -> None:
    (folder / "warn.yaml").write_text(BASE + "training: {bf16: on}\n")
    (folder / "bad.yaml").write_text(BASE + "zzz: 1\n")
    assert coordspec("check-config", "base.yaml").status == 0
    assert coordspec("check-config", "warn.yaml").status == 0
    assert coordspec("check-config", "warn.yaml", "--strict").status == 1
    assert coordspec("check-config", "bad.yaml", "--ignore", "CFG201").status == 0
    assert coordspec("check-config", "bad.yaml", "--select", "CFG301").status == 0
    done = coordspec("check-config", "bad.yaml", "--format", "text", "--format", "sarif", "-o", "out.sarif")
    assert done.status == 1
    assert json.loads((folder / "out.sarif").read_text())["runs"][0]["results"][0]["ruleId"] == "CFG201"
    assert "::error file=bad.yaml,line=2,col=1" in coordspec("check-config", "bad.yaml", "--format", "github").out
    issue = json.loads(coordspec("check-config", "bad.yaml", "--format", "json").out)["issues"][0]
    assert (issue["pointer"], issue["line"], issue["column"], issue["byte_offset"]) == ("/zzz", 2, 1, 19)


def test_a_folder_is_searched(folder: Path, coordspec: Callable[..., Any]) -> None:
    (folder / "more").mkdir()
    (folder / "more/a.yml").write_text("extends: ../base.yaml\n")
    done = coordspec("check-config", ".", "base.yaml", "--no-data")
    assert (done.status, done.out.splitlines()[-1]) == (0, "✓ 3 records in 3 files are valid")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("check-config nothing.yaml", "error: nothing.yaml: no such file or folder"),
        ("check-config model", "error: model: no .yaml or .yml file in this folder"),
        ("check-config base.yaml --select CFG --ignore CFG", "--select and --ignore leave no rule to check"),
        ("check-config base.yaml --select config-typ", "(did you mean 'config-type'?)"),
        ("check-config base.yaml --select coord-range", "no rule is called 'coord-range'"),
        ("check-config base.yaml -o base.yaml", "base.yaml: is being read; name another output"),
        ("config show nothing.yaml", "error: nothing.yaml: no such file or folder"),
        ("config diff base.yaml model", "error: model: is a folder; name a config file"),
    ],
)
def test_wrong_usage(words: str, text: str, folder: Path, coordspec: Callable[..., Any]) -> None:
    done = coordspec(*words.split())
    assert done.status == 2
    assert text in done.err + done.out
    assert "Traceback" not in done.err


# ---------------------------------------------------------------- show and diff


def test_show_says_where_every_value_comes_from(folder: Path, coordspec: Callable[..., Any]) -> None:
    (folder / "run.yaml").write_text(
        STAGE2 + "training: {output_dir: 'a # b'}\nstage2_ab:\n  schedule: {b_ratio: 0.25}\n"
    )
    done = coordspec("config", "show", "run.yaml")
    assert done.status == 0
    lines = {re.sub(r"\s+#", " #", line.strip()) for line in done.out.splitlines()}
    assert {
        "path: model # base.yaml:3",
        "train: [train.jsonl] # base.yaml:5",
        "output_dir: 'a # b' # run.yaml:2, overrides base.yaml:7",
        "b_ratio: 0.25 # run.yaml:4, overrides stage2.yaml:7",
        "learning_rate: 1.0e-05 # default",
        "trainer_variant: stage2_ab # stage2.yaml:4, overrides base.yaml:9",
        "vllm: null # default",
    } <= lines
    assert yaml.safe_load(done.out) == load_config("run.yaml").model_dump(mode="json")
    assert all("#" in line for line in done.out.splitlines() if not line.endswith(":"))


def test_show_as_json(folder: Path, coordspec: Callable[..., Any]) -> None:
    shown = json.loads(coordspec("config", "show", "stage2.yaml", "--format", "json").out)
    assert shown["files"] == ["stage2.yaml", "base.yaml"]
    assert shown["config"] == load_config("stage2.yaml").model_dump(mode="json")
    assert shown["settings"]["custom.trainer_variant"] == {
        "value": "stage2_ab",
        "origin": "stage2.yaml:4",
        "overrides": ["base.yaml:9"],
    }
    assert set(shown["settings"]) | {"rollout_matching.vllm.base_url", "rollout_matching.vllm.timeout_s"} >= {
        ".".join(map(str, at)) for at, known in fields().items() if known.section is None and "vllm" not in at
    }


def test_show_and_diff_refuse_a_config_with_errors(folder: Path, coordspec: Callable[..., Any]) -> None:
    (folder / "run.yaml").write_text(BASE + "zzz: 1\n")
    done = coordspec("config", "show", "run.yaml")
    assert (done.status, done.out) == (1, "")
    assert 'run.yaml:2:1: error: zzz: "zzz" is not a section of a config' in done.err
    done = coordspec("config", "diff", "base.yaml", "run.yaml")
    assert (done.status, done.out) == (2, "")
    assert "run.yaml:2:1: error" in done.err


def test_show_looks_at_no_data(folder: Path, coordspec: Callable[..., Any]) -> None:
    (folder / "run.yaml").write_text(BASE + "data: {train: [nothing.jsonl]}\n")
    assert coordspec("config", "show", "run.yaml").status == 0


def test_diff(folder: Path, coordspec: Callable[..., Any]) -> None:
    (folder / "same.yaml").write_text(
        "# the same, said in another way\nextends: base.yaml\ntraining: {learning_rate: 0.00001}\n"
    )
    (folder / "run.yaml").write_text(BASE + "training: {seed: 7}\nstage2_ab:\ncustom: {trainer_variant: stage1_sft}\n")
    assert coordspec("config", "diff", "base.yaml", "same.yaml")[:2] == (0, "")
    done = coordspec("config", "diff", "same.yaml", "run.yaml")
    assert done[:2] == (1, "training.seed: 42 (default) -> 7 (run.yaml:2)\n")
    done = coordspec("config", "diff", "base.yaml", "stage2.yaml")
    assert done.out.splitlines()[:3] == [
        "custom.trainer_variant: stage1_sft (base.yaml:9) -> stage2_ab (stage2.yaml:4)",
        "stage2_ab: null (default) -> nothing",
        "stage2_ab.schedule.b_ratio: nothing -> 0.5 (stage2.yaml:7)",
    ]
    done = coordspec("config", "diff", "base.yaml", "run.yaml", "--format", "json")
    assert json.loads(done.out) == {
        "same": False,
        "changes": [
            {
                "path": "training.seed",
                "old": {"value": 42, "origin": "default", "overrides": []},
                "new": {"value": 7, "origin": "run.yaml:2", "overrides": []},
            }
        ],
    }


@given(
    st.one_of(
        st.text(max_size=12),
        st.floats(allow_nan=False),
        st.integers(),
        st.booleans(),
        st.none(),
        st.lists(st.text(max_size=5)),
    )
)
def test_shown_values_read_as_they_are_and_hide_nothing(value: Any) -> None:
    text = yaml_text(value)
    assert yaml.safe_load(f"a: {text}  # x")["a"] == value
    assert "\n" not in text
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]", text)
