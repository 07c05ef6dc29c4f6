"""Bindings of ``openspec/specs/public-data-pipeline``."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import pickle
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from spec_tools import BOX, ERROR, GOOD, Done, coordspec, folder, lines, record, validate, with_object

import format_writers as writers
import mutants
import train_samples
from coordspec.coords import BINS, TOKENS, bin_from_pixel, pixel_from_bin, units_from_bins
from coordspec.errors import ContractError, Place
from coordspec.predictions.record import PredictedObject, Prediction
from coordspec.record import CoordForm, DetObject, Record, render_payload
from coordspec.samples.dataset import Samples
from coordspec.samples.images import ImageLimits
from coordspec.samples.records import Records
from coordspec.spec.binding import harness, scenario
from coordspec.tokenizer import END_OF_TURN
from coordspec.validate.explain import MAX_LINE_BYTES

SMALL = Path(__file__).parents[1] / "fixtures/coco_small"
SIDES = (1, 2, 101, 640, 1000, 4001)


def values(path: str) -> list[Any]:
    """The lines of a file as JSON values."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


# -------------------------------------------------------------------------------------------------------------- codec


@harness("pixel-to-bin")
def pixel_to_bin(side: int, pixel: float, bin: int) -> None:  # noqa: A002 (the word of the contract)
    assert bin_from_pixel(pixel, side) == bin


@scenario("public-data-pipeline", "One codec for coordinates", "There and back", digest="d64bafc8d546")
def test_bins_there_and_back() -> None:
    for side, k in itertools.product(SIDES, range(BINS)):
        assert bin_from_pixel(pixel_from_bin(k, side), side) == k


@scenario("public-data-pipeline", "One codec for coordinates", "Units and tokens", digest="9bba33a63642")
def test_units_and_tokens() -> None:
    assert units_from_bins([0, 500, 999]).tolist() == [0, 500 / 999, 1]
    assert [TOKENS[k] for k in (0, 500, 999)] == ["<|coord_0|>", "<|coord_500|>", "<|coord_999|>"]
    assert len(TOKENS) == 1000


# ------------------------------------------------------------------------------------------------------- convert coco


def small() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SMALL / "instances.json").read_text())
    return document


def convert(document: Mapping[str, Any], *options: str) -> Done:
    """Convert a document to ``out.jsonl`` in this folder."""
    Path("instances.json").write_text(json.dumps(document))
    return coordspec("convert", "coco", "instances.json", "-o", "out.jsonl", *options)


def counted(done: Done) -> dict[str, int]:
    """The counts on standard error, by their first word."""
    rows = [row.strip().rsplit(": ", 1) for row in done.err.splitlines()[1:]]
    return {name: int(number) for name, number in rows}


@scenario(
    "public-data-pipeline", "Conversion of COCO and LVIS", "A small file with everything in it", digest="f7649e81dd07"
)
def test_a_small_file() -> None:
    with folder():
        done = convert(small())
        first, second = values("out.jsonl")
    assert first["objects"] == [
        {"desc": "cat", "bbox_2d": [599, 0, 999, 999]},
        {"desc": "cat", "bbox_2d": [100, 200, 400, 599]},
        {"desc": "traffic light", "bbox_2d": [500, 200, 699, 599]},
    ]
    assert second["objects"] == []
    assert counted(done) == {
        "records": 2,
        "objects": 3,
        "records without objects (negatives)": 1,
        "crowd regions left out (--crowd keep writes their boxes)": 1,
        "duplicate objects dropped (--duplicates keep writes them)": 1,
    }


@harness("convert-options")
def convert_options(options: str, objects: list[list[object]]) -> None:
    with folder():
        assert convert(small(), *options.split()).status == 0
        written = values("out.jsonl")[0]["objects"]
    found = []
    for item in written:
        (desc, text), (name, coordinates) = item.items()
        assert desc == "desc"
        found.append([text, name, coordinates[0]])
    assert found == objects


@scenario("public-data-pipeline", "Conversion of COCO and LVIS", "Descriptions and paths", digest="4c49466969b1")
def test_descriptions_and_paths() -> None:
    document = small()
    document["categories"][0]["name"] = "baseball_bat"
    document["categories"][1]["name"] = "bat_(animal)"
    del document["images"][0]["file_name"]
    document["images"][0]["coco_url"] = "http://images.cocodataset.org/train2017/000000391895.jpg"
    with folder():
        convert(document, "--image-prefix", "coco", "--crowd", "keep")
        first = values("out.jsonl")[0]
    assert {item["desc"] for item in first["objects"]} == {"baseball bat", "bat (animal)", "traffic light"}
    assert first["images"] == ["coco/train2017/000000391895.jpg"]


