"""Bindings of ``openspec/specs/stage2-ab-training``. Each runs on Qwen's tokenizer and on two small ones."""

from __future__ import annotations

import json

from channel_b import E1, E2, END, FAR, Built, build, cat, entry, value

from coordspec.contracts import Kind, Owner
from coordspec.record import DetObject, render_payload
from coordspec.spec.binding import harness, scenario
from coordspec.target import ground_truth_target
from qwen_tokenizer import TOKENIZERS, ids_by_bytes, table
from rollouts import BIRD, CAT, DOG

PIECES = "{" + entry(1, CAT) + ", " + entry(2, BIRD) + "}" + END
COORDS = {item: ", ".join(f'"<|coord_{k}|>"' for k in item.bbox_2d or ()) for item in (CAT, BIRD, DOG)}


def _alone(built: Built, start: int, end: int) -> list[int]:
    """Tokens of which every character that is no white space stands in ``start..end`` of the text."""
    data = built.text.encode()
    found = []
    for position, (first, behind) in enumerate(built.spans()):
        here = [i for i in range(first, behind) if data[i : i + 1].strip()]
        if here and start <= min(here) and max(here) < end:
            found.append(position)
    return found


@harness("mask-pieces")
def mask_pieces(piece: str, owner: str, kind: str, weight: float, separators: float | None = None) -> None:
    """A token all of whose characters stand in the piece has its owner, kind and weight.

    One that also touches others has no higher weight. Between coord tokens there is structure.
    """
    item = {"matched": CAT, "fp": BIRD, "fn": DOG}.get(owner)
    text = piece.replace("C1, C2, C3, C4", COORDS[item]) if item else piece
    for built in build(PIECES, [CAT, DOG]):
        assert built.text == "{" + ", ".join(entry(n, item) for n, item in enumerate((CAT, BIRD, DOG), 1)) + "}" + END
        start = _place(built.text, text, owner)
        touched = [p for p in built.over(text, start) if p not in _alone(built, start, start + len(text))]
        assert all(built.target.ce_weight[position] <= (separators or weight) for position in touched)
        for position in _alone(built, start, start + len(text)):
            is_coord = built.target.ids[position] in built.tables.coords.bin_of_id
            wanted = (weight, kind) if separators is None or is_coord else (separators, "struct")
            assert built.target.owner[position] == owner
            assert built.target.ce_weight[position] == wanted[0]
            assert kind == "any" or built.target.kind[position] == wanted[1]


def _place(text: str, piece: str, owner: str) -> int:
    """Where the piece stands: inside of the owner's entry, or at the border of the text."""
    if owner == "frame":
        return {"{": 0, "}": len(text) - len(END) - 1, END: len(text) - len(END)}[piece]
    starts = {"matched": 1, "fp": len("{" + entry(1, CAT)), "fn": text.index(', "object_3"')}
    if piece == "]}":
        return text.index("]}", starts[owner])
    return text.index(piece, starts[owner])


@scenario("stage2-ab-training", "Unified mask policy", "Matched prefix structure is supervised", digest="ccba4f43cb14")
def test_matched_prefix_structure_is_supervised() -> None:
    for built in build("{" + entry(1, CAT) + ", " + entry(2, DOG) + "}", [CAT, DOG]):
        first = "{" + entry(1, CAT)
        for position in _alone(built, 1, len(first)):
            text, weight, owner, kind = built.tokens()[position]
            assert owner is Owner.MATCHED
            if kind is Kind.STRUCT:
                assert weight == 1, text
            else:
                assert weight == 0
        for word in ('"object_1"', '"bbox_2d"', '", "<', '"]'):
            assert all(built.target.kind[p] is not Kind.STRUCT or built.target.ce_weight[p] for p in built.over(word))


@scenario("stage2-ab-training", "Unified mask policy", "Matched prefix desc is masked", digest="1ceb46537fa0")
def test_matched_prefix_desc_is_masked() -> None:
    for built in build("{" + entry(1, DetObject("kitten", bbox_2d=CAT.bbox_2d)) + "}", [CAT]):
        assert built.target.report.matches == ((0, 0),)
        assert {built.target.ce_weight[position] for position in built.over("kitten")} == {0}


@scenario("stage2-ab-training", "Unified mask policy", "False positives are masked whole", digest="372a61ffbe96")
def test_false_positives_are_masked_whole() -> None:
    dropped = '"object_3": {"desc": "x", "score": [1, "<|coord_7|>"]}'
    text = "{" + entry(1, CAT) + ", " + entry(2, BIRD) + ",\n " + dropped + ", " + entry(4, DOG) + "}"
    for built in build(text, [CAT, DOG]):
        assert len(built.target.report.matches) == 2
        for piece in (", " + entry(2, BIRD), ",\n " + dropped):
            start = built.text.encode().index(piece.encode())
            touched = built.over(piece.rstrip(), start)
            assert {built.target.ce_weight[position] for position in touched} == {0}


