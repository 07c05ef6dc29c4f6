"""Bindings of ``openspec/specs/rollout-matching-sft``. Each runs on Qwen's tokenizer and on two small ones."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from channel_b import BOX, E1, E2, END, FAR, B, P, build, cat, entry, read, value
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from coordspec.contracts import Kind, Owner, contract_bytes, files, mask_policies
from coordspec.coords import TOKENS
from coordspec.errors import InputError
from coordspec.match import match_objects, pairwise_iou
from coordspec.record import DetObject, render_payload
from coordspec.rollout.parse import parse_reference, parse_rollout
from coordspec.spec.binding import harness, scenario
from coordspec.target import build_target, ground_truth_target
from qwen_tokenizer import TOKENIZERS, ids_by_bytes, ids_of, table

# -------------------------------------------------------------------------------------------------------- reading


@harness("rollout-start")
def rollout_start(text: str, fallback: str | None, entries: int, fn: int) -> None:
    for built in build(text, [cat(1), FAR]):
        assert built.rollout.fallback == fallback
        assert built.target.report.fallback == fallback
        assert len(built.rollout.entries) == entries
        assert len(built.target.report.fn) == fn
        if fallback:
            assert built.rollout.retained == b"{"


@scenario("rollout-matching-sft", "Strict reading of a rollout", "Behind the stop", digest="17d8efef0d4e")
def test_behind_the_stop() -> None:
    for built in build("{}" + END + "{" + E1 + "}", [FAR]):
        assert built.rollout.entries == ()
        assert built.text == "{" + entry(1, FAR) + "}" + END


@scenario("rollout-matching-sft", "Strict reading of a rollout", "Half a character", digest="8e5ebed0d3f3")
def test_half_a_character() -> None:
    for name in TOKENIZERS:
        tables = table(name)
        id_of = ids_by_bytes(name)
        before, after = '{"object_1": {"desc": "', '", ' + B + "}}"
        halves = [id_of["碗".encode()[:2]] if "碗".encode()[:2] in id_of else id_of["碗".encode()[:1]]]
        halves += [id_of[bytes((byte,))] for byte in "碗".encode()[len(tables.bytes_of[halves[0]]) :]][-1:]
        if sum(len(tables.bytes_of[half]) for half in halves) != 3:
            halves = [id_of[bytes((byte,))] for byte in "碗".encode()]
        ids = [*ids_of(before, name), *halves, *ids_of(after, name)]
        target = build_target(ids, [DetObject("x", bbox_2d=BOX)], tables)
        (prediction,) = parse_rollout(ids, tables).predictions
        assert prediction.item == DetObject("碗", bbox_2d=BOX)
        at = len(ids_of(before, name))
        assert set(target.kind[at : at + len(halves)]) == {Kind.DESC}


@scenario("rollout-matching-sft", "Strict reading of a rollout", "The same reading every time", digest="a696a25c8841")
def test_the_same_reading_every_time() -> None:
    text = '{"object_3": {"desc": "a", ' + B + '}, "x": 1, ' + E1 + ', "object_9": {"desc": "ca'
    for name in TOKENIZERS:
        ids = ids_of(text, name)
        assert parse_rollout(ids, table(name)) == parse_rollout(ids, table(name)) == parse_reference(ids, table(name))
        assert build_target(ids, [cat(1)], table(name)) == build_target(ids, [cat(1)], table(name))


# --------------------------------------------------------------------------------------------- valid and dropped


@harness("dropped-entry")
def dropped_entry(key: str, value: str, reason: str) -> None:
    dropped = f'"{key}": ' + value.replace("B}", B + "}").replace("B,", B + ",").replace("P}", P + "}")
    for built in build("{" + E1 + ", " + dropped + "}" + END, []):
        assert built.target.report.dropped == ((key, reason),)
        assert [entry.reason for entry in built.rollout.entries] == [None, reason]
        assert built.rollout.retained.decode() == "{" + E1 + ", " + dropped


@scenario(
    "rollout-matching-sft",
    "Valid and dropped entries",
    "A dropped entry takes no part in matching",
    digest="0ae08bfb0aa2",
)
def test_a_dropped_entry_takes_no_part_in_matching() -> None:
    for built in build('{"object_1": {"desc": "cat", ' + B + ', "score": 1}}', [cat(1)]):
        assert built.target.report.dropped == (("object_1", "unexpected_key"),)
        assert built.target.report.fn == (0,)
        (slot,) = built.target.slots
        assert slot.group is Owner.FN
        assert min(slot.positions) > max(built.over('"score": 1'))


@scenario("rollout-matching-sft", "Valid and dropped entries", "A repeated key", digest="b75164919f63")
def test_a_repeated_key() -> None:
    for rollout in read("{" + E1 + ", " + entry(1, cat(2)) + "}"):
        assert [entry.item for entry in rollout.predictions] == [cat(1)]
        assert rollout.dropped == (("object_1", "duplicate_key"),)


# ----------------------------------------------------------------------------------------------- retained prefix


@harness("retained-prefix")
def retained_prefix(text: str, retained: str, truncated: bool) -> None:
    def spelled(short: str) -> str:
        return short.replace("E1", E1).replace("E2", E2)

    for rollout in read(spelled(text)):
        assert rollout.retained.decode() == spelled(retained)
        assert rollout.truncated is truncated


@scenario("rollout-matching-sft", "Retained prefix", "Braces inside desc", digest="dd00beae47e4")
def test_braces_inside_desc() -> None:
    for desc in ("a } b", "{", "}}}", 'say "}"', "\\"):
        text = '{"object_1": {"desc": ' + json.dumps(desc) + ", " + B + "}}"
        for rollout in read(text):
            (prediction,) = rollout.predictions
            assert prediction.item == DetObject(desc, bbox_2d=BOX)
            assert rollout.cut == len(text) - 1
            assert not rollout.truncated


@scenario("rollout-matching-sft", "Retained prefix", "Ids before the cut are kept", digest="211b83658fc5")
def test_ids_before_the_cut_are_kept() -> None:
    for name in TOKENIZERS:
        tables = table(name)
        id_of = ids_by_bytes(name)
        letters = [id_of[bytes((byte,))] for byte in b"cat"]
        ids = [*ids_of('{"object_1": {"desc": "', name), *letters, *ids_of('", ' + B + "}", name), *ids_of("}", name)]
        assert ids != ids_of(tables.text(ids), name)
        for gt in ([], [FAR], [cat(1), FAR]):
            assert build_target(ids, gt, tables).ids[: len(ids) - 1] == tuple(ids[:-1])


@scenario("rollout-matching-sft", "Retained prefix", "The cut falls into a token", digest="e402ecb23fd9")
def test_the_cut_falls_into_a_token() -> None:
    for name in TOKENIZERS:
        tables = table(name)
        id_of = ids_by_bytes(name)
        head = ids_of("{" + E1[:-1], name)
        fused = [*head, id_of[b"}}"]]
        apart = [*head, *[id_of[b"}"]] * 2]
        assert tables.text(fused) == tables.text(apart) == "{" + E1 + "}"
        built = [build_target(ids, [cat(1), FAR], tables) for ids in (fused, apart)]
        assert [tables.text(target.ids) for target in built] == ["{" + E1 + ", " + entry(2, FAR) + "}" + END] * 2
        kept = tables.encode('}, "object_2": {"desc": "')
        assert built[0].ids[: len(head) + 1] == (*head, kept[0])


# ----------------------------------------------------------------------------------------------- key accounting


@harness("start-id")
def start_id(valid: list[str], dropped: list[str], start_id: int) -> None:
    entries = [f'"{key}": {value(cat(index))}' for index, key in enumerate(valid, 1)]
    entries += [f'"{key}": {{"desc": "x"}}' for key in dropped]
    for built in build("{" + ", ".join(entries) + "}", [FAR]):
        assert len(built.rollout.predictions) == len(valid)
        assert [key for key, _ in built.target.report.dropped] == dropped
        assert built.target.report.start_id == start_id
        assert built.text.endswith(entry(start_id, FAR) + "}" + END)


@scenario("rollout-matching-sft", "Key accounting", "A key inside an entry", digest="b447cd91d839")
def test_a_key_inside_an_entry() -> None:
    for rollout in read('{"object_1": {"desc": "x", "more": {"object_40": {}}}}'):
        assert rollout.dropped == (("object_1", "missing_geometry"),)
        assert rollout.start_id == 2


@scenario("rollout-matching-sft", "Key accounting", "A key in a desc", digest="1b63fc400a73")
def test_a_key_in_a_desc() -> None:
    for rollout in read('{"object_1": {"desc": "\\"object_50\\": {", ' + B + "}}"):
        assert [entry.item for entry in rollout.predictions] == [DetObject('"object_50": {', bbox_2d=BOX)]
        assert rollout.start_id == 2


@scenario("rollout-matching-sft", "Key accounting", "A key that was cut off", digest="bf5dbdf8335a")
def test_a_key_that_was_cut_off() -> None:
    for rollout in read("{" + E1 + ', "object_9": {"desc": "ca'):
        assert rollout.start_id == 2


@scenario("rollout-matching-sft", "Key accounting", "No key twice", digest="3ba2297371bd")
def test_no_key_twice() -> None:
    texts = (
        "{" + E1 + ", " + E2 + "}",
        '{"object_7": 1, "object_7": 2, "object_07": 3}',
        '{"object\\u005f3": {"desc": "x"}}',
        '{"object_2": {"desc": "x", ' + B + "}, " + E1,
        "nothing",
    )
    for text in texts:
        for built in build(text, [FAR, FAR, cat(5)]):
            pairs = json.loads(built.text.removesuffix(END), object_pairs_hook=lambda pairs: pairs)
            keys = [key for key, _ in pairs]
            injected = keys[-len(built.target.report.fn) :]
            assert len(set(injected)) == len(injected)
            assert set(injected).isdisjoint(keys[: -len(injected)])


# ------------------------------------------------------------------------------------------------------ matching


@harness("iou-gate")
def iou_gate(shift: int, iou: float, iou_gate: float, matched: bool) -> None:
    prediction, wanted = DetObject("a", bbox_2d=(shift, 0, 100 + shift, 100)), DetObject("b", bbox_2d=(0, 0, 100, 100))
    assert round(float(pairwise_iou([prediction], [wanted])[0, 0]), 6) == iou
    assert bool(match_objects([prediction], [wanted], iou_gate).pairs) is matched
    for built in build("{" + entry(1, prediction) + "}", [wanted], iou_gate=iou_gate):
        assert bool(built.target.report.matches) is matched


def _at(x: int) -> DetObject:
    return DetObject("cat", bbox_2d=(x, 0, x + 100, 100))


@scenario("rollout-matching-sft", "Matching", "The best sum, not the best pair first", digest="e817995577e2")
def test_the_best_sum() -> None:
    predictions, gt = [_at(90), _at(125)], [_at(57), _at(100)]
    assert pairwise_iou(predictions, gt).round(6).tolist()[0] == [0.503759, 0.818182]
    assert round(float(pairwise_iou(predictions, gt)[1, 1]), 6) == 0.6
    assert match_objects(predictions, gt).pairs == ((0, 0), (1, 1))


@scenario("rollout-matching-sft", "Matching", "More of one than of the other", digest="626171ef3a71")
def test_more_of_one_than_of_the_other() -> None:
    text = "{" + ", ".join(entry(number, cat(1)) for number in (1, 2, 3)) + "}"
    for built in build(text, [cat(1), FAR]):
        report = built.target.report
        assert (len(report.matches), len(report.fp), report.fn) == (1, 2, (1,))


@scenario("rollout-matching-sft", "Matching", "No predictions, no ground truth", digest="0c578b346ad6")
def test_nothing_on_one_side() -> None:
    assert match_objects([], []) == ((), (), ())
    assert match_objects([cat(1), cat(2)], []) == ((), (0, 1), ())
    assert match_objects([], [cat(1), cat(2)]) == ((), (), (0, 1))
    for text, gt, fp, fn in (("{" + E1 + "}", [], (0,), ()), ("{}", [cat(1)], (), (0,)), ("{}", [], (), ())):
        for built in build(text, gt):
            assert (built.target.report.matches, built.target.report.fp, built.target.report.fn) == ((), fp, fn)


@scenario("rollout-matching-sft", "Matching", "The desc takes no part", digest="c6ee571590ef")
def test_the_desc_takes_no_part() -> None:
    for built in build("{" + entry(1, DetObject("kitten", bbox_2d=BOX)) + "}", [cat(1)]):
        assert built.target.report.matches == ((0, 0),)


# ----------------------------------------------------------------------------------------------------- injection

MISSED = {"G1": FAR, "G2": DetObject("碗", poly=(500, 0, 600, 0, 600, 90))}
D1 = '"object_1": {"desc": "cat"}'


@harness("injection")
def injection(retained: str, missed: list[str], target: str) -> None:
    gt = [MISSED[name] for name in missed] + ([cat(1)] if "E1" in retained else [])
    wanted = target.replace("E1", E1).replace("D1", D1)
    for name, item in MISSED.items():
        wanted = wanted.replace(name, value(item))
    for built in build(retained.replace("E1", E1).replace("D1", D1) + "}" + END, gt):
        assert built.text == wanted


@scenario("rollout-matching-sft", "Injection of missed objects", "A space before the brace", digest="6fccebacda1a")
def test_a_space_before_the_brace() -> None:
    for built in build("{ }", [FAR]):
        assert built.text == "{ " + entry(1, FAR) + "}" + END


@scenario("rollout-matching-sft", "Injection of missed objects", "The target is strict JSON", digest="a594912a1936")
def test_the_target_is_strict_json() -> None:
    seen = DetObject("kitten", bbox_2d=(1, 2, 3, 5))
    texts = (
        "{" + entry(4, seen),
        "{" + entry(4, seen) + "}",
        "{\n" + entry(4, seen) + "\n}}",
        " {" + entry(4, seen) + ", ",
    )
    for text in texts:
        for built in build(text, [FAR, cat(1)]):
            assert built.target.report.matches == ((0, 1),)
            assert json.loads(built.text.removesuffix(END)) == json.loads(
                "{" + entry(4, seen) + ", " + entry(5, FAR) + "}"
            )


@scenario("rollout-matching-sft", "Injection of missed objects", "Nothing is missing", digest="494a11c07670")
def test_nothing_is_missing() -> None:
    for built in build("{" + E1 + ", " + E2 + "}" + END, [cat(2), cat(1)]):
        assert built.target.report.fn == ()
        assert built.text == "{" + E1 + ", " + E2 + "}" + END


# ----------------------------------------------------------------------------------------------- owners and kinds


@scenario("rollout-matching-sft", "Owners and kinds", "Separators", digest="ce34a4de1dbb")
def test_separators() -> None:
    for name in TOKENIZERS:
        tables = table(name)
        parts = ["{" + E1, ", ", E2, "}"]
        ids = [token_id for part in parts for token_id in ids_of(part, name)]
        target = build_target(ids, [cat(1), FAR], tables)
        at = len(ids_of(parts[0], name))
        count = len(ids_of(", ", name))
        assert set(target.owner[at : at + count]) == {Owner.FP}
        at = len(ids) - len(ids_of("}", name))
        injected = [position for position in range(at, len(target.ids)) if "," in tables.text([target.ids[position]])]
        assert target.owner[injected[0]] is Owner.FN


@scenario("rollout-matching-sft", "Owners and kinds", "A token that touches two owners", digest="bc9552df7d70")
def test_a_token_that_touches_two_owners() -> None:
    for name in TOKENIZERS:
        tables = table(name)
        id_of = ids_by_bytes(name)
        if b"}," not in id_of:
            assert name == "fused"  # it has longer ones
            continue
        head = ids_of("{" + E1[:-1], name)
        ids = [*head, id_of[b"},"], *ids_of(" " + E2 + "}", name)]
        target = build_target(ids, [cat(1)], tables)
        assert target.ids[len(head)] == id_of[b"},"]
        assert target.ce_weight[len(head)] == 0
        assert target.owner[len(head)] is Owner.FP
        assert build_target(ids, [cat(1), cat(2)], tables).ce_weight[len(head)] == 1


@scenario("rollout-matching-sft", "Owners and kinds", "White space alone", digest="b4d1f011ee6a")
def test_white_space_alone() -> None:
    for name in TOKENIZERS:
        tables = table(name)
        id_of = ids_by_bytes(name)
        space = id_of[b"\n"]
        for gt, weights in (([cat(1), cat(2)], (1, 1, 0)), ([cat(2)], (0, 1, 0)), ([cat(1), FAR], (1, 0, 1))):
            parts = [ids_of("{", name), ids_of(E1 + ",", name), ids_of(E2, name), ids_of("}", name)]
            ids = [*parts[0], space, *parts[1], space, *parts[2], space, *parts[3]]
            target = build_target(ids, gt, tables)
            places = [position for position, token_id in enumerate(target.ids) if token_id == space]
            if len(places) == 3:
                assert tuple(target.ce_weight[position] for position in places) == weights
            else:  # the last one was encoded anew, together with what is injected behind it
                assert tuple(target.ce_weight[position] for position in places) == weights[:2]


@scenario("rollout-matching-sft", "Owners and kinds", "Coord tokens in a desc", digest="40ba7776a54a")
def test_coord_tokens_in_a_desc() -> None:
    for name in TOKENIZERS:
        tables = table(name)
        ids = ids_of('{"object_1": {"desc": "<|coord_5|>", ' + B + "}}", name)
        target = build_target(ids, [cat(1)], tables)
        (slot,) = target.slots
        first = ids.index(tables.coords.ids[5])
        assert target.kind[first] is Kind.DESC
        assert [target.ids[position] for position in slot.positions] == [tables.coords.ids[k] for k in BOX]


# ------------------------------------------------------------------------------------------------------- policies


@scenario("rollout-matching-sft", "Supervision policies are data", "The policies that ship", digest="4b3abfb18996")
def test_the_policies_that_ship() -> None:
    assert list(mask_policies().by_name) == ["unified", "rollout_matching", "reordered_gt_sft"]
    assert mask_policies().default == "unified"


@scenario("rollout-matching-sft", "Supervision policies are data", "A policy of one's own", digest="cb447f4a7e32")
def test_a_policy_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    document = yaml.safe_load(contract_bytes("masks.yaml"))
    own = {
        "about": "Everything a little.",
        "target": "rollout",
        "matched": {"struct": 0.5, "desc": 0.25, "coord": 0.125, "geometry": "none", "coord_loss": "soft_ce_w1"},
        "fp": {"struct": 0.75, "desc": 0.375, "coord": 0, "geometry": "none", "coord_loss": "none"},
        "fn": {"struct": 0.875, "desc": 0.625, "coord": 0.0625, "geometry": "fn", "coord_loss": "none"},
        "frame": {"open": 0.1, "close": 0.9, "end": 0.2},
    }
    document["policies"]["my_own"] = own
    own_file = yaml.safe_dump(document).encode()
    monkeypatch.setattr(
        files, "contract_bytes", lambda name: own_file if name == "masks.yaml" else contract_bytes(name)
    )
    mask_policies.cache_clear()
    try:
        for built in build("{" + E1 + ", " + E2 + "}" + END, [cat(1), FAR], policy="my_own"):
            found = {(owner, kind): weight for _, weight, owner, kind in built.tokens()}
            rows: dict[str, Any] = {name: row for name, row in own.items() if name not in ("about", "target")}
            assert {pair: weight for pair, weight in found.items() if weight != rows[pair[0]][pair[1]]} == {}
            assert len(found) >= 10
            assert {(s.group, s.geometry, s.coord_loss) for s in built.target.slots} == {
                ("matched", "none", "soft_ce_w1"),
                ("fn", "fn", "none"),
            }
    finally:
        mask_policies.cache_clear()


@scenario("rollout-matching-sft", "Supervision policies are data", "A name that is none", digest="5ec9d3401d0f")
def test_a_name_that_is_none() -> None:
    with pytest.raises(ValueError, match="unifed") as caught:
        build_target([], [], table("tiny"), policy="unifed")
    assert str(caught.value) == (
        "no mask policy is called 'unifed' (did you mean 'unified'?); "
        "there are unified, rollout_matching, reordered_gt_sft"
    )


@harness("mask-policy")
def mask_policy(
    policy: str, owner: str, geometry: str | None = None, coord_loss: str | None = None, **row: float
) -> None:
    """The row of the file, and every token of such an owner and kind in built targets."""
    rows = mask_policies().find(policy).rows[Owner(owner)]
    assert rows.weights == {Kind(kind): weight for kind, weight in row.items()}
    assert geometry in (None, rows.geometry)
    assert coord_loss in (None, rows.coord_loss)
    seen = set()
    text = "{" + E1 + ", " + E2 + ', "object_3": {"desc": "x"}}' + END
    for built in build(text, [cat(1), FAR], policy=policy):
        for _, weight, whose, kind in built.tokens():
            if whose == owner:
                seen.add(kind)
                assert weight == row[kind]
        for slot in built.target.slots:
            if slot.group == owner:
                assert (slot.geometry, slot.coord_loss) == (rows.geometry, rows.coord_loss)
        if owner == "frame":
            closing = built.over("}" + END)[0]  # its token may hold the brace of an injected entry, too
            assert built.target.ce_weight[closing] == row["close"]
            seen.add(Kind.CLOSE)
    keeps = mask_policies().find(policy).target == "rollout"
    assert seen == ({Kind(kind) for kind in row} if keeps or owner != "fp" else set())


@scenario(
    "rollout-matching-sft", "Policy rollout_matching", "The bins are those of the ground truth", digest="c1cc771cd75f"
)
def test_the_bins_are_those_of_the_ground_truth() -> None:
    predicted, wanted = DetObject("cat", bbox_2d=(10, 10, 50, 50)), DetObject("cat", bbox_2d=(12, 10, 50, 55))
    for built in build("{" + entry(1, predicted) + "}", [wanted], policy="rollout_matching"):
        (slot,) = built.target.slots
        assert slot.bins == (12, 10, 50, 55)
        assert slot.coord_loss == "soft_ce_w1"
        written = [built.target.ids[position] for position in slot.positions]
        assert written == [built.tables.coords.ids[k] for k in (10, 10, 50, 50)]


@scenario("rollout-matching-sft", "Report of a construction", "A report", digest="515f9494c27a")
def test_a_report() -> None:
    text = "{" + entry(1, cat(2)) + ", " + entry(2, cat(9)) + ', "object_9": {"desc": "x"}}' + END
    for built in build(text, [FAR, cat(2)]):
        report = built.target.report
        assert report.start_id == 10
        assert report.matches == ((0, 1),)
        assert report.fp == (1,)
        assert report.fn == (0,)
        assert report.dropped == (("object_9", "missing_geometry"),)
        assert report.truncated is False
        assert report.fallback is None


# ------------------------------------------------------------------------------------------- reasons beyond the list


@scenario("rollout-matching-sft", "Reasons beyond the list", "Half of a character in a desc", digest="be1fc1bce823")
def test_half_of_a_character_in_a_desc() -> None:
    text = ('{"object_1": {"desc": "X", ' + B + "}, " + E2 + "}").encode().replace(b"X", "碗".encode()[:2])
    for name in TOKENIZERS:
        rollout = parse_rollout(ids_of(text, name), table(name))
        assert rollout.dropped == (("object_1", "invalid_utf8"),)
        assert [entry.item for entry in rollout.predictions] == [cat(2)]


@scenario("rollout-matching-sft", "Reasons beyond the list", "Very deep values", digest="59bdeb96b1ce")
def test_very_deep_values() -> None:
    for depth in (64, 100_000):
        text = '{"object_1": {"x": ' + "[" * depth + "]" * depth + "}, " + E2 + "}"
        rollout = parse_rollout(ids_of(text, "tiny"), table("tiny"))
        assert [entry.reason for entry in rollout.entries] == ["too_deep", None]


@scenario("rollout-matching-sft", "Reasons beyond the list", "What is said in escapes", digest="4ca6a2116023")
def test_what_is_said_in_escapes() -> None:
    for rollout in read('{"object\\u005f7": {"desc": "x"}}'):
        assert rollout.start_id == 8


@scenario("rollout-matching-sft", "Reasons beyond the list", "A desc that only a model writes", digest="bfc3254cba0c")
def test_a_desc_that_only_a_model_writes() -> None:
    for rollout in read('{"object_1": {"desc": "a\\nb", ' + B + "}}"):
        assert [entry.item for entry in rollout.entries] == [DetObject("a\nb", bbox_2d=BOX)]


# ------------------------------------------------------------------------------------------------ text and tokenizers


@scenario("rollout-matching-sft", "Text and tokenizers", "A composed character", digest="99bd0d16883a")
def test_a_composed_character() -> None:
    item = DetObject("cafe\u0301", bbox_2d=BOX)
    for target in (build_target([], [item], table("qwen")), ground_truth_target([item], table("qwen"))):
        text = table("qwen").text(target.ids)
        assert '"café"' in text
        assert list(target.ids) == TOKENIZERS["qwen"]().encode(text, add_special_tokens=False).ids


@scenario("rollout-matching-sft", "Text and tokenizers", "The tokenizer's own ids", digest="fb3ed7f26e5c")
def test_the_tokenizers_own_ids() -> None:
    objects = [cat(1), DetObject('say "}" 🐈', poly=(1, 2, 3, 2, 3, 4)), FAR]
    for name, make in TOKENIZERS.items():
        own = make().encode(render_payload(objects) + END, add_special_tokens=False).ids
        assert list(ground_truth_target(objects, table(name)).ids) == own


@scenario("rollout-matching-sft", "Text and tokenizers", "A tokenizer that cannot be used", digest="e6a1a3e5adf8")
def test_a_tokenizer_that_cannot_be_used() -> None:
    def made(prefix: bool, *tokens: str) -> Tokenizer:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        tokenizer.train_from_iterator(["a"], trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False))
        tokenizer.add_special_tokens(list(tokens))
        return tokenizer

    words = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    words.add_special_tokens([END, *TOKENS])
    for tokenizer, message in (
        (made(False, END), "lacks 1000 of the 1000 coord tokens"),
        (made(False, *TOKENS), "the tokenizer has no token <|im_end|>, which ends an answer"),
        (words, "no byte-level BPE: its vocabulary lacks symbols of single bytes"),
        (made(True, END, *TOKENS), "changes text when it encodes it"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            build_target([], [], tokenizer)


@scenario("rollout-matching-sft", "Text and tokenizers", "An unknown id", digest="5f424d591d10")
def test_an_unknown_id() -> None:
    for name in TOKENIZERS:
        with pytest.raises(InputError, match="token 1: the id 999999 is none of this tokenizer"):
            build_target([table(name).coords.ids[0], 999_999], [], table(name))


# --------------------------------------------------------------------------------------------- targets of the truth


@scenario("rollout-matching-sft", "Targets of the ground truth", "Stage-1 and Channel-A", digest="fed5ee0be193")
def test_stage_1_and_channel_a() -> None:
    for name in TOKENIZERS:
        objects = [cat(1), FAR]
        first, second = (ground_truth_target(objects, table(name), rows=rows) for rows in ("stage1", "channel_a"))
        assert (first.ids, first.ce_weight) == (second.ids, second.ce_weight)
        for weight, kind in zip(first.ce_weight, first.kind, strict=True):
            assert weight == (kind is not Kind.COORD)
        assert {(s.group, s.geometry, s.coord_loss) for s in first.slots} == {("fn", "none", "soft_ce_w1")}
        assert {(s.group, s.geometry, s.coord_loss) for s in second.slots} == {("fn", "fn", "none")}
    assert mask_policies().by_name.keys().isdisjoint(mask_policies().ground_truth)


@scenario(
    "rollout-matching-sft", "Targets of the ground truth", "A polygon predicted for an object", digest="d1bb5acd5348"
)
def test_a_polygon_predicted_for_an_object() -> None:
    box, outline = DetObject("x", bbox_2d=(0, 0, 50, 40)), DetObject("x", poly=(0, 0, 50, 0, 50, 40, 0, 40))
    for said, wanted, bins, loss in ((outline, box, (), "none"), (box, outline, (0, 0, 50, 40), "soft_ce_w1")):
        for built in build("{" + entry(1, said) + "}", [wanted], policy="rollout_matching"):
            (slot,) = built.target.slots
            assert (slot.bins, slot.coord_loss) == (bins, loss)
