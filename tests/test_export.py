"""``coordspec export``: to COCO instances, COCO results and Label Studio."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordspec.coords import bin_from_pixel
from coordspec.predictions.record import CoordStats, Dropped, PredictedObject, Prediction
from coordspec.record import CoordForm, DetObject, Record
from coordspec_cli.main import run

CAT = DetObject("cat", bbox_2d=(100, 200, 400, 599))
LIGHT = DetObject("traffic light", poly=(500, 200, 699, 200, 699, 599))
SCRIPT = DetObject("<script>alert('&')</script>", bbox_2d=(0, 0, 200, 799))
STREET = Record(("images/street 1.png",), 101, 51, (CAT, LIGHT, SCRIPT))
EMPTY = Record(("images/empty.png",), 51, 101)
SIDES = 101, 51
XYWH = [pytest.approx(v) for v in (100 / 9.99, 200 / 19.98, 300 / 9.99, 399 / 19.98)]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, records):
    texts = [r.line(CoordForm.INT) if isinstance(r, Record) else r.line() for r in records]
    Path(path).write_text("".join(text + "\n" for text in texts), encoding="utf-8")


def predicted(*objects, record=STREET, index=0, **more):
    return Prediction(index, record.images, record.width, record.height, objects, **more)


def found(item, score=0.5, **more):
    return PredictedObject(item.desc, item.bbox_2d, item.poly, score, **more)


def exported(capsys, *words, out="out.json"):
    """The document, and the counts above 0."""
    assert run(["export", *words, "-o", out]) == 0, capsys.readouterr().err
    rows = [row.strip().rsplit(": ", 1) for row in capsys.readouterr().err.splitlines()[1:]]
    return json.loads(Path(out).read_bytes()), {text: int(number) for text, number in rows}


def refused(capsys, *words):
    assert run(["export", *words, "-o", "out.json"]) == 2
    assert not Path("out.json").exists()
    out, err = capsys.readouterr()
    assert out == ""
    return err


# ------------------------------------------------------------------------------------------------------ COCO instances


def test_coco_instances(capsys):
    again = Record(STREET.images, 101, 51, (CAT,), summary="A cat.", metadata={"a": 1})
    write("a.jsonl", [STREET, EMPTY, again, Record(("a.png", "b.png"), 9, 9, (CAT,))])
    document, counts = exported(capsys, "coco", "a.jsonl")
    assert document["images"] == [
        {"id": 1, "file_name": "images/street 1.png", "width": 101, "height": 51},
        {"id": 2, "file_name": "images/empty.png", "width": 51, "height": 101},
    ]
    assert document["categories"] == [
        {"id": 1, "name": SCRIPT.desc},
        {"id": 2, "name": "cat"},
        {"id": 3, "name": "traffic light"},
    ]
    first, light, _, last = document["annotations"]
    shape = {"bbox": XYWH, "area": pytest.approx(300 / 9.99 * 399 / 19.98), "iscrowd": 0, "segmentation": []}
    assert first == {"id": 1, "image_id": 1, "category_id": 2, **shape}
    assert last == {**first, "id": 4}
    assert light["segmentation"] == [[pytest.approx(v) for v in _pixels(LIGHT.poly)]]
    assert light["area"] == pytest.approx(199 / 9.99 * 399 / 19.98 / 2)
    assert counts == {
        "images": 2,
        "annotations": 4,
        "categories": 3,
        "outlines written as one polygon each": 1,
        "records of an image that an earlier record has, whose objects went there": 1,
        "records of several images left out; a COCO image is one file": 1,
        "summaries left out": 1,
        "metadata left out": 1,
    }


def _pixels(bins, sides=SIDES):
    return [k * (sides[i % 2] - 1) / 999 for i, k in enumerate(bins)]


def test_the_prefix_is_taken_off(capsys):
    write("a.jsonl", [STREET])
    document, _ = exported(capsys, "coco", "a.jsonl", "--image-prefix", "images/")
    assert document["images"][0]["file_name"] == "street 1.png"
    Path("out.json").unlink()
    err = refused(capsys, "coco", "a.jsonl", "--image-prefix", "val")
    assert (
        err == "error: a.jsonl:1: the image path 'images/street 1.png' does not start with val/; see --image-prefix\n"
    )


COCO_FAULTS = [
    (
        [STREET, Record(STREET.images, 100, 51)],
        "a.jsonl:2: the image 'images/street 1.png' has 100 x 51 pixels, and 101 x 51 in a record above; correct one "
        "of them",
    ),
    ([], "a.jsonl: holds no record, so there is nothing to export"),
]


@pytest.mark.parametrize(("records", "message"), COCO_FAULTS)
def test_coco_faults(records, message, capsys):
    write("a.jsonl", records)
    assert refused(capsys, "coco", "a.jsonl") == f"error: {message}\n"


def test_a_line_that_breaks_the_contract_is_named(capsys):
    Path("a.jsonl").write_text(STREET.line(CoordForm.INT).replace("699, 599", "699, 1000") + "\n")
    assert refused(capsys, "coco", "a.jsonl").startswith("error: a.jsonl:1: objects[1].poly[5]: 1000 is above")


# ---------------------------------------------------------------------------------------------------- there and back


@st.composite
def objects(draw):
    desc = draw(st.sampled_from(["cat", "狗", "naïve 🐱", "<script>", "a & b", '"']))
    bins = st.integers(0, 999)
    if draw(st.booleans()):
        xs, ys = sorted((draw(bins), draw(bins))), sorted((draw(bins), draw(bins)))
        return DetObject(desc, bbox_2d=(xs[0], ys[0], xs[1], ys[1]))
    return DetObject(desc, poly=tuple(draw(st.lists(bins, min_size=6, max_size=12).filter(lambda p: len(p) % 2 == 0))))


@st.composite
def records(draw):
    names = draw(st.lists(st.sampled_from(["a.png", "b/c.png", "d e.png"]), min_size=1, max_size=3, unique=True))
    sides = st.integers(1, 5000)
    return [Record((name,), draw(sides), draw(sides), tuple(draw(st.lists(objects(), max_size=6)))) for name in names]


@settings(max_examples=40)
@given(records())
def test_coco_there_and_back(items):
    write("p.jsonl", items)
    with contextlib.redirect_stderr(io.StringIO()):
        assert run(["export", "coco", "p.jsonl", "-o", "p.json", "--overwrite"]) == 0
        words = ["--order", "source", "--duplicates", "keep", "--geometry", "poly", "--overwrite"]
        assert run(["convert", "coco", "p.json", "-o", "q.jsonl", *words]) == 0
    assert Path("q.jsonl").read_bytes() == Path("p.jsonl").read_bytes()


@settings(max_examples=40)
@given(records())
def test_label_studio_there_and_back(items):
    write("p.jsonl", items)
    preds = [predicted(*map(found, r.objects), record=r, index=i) for i, r in enumerate(items)]
    write("preds.jsonl", preds)
    with contextlib.redirect_stderr(io.StringIO()):
        words = ["--data", "p.jsonl", "--predictions", "preds.jsonl", "-o", "p.json", "--overwrite"]
        assert run(["export", "label-studio", *words]) == 0
    tasks = json.loads(Path("p.json").read_bytes())
    for task, record in zip(tasks, items, strict=True):
        assert unquote(task["data"]["image"].removeprefix("/data/local-files/?d=")) == record.images[0]
        assert [_read(region) for region in task["annotations"][0]["result"]] == list(record.objects)
        assert [_read(region) for region in task["predictions"][0]["result"]] == list(record.objects)


def _read(region):
    """What a reader of Label Studio's format makes of a region, in bins."""
    sides = region["original_width"], region["original_height"]
    value = region["value"]
    if region["type"] == "rectanglelabels":
        x, y = value["x"], value["y"]
        flat = [x, y, x + value["width"], y + value["height"]]
    else:
        flat = [v for point in value["points"] for v in point]
    bins = tuple(bin_from_pixel(v / 100 * sides[i % 2], sides[i % 2]) for i, v in enumerate(flat))
    (desc,) = value[region["type"]]
    return DetObject(desc, **{"bbox_2d" if region["type"] == "rectanglelabels" else "poly": bins})


