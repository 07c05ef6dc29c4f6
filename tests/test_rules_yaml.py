"""The contract's data is sound: rules.yaml, the two schemas and the checks say the same."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from coordspec.checks.finding import CoordSpace, Finding
from coordspec.checks.record import check_record
from coordspec.config.check import check_config
from coordspec.contracts import Rule, SchemaLimits, contract_bytes, record_contract, rule, rule_book, schema
from coordspec.coords import BINS, MAX_BIN, TOKENS, bin_from_pixel
from coordspec.errors import Place, Severity
from coordspec.jsonl.parse import parse_line
from coordspec.record import DetObject, Record, render_payload

RULES = list(rule_book().by_name.values())
LINE_FAMILIES = ("JSN", "REC", "OBJ", "GEO", "DUP", "SCH")
"""Families whose rules one line can break; IMG needs files and DAT a whole file, and are tested with the validator."""


# Bad lines that are too long to write into a contract.
BUILT_BAD_LINES = {
    "huge-number": b'{"images": ["a.png"], "width": 640, "height": 480, "objects": [], "metadata": {"id": '
    + b"9" * (rule("huge-number").params["max_digits"] + 1)
    + b"}}"
}


def by_name(rules: list[Rule]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("item", rules, ids=lambda item: item.name)


def findings(item: Rule, line: bytes) -> list[Finding]:
    """What the reader and the record's checks find in a line under the options of the rule's example."""
    limit = item.options.get("max_line_bytes", rule("too-long").params["max_line_bytes"])
    parsed = parse_line(line, len(line), limit)
    found = [fault.finding for fault in parsed.faults]
    schema = SchemaLimits(json.loads(item.options["schema"]), "own.json") if "schema" in item.options else None
    return [*found, *check_record(parsed.value, schema=schema)] if parsed.usable else found


# ---------------------------------------------------------------- rules.yaml by itself


def test_codes_and_names_are_unique_and_well_formed() -> None:
    entries = yaml.safe_load(contract_bytes("rules.yaml"))["rules"]
    codes, names = [entry["code"] for entry in entries], [entry["name"] for entry in entries]
    assert len(set(codes)) == len(codes)
    assert len(set(names)) == len(names) == len(RULES)
    assert [code for code in codes if not re.fullmatch(r"[A-Z]{3}[0-9]{3}", code)] == []
    assert [name for name in names if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)] == []


def test_every_family_is_known_and_has_rules_in_one_run_of_codes() -> None:
    families = list(dict.fromkeys(item.family for item in RULES))
    assert sorted(families) == sorted(rule_book().families)
    for family in families:
        numbers = [item.code[3:] for item in RULES if item.family == family]
        assert numbers == sorted(numbers)


def test_no_code_is_retired() -> None:
    document = yaml.safe_load(contract_bytes("rules.yaml"))
    assert set(document["retired"]).isdisjoint(entry["code"] for entry in document["rules"])


@by_name(RULES)
def test_no_text_is_empty(item: Rule) -> None:
    texts = {name: getattr(item, name) for name in ("message", "fix", "why", "spec", "good")}
    assert [name for name, text in texts.items() if not text.strip() or text != text.strip()] == []
    assert item.why.endswith(".")
    assert not item.message.endswith(".")
    assert not item.fix.endswith(".")


# ---------------------------------------------------------------- examples


@by_name([item for item in RULES if item.family in LINE_FAMILIES])
def test_the_bad_line_fills_every_placeholder(item: Rule) -> None:
    line = BUILT_BAD_LINES.get(item.name, item.bad_line)
    assert line is not None
    for finding in findings(item, line):
        assert placeholders(item.message) | placeholders(item.fix) <= set(finding.values)
        assert item.issue(Place("f"), finding.values).message


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


# ---------------------------------------------------------------- examples of configs

CONFIG_RULES = list(rule_book().about("config").by_name.values())
CONFIGS = Path(__file__).parent / "fixtures/configs"


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the examples of family CFG lie in, as the working directory."""
    shutil.copytree(CONFIGS, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run.yaml"


@by_name([item for item in CONFIG_RULES if item.bad is not None])
def test_the_bad_config_breaks_its_rule_and_no_other(item: Rule, configs: Path) -> None:
    assert item.bad_line is not None
    configs.write_bytes(item.bad_line + b"\n")
    issues = check_config("run.yaml").issues
    assert [(issue.name, issue.severity) for issue in issues] == [(item.name, item.severity)]


@by_name(CONFIG_RULES)
def test_the_good_config_breaks_nothing(item: Rule, configs: Path) -> None:
    configs.write_text(item.good + "\n", "utf-8")
    checked = check_config("run.yaml")
    assert checked.issues == ()
    assert checked.config is not None


def test_the_configs_without_a_bad_example_are_those_that_are_built_by_a_test() -> None:
    built = {"config-too-long", "config-too-many-values", "extends-too-many"}
    assert {item.name for item in CONFIG_RULES if item.bad is None} == built  # tests/test_config_load.py


# ---------------------------------------------------------------- record.schema.json and the checks

STRUCTURAL = {
    "not-an-object",
    "missing-field",
    "wrong-type",
    "bad-size",
    "no-images",
    "missing-geometry",
    "multiple-geometry",
    "legacy-key",
    "bbox-arity",
    "poly-arity",
    "coord-range",
    "coord-type",
    "coord-token-malformed",
    "mixed-coords",
}
"""Rules that the schema holds a record to as well. A schema cannot express two corners of them: that 3.0 is no integer
(to JSON Schema it is one), and that the length of a flat poly is even."""

PARTLY_IN_THE_SCHEMA = {
    "image-path-not-relative",
    "image-path-unusable",
    "bad-summary",
    "blank-desc",
    "control-char-desc",
    "special-token-desc",
}
"""Rules on what is in a text. The patterns of the schema find their examples, but not every case: a pattern's white
space knows no zero-width characters, and its line ends are those of its engine."""
BEYOND_A_SCHEMA = {"image-path-escape", "inverted-box", "poly-points-mismatch"}
"""Rules that count, compare, or look at two fields at once; of these the schema knows a poly_points below 3 alone."""

VALIDATOR = Draft202012Validator(schema("record"))
SEEDS = [
    {"images": ["a.png"], "width": 640, "height": 480, "objects": []},
    {
        "images": ["a.png", "b/c.png"],
        "width": 640,
        "height": 480,
        "objects": [
            {"desc": "cat", "bbox_2d": [1, 2, 3, 4]},
            {"desc": "dog", "bbox_2d": ["<|coord_0|>", "<|coord_2|>", "<|coord_30|>", "<|coord_999|>"]},
            {"desc": "碗", "poly": [1, 2, 3, 2, 3, 4], "poly_points": 3},
            {"desc": "cup", "poly": [[1, 2], [3, 2], [3, 4], [1, 4]]},
        ],
        "summary": "a cat, a dog",
        "metadata": {"id": 7},
    },
]
VALUES = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        3,
        999,
        1000,
        10**20,
        3.5,
        3.0,
        640.0,
        1e300,
        "",
        " ",
        "cat",
        "a\nb",
        "../a",
        "/a",
    ),
    *("<|im_end|>", "<|coord_5|>", "<|coord_05|>", "<|coord_1000|>", "<|coord_5|>\n", "<|coord_٣|>", "<|coord_|>"),
    *([], {}, [1, 2, 3, 4], [4, 3, 2, 1], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7]),
    *([[1, 2], [3, 4], [5, 6]], [[1, 2], 3], [[1, 2, 3]], ["<|coord_1|>"] * 4, [1.0] * 4),
    {"desc": "x", "bbox_2d": [1, 2, 3, 4]},
]
KEYS = sorted({*record_contract().fields, *record_contract().object_fields, *record_contract().legacy, "sumary"})