@scenario("public-data-pipeline", "Conversion of COCO and LVIS", "Images without objects", digest="ce141ca166e9")
def test_images_without_objects() -> None:
    with folder():
        done = convert(small(), "--skip-empty")
        assert len(values("out.jsonl")) == 1
    assert "  images without objects left out (--skip-empty): 1\n" in done.err


@scenario(
    "public-data-pipeline", "Conversion of COCO and LVIS", "What comes out obeys the contract", digest="20b5351410cb"
)
def test_what_comes_out_obeys_the_contract() -> None:
    for geometry, coords in itertools.product(("bbox", "poly"), ("int", "token")):
        with folder() as here:
            shutil.copytree(SMALL / "images", here / "images")
            options = ("--geometry", geometry, "--coords", coords, "--image-prefix", "images")
            assert convert(small(), *options).status == 0
            assert coordspec("validate", "out.jsonl", "--strict", "--check-images").status == 0


@harness("convert-fault")
def convert_fault(table: str, number: int, change: dict[str, object], message: str) -> None:
    document = small()
    document[table][number].update(change)
    with folder() as here:
        done = convert(document)
        assert (done.status, done.out, done.err) == (2, "", f"error: instances.json: {message}\n")
        assert [path.name for path in here.iterdir()] == ["instances.json"]


@scenario(
    "public-data-pipeline", "A faulty source stops the conversion", "Faults that come late", digest="8cd75c285cf0"
)
def test_faults_that_come_late() -> None:
    document = small()
    document["annotations"][-1]["segmentation"] = [[1, 2, 3]]  # outlines are read as they come
    with folder() as here:
        (here / "out.jsonl").write_text("before\n")
        assert convert(document, "--geometry", "poly", "--overwrite").status == 2
        assert (here / "out.jsonl").read_text() == "before\n"
        assert sorted(path.name for path in here.iterdir()) == ["instances.json", "out.jsonl"]


@scenario("public-data-pipeline", "A faulty source stops the conversion", "Cut at the border", digest="39899ec6b8f1")
def test_cut_at_the_border() -> None:
    document = small()
    document["annotations"][0]["bbox"] = [50, 10, 60, 20]
    document["annotations"][1]["bbox"] = [200, 10, 30, 20]
    with folder():
        done = convert(document, "--out-of-frame", "clip")
        written = values("out.jsonl")[0]["objects"]
    assert next(item["bbox_2d"] for item in written if item["desc"] == "traffic light") == [500, 200, 999, 599]
    assert len(written) == 3
    assert counted(done)["geometries cut at the border of their image (--out-of-frame clip)"] == 1
    assert counted(done)["objects left out that lie outside of their image (--out-of-frame clip)"] == 1


# ------------------------------------------------------------------------------------------------------------- coords


def recode(data: bytes, form: str, to: str, out: str = "out.jsonl") -> Done:
    Path("in.jsonl").write_bytes(data)
    return coordspec("coords", "in.jsonl", "--from", form, "--to", to, "-o", out)


@harness("recode-box")
def recode_box(form: str, to: str, box: list[object], becomes: list[object]) -> None:
    with folder():
        assert recode(lines(with_object({"bbox_2d": box})), form, to).status == 0
        written = values("out.jsonl")[0]["objects"][0]["bbox_2d"]
    assert written == becomes
    assert list(map(type, written)) == list(map(type, becomes))


@scenario("public-data-pipeline", "Forms of coordinates", "What is carried over", digest="4122c644287e")
def test_what_is_carried_over() -> None:
    poly = {"poly": [[1, 2], [3, 2], [3, 4]], "poly_points": 3, "note": "é"}
    line = with_object(poly, extra={"b": 1, "a": [2]}, summary="a cat", metadata={"z": None, "y": 1.5})
    with folder() as here:
        assert recode(lines(line), "int", "token").status == 0
        tokens = (here / "out.jsonl").read_bytes()
        assert b'[["<|coord_1|>", "<|coord_2|>"], ' in tokens
        (here / "out.jsonl").unlink()
        assert recode(tokens, "token", "int").status == 0
        back = (here / "out.jsonl").read_text(encoding="utf-8")
    assert back == json.dumps(json.loads(line), ensure_ascii=False) + "\n"


