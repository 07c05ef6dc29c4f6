"""Samples as they are looked at: entries and objects linked, text without control characters, marks that tell all."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rollouts
from coordspec.contracts import Kind, Owner, mask_policies
from coordspec.errors import InputError, Place
from coordspec.findings.visible import visible
from coordspec.record import DetObject
from coordspec.rollout.parse import parse_rollout
from coordspec.rollout.reasons import DropReason
from coordspec.target import Dump, build_target, ground_truth_target
from coordspec.target.objects import ground_truth_objects
from coordspec.view import TargetSource, TargetView, document, make_sample, sample_lines
from coordspec.view.lines import LineRange, chosen, parse_ranges
from coordspec.view.rollouts import encode_rollout
from coordspec.view.text import LETTERS, columns_of, legend_lines
from mask_samples import BOWL, CAT, DOG, NAME, RECORD, ROLLOUT, entry, near, tokens
from qwen_tokenizer import TOKENIZERS, ids_of, table

PLACE = Place("data.jsonl", 3)


def sample(text: str | bytes, gt: list[DetObject], name: str = NAME, policy: str = "unified") -> TargetView:
    """The view of a rollout, or with a row set for the ground truth that of the objects alone."""
    tables = table(name)
    objects = ground_truth_objects(gt, tables)
    if policy in mask_policies().ground_truth:
        dump = Dump("s", objects, None, ground_truth_target(objects, tables, rows=policy), tables.fingerprint)
    else:
        ids = tuple(ids_of(text, name))
        dump = Dump("s", objects, ids, build_target(ids, objects, tables, policy=policy), tables.fingerprint)
    return make_sample(TargetSource(PLACE, dump, None), tables)


POLICIES = [*mask_policies().by_name, *mask_policies().ground_truth]


@given(st.integers(0, 2**32), st.sampled_from(sorted(TOKENIZERS)), st.sampled_from(POLICIES))
@settings(max_examples=150)
def test_every_target_can_be_looked_at(seed: int, name: str, policy: str) -> None:
    rng = random.Random(seed)
    gt, text = rollouts.sample(rng)
    seen = sample(text, gt, name, policy)
    assert seen.issues == ()
    check_entries(seen)
    check_reading(seen, text, name)
    value = json.loads(json.dumps(document([seen]), allow_nan=False))["samples"][0]
    lengths = {len(value[key]) for key in ("ids", "texts", "ce_weight", "owner", "kind", "bins")}
    assert lengths == {len(seen.target.ids)}
    check_lines(seen, rng.randint(24, 160))


def check_entries(seen: TargetView) -> None:
    """Entries follow on each other; every object and every prediction has the entry that the report gives it."""
    at = seen.entries[0].start if seen.entries else 0
    for found in seen.entries:
        assert found.start == at
        at = found.end
    report = seen.target.report
    keeps = seen.policy.target == "rollout"
    owned = {(found.prediction, found.gt) for found in seen.entries if found.owner is Owner.MATCHED}
    assert owned == set(report.matches)
    assert {found.gt for found in seen.entries if found.owner is Owner.FN} == set(report.fn)
    if keeps:
        wrong = [found.prediction for found in seen.entries if found.owner is Owner.FP and found.reason is None]
        assert wrong == list(report.fp)
        dropped = [(found.key, found.reason) for found in seen.entries if found.reason is not None]
        assert [reason for _, reason in dropped] == [reason for _, reason in report.dropped]
    for found in seen.entries:
        assert (found.iou is None) == (found.prediction is None or not seen.objects)
        if found.owner is Owner.MATCHED:
            assert found.iou is not None
            assert found.iou >= 0.3 - 1e-9
    assert len(seen.predictions) == len(report.matches) + len(report.fp)


def check_reading(seen: TargetView, text: bytes, name: str) -> None:
    """Texts are those of the ids; what is left out is what the rollout says behind its kept part and the close."""
    tables = table(name)
    assert "".join(seen.texts) == "".join(visible(tables.text([token_id])) for token_id in seen.target.ids)
    assert [k is not None for k in seen.bins] == [token_id in tables.coords.bin_of_id for token_id in seen.target.ids]
    if seen.policy.target != "rollout":
        assert seen.left_out is None
        return
    rollout = parse_rollout(ids_of(text, name), tables)
    kept = b"" if rollout.fallback else rollout.retained
    closing = b"" if rollout.truncated or rollout.fallback else b"}"
    rest = rollout.aligned.data.removeprefix(kept).removeprefix(closing)
    assert seen.left_out == visible(rest.decode("utf-8", "backslashreplace"))


def check_lines(seen: TargetView, width: int) -> None:
    """The text lines hold the whole text, and below every token its letter, a capital where it has a weight."""
    lines = list(sample_lines(seen, width))
    pairs = [(lines[i], lines[i + 1]) for i in range(len(lines) - 1) if is_text(lines, i)]
    assert "".join(text[4:] for text, _ in pairs) == "".join(seen.texts)
    letters = "".join(re.sub(r"[-.= ]", "", marks) for _, marks in pairs)
    shown = [
        (kind, weight > 0)
        for text, kind, weight in zip(seen.texts, seen.target.kind, seen.target.ce_weight, strict=True)
        if any(columns_of(character) for character in text)
    ]
    assert letters == "".join(LETTERS[kind].upper() if on else LETTERS[kind] for kind, on in shown)
    for line in lines:
        assert line == visible(line)
    for text, marks in pairs:
        assert 4 + sum(map(columns_of, text[4:])) <= max(width, 24)
        assert len(marks) == 4 + sum(map(columns_of, text[4:]))


def is_text(lines: list[str], at: int) -> bool:
    """A line of text is the one above a line of marks, which stands as deep."""
    here, below = lines[at], lines[at + 1]
    return (
        here.startswith("    ") and re.fullmatch(r" {4}[sdcoxeSDCOXE.=-]+", below) is not None and not_marks(lines, at)
    )


def not_marks(lines: list[str], at: int) -> bool:
    """Text and marks take turns from the title of a section on."""
    start = at
    while lines[start].startswith("    "):
        start -= 1
    return (at - start) % 2 == 1


# --------------------------------------------------------------------------------------------------------------- cases


def test_entries_of_every_kind() -> None:
    seen = sample(ROLLOUT, list(RECORD.objects))
    found = [(e.key, e.owner, e.prediction, e.gt, e.reason) for e in seen.entries]
    assert found == [
        ("object_1", Owner.MATCHED, 0, 0, None),
        ("object_2", Owner.FP, 1, None, None),
        ("object_7", Owner.FP, None, None, DropReason.UNEXPECTED_KEY),
        ("object_8", Owner.FN, None, 1, None),
        ("object_9", Owner.FN, None, 2, None),
    ]
    ious = [e.iou for e in seen.entries]
    assert ious[0] == pytest.approx(292 * 391 / (300 * 400))
    assert ious[1:] == [0.0, None, None, None]
    assert seen.left_out == " and so on"
    assert seen.predictions == (near(CAT), DetObject("pink <b>square</b>", bbox_2d=(500, 20, 640, 90)))


def test_slots_with_a_loss() -> None:
    unified = sample(ROLLOUT, list(RECORD.objects))
    positions = {position for slot in unified.target.slots for position in slot.positions}
    assert unified.slotted == positions
    assert {unified.target.kind[at] for at in unified.slotted} == {Kind.COORD}
    assert len(positions) == 4 + 4 + 6
    silent = replace(unified.target.slots[0], geometry="none")
    target = replace(unified.target, slots=(silent, *unified.target.slots[1:]))
    assert replace(unified, target=target).slotted == positions - set(silent.positions)


def test_a_fallback_leaves_the_whole_text_out() -> None:
    seen = sample("A cat.<|im_end|>", [CAT])
    assert (seen.left_out, seen.target.report.fallback) == ("A cat.", "no_opening_brace")
    assert [e.owner for e in seen.entries] == [Owner.FN]


def test_the_reordered_policy_shows_predictions_without_tokens() -> None:
    seen = sample(ROLLOUT, list(RECORD.objects), policy="reordered_gt_sft")
    assert [(e.owner, e.prediction, e.gt) for e in seen.entries] == [
        (Owner.MATCHED, 0, 0),
        (Owner.FN, None, 1),
        (Owner.FN, None, 2),
    ]
    assert len(seen.predictions) == 2
    assert seen.left_out is None


def test_predictions_without_the_rollout() -> None:
    tables = tokens()
    target = build_target(ids_of(ROLLOUT, NAME), RECORD, tables)
    seen = make_sample(TargetSource(PLACE, Dump("s", RECORD.objects, None, target, tables.fingerprint), None), tables)
    kept = sample(ROLLOUT, list(RECORD.objects))
    assert seen.predictions == kept.predictions
    assert seen.entries == kept.entries
    assert seen.left_out is None


def test_the_text_of_a_sample() -> None:
    seen = sample("{" + entry(1, near(CAT)) + "}<|im_end|>", [CAT], "qwen")
    assert list(sample_lines(seen, 60)) == [
        "s",
        "  unified: 32 tokens, 24 in the cross entropy",
        "  start_id 2; matches 0→0; fp none; fn none; dropped none; truncated no; fallback none",
        "",
        "  frame",
        '    {"',
        "    O-",
        "",
        "  matched: prediction 0, ground truth 0 black cat, IoU 0.95",
        '    object_1": {"desc": "black cat", "bbox_2d": ["',
        "    S-----SSS-S--S---S-S-d....d...S-S-S---SSSS-S--",
        '    <|coord_108|>", "<|coord_100|>", "<|coord_400|>", "',
        "    c============S-S-c============S-S-c============S-S-",
        '    <|coord_491|>"]}}',
        "    c============S-x.",
        "",
        "  frame",
        "    <|im_end|>",
        "    e.........",
    ]
    assert list(sample_lines(seen, 50))[9] == '    object_1": {"desc": "black cat", "bbox_2d": ["'
    assert list(sample_lines(seen, 49))[9] == '    object_1": {"desc": "black cat", "bbox_2d":'


def test_a_mark_stands_below_the_first_character_that_has_a_column() -> None:
    seen = sample("", [CAT], "qwen", policy="stage1")
    odd = replace(seen, texts=("\u0301碗", *seen.texts[1:]))
    lines = list(sample_lines(odd, 60))
    assert lines[5:7] == ["    \u0301碗", "    O-"]


def test_a_token_longer_than_a_line_is_broken_inside() -> None:
    seen = sample("", [CAT], "qwen", policy="stage1")
    lines = list(sample_lines(replace(seen, texts=("x" * 50, *seen.texts[1:])), 24))
    assert lines[5:11] == [
        f"    {'x' * 20}",
        f"    O{'-' * 19}",
        f"    {'x' * 20}",
        f"    {'-' * 20}",
        f"    {'x' * 10}",
        f"    {'-' * 10}",
    ]


def test_the_legend_names_every_mark_and_weight() -> None:
    lines = list(legend_lines([sample(ROLLOUT, [CAT]), sample("", [CAT], policy="stage1")]))
    assert lines[:2] == [
        "marks: s struct, d desc, c coord, o open, x close, e end; a capital: the token is in the cross entropy",
        "       - goes on with it, . without, = a coordinate slot that has a loss of its own",
    ]
    assert lines[3:7] == [
        "  matched  struct 1, desc 0, coord 0; box loss matched",
        "  fp       struct 0, desc 0, coord 0",
        "  fn       struct 1, desc 1, coord 0; box loss fn",
        "  frame    open 1, close 0, end 0",
    ]
    assert lines[8:] == [
        "  fn       struct 1, desc 1, coord 0; coordinates soft_ce_w1",
        "  frame    open 1, close 1, end 1",
    ]


@pytest.mark.parametrize(
    ("character", "columns"),
    [("a", 1), ("碗", 2), ("🐈", 2), ("\u0301", 0), ("\u200d", 0), ("é", 1), ("ア", 2), ("ش", 1)],
)
def test_columns(character: str, columns: int) -> None:
    assert columns_of(character) == columns


# --------------------------------------------------------------------------------------------------------------- dumps


def broken(**fields: object) -> Dump:
    tables = tokens()
    ids = tuple(ids_of(ROLLOUT, NAME))
    target = build_target(ids, RECORD, tables)
    whole = {"gt": RECORD.objects, "tokenizer": tables.fingerprint, **fields}
    report = {name: whole.pop(name) for name in list(whole) if hasattr(target.report, name)}
    target = replace(target, report=replace(target.report, **report))
    own = {name: whole.pop(name) for name in list(whole) if hasattr(target, name)}
    return Dump("s", target=replace(target, **own), rollout_ids=ids, **whole)  # type: ignore[arg-type]


SLOT = broken().target.slots[0]
BROKEN: dict[str, tuple[dict[str, object], str]] = {
    "another tokenizer": ({"tokenizer": "0123"}, "was built with the tokenizer 0123, and this one has the fingerprint"),
    "no policy": ({"policy": "x"}, "cannot be shown: there is no policy 'x'; `coordspec guard` says"),
    "labels": ({"kind": ()}, "cannot be shown: ids, ce_weight, owner and kind differ in length; "),
    "slot of no object": ({"slots": (replace(SLOT, gt=3),)}, "an index is that of no ground-truth object"),
    "slot outside": ({"slots": (replace(SLOT, positions=(9999,)),)}, "a slot has a position outside of the ids"),
    "match with no object": ({"matches": ((0, -1),)}, "an index is that of no ground-truth object"),
    "fn of no object": ({"fn": (7,)}, "an index is that of no ground-truth object"),
    "foreign ids": ({"ids": (10**9,) * len(broken().target.ids)}, "cannot be shown: token 0: the id 1000000000 is"),
    "no end": ({"ids": broken().target.ids[:-1] + broken().target.ids[:1]}, "its last token is not <|im_end|>"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_dump_that_cannot_be_shown(case: str) -> None:
    fields, message = BROKEN[case]
    with pytest.raises(InputError, match=r"^data\.jsonl:3: ") as caught:
        make_sample(TargetSource(PLACE, broken(**fields), None), tokens())
    assert message in str(caught.value)


def test_a_dump_with_wrong_labels_is_shown_with_its_findings() -> None:
    weights = (1.0,) * len(broken().target.ids)
    seen = make_sample(TargetSource(PLACE, broken(ce_weight=weights), None), tokens())
    assert {issue.name for issue in seen.issues} == {"masked-token-supervised"}
    assert any("MSK" in line for line in sample_lines(seen, 80))


WRONG_REPORTS = (
    {"matches": ((5, 0),)},
    {"matches": ((0, 0), (1, 0))},
    {"fn": ()},
    {"fn": (0, 1, 2)},
    {"dropped": ()},
    {"dropped": (("a", DropReason.BAD_KEY),) * 5},
    {"fp": (3, 4)},
)


@pytest.mark.parametrize("fields", WRONG_REPORTS, ids=str)
def test_a_dump_with_a_wrong_report_is_shown_with_its_findings(fields: dict[str, object]) -> None:
    seen = make_sample(TargetSource(PLACE, broken(**fields), None), tokens())
    assert seen.issues
    assert {found.reason for found in seen.entries if found.owner is Owner.FN} <= {None}
    assert list(sample_lines(seen, 80))
    assert json.dumps(document([seen]))


# ------------------------------------------------------------------------------------------------------- small parts


@given(st.integers(0, 2**32), st.sampled_from(sorted(TOKENIZERS)))
@settings(max_examples=100)
def test_texts_of_rollouts_keep_every_byte(seed: int, name: str) -> None:
    _, data = rollouts.sample(random.Random(seed))
    text = data.decode("utf-8", "replace")
    ids = encode_rollout(text, table(name))
    assert table(name).text(ids) == text
    coords = len(re.findall(r"<\|coord_(?:0|[1-9][0-9]{0,2})\|>", text))
    assert sum(token_id in table(name).coords.bin_of_id for token_id in ids) == coords
    assert ids.count(table(name).end_id) == text.count("<|im_end|>")


def test_other_special_tokens_stay_text() -> None:
    ids = encode_rollout("<|image_pad|><|<|coord_1|>", tokens())
    assert [tokens().text([token_id]) for token_id in ids][-1] == "<|coord_1|>"
    assert "<|image_pad|>" not in [tokens().text([token_id]) for token_id in ids]


RANGES: dict[str, object] = {
    "3": ((3, 3),),
    "3,7": ((3, 3), (7, 7)),
    "3, 10-12": ((3, 3), (10, 12)),
    "": "'' is neither a line number from 1 nor a range such as 10-12",
    "0": "'0' is neither a line number from 1 nor a range such as 10-12",
    "3-": "'3-' is neither a line number from 1 nor a range such as 10-12",
    "٣": "'٣' is neither a line number from 1 nor a range such as 10-12",
    "5-4": "the range 5-4 ends before it starts",
}


@pytest.mark.parametrize("text", RANGES)
def test_ranges(text: str) -> None:
    wanted = RANGES[text]
    if isinstance(wanted, str):
        with pytest.raises(ValueError, match=f"^{re.escape(wanted)}$"):
            parse_ranges(text)
    else:
        assert parse_ranges(text) == wanted


def test_chosen() -> None:
    ranges = (LineRange(3, 3), LineRange(10, 12))
    assert [number for number in range(1, 15) if chosen(number, ranges)] == [3, 10, 11, 12]


def test_a_target_without_a_record_has_no_image() -> None:
    assert document([sample(ROLLOUT, [CAT, DOG, BOWL])])["samples"][0]["image"] is None
