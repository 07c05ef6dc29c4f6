"""The parts of an evaluation, each by hand: categories, joining, outputs, buckets, calibration, intervals, tables."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Done
from coordspec.boxes import IOU_THRESHOLDS
from coordspec.errors import ContractError, InputError
from coordspec.evaluate.bootstrap import Interval
from coordspec.evaluate.buckets import SIZES
from coordspec.evaluate.calibration import MASSES, reliability
from coordspec.evaluate.categories import Categories, normalised, read_categories
from coordspec.evaluate.f1 import F1Table
from coordspec.evaluate.join import join
from coordspec.evaluate.options import EvalOptions
from coordspec.evaluate.summary import Evaluation, evaluate
from coordspec.evaluate.tables import TOP_CATEGORIES, markdown, sheets
from coordspec.predictions.record import CoordStats, Dropped, PredictedObject, Prediction
from coordspec.record import MAX_ISSUES, CoordForm, DetObject, Record, all_records
from coordspec_cli.main import run
from evaluate_scenes import cat, prediction, random_scene, record

QUICK = EvalOptions(resamples=0, average_precision=False)
DOCS = Path(__file__).resolve().parents[1] / "docs/evaluation/EVAL.md"


def evaluated(*pairs: tuple[Record, Prediction | None], options: EvalOptions = QUICK) -> Evaluation:
    return evaluate([r for r, _ in pairs], [p for _, p in pairs], options)


def random_pairs(seed: int, count: int = 12) -> list[tuple[Record, Prediction | None]]:
    rng = random.Random(seed)
    return [random_scene(rng, f"{i}.png", 8) for i in range(count)]


# ----------------------------------------------------------------------------------------------------------- categories


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.json", '{"Kitty": "Cat", "no": "yes"}'),
        ("t.json", '{\n  "kitty": "cat",\n  "no": "yes"\n}\n'),
        ("t.yaml", "Kitty: Cat\nno: yes\n"),
        ("t.yml", "{kitty: cat, KITTY: CAT, no: yes}"),
    ],
)
def test_a_table(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    table = read_categories(str(path))
    assert [table.of(word) for word in ("KITTY", "cat", "No", "Dog ")] == ["cat", "cat", "yes", "dog"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.json", "[]", 'is no JSON object; write {"desc": "category", …}'),
        ("t.json", "{", "is no strict JSON (invalid-json)"),
        ("t.json", '{"a": "x", "a": "x"}', "is no strict JSON (duplicate-key)"),
        ("t.json", '{"a": 1}', "'a': 1 is no pair of texts, desc: category"),
        ("t.json", '{"a": " "}', "'a': ' ' is no pair of texts, desc: category"),
        ("t.yaml", "- a", "is no YAML mapping; write `desc: category`, one a line"),
        ("t.yaml", "", "is no YAML mapping; write `desc: category`, one a line"),
        ("t.yaml", "a: [b]", "'a': None is no pair of texts, desc: category"),
        ("t.yaml", "a: x\na: y\n", "the desc 'a' has two categories, 'x' and 'y'"),
        ("t.yaml", "a: b: c", "is no YAML: mapping values are not allowed"),
        ("t.yaml", "a: !!python/name:os.system x: y", "is no YAML"),
        ("t.yaml", "a: &x [*x]", "is no pair of texts"),
        ("t.yaml", "a: \x00", "is no YAML"),
    ],
)
def test_what_is_no_table(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_categories(str(path))
    assert message in str(caught.value)


# -------------------------------------------------------------------------------------------------------------- joining


def test_images_and_size_decide_and_the_index_between_equals() -> None:
    twins = [record((0, 0, 9, 9)), record(), record(name="b.png"), record(name="b.png", size=(1, 2))]
    made = [
        prediction(twins[1], index=1),
        prediction(twins[0], index=0),
        prediction(twins[2], index=70),
        prediction(twins[0], index=5),
        prediction(record(name="c.png"), index=2),
    ]
    joined = join(twins, made)
    assert joined.predictions == (made[1], made[0], made[2], None)
    assert joined.strays == (made[3], made[4])
    assert joined.missing == (twins[3],)
    assert joined.without_missing().records == tuple(twins[:3])
    messages = [issue.message for issue in joined.issues("d.jsonl")]
    assert messages == [
        "a.png (640 x 480) is no record of d.jsonl",
        "c.png (640 x 480) is no record of d.jsonl",
        "the record has no prediction",
    ]


def test_two_predictions_for_one_record() -> None:
    only = record()
    with pytest.raises(ContractError, match=r"record 7 \(a.png\) has a prediction at line None already \(PRD004\)"):
        join([only], [prediction(only, index=0), prediction(only, index=7)])


def test_records_are_read_with_their_places(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    lines = [record((1, 2, 3, 4)).line(CoordForm.TOKEN), record(name="b.png").line(CoordForm.INT)]
    path.write_text("\n".join(lines))
    records = all_records(str(path), 1 << 20)
    assert records == [record((1, 2, 3, 4)), record(name="b.png")]
    assert str(records[1].place) == f"{path}:2"


def test_records_that_break_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(record().line(CoordForm.INT) + "\n\n" + "{}\n" * 30)
    with pytest.raises(ContractError) as caught:
        all_records(str(path), 1 << 20)
    assert len(caught.value.issues) == MAX_ISSUES
    assert [(issue.code, issue.place.line) for issue in caught.value.issues[:2]] == [("JSN004", 2), ("REC001", 3)]


# -------------------------------------------------------------------------------------------------------------- outputs


def test_outputs_are_counted() -> None:
    made = record((0, 0, 9, 9))
    outputs = evaluated(
        (made, prediction(made, fallback="no_opening_brace", tokens=1)),
        (made, prediction(made, (0, 0, 9, 9), truncated=True, tokens=2)),
        (made, prediction(made, (0, 0, 9, 9), dropped=(Dropped("x", "bad_key"),), tokens=3)),
        (made, prediction(made, (0, 0, 9, 9), tokens=4)),
        (made, None),
    ).outputs.value()
    assert outputs == {
        "outputs": 4,
        "parsed": 3,
        "parse_rate": 0.75,
        "whole": 1,
        "whole_rate": 0.25,
        "truncated": 1,
        "truncation_rate": 0.25,
        "fallbacks": {"no_opening_brace": 1},
        "entries": 4,
        "dropped": 1,
        "drop_rate": 0.25,
        "drop_reasons": {"bad_key": 1},
        "tokens": 10,
        "tokens_per_output": 2.5,
    }


def test_tokens_are_unknown_if_one_is() -> None:
    made = record()
    assert evaluated((made, prediction(made, tokens=3)), (made, prediction(made))).outputs.tokens is None


# -------------------------------------------------------------------------------------------------------------- buckets


@given(st.integers(0, 10**6))
@settings(max_examples=30)
def test_buckets_add_up(seed: int) -> None:
    scores = evaluated(*random_pairs(seed)).boxes
    whole = scores.class_aware
    for buckets in (scores.by_category, scores.by_crowd, scores.by_size):
        assert sum(b.gt for b in buckets.values()) == whole.gt
        assert sum(b.predictions for b in buckets.values()) == whole.predictions
        for t in range(len(IOU_THRESHOLDS)):
            assert sum(b.matched_gt[t] for b in buckets.values()) == whole.matched_gt[t]
            assert sum(b.matched_predictions[t] for b in buckets.values()) == whole.matched_predictions[t]
    agnostic = scores.class_agnostic
    assert all(a <= b for a, b in zip(whole.matched_gt, agnostic.matched_gt, strict=True))


def test_sizes_are_those_of_coco_in_pixels() -> None:
    made = Record(("a.png",), 1000, 1000, tuple(DetObject("cat", (0, 0, k, k)) for k in (31, 32, 95, 96)))
    tables = evaluated((made, None)).boxes.by_size
    assert {name: table.gt for name, table in tables.items()} == dict(zip(SIZES, (1, 2, 1), strict=True))


def test_a_match_across_sizes_counts_on_both_sides() -> None:
    made = Record(("a.png",), 1000, 1000, (DetObject("cat", (0, 0, 31, 31)),))
    tables = evaluated((made, prediction(made, (0, 0, 33, 33)))).boxes.by_size
    assert (tables["small"].recall(0.5), tables["small"].precision(0.5)) == (1.0, None)
    assert (tables["medium"].recall(0.5), tables["medium"].precision(0.5)) == (None, 1.0)


def test_polygon_sizes_are_those_of_the_outline() -> None:
    triangle = (0, 0, 40, 0, 40, 40)  # 800 square pixels; its box has 1600
    made = Record(("a.png",), 1000, 1000, (DetObject("cat", poly=triangle),))
    scores = evaluated((made, prediction(made, PredictedObject("cat", poly=triangle))))
    assert scores.boxes.by_size["medium"].gt == 1
    assert scores.polygons is not None
    assert scores.polygons.by_size["small"].recall(0.95) == 1.0


def test_names_of_crowd_levels() -> None:
    pairs: list[tuple[Record, None]] = [(record(*[(0, 0, 9, 9)] * n), None) for n in (0, 1, 2, 5, 6, 150)]
    assert list(evaluated(*pairs).boxes.by_crowd) == ["0", "1", "2", "3-5", "6-10", "101+"]


# ---------------------------------------------------------------------------------------------------------- calibration


def test_reliability_by_hand() -> None:
    made = reliability(np.array([0.9, 0.9, 0.9, 0.1, 1.0, 0.0]), np.array([1, 1, 0, 0, 1, 0], dtype=np.bool_))
    assert made is not None
    bins = [(b["from"], b["predictions"], b["mean_score"], b["right"]) for b in made.bins if b["predictions"]]
    assert bins == [(0.0, 1, 0.0, 0.0), (0.1, 1, 0.1, 0.0), (0.9, 4, pytest.approx(0.925), 0.75)]
    assert made.ece == pytest.approx((0.1 + abs(3.7 - 3)) / 6)
    assert made.bins[5]["mean_score"] is None


def test_parts_of_the_score_are_held_to_their_own_question() -> None:
    made = record((0, 0, 100, 100), (500, 500, 600, 600))
    found = prediction(
        made,
        cat(0, 0, 100, 100, score=0.5, score_coord=0.6, score_desc=0.7),
        cat(500, 500, 600, 600, desc="dog", score=0.5, score_coord=0.6, score_desc=0.7),
        cat(900, 900, 950, 950, score=0.5, score_coord=0.6, score_desc=0.7),
    )
    parts = evaluated((made, found)).calibration
    assert [(p.count, p.right) for name in ("score", "score_coord", "score_desc") if (p := parts[name])] == [
        (3, pytest.approx(1 / 3)),
        (3, pytest.approx(2 / 3)),
        (2, 0.5),
    ]


def test_coverage_by_hand() -> None:
    made = record((100, 100, 200, 200))
    quantiles = ((99, 100, 100, 100, 100, 101), (99, 99, 102, 103, 103, 104), (150, 160, 170, 180, 190, 200))
    stats = CoordStats((100.5, 101, 180, 200), (1, 1, 20, 2), (*quantiles, (200, 201, 202, 203, 204, 205)))
    coords = evaluated((made, prediction(made, cat(101, 100, 200, 200, coords=stats)))).coords
    assert coords is not None
    assert coords.coverage == {0.9: 1.0, 0.8: 0.5, 0.5: 0.25}
    assert (coords.coordinates, coords.mean_std, coords.written_error) == (4, 6.0, 0.25)
    assert coords.expected_error == pytest.approx((0.5 + 1 + 20 + 0) / 4)
    assert MASSES == (0.9, 0.8, 0.5)


def test_what_is_not_matched_or_a_polygon_has_no_coverage() -> None:
    stats = CoordStats((1.0,) * 4, (1.0,) * 4, ((1,) * 6,) * 4)
    made = record((100, 100, 200, 200))
    assert evaluated((made, prediction(made, cat(800, 800, 900, 900, coords=stats)))).coords is None
    outlined = record(DetObject("cat", poly=(100, 100, 200, 100, 200, 200, 100, 200)))
    assert evaluated((outlined, prediction(outlined, cat(100, 100, 200, 200, coords=stats)))).coords is None


# ------------------------------------------------------------------------------------------------------------ intervals


def test_intervals_are_those_of_a_plain_loop() -> None:
    pairs = random_pairs(5, 20)
    made = evaluated(*pairs, options=EvalOptions(resamples=50, seed=9, average_precision=False))
    tables = [evaluated(pair).boxes.class_aware for pair in pairs]
    rng = np.random.default_rng(9)
    drawn = []
    for _ in range(50):
        chosen = [tables[i] for i in rng.integers(20, size=20)]
        found = sum(t.matched_gt[0] for t in chosen)
        drawn.append(2 * found / (sum(t.gt for t in chosen) + sum(t.predictions for t in chosen)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert made.boxes.intervals["class_aware"]["f1_50"] == Interval(pytest.approx(low), pytest.approx(high))


def test_intervals_lie_around_the_number_and_narrow_with_more_images() -> None:
    options = EvalOptions(resamples=200, average_precision=False)
    widths = []
    for count in (10, 160):
        scores = evaluated(*random_pairs(1, count), options=options).boxes
        for name, interval in scores.intervals["class_aware"].items():
            assert interval is not None
            assert interval.low <= scores.class_aware.value()[name] <= interval.high
        f1 = scores.intervals["class_aware"]["f1_50"]
        assert f1 is not None
        widths.append(f1.high - f1.low)
    assert widths[1] < widths[0] / 2


def test_intervals_of_nothing() -> None:
    options = EvalOptions(resamples=5, average_precision=False)
    assert set(evaluated((record(), None), options=options).boxes.intervals["class_aware"].values()) == {None}
    assert evaluated(options=options).boxes.intervals == {}


# ------------------------------------------------------------------------------------------------------------ the whole


def test_the_value_is_strict_json_and_every_key_is_documented() -> None:
    made = record((0, 0, 99, 99), DetObject("cat", poly=(1, 1, 90, 1, 90, 90)))
    stats = CoordStats((1.0,) * 4, (1.0,) * 4, ((1,) * 6,) * 4)
    found = prediction(
        made,
        cat(0, 0, 99, 99, score=0.5, score_coord=0.5, score_desc=0.5, coords=stats),
        PredictedObject("ox", poly=(1, 1, 90, 1, 90, 90), score=0.4),
        tokens=5,
    )
    value = evaluated((made, found), options=EvalOptions(resamples=3)).value()
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    page = DOCS.read_text("utf-8")
    free = {"by_category", "by_size", "by_crowd", "fallbacks", "drop_reasons"}
    assert [key for key in keys(value, free) if f"`{key}`" not in page] == []


def keys(value: Any, free: set[str]) -> set[str]:
    """All keys at any depth; below ``free`` ones stand names of data, and tables of them."""
    if isinstance(value, list):
        return set().union(*(keys(item, free) for item in value))
    if not isinstance(value, dict):
        return set()
    below = (keys(list(item.values()) if name in free else item, free) for name, item in value.items())
    return set(value) | set().union(*below)


def test_nothing_at_all() -> None:
    value = evaluated(options=EvalOptions()).value()
    assert value["boxes"]["class_aware"]["f1_50"] is None
    assert value["boxes"]["average_precision_refused"] == "there is no ground-truth object"
    assert value["duplicates"]["rate"] is None
    assert markdown(sheets(value)).startswith("## Images and outputs\n")


def test_tables_show_the_categories_with_most_ground_truth() -> None:
    objects = [DetObject(f"c{i}", (0, 0, 9, 9)) for i in range(30) for _ in range(i + 1)]
    made = evaluated((record(*objects), None)).value()
    (sheet,) = [sheet for sheet in sheets(made) if sheet.title.startswith("Boxes by category")]
    assert sheet.title == f"Boxes by category (the first {TOP_CATEGORIES} of 30)"
    assert [row[0] for row in sheet.rows] == [f"c{i}" for i in range(29, 9, -1)]
    assert all(len(row) == len(sheet.columns) for sheet in sheets(made) for row in sheet.rows)


def test_markdown_shows_text_as_text() -> None:
    desc = "<script>|*`[x](y)\x1b[31m\u202e"
    text = markdown(sheets(evaluated((record(DetObject(desc, (0, 0, 9, 9))), None)).value()))
    assert "<" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    (line,) = [line for line in text.splitlines() if "script" in line]
    assert r"| &lt;script&gt;\|\*\`\[x\](y)" in line


def test_f1_table_by_hand() -> None:
    table = F1Table((0.5, 0.95), gt=4, predictions=2, matched_gt=(2, 1), matched_predictions=(2, 1))
    assert table.value() == {
        "ground_truth": 4,
        "predictions": 2,
        "f1_50": pytest.approx(2 / 3),
        "precision_50": 1.0,
        "recall_50": 0.5,
        "f1_95": pytest.approx(1 / 3),
        "precision_95": 0.5,
        "recall_95": 0.25,
        "f1_mean": 0.5,
    }
    assert [row["iou"] for row in table.by_threshold()] == [0.5, 0.95]


def test_a_table_of_categories_reaches_every_number() -> None:
    made = record((0, 0, 99, 99))
    found = prediction(made, cat(0, 0, 99, 99, desc="kitty"), cat(0, 0, 99, 99))
    plain, mapped = (
        evaluated((made, found), options=EvalOptions(Categories(table), 0, 0, average_precision=False))
        for table in ({}, {"kitty": "cat"})
    )
    assert (plain.duplicates, mapped.duplicates, mapped.images_with_duplicates) == (0, 1, 1)
    assert (dict(plain.unknown), dict(mapped.unknown)) == ({"kitty": 1}, {})
    assert list(mapped.boxes.by_category) == ["cat"]


def test_bad_calls() -> None:
    with pytest.raises(ValueError, match="1 records and the predictions of 0"):
        evaluate([record()], [])


# ---------------------------------------------------------------------------------------------------------- the command


def test_markdown_to_a_stream_of_another_encoding(tmp_path: Path, spawn: Callable[..., Done]) -> None:
    made = record(DetObject("碗", (0, 0, 99, 99)))
    (tmp_path / "data.jsonl").write_text(made.line(CoordForm.INT) + "\n", "utf-8")
    (tmp_path / "preds.jsonl").write_text(prediction(made).line() + "\n", "utf-8")
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = spawn("eval", "preds.jsonl", "data.jsonl", "--format", "md", env=env)
    assert (done.status, done.err) == (0, "")
    assert "\\u7897" in done.out


def test_broken_files_never_end_in_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of sound files are replaced, removed and repeated; whatever comes of it is an exit status."""
    monkeypatch.chdir(tmp_path)
    rng = random.Random(8)
    outlined = DetObject("ox", poly=(1, 2, 30, 2, 30, 40))
    records = [record((1, 2, 30, 40), outlined), record(name="b.png")]
    found = PredictedObject("ox", poly=(1, 2, 30, 2, 30, 41), score=0.25)
    sound = {
        "data.jsonl": "".join(item.line(CoordForm.INT) + "\n" for item in records),
        "preds.jsonl": prediction(records[0], found, cat(1, 2, 30, 40, score=0.5), tokens=3).line() + "\n",
        "table.yaml": "ox: cow\n",
    }
    statuses = set()
    for _ in range(60):
        for name, text in sound.items():
            Path(name).write_bytes(broken(text, rng) if rng.random() < 0.6 else text.encode())
        words = ["eval", "preds.jsonl", "data.jsonl", "--bootstrap", "2", "--categories", "table.yaml", "--partial"]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            statuses.add(run(words))
        assert "Traceback" not in err.getvalue()
    assert statuses == {0, 2}


def broken(text: str, rng: random.Random) -> bytes:
    data = bytearray(text.encode())
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(data))
        piece = rng.choice((b"", b"9", b"-", b'"', b"[", b"}", b"\n", b"\xff", b"null", b"1e400", b"9" * 30, b"\x00"))
        data[at : at + rng.randrange(3)] = piece
    return bytes(data)