@scenario("public-data-pipeline", "Forms of coordinates", "A line that breaks the contract", digest="1bcacd53103f")
def test_a_line_that_breaks_the_contract() -> None:
    with folder() as here:
        done = recode(lines(GOOD, GOOD, ERROR), "int", "token")
        assert done.status == 2
        assert "in.jsonl:3: objects[0].bbox_2d[2]: 1000 is above the maximum 999 (GEO003)\n" in done.err
        assert [path.name for path in here.iterdir()] == ["in.jsonl"]


@scenario("public-data-pipeline", "Forms of coordinates", "Another form than said", digest="a0b40c02b8b4")
def test_another_form_than_said() -> None:
    with folder():
        done = recode(lines(with_object({"bbox_2d": list(TOKENS[:4])})), "int", "pixel")
    assert done.status == 2
    assert "is in token form, not in int form as said" in done.err


# ------------------------------------------------------------------------------------------------------------ outputs


@scenario("public-data-pipeline", "Output files are whole", "A file that is there already", digest="34cfadfe75fd")
def test_a_file_that_is_there_already() -> None:
    message = "error: out.jsonl: exists already; name another output, or pass --overwrite\n"
    for words in (("convert", "coco", "in.json"), ("coords", "in.jsonl", "--to", "token"), ("fix", "in.jsonl")):
        with folder() as here:
            (here / "in.json").write_text(json.dumps(small()))
            (here / "in.jsonl").write_bytes(lines(GOOD))
            (here / "out.jsonl").write_text("before\n")
            done = coordspec(*words, "-o", "out.jsonl")
            assert (done.status, done.err) == (2, message)
            assert (here / "out.jsonl").read_text() == "before\n"


@scenario("public-data-pipeline", "Output files are whole", "The input is never replaced", digest="fa3565e25658")
def test_the_input_is_never_replaced() -> None:
    with folder() as here:
        (here / "a.jsonl").write_bytes(lines("", GOOD))
        done = coordspec("fix", "a.jsonl", "-o", "a.jsonl", "--overwrite")
        assert (done.status, done.err) == (2, "error: a.jsonl: is being read; name another output\n")
        assert (here / "a.jsonl").read_bytes() == lines("", GOOD)


@scenario("public-data-pipeline", "Output files are whole", "Compressed outputs", digest="120ff6f6398b")
def test_compressed_outputs() -> None:
    unpack = {
        ".gz": gzip.decompress,
        ".zst": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    }
    with folder() as here:
        recode(lines(GOOD, GOOD), "int", "token")
        plain = (here / "out.jsonl").read_bytes()
        for suffix, unpacked in unpack.items():
            name = f"out.jsonl{suffix}"
            assert recode(lines(GOOD, GOOD), "int", "token", name).status == 0
            assert (here / name).read_bytes() != plain
            assert unpacked((here / name).read_bytes()) == plain
            assert coordspec("validate", name, "--format", "json").report["summary"]["valid"] == 2


# ------------------------------------------------------------------------------------------------- records, payloads


@scenario("public-data-pipeline", "Records and lines", "There and back", digest="5bdd01de05a1")
def test_records_there_and_back() -> None:
    objects = (DetObject("cat", bbox_2d=(1, 2, 3, 4)), DetObject("碗", poly=(1, 2, 3, 2, 3, 4)))
    made = Record(("a.png",), 640, 480, objects, summary="two things", metadata={"source": ["x", 1.5]})
    for form in CoordForm:
        line = made.line(form)
        assert Record.from_value(json.loads(line)) == made
        with folder() as here:
            (here / "a.jsonl").write_bytes(lines(line))
            assert coordspec("validate", "a.jsonl", "--strict").status == 0


@scenario("public-data-pipeline", "Records and lines", "Every fault is named", digest="7a77d97c0d82")
def test_every_fault_is_named() -> None:
    value = json.loads(with_object({"desc": " ", "bbox_2d": [1, 2, 3]}))
    with pytest.raises(ContractError) as raised:
        Record.from_value(value, Place("data.jsonl", 7))
    assert str(raised.value) == (
        'data.jsonl:7: objects[0].desc: the desc " " is blank (OBJ001)\n'
        "data.jsonl:7: objects[0].bbox_2d: a bbox_2d has 4 coordinates, this one has 3 (GEO001)"
    )


@scenario("public-data-pipeline", "Records and lines", "A polygon of pairs", digest="f9aa44d15ef6")
def test_a_polygon_of_pairs() -> None:
    made = Record.from_value(json.loads(with_object({"poly": [[1, 2], [3, 2], [3, 4]]})))
    assert made.objects[0].poly == (1, 2, 3, 2, 3, 4)
    assert json.loads(made.line(CoordForm.INT))["objects"][0]["poly"] == [1, 2, 3, 2, 3, 4]


