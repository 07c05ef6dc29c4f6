"""Bindings of ``openspec/specs/data-contract``: limits beyond the rules, and edits of the contract."""

from __future__ import annotations

import json
from typing import Any

from spec_tools import coordspec, expect, folder, lines

from contract_copy import of_edits
from coordspec.spec.binding import harness, scenario

OBJECTS = [{"desc": "cat", "bbox_2d": [1, 2, 30, 40]}, {"desc": "dog", "bbox_2d": [100, 200, 300, 400]}]
RECORD: dict[str, Any] = {"images": ["a.png", "b.png"], "width": 640, "height": 480, "objects": OBJECTS}
RECORD |= {"metadata": {"year": 2026}}


def under(schema: str, record: dict[str, Any]) -> Any:
    """What ``coordspec validate`` says of a record under a schema."""
    with folder() as here:
        (here / "a.jsonl").write_bytes(lines(json.dumps(record)))
        (here / "own.json").write_text(schema, "utf-8")
        return coordspec("validate", "a.jsonl", "--schema", "own.json", "--format", "json")


@harness("own-limit")
def own_limit(schema: str, at: str, message: str) -> None:
    expect(under(schema, RECORD), "SCH001", at, message)


@harness("own-schema")
def own_schema(schema: str, message: str) -> None:
    done = under(schema, RECORD)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: own.json{message}")


@scenario("data-contract", "Limits beyond the rules", "A weaker schema", digest="89b16ccc130d")
def test_a_weaker_schema() -> None:
    broken = {**RECORD, "width": 0, "objects": [{"desc": " ", "bbox_2d": [1, 2, 3]}]}
    weak = under('{"properties": {"width": true, "objects": {}}, "additionalProperties": true}', broken)
    with folder() as here:
        (here / "a.jsonl").write_bytes(lines(json.dumps(broken)))
        assert weak.report == coordspec("validate", "a.jsonl", "--format", "json").report
    assert sorted(weak.report["summary"]["by_rule"]) == ["bad-size", "bbox-arity", "blank-desc"]


@scenario("data-contract", "Edits of the contract", "An edit that is followed", digest="19d2b7e4d5e8")
def test_an_edit_that_is_followed() -> None:
    line = json.dumps({**RECORD, "width": 8})
    (found,) = of_edits([("record.schema.json", ("properties", "width", "minimum"), 16)], [line])
    said = found["lines"][0]
    assert said["reference"] == said["explained"] == said["from_line"] == said["from_value"] == ["bad-size"]
    assert "| `width` | yes | integer, at least 16 |" in found["docs"]["docs/data/JSONL_CONTRACT.md"]


@scenario("data-contract", "Edits of the contract", "An edit that is refused", digest="858920542b44")
def test_an_edit_that_is_refused() -> None:
    (found,) = of_edits([("record.schema.json", ("$defs", "bbox_2d", "maxItems"), 5)], [])
    place = "record.schema.json#/$defs/bbox_2d/maxItems"
    assert found == {"refused": f"{place}: is 5, and a box has the corners x1, y1, x2, y2: write 4"}
