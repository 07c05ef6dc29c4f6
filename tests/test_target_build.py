"""Targets: what a tokenizer does to text, what is refused, and the invariants on random rollouts."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordspec.contracts import mask_policies
from coordspec.errors import ContractError
from coordspec.guard import check_target
from coordspec.record import DetObject, Record, render_payload
from coordspec.rollout.tokens import TokenTable
from coordspec.target import Target, build_target, ground_truth_target
from coordspec.target.objects import ground_truth_objects
from qwen_tokenizer import TOKENIZERS, ids_by_bytes, ids_of, table
from rollouts import BIRD, CAT, DOG, body, sample, split_otherwise, thing

END = "<|im_end|>"
NAMES = pytest.mark.parametrize("name", TOKENIZERS)


def built(text: str | bytes, gt: list[DetObject], name: str, **options) -> Target:
    ids = ids_of(text, name)
    target = build_target(ids, gt, table(name), **options)
    assert check_target(target, gt, table(name), ids) == []
    return target


# ------------------------------------------------------------------------------------------------------- tokens


@NAMES
def test_a_cut_in_the_middle_of_a_character_and_a_brace(name: str) -> None:
    """Of a token that ends the last character of a desc and both braces, the bytes of the character are kept."""
    tables = table(name)
    entry = body(DetObject("碗", bbox_2d=CAT.bbox_2d)).encode()
    ids = [*tables.encode_bytes(b"\x97" + b'"}}')]
    assert tables.join(ids) == b"\x97" + b'"}}'
    whole = ids_of(entry + b"}", name)
    assert built(entry + b"}", [CAT, DOG], name).ids[: len(whole) - 1] == tuple(whole[:-1])


def test_kept_text_that_starts_with_half_a_character() -> None:
    """No tokenizer here has such a token, so one is made of the table: the half and the quote become one id."""
    tables = TokenTable(TOKENIZERS["tiny"]())
    fused_id = ids_by_bytes("tiny")[b"black"]
    tables.bytes_of[fused_id] = b'\x97"}}'
    tables.lengths[fused_id] = 4
    head = ids_of(
        '{"object_1": {"bbox_2d": ["<|coord_10|>", "<|coord_10|>", "<|coord_110|>", "<|coord_110|>"], "desc": "', "tiny"
    )
    ids = [*head, *(ids_by_bytes("tiny")[bytes((byte,))] for byte in "碗".encode()[:2]), fused_id]
    target = build_target(ids, [CAT, DOG], tables)
    assert target.report.matches == ((0, 0),)
    assert target.ids[: len(ids) - 1] == tuple(ids[:-1])
    assert tables.text(target.ids[len(ids) - 1 :]).startswith('\\x97"}, "object_2": {"desc": "dog"')
    assert tables.text(target.ids).endswith(body(DOG, start=2)[1:] + "}" + END)
    assert check_target(target, [CAT, DOG], tables, ids) == []


@NAMES
def test_everything_before_the_token_of_the_cut_is_what_was_generated(name: str) -> None:
    text = body(CAT, BIRD) + "}" + END
    ids = ids_of(text, name)
    for end in range(len(ids) + 1):
        target = build_target(ids[:end], [CAT, DOG], table(name))
        assert check_target(target, [CAT, DOG], table(name), ids[:end]) == []


def test_a_desc_is_taught_in_the_normal_form_of_the_tokenizer() -> None:
    decomposed = DetObject("cafe\u0301", bbox_2d=CAT.bbox_2d)
    composed = DetObject("café", bbox_2d=CAT.bbox_2d)
    for make in (lambda gt: build_target([], gt, table("qwen")), lambda gt: ground_truth_target(gt, table("qwen"))):
        assert make([decomposed]) == make([composed])
        assert check_target(make([decomposed]), [decomposed], table("qwen")) == []
    target = ground_truth_target([decomposed], table("tiny"))
    assert "cafe\u0301" in table("tiny").text(target.ids)
    own = TOKENIZERS["qwen"]().encode(render_payload([decomposed]) + END, add_special_tokens=False).ids
    assert list(ground_truth_target([decomposed], table("qwen")).ids) == own


@NAMES
def test_text_of_added_tokens_in_the_ground_truth_is_refused(name: str) -> None:
    for desc in ("<|im_end|>", "a <|coord_5|>", " ", "a\nb"):
        with pytest.raises(ContractError, match=r"objects\[1\].desc: "):
            build_target([], [CAT, DetObject(desc, bbox_2d=DOG.bbox_2d)], table(name))
        with pytest.raises(ContractError, match=r"objects\[0\].desc: "):
            ground_truth_target([DetObject(desc, bbox_2d=DOG.bbox_2d)], table(name))


@NAMES
def test_special_tokens_that_the_model_wrote_into_a_desc_are_kept(name: str) -> None:
    text = body(DetObject("x", bbox_2d=CAT.bbox_2d)).replace('"x"', '"<|vision_start|><|coord_5|> y"') + "}"
    target = built(text, [CAT, DOG], name)
    assert target.report.matches == ((0, 0),)
    assert ids_by_bytes(name)[b"<|vision_start|>"] in target.ids
    assert len(target.slots[0].positions) == 4


# ------------------------------------------------------------------------------------------------- ground truth


def test_forms_of_the_ground_truth() -> None:
    fields = [{"desc": "cat", "bbox_2d": [10, 10, 110, 110]}, {"desc": "碗", "poly": [[1, 2], [30, 2], [30, 40]]}]
    objects = [CAT, DetObject("碗", poly=(1, 2, 30, 2, 30, 40))]
    record = Record(("a.png",), 64, 48, tuple(objects))
    expected = ground_truth_target(objects, table("tiny"))
    assert ground_truth_target(fields, table("tiny")) == ground_truth_target(record, table("tiny")) == expected
    tokens = [{"desc": "cat", "bbox_2d": [f"<|coord_{k}|>" for k in (10, 10, 110, 110)]}, fields[1]]
    assert build_target([], tokens, table("tiny")) == build_target([], objects, table("tiny"))
    with pytest.raises(ContractError, match=r"objects\[0\]: the object has no geometry"):
        build_target([], [{"desc": "cat"}], table("tiny"))
    with pytest.raises(TypeError, match="ground truth is a Record, DetObjects or mappings, not str"):
        build_target([], ["cat"], table("tiny"))


@pytest.mark.parametrize(
    "item",
    [
        DetObject("cat"),
        DetObject("cat", bbox_2d=(1, 2, 3)),
        DetObject("cat", bbox_2d=(1, 2, 3, 1000)),
        DetObject("cat", bbox_2d=(-1, 2, 3, 4)),
        DetObject("cat", bbox_2d=(1, -2, 3, 4)),
        DetObject("cat", bbox_2d=(1, 2, 1000, 4)),
        DetObject("cat", bbox_2d=(5, 2, 3, 4)),
        DetObject("cat", bbox_2d=(1, 5, 3, 4)),
        DetObject("cat", bbox_2d=(1.0, 2, 3, 4)),
        DetObject("cat", bbox_2d=(True, 2, 3, 4)),
        DetObject("cat", bbox_2d=(1, 2, 3, 4), poly=(1, 2, 3, 4, 5, 6)),
        DetObject("cat", poly=(1, 2, 3, 4)),
        DetObject("", bbox_2d=(1, 2, 3, 4)),
        DetObject(5, bbox_2d=(1, 2, 3, 4)),
    ],
    ids=repr,
)
def test_ground_truth_that_breaks_a_rule_is_refused_even_where_it_would_be_matched(item: DetObject) -> None:
    with pytest.raises(ContractError):
        build_target(ids_of(body(CAT) + "}", "tiny"), [item], table("tiny"))
    with pytest.raises(ContractError):
        ground_truth_objects([item], table("tiny"))  # whether it is then matched or missed


@NAMES
def test_polygons_and_boxes_for_each_other(name: str) -> None:
    outline = DetObject("cat", poly=(10, 10, 110, 10, 110, 110, 10, 110))
    cases = [
        (CAT, outline, "bbox_2d", (10, 10, 110, 110), "soft_ce_w1"),
        (outline, CAT, "poly", (), "none"),
        (outline, outline, "poly", (), "none"),
        (CAT, CAT, "bbox_2d", (10, 10, 110, 110), "soft_ce_w1"),
    ]
    for said, wanted, form, bins, loss in cases:
        (slot,) = built(body(said) + "}", [wanted], name, policy="rollout_matching").slots
        assert (slot.written_as, slot.bins, slot.coord_loss) == (form, bins, loss)
        assert slot.box == (10, 10, 110, 110)
    (slot,) = built("{}", [outline], name).slots
    assert (slot.written_as, slot.bins, slot.box) == ("poly", outline.poly, (10, 10, 110, 110))
    assert len(slot.positions) == 8


# ------------------------------------------------------------------------------------------------ random rollouts


def check_one(rng: random.Random, name: str) -> Target:
    """Everything that the guard asks, of one random sample under a random policy, cut anywhere."""
    gt, text = sample(rng)
    ids = ids_of(text, name)
    if rng.random() < 0.3:
        ids = split_otherwise(rng, ids, name)
    if rng.random() < 0.2:
        ids = ids[: rng.randint(0, len(ids))]
    policy = rng.choice([mask_policies().default, *mask_policies().by_name])
    target = build_target(ids, gt, table(name), policy=policy, iou_gate=rng.choice((0.3, 0.3, 0.0, 0.9, 1.0)))
    assert check_target(target, gt, table(name), ids) == [], text
    return target


@NAMES
@settings(max_examples=60)
@given(st.randoms(use_true_random=False))
def test_the_guard_finds_nothing(name: str, rng: random.Random) -> None:
    check_one(rng, name)


@NAMES
@settings(max_examples=30)
@given(st.randoms(use_true_random=False))
def test_targets_of_the_ground_truth(name: str, rng: random.Random) -> None:
    objects = [thing(rng) for _ in range(rng.randint(0, 6))]
    for rows in mask_policies().ground_truth:
        target = ground_truth_target(objects, table(name), rows=rows)
        assert check_target(target, objects, table(name)) == []
        assert table(name).text(target.ids) == render_payload(objects) + END


TARGETS = int(os.environ.get("COORDSPEC_FUZZ_TARGETS", "102000"))


@pytest.mark.nightly
@NAMES
@pytest.mark.parametrize("part", range(8))
def test_the_guard_finds_nothing_in_many(name: str, part: int) -> None:
    count = TARGETS // (8 * len(TOKENIZERS))
    kinds = {"matches": 0, "fp": 0, "fn": 0, "dropped": 0}
    for number in range(count):
        report = check_one(random.Random(part * 10**7 + number), name).report
        for kind in kinds:
            kinds[kind] += bool(getattr(report, kind))
    assert all(often > count / 10 for often in kinds.values()), kinds