def det_object(item: Mapping[str, Any]) -> DetObject:
    """Lists become tuples, as a DetObject has them."""
    return DetObject(**{key: tuple(value) if isinstance(value, list) else value for key, value in item.items()})


@harness("payload")
def payload(objects: list[dict[str, Any]], start: int, text: str) -> None:
    made = tuple(map(det_object, objects))
    assert render_payload(made, start) == text
    assert Record(("a.png",), 640, 480, made).payload(start) == text


@harness("payload-refused")
def payload_refused(object: dict[str, Any], message: str) -> None:  # noqa: A002 (the word of the contract)
    objects = (DetObject("dog", bbox_2d=(1, 2, 3, 4)), det_object(object))
    for build in (render_payload, lambda made: Record(("a.png",), 640, 480, made).line(CoordForm.TOKEN)):
        with pytest.raises(ContractError) as raised:
            build(objects)
        assert str(raised.value) == message


@scenario("public-data-pipeline", "Assistant payload", "Keys from 0", digest="791ad84f0229")
def test_keys_from_0() -> None:
    with pytest.raises(ValueError, match=r"^payload keys count from 1, not from 0$"):
        render_payload([DetObject("cat", bbox_2d=(1, 2, 3, 4))], 0)


# ---------------------------------------------------------------------------------------------------------------- fix


def fix(data: bytes, *options: str) -> tuple[Done, bytes]:
    """Repair ``in.jsonl`` to ``out.jsonl``; the JSON report is on standard output."""
    with folder() as here:
        (here / "in.jsonl").write_bytes(data)
        done = coordspec("fix", "in.jsonl", "-o", "out.jsonl", "--format", "json", *options)
        return done, (here / "out.jsonl").read_bytes()


@harness("repair-object")
def repair_object(before: dict[str, object], after: dict[str, object], repaired: str) -> None:
    done, out = fix(lines(with_object(before)))
    assert done.status == 0
    assert json.loads(out)["objects"] == [{"desc": "cat", **after}]
    assert done.report["repaired"] == [{"name": repaired, "count": 1}]
    assert done.report["left"] == []


@harness("not-repaired")
def not_repaired(fields: dict[str, object]) -> None:
    data = lines(with_object(fields))
    done, out = fix(data)
    assert out == data
    assert (done.status, done.report["repaired"]) == (1, [])
    assert done.report["errors_left"] >= 1


@scenario("public-data-pipeline", "Safe repairs", "Inverted boxes", digest="ed35dfef98b5")
def test_inverted_boxes() -> None:
    done, out = fix(lines(with_object({"bbox_2d": [30, 2, 3, 4]})), "--unsafe")
    assert json.loads(out)["objects"][0]["bbox_2d"] == [3, 2, 30, 4]
    assert (done.status, done.report["repaired"]) == (0, [{"name": "inverted-box", "count": 1}])


@scenario("public-data-pipeline", "Safe repairs", "Text around the objects", digest="6b3551bc1ebd")
def test_text_around_the_objects() -> None:
    odd = record(metadata={"a": 1}).replace('": ', '" :  ').encode()
    done, out = fix(b"\xef\xbb\xbf" + odd + b"\r\n  \r\n" + lines(GOOD)[:-1])
    assert out == odd + b"\r\n" + lines(GOOD)[:-1]
    assert done.report["repaired"] == [{"name": "blank-line", "count": 1}, {"name": "byte-order-mark", "count": 1}]


@scenario("public-data-pipeline", "Safe repairs", "Twice is once", digest="55cf6caa7e9c")
def test_twice_is_once() -> None:
    faulty = [{"bbox": BOX}, {"poly": [[1, 2], [3, 4], [5, 7], [1, 2]], "poly_points": 4}, {"bbox_2d": [9, 2, 3, 4]}]
    done, once = fix(lines(*map(with_object, faulty), ""), "--unsafe")
    again, twice = fix(once, "--unsafe")
    assert len(done.report["repaired"]) == 5
    assert (twice, again.report["repaired"]) == (once, [])


# -------------------------------------------------------------------------------------------------------------- stats


def stats(*texts: str) -> Done:
    with folder() as here:
        (here / "a.jsonl").write_bytes(lines(*texts))
        return coordspec("stats", "a.jsonl", "--format", "json")