def containers(value: Any) -> Iterator[dict[str, Any] | list[Any]]:
    if isinstance(value, dict | list):
        yield value
        for child in value.values() if isinstance(value, dict) else value:
            yield from containers(child)


@st.composite
def mutated_records(draw: st.DrawFn) -> Any:
    """A good record with up to three changes anywhere in it: a value replaced, removed, added or repeated."""
    value = copy.deepcopy(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 3))):
        place: Any = draw(st.sampled_from(list(containers(value))))
        new = copy.deepcopy(draw(st.sampled_from(VALUES)))
        remove = draw(st.booleans())
        if isinstance(place, dict):
            key = draw(st.sampled_from([*place, *KEYS]))
            place.pop(key, None)
            if not remove:
                place[key] = new
        else:
            start = draw(st.integers(0, len(place)))
            place[start : start + draw(st.integers(0, 1))] = [] if remove else [new]
    return value


def errors_in(value: Any) -> list[Finding]:
    return [finding for finding in check_record(value) if rule(finding.rule).severity is Severity.ERROR]


def value_at(value: Any, finding: Finding) -> Any:
    for step in finding.at:
        value = value[step]
    return value


def schema_can_say(value: Any, finding: Finding) -> bool:
    culprit = value_at(value, finding)
    if finding.rule in ("wrong-type", "coord-type"):
        return not (isinstance(culprit, float) and culprit.is_integer())
    if finding.rule == "poly-arity":
        nested = any(isinstance(point, list) for point in culprit)
        return nested or len(culprit) < record_contract().poly_min
    return finding.rule in STRUCTURAL