@scenario("stage2-ab-training", "Unified mask policy", "Injected entries are supervised whole", digest="b2de4d689d1e")
def test_injected_entries_are_supervised_whole() -> None:
    for built in build("{" + entry(1, CAT) + "}", [CAT, DOG]):
        piece = ", " + entry(2, DOG)
        start = built.text.index(piece)
        own = _alone(built, start, start + len(piece))
        weights = {
            built.target.kind[p]: {
                built.target.ce_weight[q] for q in own if built.target.kind[q] is built.target.kind[p]
            }
            for p in own
        }
        assert weights == {Kind.STRUCT: {1}, Kind.DESC: {1}, Kind.COORD: {0}}


@scenario("stage2-ab-training", "Unified mask policy", "Masked text in a shared token", digest="5a12f139c451")
def test_masked_text_in_a_shared_token() -> None:
    for name in TOKENIZERS:
        tables = table(name)
        id_of = ids_by_bytes(name)
        for built in build("{" + entry(1, CAT) + "}" + END, [CAT]):
            if built.tables is not tables:
                continue
            (shared,) = built.over("}}")[:1]
            touches_both = built.tables.text([built.target.ids[shared]]).endswith("}}")
            assert touches_both == (id_of[b"}}"] == built.target.ids[shared] or name == "fused")
            assert built.target.ce_weight[built.over("}}")[-1]] == 0


@scenario("stage2-ab-training", "Stop-neutral closure", "One place for both", digest="84963ddaa076")
def test_one_place_for_both() -> None:
    braced = DetObject('}} a } "{', bbox_2d=CAT.bbox_2d)
    for gt in ([CAT], [CAT, DOG]):
        for built in build("{" + entry(1, braced) + " \n}}}} }" + END, gt):
            behind = "{" + entry(1, braced) + " \n" + (", " + entry(2, DOG) if len(gt) > 1 else "")
            assert built.text == behind + "}" + END
            (close,) = [p for p, (start, end) in enumerate(built.spans()) if start <= len(behind.encode()) < end]
            assert (built.target.owner[close], built.target.kind[close]) == (Owner.FRAME, Kind.CLOSE)
            closing = [text for text, *_, kind in built.tokens() if kind is Kind.CLOSE and text.strip()]
            assert len(closing) == 1
            assert built.target.ce_weight[close] == 0


@scenario("stage2-ab-training", "Stop-neutral closure", "The end is masked", digest="ef8b33020f28")
def test_the_end_is_masked() -> None:
    for built in build("{" + entry(1, CAT) + ", " + entry(2, BIRD) + "}", [CAT, DOG, BIRD]):
        assert built.tokens()[-1][1:] == (0, Owner.FRAME, Kind.END)
        assert built.target.ce_weight[built.over("}" + END)[0]] == 0
        for item in (CAT, BIRD):
            closing = "]}, "
            start = built.text.index(value(item)) + len(value(item)) - 2
            assert {built.target.ce_weight[position] for position in built.over(closing, start)} == {1}


@scenario("stage2-ab-training", "Stop-neutral closure", "A truncated rollout", digest="7cf0e294003b")
def test_a_truncated_rollout() -> None:
    for text in ("{" + entry(1, CAT), "{" + entry(1, CAT) + ', "object_2": {"de', "{", "", "{" + E1 + " " + E2 + "}"):
        for built in build(text, [DOG, FAR]):
            assert built.target.report.truncated or built.target.report.fallback
            assert built.text.endswith("}" + END)
            close = built.over("}" + END)[0]
            assert (built.target.ce_weight[close], built.target.kind[close]) == (0, Kind.CLOSE)


@scenario("stage2-ab-training", "Stop-neutral closure", "Closure is learnt elsewhere", digest="1ac723bffba8")
def test_closure_is_learnt_elsewhere() -> None:
    for rows in ("stage1", "channel_a"):
        for name in TOKENIZERS:
            target = ground_truth_target([CAT, DOG], table(name), rows=rows)
            assert table(name).text(target.ids) == render_payload([CAT, DOG]) + END
            assert target.ce_weight[-2:] == (1, 1)
            assert target.kind[-1] is Kind.END


@scenario("stage2-ab-training", "Policy reordered_gt_sft", "The order", digest="cfca8e8e229d")
def test_the_order() -> None:
    a, b, c, d = (cat(number) for number in (1, 2, 3, 4))
    for built in build(
        "{" + entry(5, c) + ", " + entry(6, FAR) + ", " + entry(9, a) + "}", [a, b, c, d], policy="reordered_gt_sft"
    ):
        assert built.text == render_payload([c, a, b, d]) + END
        assert list(json.loads(built.text.removesuffix(END))) == [f"object_{number}" for number in (1, 2, 3, 4)]
        assert [(slot.group, slot.gt) for slot in built.target.slots] == [
            ("matched", 2),
            ("matched", 0),
            ("fn", 1),
            ("fn", 3),
        ]
