"""Reports as values: what PATH holds, which records are shown, what the cards, charts and tables say."""

from __future__ import annotations

import gzip
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from conftest import Done
from coordspec.errors import InputError
from coordspec.evaluate.judge import judge, match_counts
from coordspec.pages.thumbnail import BYTES_OF_SIDE, Picture, small, thumbnail
from coordspec.predictions.record import Dropped, PredictedObject
from coordspec.record import DetObject
from coordspec.report.cards import TEXT_CHARS
from coordspec.report.charts import MAX_POINTS, lines
from coordspec.report.findings import MAX_LISTED
from coordspec.report.options import DEFAULTS, OF_PREDICTIONS, Order, ReportOptions
from coordspec.report.page import SCRIPTS, STYLES, fact
from coordspec.report.predictions import ranked
from coordspec.report.run import run_report
from coordspec.report.settings import flat
from coordspec.report.source import PROBED, ReportKind, kind_of
from coordspec.run_files import checkpoints, read_metrics, read_provenance
from evaluate_scenes import naive_matches, random_scene
from report_samples import (
    CAT,
    DOG,
    FAR_BOX,
    charts,
    data_of,
    facts,
    found,
    record,
    table,
    write_images,
    write_records,
    write_run,
    write_scenes,
)

Run = Callable[..., Done]
LIMIT = DEFAULTS.max_line_bytes
GOOD = {"images": ["a.png"], "width": 64, "height": 48, "objects": []}


@pytest.fixture
def report(coordspec: Run) -> Callable[..., tuple[Done, dict[str, Any]]]:
    """``coordspec report … -o page.html``, and the data in the page."""

    def call(*words: object) -> tuple[Done, dict[str, Any]]:
        done = coordspec("report", *words, "-o", "page.html", "--overwrite")
        assert "Traceback" not in done.err
        assert done.status in (0, 1), done.err
        return done, data_of(Path("page.html"))

    return call


Report = Callable[..., tuple[Done, dict[str, Any]]]


# ------------------------------------------------------------------------------------------------------------- sources

PREDICTION = {"index": 0, "dropped": [], "objects": [], "images": ["a.png"]}
FIRST: dict[str, tuple[list[Any], ReportKind]] = {
    "a record": ([GOOD], ReportKind.DATA),
    "a prediction": ([PREDICTION], ReportKind.PREDICTIONS),
    "a record with an index": ([{**GOOD, "index": 3}], ReportKind.DATA),
    "objects alone": ([{"objects": []}], ReportKind.DATA),
    "behind lines that say nothing": (["x", 1, [], {"a": 1}, GOOD], ReportKind.DATA),
    "behind broken lines": ([b"{", b"", b"\xff", PREDICTION], ReportKind.PREDICTIONS),
    "the last line that is looked at": ([1] * (PROBED - 1) + [GOOD], ReportKind.DATA),
}


@pytest.mark.parametrize("case", FIRST)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_what_a_file_holds(case: str, suffix: str, tmp_path: Path) -> None:
    values, kind = FIRST[case]
    text = b"".join((item if isinstance(item, bytes) else json.dumps(item).encode()) + b"\n" for item in values)
    file = tmp_path / f"a.jsonl{suffix}"
    file.write_bytes(gzip.compress(text) if suffix else text)
    assert kind_of(str(file), LIMIT) is kind