def test_every_error_on_a_record_is_either_structural_or_beyond_a_schema() -> None:
    of_records = {item.name for item in RULES if item.family in ("REC", "OBJ", "GEO")} | {"not-an-object"}
    known = STRUCTURAL | PARTLY_IN_THE_SCHEMA | BEYOND_A_SCHEMA
    assert {name for name in of_records if rule(name).severity is Severity.ERROR} == known
    assert STRUCTURAL.isdisjoint(BEYOND_A_SCHEMA | PARTLY_IN_THE_SCHEMA)


@given(mutated_records())
@example([])
@example(None)
@example({"images": ["a.png"], "width": 640.0, "height": 480, "objects": []})
def test_what_the_schema_refuses_the_checks_refuse(value: Any) -> None:
    if not VALIDATOR.is_valid(value):
        assert errors_in(value), [error.message for error in VALIDATOR.iter_errors(value)]


@given(mutated_records())
def test_what_a_structural_rule_refuses_the_schema_refuses(value: Any) -> None:
    structural = [finding for finding in errors_in(value) if schema_can_say(value, finding)]
    if structural:
        assert not VALIDATOR.is_valid(value), structural


@by_name([item for item in RULES if item.family in ("REC", "OBJ", "GEO")])
def test_the_examples_agree_with_the_schema(item: Rule) -> None:
    assert VALIDATOR.is_valid(json.loads(item.good))
    assert item.bad is not None
    bad = json.loads(item.bad)
    said = any(schema_can_say(bad, finding) for finding in errors_in(bad))
    assert VALIDATOR.is_valid(bad) is not (said or item.name in PARTLY_IN_THE_SCHEMA)


def test_the_special_tokens_of_the_schema_are_those_of_the_rule() -> None:
    params = rule("special-token-desc").params
    pattern = schema("record")["$defs"]["object"]["properties"]["desc"]["not"]["pattern"]
    assert pattern.split("|", 1)[1] == "|".join([params["pattern"], *params["tokens"]])


@given(mutated_records(), st.sampled_from(CoordSpace))
def test_every_finding_fills_its_texts(value: Any, space: CoordSpace) -> None:
    for finding in check_record(value, space):
        issue = rule(finding.rule).issue(Place("f", at=finding.at), finding.values)
        assert issue.message
        assert issue.hint


def test_the_legacy_keys_of_the_schema_are_those_of_the_rule() -> None:
    branches = schema("record")["$defs"]["object"]["not"]["anyOf"]
    assert {branch["required"][0] for branch in branches} == set(rule("legacy-key").params["replacements"])
    assert all(len(branch["required"]) == 1 for branch in branches)


def test_renames_of_legacy_keys_are_fields_of_an_object() -> None:
    renames = {to["rename"] for to in rule("legacy-key").params["replacements"].values()} - {None}
    assert renames <= record_contract().object_fields


# ---------------------------------------------------------------- payload.schema.json

REGISTRY: Registry[Any] = Registry().with_resources(
    (schema(name)["$id"], Resource.from_contents(schema(name))) for name in ("record", "payload")
)
PAYLOAD = Draft202012Validator(schema("payload"), registry=REGISTRY)
OBJECTS = [DetObject("cat", bbox_2d=(1, 2, 30, 40)), DetObject("碗", poly=(1, 2, 30, 2, 30, 40))]

bins = st.integers(0, MAX_BIN)
det_objects = st.one_of(
    st.builds(lambda a, b, c, d: DetObject("cat", (min(a, c), min(b, d), max(a, c), max(b, d))), *[bins] * 4),
    st.builds(
        lambda points: DetObject("碗 bowl", poly=tuple(k for point in points for k in point)),
        st.lists(st.tuples(bins, bins), min_size=3, max_size=8),
    ),
)


@given(st.lists(det_objects, max_size=12), st.integers(1, 1000))
def test_the_payload_schema_accepts_what_is_rendered(objects: list[DetObject], start: int) -> None:
    PAYLOAD.validate(json.loads(render_payload(objects, start)))


def _payload(**changes: Any) -> Any:
    """The payload of ``OBJECTS`` with changes to its first object; None removes a key."""
    value = json.loads(render_payload(OBJECTS))
    first = {**value["object_1"], **changes}
    return {**value, "object_1": {key: field for key, field in first.items() if field is not None}}


TOKEN_BOX = [TOKENS[k] for k in (1, 2, 30, 40)]


