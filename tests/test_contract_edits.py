"""Edits of ``contracts/`` in a copy: each is followed by all that reads the contract, or refused when it is read.

Followed means that the fast path, the explainer and the reference, ``Record`` in both its ways, the payload, the reader
of rollouts, the builder and its guard say the same of every line, that this is what the edit says, and that a generated
page changes. There is no third outcome.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from contract_copy import run

ROOT: Final = Path(__file__).resolve().parent.parent
RECORD, PAYLOAD, MASKS, RULES = "record.schema.json", "payload.schema.json", "masks.yaml", "rules.yaml"

BASE: Final = {
    "images": ["a.png"],
    "width": 320,
    "height": 240,
    "objects": [{"desc": "cat", "bbox_2d": [1, 2, 30, 40]}, {"desc": "dog", "bbox_2d": [100, 200, 300, 400]}],
}
POLY: Final = {"desc": "kite", "poly": [1, 2, 30, 40, 5, 60]}
LINES: Final[dict[str, dict[str, Any]]] = {
    "plain": BASE,
    "none": {**BASE, "objects": []},
    "three": {**BASE, "objects": [*BASE["objects"], {"desc": "cow", "bbox_2d": [500, 600, 700, 800]}]},
    "poly": {**BASE, "objects": [POLY]},
    "summary": {**BASE, "summary": "A cat and a dog."},
    "metadata": {**BASE, "metadata": {"source": "hand", "year": 2026}},
    "two images": {**BASE, "images": ["a.png", "b.png"]},
    "narrow": {**BASE, "width": 8},
    "flat": {**BASE, "height": 8},
    "long": {**BASE, "objects": [{"desc": "a small black cat", "bbox_2d": [1, 2, 30, 40]}]},
    "licence": {**BASE, "licence": "CC0"},
    "scored": {**BASE, "objects": [{"desc": "cat", "bbox_2d": [1, 2, 30, 40], "score": 0.5}]},
    "legacy": {**BASE, "objects": [{"desc": "cat", "box": [1, 2, 30, 40]}]},
    "scheme": {**BASE, "images": ["s3:a.png"]},
}
NAMES: Final = list(LINES)


class Edit(NamedTuple):
    """One edit: at a pointer of a file, to a value, or away. ``says`` are findings by line beyond those of the contract
    as it is, ``not_any_more`` those that are gone; ``refused`` is what the refusal says behind file and pointer.
    """

    file: str
    at: str
    to: Any = None
    says: dict[str, str] = {}  # noqa: RUF012 (a table, which nobody changes)
    refused: str | None = None
    not_any_more: dict[str, str] = {}  # noqa: RUF012
    as_well: Callable[[dict[str, Any]], None] | None = None


AWAY: Final = object()
OBJECT: Final = "/$defs/object"
DESC: Final = f"{OBJECT}/properties/desc"
EVERY: Final = dict.fromkeys(NAMES, "missing-field")


def without(rule: str, *names: str) -> dict[str, str]:
    """The rule on every line but these."""
    return {name: rule for name in NAMES if name not in names}


def eight(schema: dict[str, Any]) -> None:
    """The other places that go with polys of eight coordinates."""
    schema["$defs"]["poly"]["anyOf"][1]["minItems"] = 4
    schema["$defs"]["object"]["properties"]["poly_points"]["minimum"] = 4


EDITS: Final = [
    # ---------------------------------------------------------------- the record
    Edit(RECORD, "/type", "array", refused='is "array", and a line is an object: write "object"'),
    Edit(RECORD, "/required/-", "summary", without("missing-field", "summary")),
    Edit(RECORD, "/required/-", "metadata", without("missing-field", "metadata")),
    Edit(RECORD, "/required/0", AWAY, refused='lacks "images", which the code cannot do without'),
    Edit(RECORD, "/required/-", "licence", refused='names "licence", which is none of the properties'),
    Edit(RECORD, "/properties/width/minimum", 16, {"narrow": "bad-size"}),
    Edit(RECORD, "/properties/width/minimum", 0, refused="is 0, and an image has at least one pixel: write 1 or more"),
    Edit(RECORD, "/properties/width/minimum", AWAY, refused="is missing, and the code reads it"),
    Edit(RECORD, "/properties/width/minimum", "1", refused='is "1", where the code reads an integer'),
    Edit(RECORD, "/properties/width/maximum", 319, without("schema-limit", "narrow")),
    Edit(RECORD, "/properties/height/minimum", 16, {"flat": "bad-size"}),
    Edit(RECORD, "/properties/height/multipleOf", 16, {"flat": "schema-limit"}),
    Edit(RECORD, "/properties/height/type", "number", refused='is "number", and the rules are written for it'),
    Edit(RECORD, "/properties/images/minItems", 2, without("schema-limit", "two images")),
    Edit(RECORD, "/properties/images/minItems", 0, refused="the rules refuse what is below 1: write 1 or more"),
    Edit(RECORD, "/properties/images/minItems", AWAY, refused="is missing, and the code reads it"),
    Edit(RECORD, "/properties/images/maxItems", 1, {"two images": "schema-limit"}),
    Edit(RECORD, "/properties/images/items/maxLength", 6, {"scheme": "schema-limit"}),
    Edit(RECORD, "/properties/images/items/pattern", "png$", refused="and the rules refuse blank text"),
    Edit(RECORD, "/properties/images/items/not/pattern", "^/", refused="and this is what rules.yaml forbids in it"),
    Edit(RECORD, "/properties/objects/minItems", 1, {"none": "schema-limit"}),
    Edit(RECORD, "/properties/objects/maxItems", 2, {"three": "schema-limit"}),
    Edit(RECORD, "/properties/objects/items", {}, refused="and an object is what $defs says"),
    Edit(RECORD, "/properties/summary/maxLength", 10, {"summary": "schema-limit"}),
    Edit(RECORD, "/properties/summary", AWAY, refused="is missing, and the code reads it"),
    Edit(RECORD, "/properties/metadata/required", ["licence"], {"metadata": "schema-limit"}),
    Edit(RECORD, "/properties/metadata/type", "array", refused='is "array", and the rules are written for it'),
    Edit(RECORD, "/properties/licence", {"type": "string"}, not_any_more={"licence": "unknown-field"}),
    Edit(
        RECORD,
        "/properties/licence",
        {"enum": ["MIT"]},
        {"licence": "schema-limit"},
        None,
        {"licence": "unknown-field"},
    ),
    Edit(
        RECORD,
        "/properties/licence",
        {"typ": "string"},
        refused="is a keyword that is not checked (did you mean 'type'?)",
    ),
    Edit(RECORD, "/properties/licence", {"type": "text"}, refused="is no JSON Schema: "),
    Edit(RECORD, "/properties/licence", {"format": "isbn"}, refused="is isbn, which is not checked; there are "),
    Edit(
        RECORD,
        "/properties/licence",
        {"$ref": "https://x.org/a"},
        refused="is not followed here: write what it refers to",
    ),
    Edit(RECORD, "/additionalProperties", False, {"licence": "schema-limit"}),
    Edit(RECORD, "/maxProperties", 4, dict.fromkeys(("summary", "metadata", "licence"), "schema-limit")),
    Edit(
        RECORD, "/unevaluatedItem", False, refused="is a keyword that is not checked (did you mean 'unevaluatedItems'?)"
    ),
    # ---------------------------------------------------------------- objects and geometry
    Edit(
        RECORD,
        f"{OBJECT}/required/-",
        "score",
        {n: "missing-field" for n in NAMES if n not in ("none", "scored")},
        as_well=lambda schema: schema["$defs"]["object"]["properties"].update(score={}),
        not_any_more={"scored": "unknown-field"},
    ),
    Edit(RECORD, f"{OBJECT}/required", [], refused='lacks "desc", which the code cannot do without'),
    Edit(RECORD, f"{DESC}/maxLength", 8, {"long": "schema-limit"}),
    Edit(RECORD, f"{DESC}/minLength", 4, {n: "schema-limit" for n in NAMES if n not in ("none", "poly", "long")}),
    Edit(RECORD, f"{DESC}/minLength", AWAY, refused="is missing, and the code reads it"),
    Edit(RECORD, f"{DESC}/enum", ["cat", "dog", "cow", "kite"], {"long": "schema-limit"}),
    Edit(RECORD, f"{DESC}/pattern", "^[a-z]", refused="and the rules refuse blank text"),
    Edit(RECORD, f"{DESC}/not/pattern", "<think>", refused="and this is what rules.yaml forbids in it"),
    Edit(
        RECORD,
        f"{OBJECT}/properties/score",
        {"maximum": 0.4},
        {"scored": "schema-limit"},
        None,
        {"scored": "unknown-field"},
    ),
    Edit(RECORD, f"{OBJECT}/properties/bbox", {}, refused="is a key that legacy-key in rules.yaml replaces"),
    Edit(RECORD, f"{OBJECT}/properties/poly/maxItems", 4, {"poly": "schema-limit"}),
    Edit(RECORD, f"{OBJECT}/oneOf/1", AWAY, refused="and an object has exactly one geometry"),
    Edit(
        RECORD, f"{OBJECT}/not/anyOf/0", AWAY, refused="and these are the keys that legacy-key in rules.yaml replaces"
    ),
    Edit(RECORD, "/$defs/bbox_2d/maxItems", 5, refused="is 5, and a box has the corners x1, y1, x2, y2: write 4"),
    Edit(
        RECORD,
        "/$defs/bbox_2d/uniqueItems",
        True,
        refused="is a keyword that the code does not follow here: take it away",
    ),
    Edit(RECORD, "/$defs/bin/maximum", 1000, refused="the losses are built for norm1000: write 999"),
    Edit(RECORD, "/$defs/bin/minimum", 1, refused="the losses are built for norm1000: write 0"),
    Edit(RECORD, "/$defs/coord_token/pattern", "^<c[0-9]+>$", refused="the losses are built for norm1000"),
    Edit(RECORD, "/$defs/poly/anyOf/0/minItems", 8, refused="does not say what the rules do"),
    Edit(RECORD, "/$defs/poly/anyOf/0/minItems", 8, {"poly": "poly-arity"}, as_well=eight),
    # ---------------------------------------------------------------- the payload
    Edit(PAYLOAD, "/propertyNames/pattern", r"^item_[1-9][0-9]*$(?!\n)"),
    Edit(PAYLOAD, "/propertyNames/pattern", "^[a-z]+$", refused="and a key is a word and a number from 1"),
    Edit(PAYLOAD, "/x-separators/item", ",\n"),
    Edit(PAYLOAD, "/x-separators/key", ":"),
    Edit(
        PAYLOAD, "/x-separators/key", "=", refused="is '=', and JSON has a : here, with white space around it or none"
    ),
    Edit(PAYLOAD, "/x-separators/item", AWAY, refused="is missing, and the code reads it"),
    Edit(PAYLOAD, "/maxProperties", 20, refused="is a keyword that the code does not follow here: take it away"),
    Edit(
        PAYLOAD,
        "/additionalProperties/properties/bbox_2d/maxItems",
        6,
        refused="and the record's bbox_2d says so: write 4",
    ),
    Edit(
        PAYLOAD, "/additionalProperties/properties/poly/minItems", 8, refused="and the record's poly says so: write 6"
    ),
    Edit(PAYLOAD, "/additionalProperties/properties/score", {}, refused="does not follow here: take it away"),
    Edit(PAYLOAD, "/additionalProperties/additionalProperties", True, refused="written for it: write false"),
    # ---------------------------------------------------------------- the rules
    Edit(
        RULES,
        "/rules/legacy-key/params/replacements/box",
        {"text": "bbox_2d", "rename": "bbox_2d"},
        refused="and these are the keys that legacy-key in rules.yaml replaces",
    ),
    Edit(
        RULES,
        "/rules/image-path-not-relative/params/kinds/a bucket",
        "s3:",
        refused="and this is what rules.yaml forbids in it",
    ),
    Edit(
        RULES, "/rules/special-token-desc/params/tokens/-", "<box>", refused="and this is what rules.yaml forbids in it"
    ),
    Edit(RULES, "/rules/bad-size/severity", "warning"),
    # ---------------------------------------------------------------- the masks
    Edit(MASKS, "/policies/unified/matched/struct", 7, refused="is above the maximum 1"),
    Edit(MASKS, "/policies/unified/fn/geometry", "fnn", refused="is none of"),
    Edit(MASKS, "/policies/unified/fp/coord_loss", "soft_ce_w1", refused='is not "none"'),
    Edit(MASKS, "/policies/unified/frame/close", AWAY, refused='"close" is missing'),
    Edit(MASKS, "/policies/unified/fn/struct", 0.5),
    Edit(MASKS, "/default", "unfied", refused="no mask policy is called 'unfied'"),
    Edit(MASKS, "/policies/mine", {}, refused='"about" is missing'),
]


def edited(edit: Edit) -> dict[str, str]:
    """The files of the copy that differ."""
    text = (ROOT / "contracts" / edit.file).read_text("utf-8")
    value = yaml.safe_load(text)
    node = {rule["name"]: rule for rule in value["rules"]} if edit.file == RULES else value
    *steps, last = edit.at.removeprefix("/rules" if edit.file == RULES else "").split("/")[1:]
    for step in steps:
        node = node[int(step) if isinstance(node, list) else step]
    if isinstance(node, list) and last == "-":
        node.append(edit.to)
    elif edit.to is AWAY:
        del node[int(last) if isinstance(node, list) else last]
    else:
        node[last] = edit.to
    if edit.as_well is not None:
        edit.as_well(value)
    files = {edit.file: json.dumps(value) if edit.file.endswith(".json") else yaml.safe_dump(value, sort_keys=False)}
    if edit.file == RECORD and edit.as_well is not None and "minItems" in edit.at:
        payload = json.loads((ROOT / "contracts" / PAYLOAD).read_text("utf-8"))
        payload["additionalProperties"]["properties"]["poly"]["minItems"] = edit.to
        files[PAYLOAD] = json.dumps(payload)
    return files


@pytest.fixture(scope="module")
def outcomes() -> list[Any]:
    """What becomes of the contract as it is, and under each edit."""
    lines = [json.dumps(line) for line in LINES.values()]
    return run([{"files": {}, "lines": lines}, *({"files": edited(edit), "lines": lines} for edit in EDITS)])


def name_of(edit: Edit) -> str:
    return f"{edit.file}#{edit.at} {'away' if edit.to is AWAY else json.dumps(edit.to)}"


@pytest.mark.parametrize("number", range(len(EDITS)), ids=[name_of(edit) for edit in EDITS])
def test_an_edit_is_followed_or_refused(number: int, outcomes: list[Any]) -> None:
    edit, base, found = EDITS[number], outcomes[0], outcomes[number + 1]
    assert "crashed" not in found, found["crashed"]
    if edit.refused is not None:
        assert found.keys() == {"refused"}, "the edit is not refused"
        assert edit.refused in found["refused"]
        assert found["refused"].startswith((f"{edit.file}#/", f"{RECORD}#/", f"{edit.file}: "))
        return
    assert "refused" not in found, found.get("refused")
    for name, before, now in zip(NAMES, base["lines"], found["lines"], strict=True):
        wanted = [*before["reference"], *([edit.says[name]] if name in edit.says else [])]
        if name in edit.not_any_more:
            wanted.remove(edit.not_any_more[name])
        assert set(now["reference"]) == set(wanted), name
        consistent(now, LINES[name], name)
    assert found["docs"] != base["docs"], "no page says it"


def consistent(said: dict[str, Any], line: dict[str, Any], name: str) -> None:
    """Everything that reads a line says the same of it."""
    assert said["explained"] == said["reference"], name
    assert said["from_line"] == said["from_value"] == said["errors"], name
    assert not (said["accepted"] and said["reference"]), name
    if said["errors"]:
        return
    kept = {"objects", *said["record"]} if "unknown-field" in said["reference"] else {*line}
    assert said["record"].keys() == kept, name
    if "unknown-field" not in said["reference"]:
        assert said["record"] == line, name
    taught = said["taught"]
    assert taught["read"] == len(line["objects"]), name
    assert taught["guard"] == [], name
    assert taught["target"] == taught["payload"], name


def test_the_lines_as_the_contract_is(outcomes: list[Any]) -> None:
    found = {name: said["reference"] for name, said in zip(NAMES, outcomes[0]["lines"], strict=True)}
    broken = {
        "licence": ["unknown-field"],
        "scored": ["unknown-field"],
        "legacy": ["missing-geometry", "unknown-field"],
    }
    assert found == {**{name: [] for name in NAMES}, **broken}


@pytest.mark.parametrize(
    ("at", "to", "payload"),
    [
        ("/propertyNames/pattern", r"^item_[1-9][0-9]*$(?!\n)", '{"item_1": {"desc": "cat", "bbox_2d": ["<'),
        ("/x-separators/item", ",\n", '{"object_1": {"desc": "cat",\n"bbox_2d": ["<|coord_1|>",\n"<'),
        ("/x-separators/key", ":", '{"object_1":{"desc":"cat", "bbox_2d":["<'),
    ],
)
def test_the_form_of_the_payload(at: str, to: str, payload: str, outcomes: list[Any]) -> None:
    number = next(n for n, edit in enumerate(EDITS) if (edit.file, edit.at, edit.to) == (PAYLOAD, at, to))
    assert outcomes[number + 1]["lines"][0]["taught"]["payload"].startswith(payload)


def test_fields_beyond_the_contract_are_carried_along(outcomes: list[Any]) -> None:
    numbers = {edit.at: n for n, edit in enumerate(EDITS) if edit.to == {"type": "string"} or "score" in str(edit.to)}
    licence = outcomes[numbers["/properties/licence"] + 1]["lines"][NAMES.index("licence")]
    assert licence["record"] == LINES["licence"]
    scored = outcomes[numbers[f"{OBJECT}/required/-"] + 1]["lines"][NAMES.index("scored")]
    assert scored["record"] == LINES["scored"]
    assert "score" not in scored["taught"]["payload"]


@pytest.mark.parametrize(
    ("file", "text", "refused"),
    [
        (RECORD, "{", "record.schema.json: is no JSON: "),
        (PAYLOAD, "[]", "payload.schema.json#: is [], where the code reads a JSON object"),
        (MASKS, "default: [", "masks.yaml: is no YAML: "),
        (MASKS, "[]", 'masks.yaml#: [] is not of the type "object"'),
        (RULES, "families: {}\nsubjects: {}\nrules:\n  - {name: a}\n", "rules.yaml: the rule a: "),
        (RULES, "families: {}\nsubjects: {}\nrules: [7]\n", "rules.yaml: 7: "),
    ],
)
def test_a_file_that_is_none(file: str, text: str, refused: str) -> None:
    (found,) = run([{"files": {file: text}, "lines": []}])
    assert found.get("refused", "").startswith(refused), found