def test_a_file_that_says_what_it_is_too_late(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("1\n" * PROBED + json.dumps(GOOD))
    with pytest.raises(InputError, match="neither records nor predictions"):
        kind_of(str(tmp_path / "a.jsonl"), LIMIT)


@pytest.mark.parametrize("made", ["metrics.jsonl", "checkpoint-5/x", "final/run.json"])
def test_what_makes_a_folder_a_run(made: str, tmp_path: Path) -> None:
    (tmp_path / made).parent.mkdir(exist_ok=True)
    (tmp_path / made).write_text("")
    assert kind_of(str(tmp_path), LIMIT) is ReportKind.RUN


# ---------------------------------------------------------------------------------------------------------------- data


def test_a_data_file(report: Report, tmp_path: Path) -> None:
    items = [record(CAT, DOG, name="a.png"), record(CAT, name="b.png"), record(name="c.png")]
    write_records(*items)
    write_images(*items)
    done, value = report("data.jsonl")
    assert done == (0, "page.html: 3 records\n", "")
    assert facts(value)["records"] == "3"
    assert facts(value)["objects"] == "3"
    assert [len(card["objects"]) for card in value["gallery"]["cards"]] == [2, 1, 0]
    assert all(card["image"].startswith("data:image/jpeg;base64,") for card in value["gallery"]["cards"])
    assert charts(value)["Descs"]["rows"] == [
        {"label": "cat", "count": 2, "part": None},
        {"label": "dog", "count": 1, "part": None},
    ]
    assert value["findings"] == {"total": 0, "rules": [], "listed": []}


@pytest.mark.parametrize(("order", "wanted"), [("file", ["0.png", "1.png"]), ("findings", ["5.png", "2.png"])])
def test_which_records_of_a_data_file_are_shown(order: str, wanted: list[str], report: Report, tmp_path: Path) -> None:
    flat_box = DetObject("cat", (5, 5, 5, 5))  # a warning each
    objects = {2: (flat_box,), 5: (flat_box, flat_box)}
    write_records(*(record(*objects.get(i, (CAT,)), name=f"{i}.png") for i in range(8)))
    done, value = report("data.jsonl", "--order", order, "--max-images", 2)
    assert done.status == 0
    assert [card["path"] for card in value["gallery"]["cards"]] == wanted
    assert value["gallery"]["total"] == 8
    assert done.out == f"page.html: 2 of 8 records shown, {Order(order).about}; see --max-images\n"
    _, value = report("data.jsonl", "--order", order, "--max-images", 1)
    assert [card["path"] for card in value["gallery"]["cards"]] == wanted[:1]


def test_findings_are_counted_and_listed_up_to_a_limit(report: Report, tmp_path: Path) -> None:
    bad = json.dumps({**GOOD, "width": 0})
    Path("data.jsonl").write_text("\n".join([json.dumps(GOOD), *[bad] * (MAX_LISTED + 7)]))
    done, value = report("data.jsonl")
    assert done.status == 1
    assert value["findings"]["total"] == MAX_LISTED + 7
    assert len(value["findings"]["listed"]) == MAX_LISTED
    assert [(rule["code"], rule["count"]) for rule in value["findings"]["rules"]] == [("REC004", MAX_LISTED + 7)]


@pytest.mark.parametrize("order", sorted(OF_PREDICTIONS))
def test_orders_of_predictions_are_refused(order: Order, tmp_path: Path) -> None:
    from coordspec.report.data import data_report

    with pytest.raises(ValueError, match="is one of predictions"):
        data_report("data.jsonl", ReportOptions(order=order))


def test_odd_sizes_of_images(report: Report, tmp_path: Path) -> None:
    line = json.dumps(GOOD)
    huge = "7" * 400
    Path("data.jsonl").write_text(f"{line.replace('64', huge)}\n{line.replace('48', huge)}\n{line}\n")
    _, value = report("data.jsonl")
    assert [card["ratio"] for card in value["gallery"]["cards"]] == [50, 0.02, 1.333]
    assert value["gallery"]["cards"][0]["size"].endswith("…")


def test_images_that_are_not_there_are_counted(report: Report, tmp_path: Path) -> None:
    write_records(record(CAT), record(CAT, name="b.png"))
    write_images(record(CAT))
    done, value = report("data.jsonl")
    assert done.status == 0
    assert value["notes"] == ["1 image of the records below cannot be shown; each says why."]
    assert "b.png" in value["gallery"]["cards"][1]["note"]


def test_the_image_root(report: Report, tmp_path: Path) -> None:
    write_records(record(CAT), name="there/data.jsonl")
    write_images(record(CAT), root="elsewhere")
    assert report("there/data.jsonl")[1]["gallery"]["cards"][0]["image"] is None
    assert report("there/data.jsonl", "--image-root", "elsewhere")[1]["gallery"]["cards"][0]["image"]


@pytest.mark.parametrize("side", [96, 384, 1024])
def test_small_images_are_small(side: int, tmp_path: Path) -> None:
    """Noise is the worst that there is."""
    for size in ((1500, 1500), (1500, 20)):
        width, height = size
        Image.frombytes("RGB", size, random.Random(1).randbytes(3 * width * height)).save(tmp_path / "a.png")
        uri = thumbnail(Picture(tmp_path, "a.png", width, height, 0), small(side)).uri
        assert uri is not None
        assert len(uri) <= 4 * BYTES_OF_SIDE * side / 3 + 50


def test_the_data_needs_no_package_of_an_extra(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(json.dumps({**GOOD, "objects": [{"desc": "cat", "bbox_2d": [1, 2, 3, 4]}]}))
    code = (
        "import sys\nfor name in ('numpy', 'scipy', 'shapely', 'torch', 'tokenizers'): sys.modules[name] = None\n"
        "from coordspec_cli.main import run\nsys.exit(run(['report', 'data.jsonl', '-o', 'page.html']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "page.html: 1 record\n"), done.stderr


# --------------------------------------------------------------------------------------------------------- predictions


def test_the_judgement_against_a_naive_reference() -> None:
    rng = random.Random(5)
    scenes = [random_scene(rng, f"{i}.png") for i in range(300)]
    judged = judge([item for item, _ in scenes], [guess for _, guess in scenes])
    for (item, guess), one in zip(scenes, judged, strict=True):
        count, _ = naive_matches(item.objects, guess.objects, 0.5, aware=True)
        assert len(one.matches) == count == sum(one.right) == sum(one.found)
        assert (one.fp, one.fn) == (len(guess.objects) - count, len(item.objects) - count)
        assert all(item.objects[m.gt].desc == guess.objects[m.predicted].desc for m in one.matches)
        assert all(m.iou >= 0.5 for m in one.matches)
    orders = {
        Order.F1: [1 if (score := match_counts([one]).f1) is None else score for one in judged],
        Order.FP: [-one.fp for one in judged],
        Order.FN: [-one.fn for one in judged],
        Order.FILE: [0.0] * len(judged),
    }
    for order, keys in orders.items():
        assert ranked(judged, order, {}) == sorted(range(len(keys)), key=lambda number: (keys[number], number))


def test_a_card_of_predictions(report: Report, tmp_path: Path) -> None:
    wrong = PredictedObject("cow", (500, 500, 900, 700), score=0.25)
    dropped = (Dropped("object_7", "inverted_box"),)
    write_scenes(
        (record(CAT, DOG), [found(CAT, score=0.5, score_coord=0.25, score_desc=1.0), wrong]),
        dropped=dropped,
        truncated=True,
        text="x" * (TEXT_CHARS + 5),
    )
    _, value = report("preds.jsonl", "data.jsonl")
    (card,) = value["gallery"]["cards"]
    assert [item["outcome"] for item in card["objects"]] == ["gt", "fn", "matched", "fp"]
    assert card["objects"][2] == {
        "outcome": "matched",
        "category": "cat",
        "desc": "cat",
        "bbox_2d": list(CAT.bbox_2d or ()),
        "partner": 0,
        "iou": 1.0,
        "score": 0.5,
        "score_coord": 0.25,
        "score_desc": 1.0,
    }
    assert (card["objects"][0]["partner"], card["objects"][1]["partner"]) == (2, None)
    assert (card["objects"][3]["nearest"], card["objects"][3]["iou"]) == (1, 0.5)
    assert (card["f1"], card["truncated"], card["missing"]) == (0.5, True, False)
    assert card["dropped"] == [{"key": "object_7", "reason": "inverted_box"}]
    assert (len(card["text"]), card["text"][-1], card["chars"]) == (TEXT_CHARS, "…", TEXT_CHARS + 5)


def test_a_false_positive_far_from_everything(report: Report, tmp_path: Path) -> None:
    write_scenes((record(DOG), [PredictedObject("dog", FAR_BOX)]), (record(name="b.png"), [found(CAT)]))
    _, value = report("preds.jsonl", "data.jsonl", "--order", "file")
    for card in value["gallery"]["cards"]:
        assert "nearest" not in card["objects"][-1]


def test_the_iou_and_the_categories(report: Report, tmp_path: Path) -> None:
    near = DetObject("kitten", (100, 100, 400, 310))
    write_scenes((record(CAT), [found(near)]))
    Path("table.json").write_text('{"kitten": "cat"}')
    words = ("preds.jsonl", "data.jsonl")
    assert facts(report(*words)[1])["F1"] == "0.000"
    assert facts(report(*words, "--categories", "table.json")[1])["F1"] == "1.000"
    assert facts(report(*words, "--categories", "table.json", "--iou", 0.9)[1])["F1"] == "0.000"


def test_the_table_by_category(report: Report, tmp_path: Path) -> None:
    write_scenes(
        (record(CAT, DOG), [found(CAT), PredictedObject("cow", FAR_BOX)]),
        (record(CAT, name="b.png"), [PredictedObject("cat", FAR_BOX)]),
    )
    _, value = report("preds.jsonl", "data.jsonl")
    assert table(value, "By category") == [["cat", 2, 1, 1, 1, 0.5], ["dog", 1, 0, 1, 0, 0.0], ["cow", 0, 0, 0, 1, 0.0]]
    rows = dict(table(value, "Outputs"))
    assert (rows["outputs"], rows["read whole"], rows["predictions of categories that no object has"]) == (2, 2, 1)


def test_strays_are_findings(report: Report, tmp_path: Path) -> None:
    write_scenes((record(CAT), [found(CAT)]), (record(DOG, name="b.png"), [found(DOG)]))
    Path("data.jsonl").write_text(Path("data.jsonl").read_text().splitlines()[1])
    done, value = report("preds.jsonl", "data.jsonl")
    assert done.status == 1
    assert [(item["code"], item["place"]) for item in value["findings"]["listed"]] == [("PRD007", "preds.jsonl:1")]
    assert value["gallery"]["cards"][0]["findings"] == []
    assert facts(value)["F1"] == "1.000"


def test_nothing_to_find_and_nothing_found(report: Report, tmp_path: Path) -> None:
    write_scenes((record(), []), (record(CAT, name="b.png"), [found(CAT)]))
    _, value = report("preds.jsonl", "data.jsonl")
    assert [card["f1"] for card in value["gallery"]["cards"]] == [None, 1.0]
    write_scenes((record(), []))
    assert facts(report("preds.jsonl", "data.jsonl")[1])["F1"] == "–"


def test_a_broken_prediction_file_is_refused(coordspec: Run, tmp_path: Path) -> None:
    write_scenes((record(CAT), [found(CAT)]))
    text = Path("preds.jsonl").read_text()
    Path("preds.jsonl").write_text(text + text.replace('"score": null', '"score": 7'))
    done = coordspec("report", "preds.jsonl", "data.jsonl", "-o", "page.html")
    assert (done.status, done.out, Path("page.html").exists()) == (2, "", False)
    assert "preds.jsonl:2" in done.err


# ----------------------------------------------------------------------------------------------------------------- run


def test_a_run_without_checkpoints(report: Report, tmp_path: Path) -> None:
    Path("run").mkdir()
    Path("run/metrics.jsonl").write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "lo')
    done, value = report("run")
    assert done.status == 0
    assert facts(value) == {"steps": "1", "training loss, last": "2.500"}
    assert value["notes"] == ["The folder holds no checkpoint yet, so there is no config to show."]
    assert charts(value)["loss"]["series"][0]["points"] == [[1, 2.5]]


def test_a_run_without_metrics(report: Report, tmp_path: Path) -> None:
    write_run([], {"model": {}})
    Path("run/metrics.jsonl").unlink()
    _, value = report("run")
    assert value["charts"] == []
    assert table(value, "Checkpoints") == [["checkpoint-20", 20]]
    assert table(value, "Config") == [["model", "{}"]]


def test_the_final_checkpoint_is_that_of_the_last_step(report: Report, tmp_path: Path) -> None:
    write_run([{"step": 20, "eval/loss": 1.5, "eval/f1": 0.25}, {"step": 40, "eval/loss": 1.0, "eval/f1": 0.5}])
    (Path("run") / "final").mkdir()
    _, value = report("run")
    assert table(value, "Checkpoints") == [["checkpoint-20", 20, "1.5000", "0.2500"], ["final", 40, "1.0000", "0.5000"]]
    assert facts(value)["F1 on data.val, best"] == "0.500"


def test_names_are_explained(tmp_path: Path) -> None:
    write = tmp_path / "metrics.jsonl"
    write.write_text('{"step": 1, "loss": 2.5, "eval/f1@0.5": 0.1, "eval/f1@x": 0.1}\n')
    value = run_report(str(tmp_path), lambda name: f"means {name}").value
    assert charts(value)["loss"]["about"] == "means loss"
    assert charts(value)["F1 by IoU threshold"]["series"] == [{"name": "step 1", "points": [[0.5, 0.1]]}]


LINES = {
    "{": "run/metrics.jsonl:2: is no JSON",
    "[1]": 'run/metrics.jsonl:2: is no JSON object with a whole number "step"',
    '{"step": 1.5}': 'run/metrics.jsonl:2: is no JSON object with a whole number "step"',
    '{"step": 1, "loss": "x"}': 'run/metrics.jsonl:2: "loss" is no number',
    '{"step": 1, "loss": true}': 'run/metrics.jsonl:2: "loss" is no number',
    '{"step": 1, "loss": ' + "7" * 400 + "}": 'run/metrics.jsonl:2: "loss" is no number',
    "[" * 100_000: "run/metrics.jsonl:2: is no JSON",
    "\xff": "run/metrics.jsonl:2: is no JSON",
}


@pytest.mark.parametrize("line", LINES, ids=[f"line {i}" for i in range(len(LINES))])
def test_metrics_that_are_none(line: str, coordspec: Run, tmp_path: Path) -> None:
    write_run([{"step": 1, "loss": 1.0}])
    with Path("run/metrics.jsonl").open("ab") as stream:
        stream.write(line.encode("latin-1") + b"\n")
    done = coordspec("report", "run", "-o", "page.html")
    assert done.status == 2
    assert done.err.startswith(f"error: {LINES[line]}")


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"a": NaN}', '{"a": 1, "a": 2}'])
def test_a_run_file_that_is_none(text: str, coordspec: Run, tmp_path: Path) -> None:
    write_run([])
    file = Path("run/checkpoint-20/run.json")
    file.write_text(text)
    done = coordspec("report", "run", "-o", "page.html")
    assert (done.status, Path("page.html").exists()) == (2, False)
    assert str(file) in done.err
    with pytest.raises(InputError):
        read_provenance(file.parent)


def test_the_files_of_a_run(tmp_path: Path) -> None:
    for name in ("checkpoint-9", "checkpoint-10", "checkpoint-x", ".writing-checkpoint-11"):
        (tmp_path / name).mkdir()
    assert [folder.name for folder in checkpoints(tmp_path)] == ["checkpoint-9", "checkpoint-10"]
    assert read_metrics(tmp_path) == []


# -------------------------------------------------------------------------------------------------------------- charts


def test_long_curves_are_means() -> None:
    points = [(float(i), float(i % 2)) for i in range(4 * MAX_POINTS - 1)]
    chart = lines("loss", {"training": points}, x="step")
    drawn = chart["series"][0]["points"]
    assert len(drawn) == MAX_POINTS
    assert drawn[0] == [3.0, 0.5]
    assert drawn[-1] == [4.0 * MAX_POINTS - 2, pytest.approx(1 / 3, abs=1e-6)]
    assert chart["about"] == "Each point of training is the mean of 4 logged ones."


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_numbers_are_left_out(odd: float) -> None:
    chart = lines("loss", {"training": [(1, odd), (2, 5.0)], "data.val": [(2, odd)]}, x="step", about="It is.")
    assert [one["points"] for one in chart["series"]] == [[[2, 5.0]], []]
    assert chart["about"] == "It is. 2 values that are no finite numbers are not drawn."


def test_names_of_charts_are_safe_to_show() -> None:
    chart = lines("a\u202e", {"b\u202e": [(1, 1.0)]}, x="step")
    assert (chart["title"], chart["series"][0]["name"]) == ("a\\u202e", "b\\u202e")


def test_huge_values_have_a_mean() -> None:
    points = [(i, 1.7e308) for i in range(2 * MAX_POINTS)]
    assert lines("x", {"x": points}, x="step")["series"][0]["points"][0][1] == pytest.approx(1.7e308)


def test_facts_and_settings() -> None:
    assert [fact("a", value)["value"] for value in (None, 1234, 0.5, "x")] == ["–", "1,234", "0.500", "x"]
    nested: Any = 1
    for _ in range(5000):
        nested = {"a": nested}
    ((path, value),) = flat({"b": nested})
    assert (path[:5], value) == ("b.a.a", "1")
    assert list(flat({"a": {}, "b": [1, "\u202e"], "c": None})) == [("a", "{}"), ("b", '[1, "\\u202e"]'), ("c", "null")]


def test_no_script_ends_its_element() -> None:
    from coordspec.pages import html
    from coordspec.report.page import PACKAGE

    for text in (html.resource(PACKAGE, *SCRIPTS), html.resource(html.PACKAGE, *html.SCRIPTS)):
        assert "</" not in text
        assert "<!--" not in text
        assert "innerHTML" not in text
        assert "eval(" not in text
    assert "url(" not in html.resource(PACKAGE, *STYLES)
