"""masks.yaml is the one place for weights: its schema, its typed form, and targets built under every row set."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from coordspec.contracts import ContractFileError, MaskPolicy, Owner, contract_bytes, files, mask_policies, schema
from coordspec.guard import check_target
from coordspec.record import DetObject, render_payload
from coordspec.target import Target, build_target, ground_truth_target
from qwen_tokenizer import TOKENIZERS, ids_of, table

DOCUMENT: dict[str, Any] = yaml.safe_load(contract_bytes("masks.yaml"))
VALIDATOR = Draft202012Validator(schema("masks"))
OBJECTS = [DetObject("cat", bbox_2d=(1, 2, 30, 40)), DetObject("dog", bbox_2d=(500, 500, 600, 600))]
ROLLOUT = (
    render_payload([OBJECTS[0], DetObject("bird", bbox_2d=(700, 0, 800, 90))])[:-1] + ', "x": {"desc": "y"} }<|im_end|>'
)


def test_the_file_fits_its_schema() -> None:
    Draft202012Validator.check_schema(schema("masks"))
    VALIDATOR.validate(DOCUMENT)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("policies", "unified", "fp", "geometry"), "matched"),
        (("policies", "unified", "fp", "coord_loss"), "soft_ce_w1"),
        (("policies", "unified", "matched", "geometry"), "fn"),
        (("policies", "unified", "fn", "geometry"), "matched"),
        (("policies", "unified", "fn", "struct"), 1.5),
        (("policies", "unified", "fn", "struct"), -1),
        (("policies", "unified", "fn", "strcut"), 1),
        (("policies", "unified", "frame"), {"open": 1, "close": 0}),
        (("policies", "unified", "target"), "gt"),
        (("policies", "Unified"), DOCUMENT["policies"]["unified"]),
        (("ground_truth", "stage1", "matched"), DOCUMENT["policies"]["unified"]["matched"]),
        (("policies",), {}),
        (("ground_truth",), {}),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_what_the_schema_refuses(path: tuple[str, ...], value: Any) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    assert not VALIDATOR.is_valid(document)


def test_the_typed_form_says_what_the_file_says() -> None:
    policies = mask_policies()
    for name, policy in (*policies.by_name.items(), *policies.ground_truth.items()):
        entry = (DOCUMENT["policies"] | DOCUMENT["ground_truth"])[name]
        assert policy.name == name
        assert policy.about == entry["about"]
        assert policy.target == entry.get("target", "ground_truth")
        for owner, row in policy.rows.items():
            losses = {} if owner is Owner.FRAME else {"geometry": row.geometry, "coord_loss": row.coord_loss}
            assert row.weights | losses == entry[owner]
        assert set(policy.rows) == entry.keys() - {"about", "target"}


def test_row_sets_of_the_ground_truth_by_name() -> None:
    with pytest.raises(ValueError, match="no row set for the ground truth is called 'stage_1'") as caught:
        ground_truth_target([], table("tiny"), rows="stage_1")
    assert str(caught.value).endswith("(did you mean 'stage1'?); there are stage1, channel_a")


def targets(policy: MaskPolicy) -> list[Target]:
    if policy.name in mask_policies().ground_truth:
        return [ground_truth_target(OBJECTS, table(name), rows=policy.name) for name in TOKENIZERS]
    return [build_target(ids_of(ROLLOUT, name), OBJECTS, table(name), policy=policy.name) for name in TOKENIZERS]


def cells(document: dict[str, Any]) -> list[tuple[str, str, Owner, str]]:
    return [
        (group, name, owner, kind)
        for group in ("policies", "ground_truth")
        for name, entry in document[group].items()
        for owner in Owner
        for kind in entry.get(owner, ())
    ]


@pytest.mark.parametrize(("group", "name", "owner", "cell"), cells(DOCUMENT), ids=str)
def test_one_changed_cell_changes_what_is_built_and_what_the_guard_wants(
    group: str, name: str, owner: Owner, cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Targets of the file as it is break a rule under the changed file, and those of the changed file do not."""
    policies = mask_policies()
    policy = (policies.by_name | policies.ground_truth)[name]
    before = targets(policy)
    document = json.loads(json.dumps(DOCUMENT))
    value = document[group][name][owner][cell]
    changed = {
        "geometry": "none" if value != "none" else owner.value,
        "coord_loss": "none" if value != "none" else "soft_ce_w1",
    }
    document[group][name][owner][cell] = changed.get(cell, 0.5)
    changed_file = yaml.safe_dump(document).encode()
    monkeypatch.setattr(
        files, "contract_bytes", lambda name: changed_file if name == "masks.yaml" else contract_bytes(name)
    )
    mask_policies.cache_clear()
    try:
        if owner is Owner.FP and cell in ("geometry", "coord_loss"):
            with pytest.raises(ContractFileError, match=f"/{group}/{name}/fp/{cell}: "):
                mask_policies()
            return
        after = targets(mask_policies().by_name.get(name) or mask_policies().ground_truth[name])
        for built in after:
            assert check_target(built, OBJECTS, table(list(TOKENIZERS)[after.index(built)])) == []
        has_text = owner is not Owner.FP or policy.target == "rollout"
        if has_text:
            assert before != after
            issues = [
                check_target(old, OBJECTS, table(tokenizer)) for old, tokenizer in zip(before, TOKENIZERS, strict=True)
            ]
            assert any(issues)
    finally:
        mask_policies.cache_clear()