@settings(max_examples=30)
@given(records())
def test_results_there_and_back(items):
    write("p.jsonl", items)
    write("preds.jsonl", [predicted(*map(found, r.objects), record=r, index=i) for i, r in enumerate(items)])
    with contextlib.redirect_stderr(io.StringIO()):
        assert run(["export", "coco", "p.jsonl", "-o", "p.json", "--overwrite"]) == 0
        words = ["preds.jsonl", "--instances", "p.json", "-o", "r.json", "--overwrite"]
        assert run(["export", "coco-results", *words]) == 0
    document, results = (json.loads(Path(name).read_bytes()) for name in ("p.json", "r.json"))
    assert len(results) == len(document["annotations"])
    for result, annotation in zip(results, document["annotations"], strict=True):
        assert result["score"] == 0.5
        assert all(result[name] == annotation[name] for name in ("image_id", "category_id", "bbox"))
        assert result.get("segmentation", []) == annotation["segmentation"]


# -------------------------------------------------------------------------------------------------------- COCO results


@pytest.fixture
def instances():
    """COCO instances of the street with ids of their own, and a second image."""
    images = [
        {"id": 70, "file_name": "street 1.png", "width": 101, "height": 51},
        {"id": 30, "file_name": "empty.png", "width": 51, "height": 101},
    ]
    document = {"images": images, "annotations": []}
    document["categories"] = [{"id": 9, "name": "Cat"}, {"id": 4, "name": "traffic_light"}]

    def save(**changes):
        Path("i.json").write_text(json.dumps({**document, **changes}))

    save()
    return save