@scenario("public-data-pipeline", "Statistics", "Counts", digest="a71bda845f6a")
def test_counts() -> None:
    poly = {"desc": "cat", "poly": [TOKENS[k] for k in (1, 2, 3, 2, 3, 4)]}
    done = stats(record(), record(objects=[{"desc": "cat", "bbox_2d": BOX}, poly]), "")
    report = done.report
    names = ("records", "unusable", "blank", "negatives", "objects")
    assert [report[name] for name in names] == [2, 1, 1, 1, 2]
    assert report["geometry"] == {"bbox_2d": 1, "poly": 1}
    assert report["coord_form"] == {"float": 0, "int": 1, "token": 1}
    assert report["descs"]["top"] == [{"desc": "cat", "count": 2}]
    assert done.status == 1


@scenario("public-data-pipeline", "Statistics", "Sizes", digest="aa5a988a521a")
def test_sizes() -> None:
    boxes = [[100, 100, 100 + side, 100 + side] for side in (20, 50, 200)]
    done = stats(*[with_object({"bbox_2d": box}, width=1000, height=1000) for box in boxes])
    assert done.report["box_pixel_area"] == {"small": 1, "medium": 1, "large": 1}
    assert sum(bucket["boxes"] for bucket in done.report["box_area_share"]) == 3
    assert done.status == 0


# ------------------------------------------------------------------------------------------------------------- shapes


def shapes(name: str, *options: object) -> Counter[bytes]:
    """Draw a data set into a folder; its files by content."""
    assert coordspec("shapes", "-o", name, *options).status == 0
    return Counter(path.read_bytes() for path in Path(name).rglob("*") if path.is_file())


@scenario("public-data-pipeline", "Embedded data set", "It is valid", digest="72684e46c519")
def test_shapes_are_valid() -> None:
    for geometry, coords in itertools.product(("bbox", "poly"), ("int", "token")):
        with folder():
            shapes("s", "--train", 10, "--val", 2, "--geometry", geometry, "--coords", coords)
            done = coordspec("validate", "s", "--strict", "--check-images", "--format", "json")
        assert (done.status, done.report["summary"]["records"]) == (0, 12)


@scenario("public-data-pipeline", "Embedded data set", "The same seed", digest="df4c97905707")
def test_the_same_seed() -> None:
    with folder():
        one, two, other = (shapes(n, "--train", 8, "--val", 2, "--seed", s) for n, s in (("a", 3), ("b", 3), ("c", 4)))
    assert one == two
    assert one.keys().isdisjoint(other.keys())


@scenario("public-data-pipeline", "Embedded data set", "A longer set", digest="04bb3812359f")
def test_a_longer_set() -> None:
    with folder():
        for count in (10, 20):
            shapes(str(count), "--train", count, "--val", 1)
        short, long = (Path(name, "train.jsonl").read_text() for name in ("10", "20"))
    assert long.startswith(short)
    assert (len(short.splitlines()), len(long.splitlines())) == (10, 20)


@scenario("public-data-pipeline", "Embedded data set", "Empty images", digest="9daf7ec91d1f")
def test_empty_images() -> None:
    for share in (1, 0):
        with folder():
            shapes("s", "--train", 10, "--val", 1, "--empty-share", share)
            empty = [not value["objects"] for value in values("s/train.jsonl")]
        assert empty == [share == 1] * 10


# ----------------------------------------------------------------------------------------------------------- training


def training_samples(path: str) -> Samples:
    """The data set that training reads, for the embedded default's model."""
    limits = ImageLimits(max_pixels=1 << 20, max_bytes=1 << 20)
    return Samples(Records.of_files([path], MAX_LINE_BYTES), None, limits, train_samples.encoder())


@harness("training-object")
def training_object(object: str, message: str | None = None, rule: str | None = None) -> None:  # noqa: A002
    objects = f'[{{"desc": "cat", "bbox_2d": [1, 2, 3, 4]}}, {object}]'
    bad = record().replace('"objects": []', f'"objects": {objects}')
    with folder() as here:
        (here / "train.jsonl").write_bytes(lines(GOOD, GOOD, bad))
        samples = training_samples("train.jsonl")
        with pytest.raises(ContractError) as raised:
            samples[2]
    if message is not None:
        assert str(raised.value) == f"train.jsonl:3: {message}"
    else:
        assert [issue.code for issue in raised.value.issues] == [rule]
        assert str(raised.value).startswith("train.jsonl:3: objects[1]")


