"""The reader of rollouts: the expression against the slow reader, and what each drop reason means."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordspec.record import DetObject, render_payload
from coordspec.rollout.parse import parse_reference, parse_rollout
from coordspec.rollout.reasons import DropReason
from coordspec.rollout.sound import CHECKS
from qwen_tokenizer import TOKENIZERS, ids_of, table
from rollouts import sample, split_otherwise

B = '"bbox_2d": ["<|coord_1|>", "<|coord_2|>", "<|coord_3|>", "<|coord_4|>"]'
CAT = DetObject("cat", bbox_2d=(1, 2, 3, 4))
NAMES = pytest.mark.parametrize("name", TOKENIZERS)


def read(text: str | bytes, name: str):
    return parse_rollout(ids_of(text, name), table(name))


@NAMES
@settings(max_examples=40)
@given(st.randoms(use_true_random=False))
def test_both_readers_say_the_same(name: str, rng: random.Random) -> None:
    tables = table(name)
    ids = ids_of(sample(rng).text, name)
    ids = split_otherwise(rng, ids, name)
    ids = ids[: rng.randint(0, len(ids))] if rng.random() < 0.3 else ids
    assert parse_rollout(ids, tables) == parse_reference(ids, tables)


@NAMES
def test_a_rollout_cut_behind_every_token(name: str) -> None:
    objects = [CAT, DetObject('a "}" b', poly=(1, 2, 3, 2, 3, 4)), DetObject("碗", bbox_2d=(5, 5, 9, 9))]
    ids = ids_of(render_payload(objects), name)
    for end in range(len(ids) + 1):
        rollout = parse_rollout(ids[:end], table(name))
        assert rollout == parse_reference(ids[:end], table(name))
        assert [entry.item for entry in rollout.predictions] == objects[: len(rollout.entries)]
        assert rollout.truncated is (rollout.fallback is None and end < len(ids))
        assert rollout.retained == b"{" or rollout.retained.endswith(b"]}")
    assert len(rollout.entries) == 3


CASES = [
    ("a key with a line feed", "object_2\\n", "{D, B}", "bad_key"),
    ("a broken key", "object_\\x", "{D, B}", "bad_key"),
    ("a number", "object_2", "3", "not_an_object"),
    ("too many levels", "object_2", '{"x": ' + "[" * 63 + "]" * 63 + ", D, B}", "too_deep"),
    ("as many levels as there may be", "object_2", '{"x": ' + "[" * 62 + "]" * 62 + ", D, B}", "unexpected_key"),
    ("an escape of too few digits", "object_2", '{"desc": "a\\u12", B}', "bad_escape"),
    ("desc twice, once in escapes", "object_2", '{D, "d\\u0065sc": "x", B}', "duplicate_field"),
    ("a box twice", "object_2", "{D, B, B}", "duplicate_field"),
    ("nothing", "object_2", "{}", "missing_desc"),
    ("a desc that shows nothing", "object_2", '{"desc": "\u200b\\u00a0", B}', "missing_desc"),
    ("an invisible desc", "object_2", '{"desc": "\u200b\u00a0", B}', "missing_desc"),
    ("null as desc", "object_2", '{"desc": null, B}', "missing_desc"),
    ("another key for the box", "object_2", '{D, "bbox": [1, 2, 3, 4]}', "missing_geometry"),
    ("an object as poly", "object_2", '{D, "poly": {}}', "not_a_list"),
    ("no coordinates", "object_2", '{D, "bbox_2d": []}', "wrong_arity"),
    ("seven coordinates", "object_2", '{D, "poly": [1, 2, 3, 4, 5, 6, 7]}', "wrong_arity"),
    ("pairs", "object_2", '{D, "poly": [[1, 2], [3, 4], [5, 6], 1, 1, 1]}', "not_coord_token"),
    ("a coord token with a space", "object_2", "{D, " + B.replace("|>", "|> ", 1) + "}", "not_coord_token"),
    ("two in one string", "object_2", "{D, " + B.replace("|>", "|><|coord_1|>", 1) + "}", "not_coord_token"),
    ("a leading zero", "object_2", "{D, " + B.replace("_1", "_01", 1) + "}", "not_coord_token"),
    ("upside down", "object_2", "{D, " + B.replace("_2|", "_5|", 1) + "}", "inverted_box"),
    ("an unknown key before all", "object_2", '{"x": 1, D, B}', "unexpected_key"),
    ("poly_points", "object_2", '{D, B, "poly_points": 2}', "unexpected_key"),
]


@NAMES
@pytest.mark.parametrize(("key", "value", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_reasons(name: str, key: str, value: str, reason: str) -> None:
    text = '{"object_1": {D, B}, "K": V, "object_7": {D, B}}'.replace("V", value).replace("K", key)
    rollout = read(text.replace("D,", '"desc": "cat",').replace("B}", B + "}").replace("B,", B + ","), name)
    assert [entry.reason for entry in rollout.entries] == [None, reason, None]
    assert not rollout.truncated


def test_every_reason_has_a_check_and_a_meaning() -> None:
    assert list(CHECKS) == list(DropReason)
    assert all(reason.meaning for reason in DropReason)


ACCEPTED = [
    ("another order", "{B, D}", CAT),
    ("an escape", '{"desc": "c\\u0061t", B}', CAT),
    ("an escaped key", '{"d\\u0065sc": "cat", B}', CAT),
    ("white space", '{\n\t"desc" :\r "cat" ,B }', CAT),
    ("the text of a special token", '{"desc": "<|vision_start|>", B}', DetObject("<|vision_start|>", (1, 2, 3, 4))),
    ("a box without area", "{D, " + B.replace("_3|", "_1|") + "}", DetObject("cat", (1, 2, 1, 4))),
]


@NAMES
@pytest.mark.parametrize(("value", "item"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
def test_accepted(name: str, value: str, item: DetObject) -> None:
    value = value.replace("D,", '"desc": "cat",').replace("D}", '"desc": "cat"}')
    value = value.replace("B}", B + "}").replace("B,", B + ",").replace("B }", B + " }")
    rollout = read('{"object_3": ' + value + "}", name)
    assert [entry.item for entry in rollout.entries] == [item]
    entry = rollout.entries[0]
    assert [rollout.aligned.ids[position] for position in entry.positions] == [
        table(name).coords.ids[k] for k in item.bbox_2d or ()
    ]


@NAMES
def test_a_coordinate_in_ordinary_tokens_is_none(name: str) -> None:
    tables = table(name)
    text = '{"object_1": {"desc": "cat", ' + B + "}}"
    assert tables.text(tables.encode(text)) == text
    rollout = parse_rollout(tables.encode(text), tables)
    assert rollout.dropped == (("object_1", "not_coord_token"),)
    head, tail = text.split("<|coord_2|>")
    mixed = [*ids_of(head, name), *tables.encode("<|coord_2|>"), *ids_of(tail, name)]
    assert parse_rollout(mixed, tables).dropped == (("object_1", "not_coord_token"),)
    outline = '{"object_1": {"desc": "cat", "poly": [' + '"<|coord_1|>", ' * 6
    spelled = [*ids_of(outline + '"', name), *tables.encode('<|coord_2|>", "<|coord_3|>"]}}')]
    assert parse_rollout(spelled, tables).dropped == (("object_1", "not_coord_token"),)


@NAMES
def test_bytes_that_are_no_text(name: str) -> None:
    text = ('{"object_1": {"desc": "X", ' + B + '}, "object_Y": {}}').encode()
    rollout = read(text.replace(b"X", b"\xe7\xa2").replace(b"Y", b"\xff"), name)
    assert rollout.dropped == (("object_1", "invalid_utf8"), ("object_\\xff", "bad_key"))
    assert rollout.start_id == 2


BROKEN = [
    ('{E, "object_2": {"desc" "x"}}', "a colon is missing"),
    ('{E, "object_2": {"desc": "x",}}', "a comma too many"),
    ('{E, "object_2": {"desc": x}}', "a word without quotes"),
    ('{E, "object_2": {"desc": 01}}', "a number with a zero before it"),
    ('{E, "object_2": {"desc": NaN}}', "no number"),
    ('{E, "object_2": {"desc": "x"]}', "the wrong bracket"),
    ('{E, "object_2": [1 2]}', "no comma in a list"),
    ("{E, 'object_2': 1}", "other quotes"),
    ("{E E}", "no comma"),
    ("{E,, E}", "two commas"),
    ("{E; E}", "another comma"),
    ("{E,}", "a comma and no entry"),
    ('{E, "object_2"}', "no value"),
    ('{E, "object_2": }', "nothing"),
    ("{E\u00a0}", "a space that is none to JSON"),
    ("{E]", "another bracket"),
]


@NAMES
@pytest.mark.parametrize("text", [text for text, _ in BROKEN], ids=[what for _, what in BROKEN])
def test_a_rollout_that_breaks_is_cut_behind_the_last_entry(name: str, text: str) -> None:
    entry = '"object_1": {"desc": "cat", ' + B + "}"
    rollout = read(text.replace("E", entry), name)
    assert rollout.retained.decode() == "{" + entry
    assert rollout.truncated
    assert rollout.fallback is None


@NAMES
def test_a_comma_before_the_first_entry(name: str) -> None:
    rollout = read('{, "object_1": {"desc": "cat", ' + B + "}}", name)
    assert (rollout.retained, rollout.entries, rollout.truncated) == (b"{", (), True)


@NAMES
def test_the_stop_inside_of_a_string(name: str) -> None:
    rollout = read('{"object_1": {"desc": "ca<|im_end|>t", ' + B + "}}", name)
    assert (rollout.retained, rollout.entries, rollout.truncated) == (b"{", (), True)
    assert table(name).end_id not in rollout.aligned.ids


def test_depth_needs_no_stack() -> None:
    for text in ('{"a": ' + "[" * 20_000, '{"a": ' + "[" * 20_000 + "]" * 20_000 + "}"):
        rollout = read(text, "tiny")
        assert rollout.dropped == ((("a", "bad_key"),) if text.endswith("}") else ())


def test_a_key_of_many_digits() -> None:
    rollout = read('{"object_' + "1" * 5000 + '": {}, "object_999999999": 1}', "tiny")
    assert [reason for _, reason in rollout.dropped] == ["bad_key", "not_an_object"]
    assert rollout.start_id == 1_000_000_000


def _steps(count: int, text: str, name: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many lexemes and expressions a rollout of ``count`` such entries takes."""
    from coordspec.rollout import lexer, parse

    calls = 0

    def counted(function):
        def call(*args, **keywords):
            nonlocal calls
            calls += 1
            return function(*args, **keywords)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(lexer, "next_lexeme", counted(lexer.next_lexeme))
        patch.setattr(parse, "_recognised", counted(parse._recognised))
        read("{" + ", ".join(text.replace("N", str(number)) for number in range(1, count + 1)), name)
    return calls


@pytest.mark.parametrize("text", ['"object_N": {"desc": "x", B}', '"object_N": {"desc": "x", B, "y": 1}', '"x": [1]'])
def test_work_grows_with_the_text_and_no_faster(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    once, tenfold = (_steps(count, text.replace("B", B), "tiny", monkeypatch) for count in (20, 200))
    assert 0 < tenfold <= 10 * once + 20