RESULTS = ("coco-results", "preds.jsonl", "--instances", "i.json", "--image-prefix", "images")


def test_coco_results(instances, capsys):
    stats = CoordStats((1.0,) * 4, (0.0,) * 4, ((1, 1, 1, 1, 1, 1),) * 4)
    items = (found(CAT, 0.75, score_coord=0.5, coords=stats), found(LIGHT, 0.25), found(SCRIPT, None))
    write("preds.jsonl", [predicted(*items, dropped=(Dropped("object_4", "wrong_arity"),))])
    results, counts = exported(capsys, *RESULTS)
    light = [_pixels(LIGHT.poly)]
    assert results == [
        {"image_id": 70, "category_id": 9, "bbox": XYWH, "score": 0.75},
        {
            "image_id": 70,
            "category_id": 4,
            "bbox": [pytest.approx(v) for v in (500 / 9.99, 200 / 19.98, 199 / 9.99, 399 / 19.98)],
            "segmentation": [[pytest.approx(v) for v in light[0]]],
            "score": 0.25,
        },
    ]
    assert counts == {
        "results": 2,
        "outlines written as one polygon each": 1,
        "objects left out whose desc is no category (--categories can name one)": 1,
        "images of the instances without a prediction": 1,
        "dropped entries left out, which are no objects": 1,
        "objects whose score_coord, score_desc or coords were left out": 1,
    }


def test_a_table_of_categories_and_a_default_score(instances, capsys):
    write("preds.jsonl", [predicted(found(SCRIPT, None)), predicted(record=EMPTY, index=1)])
    Path("t.json").write_text(json.dumps({SCRIPT.desc: "cat"}))
    results, counts = exported(capsys, *RESULTS, "--categories", "t.json", "--default-score", "1")
    assert [(r["category_id"], r["score"]) for r in results] == [(9, 1.0)]
    assert counts == {
        "results": 1,
        "results with the score of --default-score; AP means little with them": 1,
    }