@pytest.mark.parametrize(
    ("description", "value"),
    [
        ("a list", []),
        ("a key of another shape", {"item_1": {"desc": "cat", "bbox_2d": TOKEN_BOX}}),
        ("a key that counts from zero", {"object_0": {"desc": "cat", "bbox_2d": TOKEN_BOX}}),
        ("a key with a leading zero", {"object_01": {"desc": "cat", "bbox_2d": TOKEN_BOX}}),
        ("a key with a line feed", {"object_1\n": {"desc": "cat", "bbox_2d": TOKEN_BOX}}),
        ("no desc", _payload(desc=None)),
        ("an empty desc", _payload(desc="")),
        ("no geometry", _payload(bbox_2d=None)),
        ("two geometries", _payload(poly=[TOKENS[1]] * 6)),
        ("a field that is none", _payload(score="0.5")),
        ("poly_points", _payload(poly_points=3)),
        ("three coordinates", _payload(bbox_2d=TOKEN_BOX[:3])),
        ("five coordinates", _payload(bbox_2d=[*TOKEN_BOX, TOKENS[5]])),
        ("a poly of two points", _payload(bbox_2d=None, poly=TOKEN_BOX)),
        ("a nested poly", _payload(bbox_2d=None, poly=[TOKEN_BOX[:2]] * 6)),
        ("integers", _payload(bbox_2d=[1, 2, 30, 40])),
        ("a token with a leading zero", _payload(bbox_2d=["<|coord_01|>", *TOKEN_BOX[1:]])),
        ("a bin that is none", _payload(bbox_2d=[*TOKEN_BOX[:3], f"<|coord_{BINS}|>"])),
        ("a token with a line feed", _payload(bbox_2d=[*TOKEN_BOX[:3], "<|coord_40|>\n"])),
        ("digits that are not ASCII", _payload(bbox_2d=[*TOKEN_BOX[:3], "<|coord_٣|>"])),
    ],
)
def test_the_payload_schema_refuses(description: str, value: Any) -> None:
    assert not PAYLOAD.is_valid(value), description


def test_the_payload_has_the_geometries_of_the_record() -> None:
    item, defs = schema("payload")["additionalProperties"], schema("record")["$defs"]
    geometries = record_contract().geometries
    assert tuple(branch["required"][0] for branch in item["oneOf"]) == geometries
    assert set(item["properties"]) == {"desc", *geometries}
    assert item["properties"]["bbox_2d"]["minItems"] == item["properties"]["bbox_2d"]["maxItems"]
    assert item["properties"]["bbox_2d"]["minItems"] == defs["bbox_2d"]["minItems"] == defs["bbox_2d"]["maxItems"]
    flat, nested = defs["poly"]["anyOf"]
    assert item["properties"]["poly"]["minItems"] == flat["minItems"] == 2 * nested["minItems"]
    assert defs["object"]["properties"]["poly_points"]["minimum"] == nested["minItems"]


@given(st.integers(-10, 2000))
def test_the_coord_token_of_the_schema_is_the_codecs(k: int) -> None:
    pattern = schema("record")["$defs"]["coord_token"]["pattern"]
    assert bool(re.search(pattern, f"<|coord_{k}|>")) is (f"<|coord_{k}|>" in TOKENS)


# ---------------------------------------------------------------- numbers in prose


NUMBERS_IN_RULES = {
    "suspect-pixel-coords": {"0"},
    "inverted-box": {"0"},
    "wrong-type": {"640", "1"},
}
"""The numbers in message, fix and why of a rule. A limit is never among them: it comes through a placeholder."""


@by_name(RULES)
def test_no_limit_is_written_into_a_text(item: Rule) -> None:
    found = {n for text in (item.message, item.fix, item.why) for n in re.findall(r"(?<![\w.-])\d+(?!\w)", text)}
    assert found == NUMBERS_IN_RULES.get(item.name, set())


def test_the_formula_in_the_schema_is_the_codecs() -> None:
    described = schema("record")["$defs"]["bin"]["description"]
    assert f"round({MAX_BIN} * pixel / " in described
    assert [bin_from_pixel(pixel, 640) for pixel in (0, 320, 639)] == [round(999 * p / 639) for p in (0, 320, 639)]


def test_the_parameters_of_the_examples_hold() -> None:
    too_deep, too_long = rule("too-deep"), rule("too-long")
    assert too_deep.bad is not None
    assert too_deep.bad.split('"a": ')[1].index("]") + 2 == too_deep.params["max_depth"] + 1
    assert too_long.options["max_line_bytes"] > len(too_long.good)
    assert too_long.params["max_line_bytes"] == 16 << 20
    assert Record.from_value(json.loads(rule("poly-points-mismatch").good)).objects[0].poly == (1, 2, 3, 2, 3, 4)