@scenario(
    "public-data-pipeline",
    "Training targets hold valid objects only",
    "The least that is accepted",
    digest="5b7da9047b9c",
)
def test_the_least_that_training_accepts() -> None:
    objects = [{"desc": "a", "bbox_2d": [1, 2, 3, 4]}, {"desc": "b", "poly": [1, 2, 3, 2, 3, 4]}]
    with folder() as here:
        Image.new("RGB", (640, 480)).save(here / "a.png")
        (here / "train.jsonl").write_bytes(lines(record(objects=objects)))
        sample = training_samples("train.jsonl")[0]
    text = train_samples.processor().tokenizer.decode(sample.ids_T[sample.answer :])
    entries = json.loads(text.removesuffix(END_OF_TURN))
    assert [entry["desc"] for entry in entries.values()] == ["a", "b"]
    assert entries["object_1"]["bbox_2d"] == [TOKENS[k] for k in (1, 2, 3, 4)]
    assert entries["object_2"]["poly"] == [TOKENS[k] for k in (1, 2, 3, 2, 3, 4)]


@scenario("public-data-pipeline", "Training targets hold valid objects only", "One set of rules", digest="480fd861b7fd")
def test_training_and_validate_have_one_set_of_rules() -> None:
    data = b"\n".join(itertools.islice(mutants.lines(seed=5), 600)) + b"\n"
    report = validate(data, "--max-errors", 10_000).report
    expected = {issue["line"] for issue in report["issues"] if issue["severity"] == "error"}
    refused = set()
    with folder() as here:
        (here / "a.jsonl").write_bytes(data)
        records = training_samples("a.jsonl").records
        for number in range(len(records)):
            try:
                _ = records[number]
            except ContractError:
                refused.add(number + 1)
    assert refused == expected
    assert 100 < len(expected) < 500


# ----------------------------------------------------------------------------------------------------- other formats

CAT_BINS = [100, 200, 400, 599]
SCENE = writers.Scene(101, 51, [("cat", (10, 10, 40, 30)), ("traffic light", (50, 10, 70, 30))])


def convert_scene_of(name: str, scene: writers.Scene, *options: str) -> Done:
    """Write a scene in a format, beside its image, and convert it to ``out.jsonl`` in this folder."""
    writers.image(scene)
    return coordspec("convert", *writers.WRITERS[name](scene), "-o", "out.jsonl", *options)


@harness("convert-scene")
def convert_scene(format: str, light: list[int]) -> None:  # noqa: A002
    with folder():
        assert convert_scene_of(format, SCENE).status == 0
        (written,) = values("out.jsonl")
        assert coordspec("validate", "out.jsonl", "--strict", "--check-images").status == 0
    assert written["objects"] == [
        {"desc": "cat", "bbox_2d": CAT_BINS},
        {"desc": "traffic light", "bbox_2d": light},
    ]


@harness("convert-back")
def convert_back(format: str, x: int, y: int) -> None:  # noqa: A002
    sides = 640, 2500
    bins = [(k, k, BINS - 1, BINS - 1) for k in range(990)] + [(0, 0, k, k) for k in range(10, BINS)]
    pixels = [("cat", [pixel_from_bin(k, sides[i % 2]) for i, k in enumerate(box)]) for box in bins]
    with folder():
        options = ("--order", "source", "--duplicates", "keep")
        assert convert_scene_of(format, writers.Scene(*sides, pixels), *options).status == 0
        (written,) = values("out.jsonl")
    found = [item["bbox_2d"] for item in written["objects"]]
    off = [[abs(a - b) for a, b in zip(old, new, strict=True)] for old, new in zip(bins, found, strict=True)]
    assert [max(max(row[axis::2]) for row in off) for axis in (0, 1)] == [x, y]


def convert_entries(words: str, entries: list[object]) -> Done:
    writers.image(SCENE)
    Path("a.jsonl").write_text(writers.lines(*entries))
    return coordspec("convert", *words.split(), "-o", "out.jsonl")


@harness("convert-left-out")
def convert_left_out(words: str, entries: list[object], records: int, count: str) -> None:
    with folder():
        done = convert_entries(words, entries)
        assert (done.status, len(values("out.jsonl"))) == (0, records)
    assert f"  {count}\n" in done.err


@harness("convert-variant")
def convert_variant(words: str, entries: list[object], message: str) -> None:
    with folder() as here:
        done = convert_entries(words, entries)
        assert (done.status, done.out, done.err) == (2, "", f"error: a.jsonl:1: {message}\n")
        assert not (here / "out.jsonl").exists()