def test_predictions_of_several_images_and_repeated_ones(instances, capsys):
    both = Record(("images/street 1.png", "images/empty.png"), 101, 51)
    write("preds.jsonl", [predicted(found(CAT), record=both), predicted(index=1), predicted(found(CAT), index=2)])
    results, counts = exported(capsys, *RESULTS)
    assert len(results) == 1
    assert counts["predictions for several images left out; a COCO image is one file"] == 1
    assert counts["predictions for an image that an earlier prediction has too"] == 1


def test_no_result_is_an_empty_list(instances, capsys):
    write("preds.jsonl", [predicted()])
    assert exported(capsys, *RESULTS)[0] == []


RESULT_FAULTS = [
    (
        predicted(found(CAT, None)),
        {},
        "preds.jsonl:1: objects[0]: has no score, and COCO ranks results by it; pass --default-score to give it one",
    ),
    (
        predicted(record=Record(STREET.images, 102, 51)),
        {},
        "preds.jsonl:1: the image 'street 1.png' has 102 x 51 pixels, and 101 x 51 in i.json; these are two data sets",
    ),
    (
        predicted(),
        {"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "CAT"}]},
        "i.json: categories[1] (id 2): means the same as the category 1, so results could be of either",
    ),
    (
        predicted(),
        {"images": [{"id": k, "file_name": "a", "width": 1, "height": 1} for k in (1, 2)]},
        "i.json: images[1] (id 2): has the file name of an image above, so results could belong to either",
    ),
]


@pytest.mark.parametrize(("prediction", "changes", "message"), RESULT_FAULTS)
def test_result_faults(instances, prediction, changes, message, capsys):
    write("preds.jsonl", [prediction])
    instances(**changes)
    assert refused(capsys, *RESULTS) == f"error: {message}\n"


# -------------------------------------------------------------------------------------------------------- Label Studio


def test_label_studio(capsys):
    write("a.jsonl", [STREET, EMPTY, Record(("a.png", "b.png"), 9, 9)])
    strange = DetObject("bell\a", bbox_2d=(1, 2, 3, 4))
    item = predicted(found(CAT, 0.75), found(strange, None), run="abc")
    write("preds.jsonl", [item, predicted(record=Record(("c.png",), 9, 9), index=5, run="abc")])
    words = ["label-studio", "--data", "a.jsonl", "--predictions", "preds.jsonl", "--labeling-config", "l.xml"]
    (street, empty), counts = exported(capsys, *words)
    assert street["data"] == {"image": "/data/local-files/?d=images/street%201.png"}
    region = {
        "id": "gt1",
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": 101,
        "original_height": 51,
        "image_rotation": 0,
    }
    first, outline, _ = street["annotations"][0]["result"]
    corners = [100 * v / SIDES[i % 2] for i, v in enumerate(_pixels(CAT.bbox_2d))]
    assert first == {
        **region,
        "value": {
            "x": pytest.approx(corners[0]),
            "y": pytest.approx(corners[1]),
            "width": pytest.approx(corners[2] - corners[0]),
            "height": pytest.approx(corners[3] - corners[1]),
            "rotation": 0,
            "rectanglelabels": ["cat"],
        },
    }
    assert (outline["type"], outline["from_name"], outline["value"]["closed"]) == ("polygonlabels", "outline", True)
    assert outline["value"]["polygonlabels"] == ["traffic light"]
    (model,) = street["predictions"]
    assert model["model_version"] == "abc"
    assert model["result"][0] == {**first, "id": "p1", "score": 0.75}
    assert "score" not in model["result"][1]
    assert empty == {
        "data": {"image": "/data/local-files/?d=images/empty.png"},
        "annotations": [{"result": []}],
    }
    assert counts == {
        "tasks": 2,
        "annotated regions": 3,
        "predicted regions": 2,
        "predicted regions without a score": 1,
        "predictions for no record of the data left out": 1,
        "tasks without a prediction": 1,
        "records of several images left out; a task shows one": 1,
        "descs left out of the labeling config, since XML cannot hold a character of them": 1,
    }
    view = ElementTree.parse("l.xml").getroot()
    assert [(e.tag, e.attrib) for e in view] == [
        ("Image", {"name": "image", "value": "$image"}),
        ("RectangleLabels", {"name": "label", "toName": "image"}),
        ("PolygonLabels", {"name": "outline", "toName": "image"}),
    ]
    assert [[label.get("value") for label in e] for e in view] == [[], [SCRIPT.desc, "cat"], ["traffic light"]]


def test_label_studio_with_predictions_alone_and_another_address(capsys):
    write("preds.jsonl", [predicted(found(CAT, 0.75))])
    (task,), _ = exported(capsys, "label-studio", "--predictions", "preds.jsonl", "--url-prefix", "https://h.org/")
    assert task["data"] == {"image": "https://h.org/images/street%201.png"}
    assert task.keys() == {"data", "predictions"}
    assert task["predictions"][0].keys() == {"result"}


USAGE = [
    ("label-studio -o out.json", "name a contract file with --data, a prediction file with --predictions, or both"),
    ("label-studio --data - --predictions - -o out.json", "only one of --data and --predictions can be standard input"),
    ("label-studio --data a -o x --labeling-config ./x", "--labeling-config needs a file of its own"),
    ("label-studio --data a -o x --labeling-config -", "--labeling-config needs a file of its own"),
    ("coco-results a -o out.json", "Missing option '--instances'."),
]


@pytest.mark.parametrize(("words", "reason"), USAGE)
def test_wrong_usage(words, reason, capsys):
    assert run(["export", *words.split()]) == 2
    assert capsys.readouterr().err.endswith(f"Error: {reason}\n")


# ------------------------------------------------------------------------------------------------------------- outputs


def test_outputs_that_are_refused(capsys):
    write("a.jsonl", [STREET])
    write("preds.jsonl", [predicted()])
    exported(capsys, "coco", "a.jsonl", out="i.json")
    before = {name: Path(name).read_bytes() for name in ("a.jsonl", "preds.jsonl", "i.json")}
    read = "is being read; name another output"
    there = "exists already; name another output, or pass --overwrite"
    calls = [
        ("coco a.jsonl -o a.jsonl --overwrite", f"a.jsonl: {read}"),
        ("coco a.jsonl -o i.json", f"i.json: {there}"),
        ("coco-results preds.jsonl --instances i.json -o i.json --overwrite", f"i.json: {read}"),
        ("coco-results preds.jsonl --instances i.json -o preds.jsonl --overwrite", f"preds.jsonl: {read}"),
        ("label-studio --data a.jsonl -o a.jsonl --overwrite", f"a.jsonl: {read}"),
        ("label-studio --data a.jsonl -o t.json --labeling-config a.jsonl --overwrite", f"a.jsonl: {read}"),
        ("label-studio --data a.jsonl -o t.json --labeling-config i.json", f"i.json: {there}"),
    ]
    for words, message in calls:
        assert run(["export", *words.split()]) == 2
        assert capsys.readouterr().err == f"error: {message}\n"
    assert {name: Path(name).read_bytes() for name in before} == before
    assert not Path("t.json").exists()


def test_compressed_and_standard_output(capfdbinary):
    write("a.jsonl", [STREET])
    assert run(["export", "coco", "a.jsonl", "-o", "a.json"]) == 0
    assert run(["export", "coco", "a.jsonl", "-o", "a.json.gz"]) == 0
    capfdbinary.readouterr()
    assert run(["export", "coco", "a.jsonl", "-o", "-"]) == 0
    out, err = capfdbinary.readouterr()
    assert gzip.decompress(Path("a.json.gz").read_bytes()) == out == Path("a.json").read_bytes()
    assert err.startswith(b"standard output:\n  images: 1\n")
