"""Bindings of ``openspec/specs/evaluation``."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from channel_b import E1, read
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from spec_tools import Done, coordspec, folder

import test_evaluate_coco
from coordspec.contracts import schema
from coordspec.errors import ContractError
from coordspec.evaluate.categories import Categories, read_categories
from coordspec.evaluate.f1 import score_free
from coordspec.outcomes import count_answers, is_strict
from coordspec.predictions.files import read_predictions
from coordspec.predictions.record import CoordStats, Dropped, PredictedObject, Prediction
from coordspec.predictions.run import Run, read_run, run_path, write_run
from coordspec.record import CoordForm, DetObject, Record
from coordspec.spec.binding import harness, scenario
from evaluate_scenes import cat, prediction, random_scene, record

CAT = record((10, 10, 110, 110))
FOUND = prediction(CAT, cat(10, 10, 110, 110, score=0.9), tokens=3)
LIMIT = 1 << 20
STATS = CoordStats((1.0, 2.0, 3.0, 4.5), (0.5, 0.0, 0.1, 2.0), ((0, 1, 1, 1, 2, 2),) * 4)
RUN = Run("out/step-10", "0f0f", 7)


def write_predictions(*items: Prediction, name: str = "preds.jsonl") -> None:
    Path(name).write_text("".join(item.line() + "\n" for item in items), "utf-8")


def write_records(*items: Record, name: str = "data.jsonl") -> None:
    Path(name).write_text("".join(item.line(CoordForm.INT) + "\n" for item in items), "utf-8")


@contextmanager
def files(records: Sequence[Record], predictions: Sequence[Prediction]) -> Iterator[Path]:
    """A folder with ``data.jsonl`` and ``preds.jsonl``."""
    with folder() as here:
        write_records(*records)
        write_predictions(*predictions)
        yield here


def evaluated(records: Sequence[Record], predictions: Sequence[Prediction], *options: object) -> Done:
    """``coordspec eval preds.jsonl data.jsonl --format json``"""
    with files(records, predictions):
        return coordspec("eval", "preds.jsonl", "data.jsonl", "--format", "json", "--bootstrap", 0, *options)


def random_files(count: int) -> tuple[list[Record], list[Prediction]]:
    rng = random.Random(4)
    made = [random_scene(rng, f"{i}.png", 8) for i in range(count)]
    return [r for r, _ in made], [
        Prediction(i, p.images, p.width, p.height, p.objects) for i, (_, p) in enumerate(made)
    ]


def refused() -> list[tuple[str, int | None, str | None, str]]:
    """Code, line, pointer and message of what refuses ``preds.jsonl``."""
    with pytest.raises(ContractError) as caught:
        read_predictions("preds.jsonl", LIMIT)
    return [(i.code, i.place.line, i.place.pointer, i.message) for i in caught.value.issues]


# ---------------------------------------------------------------------------------------------------- prediction files


@scenario("evaluation", "Prediction files", "A line as it is written", digest="4ab90ee7e19b")
def test_a_line_as_it_is_written() -> None:
    outline = PredictedObject("碗", poly=(1, 2, 30, 2, 30, 40))
    made = prediction(CAT, cat(1, 2, 3, 4, score=0.5, coords=STATS), outline, dropped=(Dropped("object_9", "bad_key"),))
    resources = ((schema(name)["$id"], Resource.from_contents(schema(name))) for name in ("record", "prediction"))
    Draft202012Validator(schema("prediction"), registry=Registry().with_resources(resources)).validate(
        json.loads(made.line())
    )
    with folder():
        write_predictions(made)
        assert read_predictions("preds.jsonl", LIMIT).predictions == (made,)


@harness("prediction-refused")
def prediction_refused(field: str, value: Any, code: str, at: str, message: str) -> None:
    with folder():
        Path("preds.jsonl").write_text(json.dumps({**FOUND.value(), field: value}) + "\n")
        assert refused() == [(code, 1, at, message)]


@scenario("evaluation", "Prediction files", "A record that is predicted twice", digest="cf060345c6ee")
def test_a_record_that_is_predicted_twice() -> None:
    with folder():
        write_predictions(FOUND, prediction(record(name="b.png"), index=1), FOUND)
        ((code, line, _, message),) = refused()
    assert (code, line, message) == ("PRD004", 3, "record 0 (a.png) has a prediction at line 1 already")


@scenario("evaluation", "Prediction files", "Two runs in a file", digest="58ba1344c7a4")
def test_two_runs_in_a_file() -> None:
    with folder():
        write_predictions(*(prediction(CAT, index=i, run=run) for i, run in enumerate(["a", "a", RUN.id])))
        assert [found[:2] for found in refused()] == [("PRD005", 3)]
        write_run("preds.jsonl", RUN)
        assert [found[:2] for found in refused()] == [("PRD005", 1)]


@scenario("evaluation", "Prediction files", "The file beside it", digest="5fb3412b3cac")
def test_the_file_beside_it() -> None:
    with folder():
        write_predictions(prediction(CAT, run=RUN.id))
        write_run("preds.jsonl", RUN)
        assert read_run("preds.jsonl") == read_predictions("preds.jsonl", LIMIT).run == RUN
        path = run_path("preds.jsonl")
        path.write_text(path.read_text().replace('"seed": 7', '"seed": 8'))
        with pytest.raises(ContractError, match="PRD006"):
            read_run("preds.jsonl")


# ---------------------------------------------------------------------------------------------- predictions and records


@scenario("evaluation", "Predictions and records", "Another order", digest="13a7b94f2dcc")
def test_another_order() -> None:
    records, predictions = random_files(3)
    one, other = evaluated(records, predictions), evaluated(records[::-1], predictions)
    assert one.report == other.report
    assert one.report["boxes"]["class_aware"]["ground_truth"] > 0
    assert (one.status, other.status, other.err) == (0, 0, "")


@scenario("evaluation", "Predictions and records", "Missing predictions", digest="457a8aea6e95")
def test_missing_predictions() -> None:
    records = [CAT, record((1, 2, 300, 400), name="b.png")]
    whole, partial = evaluated(records, [FOUND]), evaluated(records, [FOUND], "--partial")
    assert (whole.status, whole.report["boxes"]["class_aware"]["recall_50"]) == (1, 0.5)
    assert whole.report["images"] == {"evaluated": 2, "missing": 1, "stray_predictions": 0}
    assert whole.err.splitlines()[0] == "data.jsonl:2: the record has no prediction (PRD008)"
    assert (partial.status, partial.report["boxes"]["class_aware"]["recall_50"], partial.err) == (0, 1, "")


@scenario("evaluation", "Predictions and records", "Predictions for other images", digest="717ed429f073")
def test_predictions_for_other_images() -> None:
    stray = prediction(record(name="c.png"), (1, 2, 3, 4), index=1)
    alone, more = evaluated([CAT], [FOUND]), evaluated([CAT], [FOUND, stray])
    assert more.status == 1
    assert more.err.splitlines()[0] == "preds.jsonl:2: c.png (640 x 480) is no record of data.jsonl (PRD007)"
    assert more.report["images"] == {"evaluated": 1, "missing": 0, "stray_predictions": 1}
    assert {**more.report, "images": alone.report["images"]} == alone.report


@harness("eval-unusable")
def eval_unusable(words: str, text: str) -> None:
    with files([CAT], [FOUND]):
        Path("empty.jsonl").write_bytes(b"")
        done = coordspec("eval", *words.split())
    assert (done.status, done.out) == (2, "")
    assert text in done.err
    assert "Traceback" not in done.err


# ----------------------------------------------------------------------------------------------------------- categories


@harness("same-category")
def same_category(first: str, second: str, same: bool) -> None:
    assert (Categories().of(first) == Categories().of(second)) is same
    found = score_free([record(DetObject(first, (0, 0, 9, 9)))], [[cat(0, 0, 9, 9, desc=second)]]).matched_gt[0]
    assert found == int(same)


@scenario("evaluation", "Categories", "A table", digest="2b0adc42894f")
def test_a_table() -> None:
    with folder():
        Path("t.json").write_text('{"kitty": "cat", "Tabby Cat": "cat"}')
        Path("t.yaml").write_text("kitty: cat\nTabby Cat: cat\n")
        for name in ("t.json", "t.yaml"):
            table = read_categories(name)
            assert {table.of(word) for word in ("kitty", "tabby cat", "cat")} == {"cat"}
            assert table.of("dog") == "dog"


@scenario("evaluation", "Categories", "A table that contradicts itself", digest="783c1e58adad")
def test_a_table_that_contradicts_itself() -> None:
    with files([CAT], [FOUND]):
        Path("t.json").write_text('{"Cat": "animal", "cat": "pet"}')
        done = coordspec("eval", "preds.jsonl", "data.jsonl", "--categories", "t.json")
    assert done == (2, "", "error: t.json: the desc 'cat' has two categories, 'animal' and 'pet'\n")


@scenario("evaluation", "Categories", "Unknown categories", digest="32bc7ea107bc")
def test_unknown_categories() -> None:
    more = prediction(CAT, *FOUND.objects, cat(10, 10, 110, 110, desc="Ox", score=1.0))
    one, two = evaluated([CAT], [FOUND]).report, evaluated([CAT], [more]).report
    assert two["boxes"]["class_aware"]["precision_50"] == 0.5
    assert two["boxes"]["average_precision"] == one["boxes"]["average_precision"]
    top = [{"category": "ox", "predictions": 1}]
    assert two["unknown_categories"] == {"predictions": 1, "categories": 1, "top": top}


# --------------------------------------------------------------------------------------------------- F1 without scores


@harness("f1-by-hand")
def f1_by_hand(truth: Any, predicted: Any, iou: float, precision: Any, recall: Any, f1: Any) -> None:
    table = score_free([record(*truth)], [[cat(*box) for box in predicted]])
    for number, wanted in ((table.precision(iou), precision), (table.recall(iou), recall), (table.f1(iou), f1)):
        assert number == (None if wanted is None else pytest.approx(wanted, abs=1e-6))


@scenario("evaluation", "F1 without scores", "Class-aware and class-agnostic", digest="593560919437")
def test_class_aware_and_class_agnostic() -> None:
    boxes = evaluated([CAT], [prediction(CAT, cat(10, 10, 110, 110, desc="dog"))]).report["boxes"]
    assert (boxes["class_aware"]["f1_50"], boxes["class_agnostic"]["f1_50"]) == (0, 1)


@scenario("evaluation", "F1 without scores", "The order does not matter", digest="76d9b85affd8")
def test_the_order_does_not_matter() -> None:
    records, predictions = random_files(20)
    table = score_free(records, [p.objects for p in predictions])
    turned = [Record(r.images, r.width, r.height, r.objects[::-1]) for r in records]
    assert score_free(turned, [p.objects[::-1] for p in predictions]) == table
    assert 0 < table.matched_gt[0] < table.gt


@scenario("evaluation", "F1 without scores", "Mean over thresholds", digest="379c402d1e6e")
def test_mean_over_thresholds() -> None:
    table = score_free([record((0, 0, 100, 100))], [[cat(0, 0, 100, 72)]])
    assert (table.f1(0.5), table.f1(0.95), table.f1_mean) == (1, 0, 0.5)


# ------------------------------------------------------------------------------------------------------------ AP and AR


@scenario("evaluation", "AP and AR", "Equal to pycocotools", digest="f1f91f5f31f6")
def test_equal_to_pycocotools() -> None:
    test_evaluate_coco.test_boxes_equal_pycocotools(11)
    test_evaluate_coco.test_polygons_equal_pycocotools(11)


@harness("no-ranking")
def no_ranking(scores: list[float | None], reason: str) -> None:
    found = [cat(10, 10, 110, 110 + i, score=score) for i, score in enumerate(scores)]
    done = evaluated([CAT], [prediction(CAT, *found)])
    boxes = done.report["boxes"]
    assert (boxes["average_precision"], boxes["average_precision_refused"], done.status) == (None, reason, 0)
    assert boxes["class_aware"]["f1_50"] == pytest.approx(2 / 3)
    assert done.err == f"note: no AP for boxes: {reason}\n"


@scenario("evaluation", "AP and AR", "Nothing to find, nothing found", digest="d438098e1abb")
def test_nothing_to_find_nothing_found() -> None:
    empty = record()
    boxes = evaluated([empty], [prediction(empty, cat(1, 2, 3, 4, score=0.5))]).report["boxes"]
    assert boxes["average_precision_refused"] == "there is no ground-truth object"
    assert evaluated([CAT], [prediction(CAT)]).report["boxes"]["average_precision"]["ap"] == 0


@scenario("evaluation", "AP and AR", "Polygons on one side", digest="6bd0fd75ad60")
def test_polygons_on_one_side() -> None:
    outlined = record(DetObject("cat", poly=(0, 0, 200, 0, 200, 300)))
    value = evaluated([outlined], [prediction(outlined, cat(0, 0, 200, 300, score=0.5))]).report
    assert value["polygons"] is None
    assert value["boxes"]["class_aware"]["f1_95"] == 1
    both = prediction(outlined, PredictedObject("cat", poly=(0, 0, 200, 0, 200, 300), score=0.5))
    assert evaluated([outlined], [both]).report["polygons"]["average_precision"]["ap"] == pytest.approx(1)


# -------------------------------------------------------------------------------------------- outputs and duplicates


@scenario("evaluation", "Outputs and duplicates", "Rates", digest="239028811c61")
def test_rates() -> None:
    made = [record((0, 0, 9, 9), name=f"{i}.png") for i in range(4)]
    dropped = (Dropped("object_2", "wrong_arity"),)
    outputs = evaluated(
        made,
        [
            prediction(made[0], index=0, fallback="no_opening_brace"),
            prediction(made[1], index=1, truncated=True),
            prediction(made[2], (0, 0, 9, 9), index=2, dropped=dropped),
            prediction(made[3], (0, 0, 9, 9), index=3),
        ],
    ).report["outputs"]
    assert (outputs["parse_rate"], outputs["whole_rate"], outputs["truncation_rate"]) == (0.75, 0.25, 0.25)
    assert outputs["drop_reasons"] == {"wrong_arity": 1}


@harness("answer-outcome")
def answer_outcome(text: str, ended: bool, parsed: bool, whole: bool, truncated: bool, strict: bool) -> None:
    for rollout in read(text.replace("E1", E1)):
        assert count_answers([rollout])[:4] == (1, parsed, whole, truncated)
        assert is_strict(rollout, ended=ended) is strict


@scenario("evaluation", "Outputs and duplicates", "Duplicates", digest="855aa33c671f")
def test_duplicates() -> None:
    box = (0, 0, 100, 100)
    found = [cat(*box), cat(*box), cat(*box), cat(*box, desc="dog"), cat(0, 0, 100, 89)]
    value = evaluated([CAT], [prediction(CAT, *found)]).report["duplicates"]
    assert value == {"iou": 0.9, "predictions": 2, "rate": 0.4, "images": 1}


# -------------------------------------------------------------------------------------------------------------- buckets


@scenario("evaluation", "Buckets", "Sizes", digest="ffcf3c020d62")
def test_sizes() -> None:
    made = record((0, 0, 20, 20), (100, 100, 160, 160), (300, 300, 900, 900), size=(1000, 1000))
    sizes = evaluated([made], [prediction(made, (100, 100, 160, 160))]).report["boxes"]["by_size"]
    assert {name: table["recall_50"] for name, table in sizes.items()} == {"small": 0, "medium": 1, "large": 0}


@scenario("evaluation", "Buckets", "Objects in the image", digest="06029577345f")
def test_objects_in_the_image() -> None:
    made = [record(*[(i, 0, i + 9, 9) for i in range(n)], name=f"{n}{k}.png") for k, n in enumerate((0, 1, 4, 4))]
    levels = evaluated(made, [prediction(r, index=i) for i, r in enumerate(made)]).report["boxes"]["by_crowd"]
    assert {name: table["ground_truth"] for name, table in levels.items()} == {"0": 0, "1": 1, "3-5": 8}


@scenario("evaluation", "Buckets", "Buckets add up", digest="823a91849fc4")
def test_buckets_add_up() -> None:
    boxes = evaluated(*random_files(20)).report["boxes"]
    whole = boxes["class_aware"]
    for kind in ("by_category", "by_crowd"):
        tables = boxes[kind].values()
        for count in ("ground_truth", "predictions"):
            assert sum(table[count] for table in tables) == whole[count] > 0
        matched = sum((table["recall_50"] or 0) * table["ground_truth"] for table in tables)
        assert matched == pytest.approx(whole["recall_50"] * whole["ground_truth"])


# ---------------------------------------------------------------------------------------------------------- calibration


@scenario("evaluation", "Calibration", "By hand", digest="6b3a720a1fbc")
def test_calibration_by_hand() -> None:
    made = record((0, 0, 100, 100), (500, 500, 600, 600))
    boxes = [(0, 0, 100, 100), (500, 500, 600, 600), (700, 0, 800, 100), (0, 700, 100, 800)]
    found = [cat(*box, score=score) for box, score in zip(boxes, (0.9, 0.9, 0.9, 0.1), strict=True)]
    value = evaluated([made], [prediction(made, *found)]).report["calibration"]["score"]
    assert value["ece"] == pytest.approx((3 * abs(0.9 - 2 / 3) + 0.1) / 4) == pytest.approx(0.2)


@scenario("evaluation", "Calibration", "Central intervals", digest="5551da09c0fc")
def test_central_intervals() -> None:
    quantiles = ((9, 9, 10, 10, 11, 11), (9, 10, 11, 12, 12, 12), (110, 111, 112, 112, 113, 113), (1, 2, 3, 4, 5, 110))
    stats = CoordStats((10.0,) * 4, (1.0,) * 4, quantiles)
    value = evaluated([CAT], [prediction(CAT, cat(10, 10, 110, 110, coords=stats))]).report["calibration"]["coords"]
    assert value["coverage"] == [
        {"mass": 0.9, "covered": 1.0},
        {"mass": 0.8, "covered": 0.5},
        {"mass": 0.5, "covered": 0.25},
    ]


@scenario("evaluation", "Calibration", "Nothing to calibrate", digest="48d08670a435")
def test_nothing_to_calibrate() -> None:
    value = evaluated([CAT], [prediction(CAT, (10, 10, 110, 110))]).report["calibration"]
    assert value == {"score": None, "score_coord": None, "score_desc": None, "coords": None}


# ------------------------------------------------------------------------------------------------------------ intervals


@scenario("evaluation", "Intervals", "The same seed", digest="856553b5bfc0")
def test_the_same_seed() -> None:
    made = random_files(20)
    runs = [evaluated(*made, "--bootstrap", 100, "--seed", seed).report["boxes"]["class_aware"] for seed in (3, 3, 4)]
    assert runs[0]["intervals"] == runs[1]["intervals"] != runs[2]["intervals"]
    for run in runs:
        low, high = run["intervals"]["f1_50"]
        assert low < run["f1_50"] == runs[0]["f1_50"] < high


@scenario("evaluation", "Intervals", "One image", digest="7ce912d7fe45")
def test_one_image() -> None:
    table = evaluated([CAT], [FOUND], "--bootstrap", 20).report["boxes"]["class_aware"]
    assert len(table["intervals"]) == 7
    assert table["intervals"] == {name: [table[name]] * 2 for name in table["intervals"]}


@scenario("evaluation", "Intervals", "None", digest="65efdecab4c5")
def test_no_intervals() -> None:
    assert evaluated([CAT], [FOUND], "--bootstrap", 0).report["boxes"]["class_aware"]["intervals"] is None


# -------------------------------------------------------------------------------------------------- forms of the result


@scenario("evaluation", "Forms of the result", "JSON", digest="d124d829ad17")
def test_json() -> None:
    wanted = ["predictions", "data", "run", "images", "outputs", "boxes", "polygons", "duplicates"]
    wanted += ["unknown_categories", "calibration", "bootstrap"]
    page = Path(__file__).parents[2].joinpath("docs/evaluation/EVAL.md").read_text("utf-8")
    value = evaluated([CAT], [FOUND]).report
    assert list(value) == wanted
    assert [key for key in wanted if f"`{key}`" not in page] == []
    assert (value["predictions"], value["data"], value["run"]) == ("preds.jsonl", "data.jsonl", None)


@scenario("evaluation", "Forms of the result", "Untrusted descs", digest="b63d3fd4f9df")
def test_untrusted_descs() -> None:
    hostile = prediction(CAT, cat(10, 10, 110, 110, desc="<script>|*\x1b[31m\u202e"))
    with files([CAT], [hostile]):
        done = {form: coordspec("eval", "preds.jsonl", "data.jsonl", "--format", form) for form in ("table", "md")}
    for form, made in done.items():
        assert made.status == 0
        assert "script" in made.out
        assert "\x1b" not in made.out
        assert "\u202e" not in made.out
        assert form == "table" or "<script>" not in made.out
    (row,) = [line for line in done["md"].out.splitlines() if "script" in line]
    assert row.replace("\\|", "").count("|") == 10


@scenario("evaluation", "Forms of the result", "Without the extra", digest="8a67b730955c")
def test_without_the_extra() -> None:
    loaded = [name for name in sys.modules if name.partition(".")[0] == "coordspec" and "evaluate" in name]
    with pytest.MonkeyPatch.context() as patch, files([CAT], [FOUND]):
        for name in loaded:
            if name != "coordspec.evaluate":
                patch.delitem(sys.modules, name)
        patch.setitem(sys.modules, "numpy", None)
        done = coordspec("eval", "preds.jsonl", "data.jsonl")
    assert (done.status, done.out) == (2, "")
    assert "`coordspec eval` needs the package numpy, which is not installed" in done.err
    assert "pip install 'coordspec[eval]'" in done.err