@scenario("public-data-pipeline", "Conversion of other formats", "Options of other formats", digest="7fc2228e8f9e")
def test_options_of_other_formats() -> None:
    with folder():
        idle = coordspec("convert", "voc", "a.xml", "-o", "out.jsonl", "--classes", "names.txt")
        missing = coordspec("convert", "qwen", "a.jsonl", "-o", "out.jsonl")
    assert (idle.status, missing.status) == (2, 2)
    assert "--classes is about odvg, yolo, and means nothing to voc" in idle.err
    assert "qwen needs --qwen-coords" in missing.err


@harness("convert-doctype")
def convert_doctype(text: str) -> None:
    with folder() as here:
        writers.image(SCENE)
        words = writers.WRITERS["voc"](SCENE)
        Path("a.xml").write_text(text + Path("a.xml").read_text())
        done = coordspec("convert", *words, "-o", "out.jsonl")
        assert not (here / "out.jsonl").exists()
    assert done.status == 2
    assert "which could define entities; remove it" in done.err


class Creator:
    """A value whose pickle creates a file when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("created"),)  # type: ignore[return-value]


@scenario("public-data-pipeline", "Untrusted sources", "Pickles", digest="d791b6a3c271")
def test_pickles() -> None:
    for name in ("refs.p", "refs.json"):
        with folder() as here:
            (here / name).write_bytes(pickle.dumps([Creator()]))
            done = coordspec("convert", "refcoco", name, "-o", "out.jsonl")
            assert not (here / "created").exists()
            pickle.loads((here / name).read_bytes())
            assert (here / "created").exists()
        assert done.status == 2
        assert "is a pickle, which runs what is in it when it is read" in done.err


@scenario("public-data-pipeline", "Untrusted sources", "Paths that leave the root", digest="22de51829be3")
def test_paths_that_leave_the_root() -> None:
    paths = {"../../etc/passwd": "REC007", "/etc/passwd": "REC006", "http://h.org/a.png": "REC006"}
    for name, (path, code) in itertools.product(writers.WRITERS, paths.items()):
        if name == "yolo":  # its images are files of the folder
            continue
        with folder() as here:
            writers.image(SCENE)
            words = writers.WRITERS[name](SCENE)
            for file in here.glob("*.*"):
                file.write_text(file.read_text().replace(writers.PATH, path))
            done = coordspec("convert", *words, "-o", "out.jsonl")
        assert (done.status, code in done.err) == (2, True), (name, path, done.err)


@scenario("public-data-pipeline", "Untrusted sources", "Markup and special tokens", digest="ae98dafbbe46")
def test_markup_and_special_tokens() -> None:
    for name in writers.WRITERS:
        with folder():
            markup = "<script>alert(1)</script>"
            assert convert_scene_of(name, SCENE._replace(boxes=[(markup, (10, 10, 40, 30))])).status == 0
            assert values("out.jsonl")[0]["objects"][0]["desc"] == markup
        with folder():
            done = convert_scene_of(name, SCENE._replace(boxes=[("<|im_end|>", (10, 10, 40, 30))]))
        assert (done.status, "OBJ003" in done.err) == (2, True), (name, done.err)


# ------------------------------------------------------------------------------------------------------------ export

CAT = DetObject("cat", bbox_2d=(100, 200, 400, 599))
DOG = DetObject("<script>dog</script>", poly=(500, 200, 699, 200, 699, 599))
STREET = Record((writers.PATH,), 101, 51, (CAT, DOG))


def write_lines(name: str, *items: Record | Prediction) -> None:
    """Records or predictions as a file in this folder."""
    texts = [item.line(CoordForm.INT) if isinstance(item, Record) else item.line() for item in items]
    Path(name).write_bytes(lines(*texts))


def predicted(*scores: float | None, of: Record = STREET) -> Prediction:
    """The objects of a record as they are, with these scores."""
    found = [PredictedObject(o.desc, o.bbox_2d, o.poly, s) for o, s in zip(of.objects, scores, strict=True)]
    return Prediction(0, of.images, of.width, of.height, tuple(found))


def export(*words: str, out: str = "out.json") -> Done:
    return coordspec("export", *words, "-o", out)


@scenario("public-data-pipeline", "Export", "COCO there and back", digest="fa2299a4bba2")
def test_coco_there_and_back() -> None:
    with folder():
        write_lines("a.jsonl", STREET, Record(("empty.png",), 51, 101))
        assert export("coco", "a.jsonl").status == 0
        options = ("--geometry", "poly", "--order", "source")
        assert coordspec("convert", "coco", "out.json", "-o", "b.jsonl", *options).status == 0
        assert Path("a.jsonl").read_bytes() == Path("b.jsonl").read_bytes()


@scenario("public-data-pipeline", "Export", "COCO results", digest="ad85528a9d74")
def test_coco_results() -> None:
    with folder(), contextlib.redirect_stdout(io.StringIO()):
        square = DetObject("cat", poly=(100, 200, 400, 200, 400, 599, 100, 599))
        record_ = Record((writers.PATH,), 101, 51, (square, DOG))
        write_lines("a.jsonl", record_)
        write_lines("preds.jsonl", predicted(0.9, 0.4, of=record_))
        assert export("coco", "a.jsonl", out="i.json").status == 0
        assert export("coco-results", "preds.jsonl", "--instances", "i.json").status == 0
        truth = COCO("i.json")
        for kind in ("bbox", "segm"):
            evaluation = COCOeval(truth, truth.loadRes("out.json"), kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            assert evaluation.stats[0] == pytest.approx(1)


@scenario("public-data-pipeline", "Export", "Scores", digest="16738e17e869")
def test_scores() -> None:
    with folder() as here:
        write_lines("a.jsonl", STREET)
        write_lines("preds.jsonl", predicted(0.9, None))
        export("coco", "a.jsonl", out="i.json")
        words = ("coco-results", "preds.jsonl", "--instances", "i.json")
        refused = export(*words)
        assert not (here / "out.json").exists()
        done = export(*words, "--default-score", "0.5")
        results = json.loads(Path("out.json").read_text())
    assert refused.status == 2
    assert "preds.jsonl:1: objects[1]" in refused.err
    assert [result["score"] for result in results] == [0.9, 0.5]
    assert "  results with the score of --default-score; AP means little with them: 1\n" in done.err


@scenario("public-data-pipeline", "Export", "Results that belong nowhere", digest="a6853e6f65ff")
def test_results_that_belong_nowhere() -> None:
    with folder():
        write_lines("a.jsonl", Record(STREET.images, 101, 51, (CAT,)))
        write_lines("preds.jsonl", predicted(0.9, 0.8))
        write_lines("other.jsonl", predicted(0.9, of=Record(("b.png",), 101, 51, (CAT,))))
        export("coco", "a.jsonl", out="i.json")
        done = export("coco-results", "preds.jsonl", "--instances", "i.json")
        results = json.loads(Path("out.json").read_text())
        other = export("coco-results", "other.jsonl", "--instances", "i.json", out="other.json")
    assert (done.status, len(results), other.status) == (0, 1, 2)
    assert "  objects left out whose desc is no category (--categories can name one): 1\n" in done.err
    assert "other.jsonl:1: the image 'b.png' is none of i.json" in other.err


@scenario("public-data-pipeline", "Export", "Label Studio", digest="502f3a2abb4b")
def test_label_studio() -> None:
    with folder():
        write_lines("a.jsonl", STREET)
        write_lines("preds.jsonl", predicted(0.9, 0.8))
        words = ("--data", "a.jsonl", "--predictions", "preds.jsonl", "--labeling-config", "l.xml")
        assert export("label-studio", *words).status == 0
        (task,) = json.loads(Path("out.json").read_text())
        xml = Path("l.xml").read_text()
    sides = STREET.width, STREET.height
    for side in (task["annotations"], task["predictions"]):
        ((box, outline),) = [part["result"] for part in side]
        x, y, width, height = (box["value"][name] for name in ("x", "y", "width", "height"))
        points = [number for point in outline["value"]["points"] for number in point]
        for item, flat in ((CAT, [x, y, x + width, y + height]), (DOG, points)):
            bins = tuple(bin_from_pixel(v / 100 * sides[i % 2], sides[i % 2]) for i, v in enumerate(flat))
            assert bins == (item.bbox_2d or item.poly)
        assert [box["value"]["rectanglelabels"], outline["value"]["polygonlabels"]] == [[CAT.desc], [DOG.desc]]
    assert '<Label value="&lt;script&gt;dog&lt;/script&gt;"/>' in xml
    assert '<Label value="cat"/>' in xml


@scenario("public-data-pipeline", "Export", "What cannot be carried", digest="0b806c795880")
def test_what_cannot_be_carried() -> None:
    with folder():
        said = Record(STREET.images, 101, 51, (CAT,), summary="A cat.", metadata={"a": 1})
        write_lines("a.jsonl", said, Record(("a.png", "b.png"), 9, 9))
        for words in (("coco", "a.jsonl"), ("label-studio", "--data", "a.jsonl")):
            done = export(*words, "--overwrite")
            assert done.status == 0
            for count in ("summaries left out: 1\n", "metadata left out: 1\n", "records of several images left out"):
                assert f"  {count}" in done.err
