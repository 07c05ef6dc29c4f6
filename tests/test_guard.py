"""The guard: every rule is seen failing on a target that breaks it, and `coordspec guard` says so."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coordspec.contracts import Kind, Owner, rule_book
from coordspec.errors import ContractError
from coordspec.guard import check_target, require_sound
from coordspec.rollout.reasons import DropReason
from coordspec.target import Target, build_target, ground_truth_target, target_from_json, target_to_json
from qwen_tokenizer import TOKENIZERS, ids_of, table
from rollouts import BIRD, CAT, DOG, body

GT = [CAT, DOG]
ROLLOUT = body(CAT, BIRD) + ', "object_7": {"desc": "x"}}<|im_end|>'
OF_A_TARGET = {item.name for item in rule_book().about("target").by_name.values() if item.code < "MSK050"} - {
    "dump-unreadable",
    "tokenizer-differs",
}
"""Rules that a target in memory can break; those from 50 on are about batches."""

NAME = "qwen"
IDS = ids_of(ROLLOUT, NAME)
TARGET = build_target(IDS, GT, table(NAME))


def weight(owner: Owner, kind: Kind, value: float) -> Callable[[Target], Target]:
    """The first token of that owner and kind gets another weight."""

    def change(target: Target) -> Target:
        at = next(i for i, pair in enumerate(zip(target.owner, target.kind, strict=True)) if pair == (owner, kind))
        return replace(target, ce_weight=(*target.ce_weight[:at], value, *target.ce_weight[at + 1 :]))

    return change


def token(text: str, new: str) -> Callable[[Target], Target]:
    """The last token of that text becomes others; weights, owners and kinds are repeated."""

    def change(target: Target) -> Target:
        tables = table(NAME)
        at = max(i for i, token_id in enumerate(target.ids) if tables.text([token_id]) == text)
        ids = ids_of(new, NAME)

        def spread(values: tuple[Any, ...]) -> tuple[Any, ...]:
            return (*values[:at], *values[at : at + 1] * len(ids), *values[at + 1 :])

        labels = {name: spread(getattr(target, name)) for name in ("ce_weight", "owner", "kind")}
        return replace(target, ids=(*target.ids[:at], *ids, *target.ids[at + 1 :]), **labels)

    return change


def report(**fields: Any) -> Callable[[Target], Target]:
    return lambda target: replace(target, report=replace(target.report, **fields))


def slot(index: int, **fields: Any) -> Callable[[Target], Target]:
    def change(target: Target) -> Target:
        slots = list(target.slots)
        slots[index] = replace(slots[index], **fields)
        return replace(target, slots=tuple(slots))

    return change


def shifted(target: Target) -> Target:
    return slot(1, positions=tuple(position + 1 for position in target.slots[1].positions))(target)


def slots_of_the_false_positive(target: Target) -> Target:
    bird = [i for i, (o, k) in enumerate(zip(target.owner, target.kind, strict=True)) if (o, k) == ("fp", "coord")]
    return replace(target, slots=(*target.slots, replace(target.slots[0], gt=1, positions=tuple(bird))))


BROKEN: list[tuple[str, Callable[[Target], Target], set[str]]] = [
    ("a name that is none", lambda target: replace(target, policy="unifed"), {"target-policy"}),
    ("a weight too few", lambda target: replace(target, ce_weight=target.ce_weight[:-1]), {"target-length"}),
    ("an owner too many", lambda target: replace(target, owner=(*target.owner, Owner.FN)), {"target-length"}),
    ("no kinds", lambda target: replace(target, kind=()), {"target-length"}),
    ("an id that is none", lambda target: replace(target, ids=(*target.ids[:-1], 999_999)), {"unknown-token"}),
    ("a negative id", lambda target: replace(target, ids=(-1, *target.ids[1:])), {"unknown-token"}),
    ("no end", lambda target: replace(target, ids=(*target.ids[:-1], target.ids[0])), {"target-unreadable"}),
    ("text behind the brace", token("}}", "}} }"), {"target-unreadable"}),
    ("an open string", token("dog", 'dog"'), {"target-unreadable"}),
    ("no keys", token("}}", '}, "x"}'), {"target-unreadable"}),
    ("a comma too many", token("}}", "},}"), {"target-unreadable"}),
    ("an escape that is none", token("dog", "d\\qg"), {"target-not-json", "injected-object"}),
    ("a prediction twice", report(fp=(0, 1)), {"prediction-partition"}),
    ("matched and missed", report(matches=((0, 0), (1, 1))), {"prediction-partition", "ground-truth-partition"}),
    ("an object nowhere", report(fn=()), {"ground-truth-partition", "slot-object", "start-id"}),
    ("an object that is none", report(fn=(2,)), {"ground-truth-partition", "slot-object", "slots-missing"}),
    ("another key dropped", report(dropped=(("object_8", DropReason.MISSING_GEOMETRY),)), {"dropped-entries"}),
    ("an injected key twice", token("8", "7"), {"injected-key"}),
    ("another bin", token("<|coord_500|>", "<|coord_501|>"), {"injected-object"}),
    ("a coordinate in letters", token("<|coord_700|>", "<|coord_" + "700|> "), {"injected-object"}),
    ("a false positive's desc", weight(Owner.FP, Kind.DESC, 0.5), {"masked-token-supervised"}),
    ("a coordinate", weight(Owner.MATCHED, Kind.COORD, 1), {"masked-token-supervised"}),
    ("the end", weight(Owner.FRAME, Kind.END, 1), {"masked-token-supervised"}),
    ("structure left out", weight(Owner.MATCHED, Kind.STRUCT, 0), {"supervised-token-masked"}),
    ("no number", weight(Owner.FN, Kind.DESC, float("nan")), {"supervised-token-masked"}),
    ("the opening brace", weight(Owner.FRAME, Kind.OPEN, 0), {"supervised-token-masked"}),
    ("another owner", lambda t: replace(t, owner=(Owner.FN, *t.owner[1:])), {"token-label"}),
    ("another kind", lambda t: replace(t, kind=(*t.kind[:-1], Kind.CLOSE)), {"token-label"}),
    ("slots of a false positive", slots_of_the_false_positive, {"slot-object"}),
    ("slots twice", lambda t: replace(t, slots=(*t.slots, t.slots[0])), {"slot-object"}),
    ("no slots", lambda t: replace(t, slots=()), {"slots-missing"}),
    ("slots one further", shifted, {"slot-positions"}),
    ("predicted bins", slot(0, bins=(10, 10, 110, 111)), {"slot-values"}),
    ("another box", slot(1, box=(0, 0, 1, 1)), {"slot-values"}),
    ("another geometry", slot(1, written_as="poly"), {"slot-values"}),
    ("another group", slot(0, geometry="fn"), {"slot-values"}),
    ("a loss that the policy does not have", slot(0, coord_loss="soft_ce_w1"), {"slot-values"}),
    ("a slot of the wrong owner", slot(0, group=Owner.FN), {"slot-object", "slots-missing"}),
]


@pytest.mark.parametrize(("change", "rules"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_target_is_found(change: Callable[[Target], Target], rules: set[str]) -> None:
    found = {issue.name for issue in check_target(change(TARGET), GT, table(NAME), IDS)}
    assert rules <= found
    with pytest.raises(ContractError):
        require_sound(change(TARGET), GT, table(NAME), IDS)


@pytest.mark.parametrize(
    "name", ["target-length", "token-label", "slot-values", "masked-token-supervised", "supervised-token-masked",
             "dropped-entries", "slots-missing", "prediction-partition", "unknown-token", "target-policy"]
)  # fmt: skip
def test_some_faults_break_one_rule_alone(name: str) -> None:
    alone = [case for case in BROKEN if case[2] == {name}]
    assert alone
    for _, change, rules in alone:
        assert {issue.name for issue in check_target(change(TARGET), GT, table(NAME), IDS)} == rules


def test_a_tokenizer_in_place_of_a_table() -> None:
    target = build_target(ids_of(ROLLOUT, "tiny"), GT, TOKENIZERS["tiny"]())
    assert check_target(target, GT, TOKENIZERS["tiny"]()) == []


def test_the_prefix_is_compared_with_the_rollout() -> None:
    def rules(ids: list[int]) -> set[str]:
        return {issue.name for issue in check_target(TARGET, GT, table(NAME), ids)}

    other_text = ids_of(ROLLOUT.replace("bird", "fish"), NAME)
    assert rules(other_text) == {"prefix-text"}
    letters = [table(NAME).encode(letter)[0] for letter in "bird"]
    bird = table(NAME).encode("bird")[0]
    apart = [part for token_id in IDS for part in (letters if token_id == bird else [token_id])]
    assert rules(apart) == {"prefix-ids"}
    assert rules(ids_of(ROLLOUT.replace("}}<", "}<"), NAME)) == {"prefix-text"}
    assert rules(ids_of("no", NAME)) == {"prefix-text"}
    assert rules([*IDS[:3], 9_999_999]) == {"unknown-token"}
    fallback = build_target(ids_of("no", NAME), GT, table(NAME))
    assert check_target(fallback, GT, table(NAME), ids_of("no", NAME)) == []
    assert {issue.name for issue in check_target(fallback, GT, table(NAME), IDS)} == {"prefix-text"}


def test_a_target_of_the_ground_truth_holds_nothing_else() -> None:
    whole = ground_truth_target([*GT, BIRD], table(NAME))
    for gt in (GT, [CAT, DOG, DOG]):
        assert check_target(whole, gt, table(NAME)) != []
    one_less = replace(whole, report=replace(whole.report, fn=(0, 1)), slots=whole.slots[:2])
    assert "stray-entry" in {issue.name for issue in check_target(one_less, GT, table(NAME))}
    matched = replace(whole, report=replace(whole.report, fn=(1, 2), matches=((0, 0),)))
    assert "stray-entry" in {issue.name for issue in check_target(matched, [*GT, BIRD], table(NAME))}
    assert "object-missing" in {
        issue.name for issue in check_target(ground_truth_target([CAT], table(NAME)), [CAT], table(NAME))
    } | {
        issue.name
        for issue in check_target(
            replace(ground_truth_target([CAT], table(NAME)), report=replace(whole.report, fn=(0, 1))), GT, table(NAME)
        )
    }


def test_every_rule_is_seen_failing() -> None:
    seen = {name for _, _, rules in BROKEN for name in rules} | {
        "prefix-text",
        "prefix-ids",
        "stray-entry",
        "object-missing",
    }
    assert seen == OF_A_TARGET


# ---------------------------------------------------------------------------------------------------------- dumps


def dump(target: Target = TARGET, sample: str = "train.jsonl:7") -> str:
    return target_to_json(sample, target, GT, table(NAME), IDS)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "Expected `object`, got `array`"),
        ({"sample": "x"}, "Object missing required field `tokenizer`"),
        ({**json.loads(dump()), "more": 1}, "Object contains unknown field `more`"),
        ({**json.loads(dump()), "rollout_ids": ["x"]}, "Expected `int`, got `str` - at `$.rollout_ids[0]`"),
    ],
)
def test_what_is_no_dump(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=r"^(Expected|Object) ") as caught:
        target_from_json(value)
    assert str(caught.value) == message


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    TOKENIZERS["tiny"]().save(str(folder / "tokenizer.json"))
    return folder


def tiny_dump(sample: str = "a.jsonl:1", change: Callable[[Target], Target] = lambda target: target) -> str:
    ids = ids_of(ROLLOUT, "tiny")
    return target_to_json(sample, change(build_target(ids, GT, table("tiny"))), GT, table("tiny"), ids)


def test_the_command_on_sound_targets(coordspec, tmp_path: Path, tokenizer_folder: Path) -> None:
    (tmp_path / "a.jsonl").write_text(tiny_dump() + "\n\n" + tiny_dump("b") + "\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(tiny_dump().encode()))
    for tokenizer in (tokenizer_folder, tokenizer_folder / "tokenizer.json"):
        done = coordspec("guard", "a.jsonl", "b.jsonl.gz", "--tokenizer", tokenizer)
        assert (done.status, done.err) == (0, "")
        assert done.out == "✓ 3 records in 2 files are valid\n"


def test_the_command_on_broken_targets(coordspec, tmp_path: Path, tokenizer_folder: Path) -> None:
    lines = [
        tiny_dump(),
        tiny_dump("a.jsonl:2", weight(Owner.FRAME, Kind.END, 1)),
        "{",
        "{}",
        dump(),
        tiny_dump().replace('"desc": "cat"', '"desc": ""', 1),
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    done = coordspec("guard", "a.jsonl", "--tokenizer", tokenizer_folder, "--format", "json")
    assert done.status == 1
    value = json.loads(done.out)
    found = [(issue["line"], issue["code"], issue["pointer"]) for issue in value["issues"]]
    last = len(build_target(ids_of(ROLLOUT, "tiny"), GT, table("tiny")).ids) - 1
    assert found == [
        (2, "MSK018", f"/ce_weight/{last}"),
        (3, "JSN001", None),
        (4, "MSK001", None),
        (5, "MSK002", "/tokenizer"),
        (6, "MSK001", None),
    ]
    assert value["issues"][0]["message"].startswith(f"sample a.jsonl:2: token {last}, '<|im_end|>', has weight 1.0")
    assert 'objects[0].desc: the desc "" is blank (OBJ001)' in value["issues"][4]["message"]
    assert (value["summary"]["records"], value["summary"]["valid"]) == (6, 1)


def test_the_command_lists_a_thousand_and_counts_all(coordspec, tmp_path: Path, tokenizer_folder: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n" * 1200)
    done = coordspec("guard", "a.jsonl", "--tokenizer", tokenizer_folder, "--format", "json")
    value = json.loads(done.out)
    assert (len(value["issues"]), value["truncated"], value["summary"]["errors"]) == (1000, True, 1200)


def test_what_the_command_cannot_read(coordspec, tmp_path: Path, tokenizer_folder: Path) -> None:
    (tmp_path / "a.jsonl").write_text(tiny_dump() + "\n")
    (tmp_path / "b.gz").write_bytes(b"no gzip")
    (tmp_path / "bad.json").write_text('{"model": 1}')
    (tmp_path / "latin.json").write_bytes(b"\xff")
    cases = [
        (("a.jsonl", "--tokenizer", "bad.json"), "bad.json: is no tokenizer of the tokenizers library: "),
        (("a.jsonl", "--tokenizer", "latin.json"), "latin.json: is no UTF-8 text: invalid start byte"),
        (("b.gz", "--tokenizer", tokenizer_folder), "b.gz: "),
        (("missing.jsonl", "--tokenizer", tokenizer_folder), "missing.jsonl: no such file or folder"),
        (("a.jsonl",), "Missing option '--tokenizer'"),
    ]
    for args, message in cases:
        done = coordspec("guard", *args)
        assert done.status == 2, args
        assert message in done.out + done.err
        assert "Traceback" not in done.err
