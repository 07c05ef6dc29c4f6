"""Bindings of ``openspec/specs/target-guard``."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from channel_b import END
from spec_tools import Done, coordspec, folder

from coordspec.contracts import mask_policies
from coordspec.errors import ContractError, Place
from coordspec.guard import check_target, require_sound
from coordspec.spec.binding import harness, scenario
from coordspec.target import Target, build_target, ground_truth_target, target_from_json, target_to_json
from qwen_tokenizer import TOKENIZERS, ids_of, table
from rollouts import BIRD, CAT, DOG, body, sample, thing

GT = [CAT, DOG]
ROLLOUT = body(CAT, BIRD) + ', "object_7": {"desc": "x"} }' + END


def target_of(name: str) -> Target:
    return build_target(ids_of(ROLLOUT, name), GT, table(name))


def with_weight(target: Target, at: int, weight: float) -> Target:
    return replace(target, ce_weight=(*target.ce_weight[:at], weight, *target.ce_weight[at + 1 :]))


@scenario("target-guard", "Invariants of a target", "Sound targets", digest="2417ba936cf4")
def test_sound_targets() -> None:
    for name in TOKENIZERS:
        for seed in range(40):
            gt, text = sample(random.Random(seed))
            ids = ids_of(text, name)
            for policy in mask_policies().by_name:
                target = build_target(ids, gt, table(name), policy=policy)
                assert check_target(target, gt, table(name), ids) == []
            objects = [thing(random.Random(seed))] * 2
            for rows in mask_policies().ground_truth:
                assert check_target(ground_truth_target(objects, table(name), rows=rows), objects, table(name)) == []


@scenario("target-guard", "Invariants of a target", "One token", digest="15ab3a441d08")
def test_one_token() -> None:
    for name in TOKENIZERS:
        target = target_of(name)
        last = len(target.ids) - 1
        broken, place = with_weight(target, last, 1), Place("train.jsonl", 7)
        (issue,) = check_target(broken, GT, table(name), place=place)
        assert (issue.code, str(issue.place), issue.place.at) == ("MSK018", "train.jsonl:7", ("ce_weight", last))
        said = f"ce_weight[{last}]: token {last}, '<|im_end|>', has weight 1, and as frame end it gets 0.0 (MSK018)"
        assert str(issue) == said
        with pytest.raises(ContractError) as caught:
            require_sound(broken, GT, table(name), place=place)
        assert str(caught.value) == f"train.jsonl:7: {said}"


@harness("broken-target")
def broken_target(change: str, rule: str, value: Any = None, old: str = "", new: str = "", **which: str) -> None:
    target, ids = target_of("qwen"), ids_of(ROLLOUT, "qwen")
    value = tuple(value) if isinstance(value, list) else value
    if change == "weight":
        pairs = list(zip(target.owner, target.kind, strict=True))
        at = next(i for i, pair in enumerate(pairs) if pair == (which["owner"], which["kind"]))
        target = with_weight(target, at, value)
    elif change == "report":
        target = replace(target, report=replace(target.report, **{which["field"]: value}))
    elif change == "slots":
        target = replace(target, slots=(replace(target.slots[0], **{which["field"]: value}), *target.slots[1:]))
    elif change == "text":
        (before,), (after,) = (table("qwen").encode(word) for word in (old, new))
        target = replace(target, ids=tuple(after if token_id == before else token_id for token_id in target.ids))
    else:
        ids = ids_of(ROLLOUT.replace(old, new), "qwen")
    assert rule in {issue.name for issue in check_target(target, GT, table("qwen"), ids)}


@scenario("target-guard", "Invariants of a target", "Raised in training", digest="b1a13a7ab1c8")
def test_raised_in_training() -> None:
    target = target_of("tiny")
    require_sound(target, GT, table("tiny"))
    broken = replace(with_weight(target, len(target.ids) - 1, 1), slots=())
    with pytest.raises(ContractError) as caught:
        require_sound(broken, GT, table("tiny"))
    assert list(caught.value.issues) == check_target(broken, GT, table("tiny"))
    assert {issue.name for issue in caught.value.issues} == {"masked-token-supervised", "slots-missing"}


# ----------------------------------------------------------------------------------------------------------- dumps


@scenario("target-guard", "Dumped targets", "There and back", digest="191fc3ca1301")
def test_there_and_back() -> None:
    for name in TOKENIZERS:
        ids = ids_of(ROLLOUT, name)
        for policy in mask_policies().by_name:
            target = build_target(ids, GT, table(name), policy=policy)
            dump = target_from_json(json.loads(target_to_json("train.jsonl:7", target, GT, table(name), ids)))
            assert dump == ("train.jsonl:7", tuple(GT), tuple(ids), target, table(name).fingerprint)


def guard(*lines: str, tokenizer: str | None = None) -> Done:
    """``coordspec guard`` on a file of these lines, with the tiny tokenizer if no other path is given."""
    with folder() as here:
        (here / "a.jsonl").write_text("".join(line + "\n" for line in lines))
        (here / "empty").mkdir()
        (here / "model").mkdir()
        TOKENIZERS["tiny"]().save(str(here / "model/tokenizer.json"))
        return coordspec("guard", "a.jsonl", "--tokenizer", tokenizer or "model", "--format", "json")


def line(target: Target, name: str) -> str:
    return target_to_json("x", target, GT, table(name), ids_of(ROLLOUT, name))


@scenario("target-guard", "Dumped targets", "A file of targets", digest="9bc4f90a2234")
def test_a_file_of_targets() -> None:
    target = target_of("tiny")
    done = guard(line(target, "tiny"), line(with_weight(target, len(target.ids) - 1, 1), "tiny"), '{"sample": "x"}')
    assert done.status == 1
    assert [(issue["code"], issue["line"]) for issue in done.report["issues"]] == [("MSK018", 2), ("MSK001", 3)]


@scenario("target-guard", "Dumped targets", "Another tokenizer", digest="48579820a2eb")
def test_another_tokenizer() -> None:
    done = guard(line(target_of("fused"), "fused"), line(target_of("qwen"), "qwen"))
    assert [issue["code"] for issue in done.report["issues"]] == ["MSK002", "MSK002"]


@scenario("target-guard", "Dumped targets", "A path that is no tokenizer", digest="92de17d211e5")
def test_a_path_that_is_no_tokenizer() -> None:
    for path, named in (("empty", "empty/tokenizer.json"), ("a.jsonl", "a.jsonl")):
        done = guard(line(target_of("tiny"), "tiny"), tokenizer=path)
        assert done.status == 2
        assert done.err.startswith(f"error: {named}: ")
        assert done.err.count("\n") == 1
