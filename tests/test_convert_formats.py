"""``coordspec convert`` from the formats beside COCO."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import format_writers as writers
from coordspec.convert import CONVERTERS, ConvertOptions
from coordspec.convert.options import ObjectOrder
from coordspec.coords import bin_from_pixel, pixel_from_bin, pixels_from_bins
from coordspec.jsonl.parse import parse_line
from coordspec.record import Record
from coordspec_cli.main import run
from format_writers import PATH, SMALL, Scene

CAT = {"desc": "cat", "bbox_2d": [100, 200, 400, 599]}
LIGHT = {"desc": "traffic light", "bbox_2d": [500, 200, 699, 599]}
LIMIT = 1 << 24


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with the image of the small scene, as the working directory."""
    monkeypatch.chdir(tmp_path)
    writers.image(SMALL)
    return tmp_path


def write(files: dict[str, Any]) -> None:
    """Texts, bytes, or JSON lines (a list)."""
    for name, content in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        data = writers.lines(*content) if isinstance(content, list) else content
        Path(name).write_bytes(data if isinstance(data, bytes) else data.encode())


def records(path: str = "out.jsonl") -> list[dict[str, Any]]:
    """The lines of OUT, each held to the contract."""
    values = []
    for line in Path(path).read_bytes().splitlines():
        parsed = parse_line(line, len(line), LIMIT)
        assert not parsed.faults
        Record.from_value(parsed.value)
        values.append(parsed.value)
    return values


def converted(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[list[list[Any]], dict[str, int]]:
    """The objects of every record, and the counts on standard error but for records and objects."""
    assert run(["convert", *words, "-o", "out.jsonl"]) == 0, capsys.readouterr().err
    rows = [row.strip().rsplit(": ", 1) for row in capsys.readouterr().err.splitlines()[1:]]
    counts = {text: int(number) for text, number in rows}
    values = records()
    assert counts.pop("records") == len(values)
    assert counts.pop("objects") == sum(len(value["objects"]) for value in values)
    return [value["objects"] for value in values], counts


# ---------------------------------------------------------------------------------------------- the same scene for all

COARSE = {"qwen-norm1000", "paligemma"}
"""Formats that write shares of 1000 or 1024, which fall between the bins of some sides."""


def texts() -> st.SearchStrategy[str]:
    return st.sampled_from(["cat", "狗", "naïve 🐱", "a & b < c", 'say "a"', "<script>", "l'été", "no"])


@st.composite
def scenes(draw: st.DrawFn) -> tuple[tuple[int, int], list[tuple[str, tuple[int, ...]]]]:
    """Width and height, and names with corners in bins."""
    sides = draw(st.integers(2, 3000)), draw(st.integers(2, 3000))
    objects = []
    for _ in range(draw(st.integers(1, 12))):
        x1, x2 = sorted((draw(st.integers(0, 999)), draw(st.integers(0, 999))))
        y1, y2 = sorted((draw(st.integers(0, 999)), draw(st.integers(0, 999))))
        objects.append((draw(texts()), (x1, y1, x2, y2)))
    return sides, objects


@contextlib.contextmanager
def folder() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        yield


def there_and_back(name: str, sides: tuple[int, int], objects: list[tuple[str, tuple[int, ...]]]) -> list[Any]:
    """Names and bins after they were written in another format and read again."""
    boxes = [(text, [pixel_from_bin(k, sides[i % 2]) for i, k in enumerate(bins)]) for text, bins in objects]
    scene = Scene(*sides, boxes)
    with folder():
        writers.image(scene)
        words = writers.WRITERS[name](scene)
        assert run(["convert", *words, "-o", "o.jsonl", "--order", "source", "--duplicates", "keep"]) == 0
        (value,) = records("o.jsonl")
    return [(item["desc"], tuple(item["bbox_2d"])) for item in value["objects"]]


EXACT = [name for name in writers.WRITERS if name not in COARSE]


@pytest.mark.parametrize("name", EXACT)
def test_bins_are_the_same_there_and_back(name):
    @settings(max_examples=20)
    @given(scenes())
    def check(drawn):
        sides, objects = drawn
        assert there_and_back(name, sides, objects) == objects

    check()


def differences(name: str, drawn: Any) -> list[tuple[int, int, int]]:
    """Side, bin before and bin after, of every coordinate."""
    sides, objects = drawn
    after = there_and_back(name, sides, objects)
    assert [text for text, _ in after] == [text for text, _ in objects]
    pairs = zip(objects, after, strict=True)
    return [(sides[i % 2], a, b) for (_, old), (_, new) in pairs for i, (a, b) in enumerate(zip(old, new, strict=True))]


@settings(max_examples=20)
@given(scenes())
def test_shares_of_1000_are_within_one_bin_and_exact_on_large_sides(drawn):
    for side, before, after in differences("qwen-norm1000", drawn):
        assert abs(before - after) <= (0 if side >= 667 else 1)


@settings(max_examples=20)
@given(scenes())
def test_loc_tokens_are_exact_but_on_small_sides_and_at_the_last_bin(drawn):
    for side, before, after in differences("paligemma", drawn):
        assert abs(before - after) <= (0 if side >= 41 and before < 999 else 1)


def worst(side: int, steps: int, last: int) -> tuple[int, int]:
    """How far a bin can be off after it was written in ``steps`` parts of a side: below bin 999, and at it."""
    bins = np.arange(1000)
    codes = np.minimum(last, np.rint(steps * pixels_from_bins(bins, side) / side))
    off = np.abs([bin_from_pixel(pixel, side) - k for k, pixel in enumerate((codes * side / steps).tolist())])
    return int(off[:-1].max()), int(off[-1])


def test_the_limits_of_the_coarse_formats_are_sharp():
    """What the two properties above say, for every bin, and that it is no weaker than it has to be."""
    assert {worst(side, 1000, 1000) for side in range(667, 5000)} == {(0, 0)}
    assert max(worst(side, 1000, 1000) for side in range(1, 667)) == worst(666, 1000, 1000) == (1, 0)
    assert {worst(side, 1024, 1023)[0] for side in range(41, 5000)} == {0}
    assert max(worst(side, 1024, 1023)[0] for side in range(1, 41)) == worst(40, 1024, 1023)[0] == 1
    assert {worst(side, 1024, 1023)[1] for side in range(1, 5000)} == {0, 1}


# ------------------------------------------------------------------------------------------------------ cases by format


def entry(**fields: Any) -> dict[str, Any]:
    return {"image": PATH, **fields}


def answered(*answers: Any) -> list[dict[str, Any]]:
    return [{"from": "gpt", "value": a if isinstance(a, str) else json.dumps(a)} for a in answers]


BOX = [10, 10, 40, 30]
VOC = (
    "<annotation><filename>{path}</filename><size><width>101</width><height>51</height></size>"
    "<object><name>cat</name>{more}"
    "<bndbox><xmin>{x}</xmin><ymin>11</ymin><xmax>40</xmax><ymax>30</ymax></bndbox>{part}</object></annotation>"
)


def voc(*, path: str = PATH, x: object = 11, more: str = "", part: str = "") -> str:
    return VOC.format(path=path, x=x, more=more, part=part)


def swift(answer: str, refs: list[str], boxes: list[list[float]], **more: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": "<image>What?"}, {"role": "assistant", "content": answer}]
    return {"messages": turns, "images": [PATH], "objects": {"ref": refs, "bbox": boxes, **more}}


def refs(*sents: str, **more: Any) -> dict[str, Any]:
    return {"ann_id": 1, "image_id": 7, "split": "val", "sentences": [{"sent": s} for s in sents], **more}


COCO = {
    "images": [{"id": 7, "file_name": PATH, "width": 101, "height": 51}],
    "categories": [{"id": 1, "name": "animal"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [10, 10, 30, 20], "segmentation": [[10, 10, 40, 10, 40, 30]]}
    ],
}
TWO_IMAGES = {**COCO, "images": [*COCO["images"], {**COCO["images"][0], "id": 8}]}
INSTANCES = {"instances.json": json.dumps(COCO)}
YOLO_CAT = "0 0.247525 0.392157 0.297030 0.392157\n"

CASES: list[tuple[str, dict[str, Any], str, list[list[Any]], dict[str, int]]] = [
    (
        "yolo: labels beside the images, names in data.yaml",
        {"d/a.png": b"", "d/a.txt": YOLO_CAT, "d/data.yaml": "names: {0: cat, 1: dog}\n"},
        "yolo d",
        [[CAT]],
        {},
    ),
    (
        "yolo: an image without labels, a label file without an image, an empty label file",
        {
            "classes.txt": "cat\n",
            "images/b.png": b"",
            "images/c.png": b"",
            "labels/x.txt": "",
            "labels/c.txt": "\n",
            "labels/classes.txt": "",
        },
        "yolo .",
        [[], [], []],
        {
            "records without objects (negatives)": 3,
            "images without a label file, taken for images without objects": 2,
            "label files without an image left out": 1,
        },
    ),
    (
        "yolo: an outline, as its box",
        {
            "classes.txt": "cat\n",
            "labels/street.txt": "0 0.0990099 0.1960784 0.3960396 0.1960784 0.3960396 0.5882353\n",
        },
        "yolo .",
        [[CAT]],
        {},
    ),
    (
        "yolo: an outline, as an outline, and a box",
        {
            "classes.txt": "cat\n",
            "labels/street.txt": f"0 0.0990099 0.1960784 0.3960396 0.1960784 0.3960396 0.5882353\n{YOLO_CAT}",
        },
        "yolo . --geometry poly",
        [[{"desc": "cat", "poly": [100, 200, 400, 200, 400, 599]}, CAT]],
        {"boxes in place of masks or missing outlines, which have no polygon": 1},
    ),
    (
        "yolo: a folder inside of images, names from elsewhere",
        {"d/images/val/a.png": b"", "d/labels/val/a.txt": YOLO_CAT, "names.json": '{"0": "cat"}'},
        "yolo d/images/val --classes names.json --image-prefix images/val",
        [[CAT]],
        {},
    ),
    ("voc: pixels from 1", {"a.xml": voc()}, "voc a.xml", [[CAT]], {}),
    ("voc: pixels from 0", {"a.xml": voc(x=10).replace("11", "10")}, "voc a.xml --voc-origin 0", [[CAT]], {}),
    ("voc: another encoding", {"a.xml": voc(x="11.0").encode("utf-16")}, "voc a.xml", [[CAT]], {}),
    (
        "voc: a folder, difficult objects and parts",
        {
            "v/a.xml": voc(more="<difficult>1</difficult>"),
            "v/b/b.xml": voc(part="<part><name>head</name></part>", path="images/b.png"),
        },
        "voc v",
        [[CAT], [CAT]],
        {
            "parts of objects left out, such as heads and hands": 1,
            "difficult objects written like any other (--difficult skip leaves them out)": 1,
        },
    ),
    (
        "voc: difficult objects left out",
        {"a.xml": voc(more="<difficult>1</difficult>")},
        "voc a.xml --difficult skip",
        [[]],
        {"records without objects (negatives)": 1, "difficult objects left out (--difficult)": 1},
    ),
    (
        "odvg: labels with a label map",
        {
            "a.jsonl": [
                {"filename": PATH, "width": 101, "height": 51, "detection": {"instances": [{"bbox": BOX, "label": 3}]}}
            ],
            "map.json": '{"3": "cat"}',
        },
        "odvg a.jsonl --classes map.json",
        [[CAT]],
        {},
    ),
    (
        "odvg: several boxes for one phrase, and the same image again",
        {
            "a.jsonl": [
                {
                    "filename": PATH,
                    "width": 101,
                    "height": 51,
                    "grounding": {"regions": [{"phrase": "cat", "bbox": [BOX, [50, 10, 70, 30]]}]},
                },
                {"filename": PATH, "width": 101, "height": 51, "detection": {"instances": []}},
            ]
        },
        "odvg a.jsonl",
        [[CAT, {**LIGHT, "desc": "cat"}], []],
        {"records without objects (negatives)": 1, "records of an image that an earlier record has too": 1},
    ),
    (
        "qwen: several answers, points, text, several images",
        {
            "a.json": json.dumps(
                [
                    entry(
                        conversations=answered(
                            [{"bbox_2d": BOX, "label": "cat"}], "A cat.", {"bbox_2d": BOX, "label": "animal"}
                        )
                    ),
                    entry(conversations=answered([{"point_2d": [1, 2], "label": "cat"}])),
                    entry(conversations=answered("A street.")),
                    entry(conversations=answered([])),
                    {"conversations": answered("Hello.")},
                    {"images": [PATH, PATH], "conversations": answered([{"bbox_2d": BOX, "label": "cat"}])},
                ]
            )
        },
        "qwen a.json --qwen-coords pixel",
        [[CAT, {**CAT, "desc": "animal"}], []],
        {
            "records without objects (negatives)": 1,
            "records of an image that an earlier record has too": 1,
            "entries without a box left out (text, or points alone)": 3,
            "entries of several images left out; a record is about one": 1,
            "points left out; a record holds boxes and outlines": 1,
        },
    ),
    (
        "qwen: messages with content in parts, and plain objects",
        {
            "a.jsonl": [
                {
                    "images": [PATH],
                    "messages": [
                        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "bbox_2d?"}]},
                        {
                            "role": "assistant",
                            "content": [{"type": "text", "text": '[{"bbox_2d": [99, 196, 396, 588], "label": "cat"}]'}],
                        },
                    ],
                },
                entry(objects=[{"bbox_2d": [99, 196, 396, 588], "label": "cat"}]),
            ]
        },
        "qwen a.jsonl --qwen-coords norm1000",
        [[CAT], [CAT]],
        {"records of an image that an earlier record has too": 1},
    ),
    (
        "swift: one name for several boxes, a name in the question, JSON around the holders",
        {
            "a.jsonl": [
                swift("<ref-object><bbox><bbox>", ["cat"], [BOX, [50, 10, 70, 30]]),
                swift(
                    '[{"bbox_2d": <bbox>, "label": "<ref-object>"}, {"bbox_2d": <bbox>, "label": "<ref-object>"}]',
                    ["cat", "traffic light"],
                    [BOX, [50, 10, 70, 30]],
                ),
            ]
        },
        "swift a.jsonl",
        [[CAT, {**LIGHT, "desc": "cat"}], [CAT, LIGHT]],
        {"records of an image that an earlier record has too": 1},
    ),
    (
        "swift: points, text, several images",
        {
            "a.jsonl": [
                swift("<ref-object><bbox> at <bbox>", ["cat"], [BOX, [1, 2]], image_id=[0, 0]),
                swift("click <bbox>", [], [[1, 2]]),
                {"messages": [{"role": "user", "content": "Hello."}]},
                {**swift("<ref-object><bbox>", ["cat"], [BOX]), "images": [PATH, PATH]},
            ]
        },
        "swift a.jsonl",
        [[CAT]],
        {
            "entries without a box left out (text, or points alone)": 2,
            "entries of several images left out; a record is about one": 1,
            "points left out; a record holds boxes and outlines": 2,
        },
    ),
    (
        "paligemma: masks, captions, nothing found",
        {
            "a.jsonl": [
                entry(prefix="segment cat", suffix="<loc0201><loc0101><loc0602><loc0406>" + "<seg001>" * 16 + " cat"),
                entry(prefix="caption en", suffix="A street."),
                entry(prefix="detect dog", suffix=""),
                entry(prefix="answer en what?", suffix=""),
            ]
        },
        "paligemma a.jsonl",
        [[CAT], []],
        {
            "records without objects (negatives)": 1,
            "records of an image that an earlier record has too": 1,
            "entries without a box left out (text, or points alone)": 2,
            "mask codes (<seg…>) left out; the boxes are written": 1,
        },
    ),
    (
        "refcoco: the first expression, of one split",
        {"r.json": [refs("the cat", "left animal"), refs("a thing", split="testA")], **INSTANCES},
        "refcoco r.json --split val",
        [[{**CAT, "desc": "the cat"}]],
        {
            "objects of other splits left out (--split)": 1,
            "further expressions of an object left out (--expressions all writes them)": 1,
        },
    ),
    (
        "refcoco: all expressions, outlines, instances elsewhere",
        {"r/r.json": [refs("the cat", "left animal")], **INSTANCES},
        "refcoco r/r.json --expressions all --geometry poly --instances instances.json",
        [[{"desc": d, "poly": [100, 200, 400, 200, 400, 599]} for d in ("the cat", "left animal")]],
        {},
    ),
]


def fill_images() -> None:
    """Empty files with the name of an image become images of the size of the small scene."""
    for path in Path().rglob("*.png"):
        if not path.stat().st_size:
            Image.new("1", SMALL[:2]).save(path)


@pytest.mark.parametrize(("files", "words", "objects", "counts"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_objects_and_counts(files, words, objects, counts, capsys):
    write(files)
    fill_images()
    assert converted(capsys, *words.split()) == (objects, counts)


# --------------------------------------------------------------------------------------------------------------- faults

ROW = "a row is `class x y width height`, or `class x1 y1 x2 y2 x3 y3 …`"
PALI = "an object is <locY1><locX1><locY2><locX2> name"
ODVG = {"filename": PATH, "width": 101, "height": 51}


def row(text: str) -> dict[str, Any]:
    return {"classes.txt": "cat\n", "labels/street.txt": YOLO_CAT + text}


def odvg(**fields: Any) -> dict[str, Any]:
    return one({**ODVG, "detection": {"instances": [{"bbox": BOX, "category": "cat", **fields}]}})


def one(item: Any) -> dict[str, Any]:
    return {"a.jsonl": [item]}


def qwen(item: Any) -> dict[str, Any]:
    return one(entry(conversations=answered(item)))


def pali(suffix: str, **fields: Any) -> dict[str, Any]:
    return one(entry(prefix="detect", suffix=suffix, **fields))


LOCS = "<loc0201><loc0101><loc0602><loc0406>"
ROWS: list[tuple[str, str]] = [
    ("x 0.5 0.5 0.1 0.1", f'"x" is no class number; {ROW}'),
    ("1 0.5 0.5 0.1 0.1", "the class 1 has no name; there are 1 classes"),
    ("0 0.5 0.5 0.1 nan", f'"nan" is no number; {ROW}'),
    ("0 0.5 0.5 0.1 1_0", f'"1_0" is no number; {ROW}'),
    ("0 25 20 30 20", "25 is no share of a width or height, which is from 0 to 1; pixels are not read"),
    ("0 0.5 0.5 -0.01 0.1", f"the size -0.01 x 0.1 is below 0; {ROW}"),
    (
        "0 0.5 0.5 0.1 0.1 0.9",
        "has 5 numbers behind the class, the fifth of which may be a confidence: predictions are "
        f"no annotations; {ROW}",
    ),
    ("0 0.5 0.5 0.1", f"has 3 numbers behind the class; {ROW}"),
    (
        "0 0.9 0.5 0.4 0.1",
        "reaches 10.1 pixels out of its image of 101 x 51: its corners are 70.7, 22.95, 111.1, "
        "28.05; correct the source, or pass --out-of-frame clip",
    ),
]


@pytest.mark.parametrize(("text", "reason"), ROWS)
def test_a_fault_of_a_row_of_yolo(text, reason, capsys):
    write(row(text))
    assert run(["convert", "yolo", ".", "-o", "out.jsonl"]) == 2
    assert capsys.readouterr() == ("", f"error: labels/street.txt:2: {reason}\n")
    assert not Path("out.jsonl").exists()


FAULTS: dict[str, list[tuple[dict[str, Any], str | None]]] = {
    "yolo nothing": [({}, ": is no folder; name the folder with the images")],
    "yolo .": [
        (
            {},
            ".: has none of classes.txt, obj.names, data.yaml, data.yml; name the file with the class names with "
            "--classes",
        ),
        (
            {"classes.txt": "cat\n", "data.yaml": "names: [cat]\n"},
            ".: has classes.txt and data.yaml; name the file with the class names with --classes",
        ),
        (
            {"classes.txt": "cat\n", "images/b.png": "no image"},
            'images/b.png: the image "images/b.png" cannot be read: it is no image of a known format',
        ),
        (
            {"classes.txt": "cat\n", "labels/street.txt": b"\xff"},
            "labels/street.txt: is not UTF-8: invalid start byte at byte 0",
        ),
        ({"classes.txt": "cat\n\ndog\n"}, 'classes.txt: class 1: the desc "" is blank (OBJ001)'),
    ],
    "yolo e --classes classes.txt": [
        ({"classes.txt": "cat\n", "e/x": ""}, ": holds no images, so there is no record to write")
    ],
    "yolo . --classes a.yaml": [
        ({"a.yaml": "names: {0: cat, 0: dog}"}, "a.yaml: a class number stands twice under names")
    ],
    "voc a.xml": [
        ({"a.xml": voc(x=0)}, ":1: 0 is below 1, the first pixel of VOC; pass --voc-origin 0 if pixels count from 0"),
        ({"a.xml": voc(x=50)}, ":1: the box 50, 11, 40, 30 is inverted: it is xmin, ymin, xmax, ymax"),
        ({"a.xml": voc(x="nan")}, ':1: xmin is "nan", not a number'),
        ({"a.xml": voc().replace("<width>101</width>", "")}, ":1: size has no element width"),
        (
            {"a.xml": voc().replace("101", "0")},
            ":1: width is 0, and an image has at least 1 pixel; write the size of the image",
        ),
        ({"a.xml": voc().replace("cat", " ")}, ':1: name: the desc "" is blank (OBJ001)'),
        ({"a.xml": voc(more="<difficult>maybe</difficult>")}, ':1: difficult is "maybe", not 0 or 1'),
        (
            {
                "a.xml": "<annotation><filename>a</filename><size><width>9</width><height>9</height></size>\n<object>"
                "<name>cat</name><robndbox/></object></annotation>"
            },
            ":2: has a rotated box (robndbox), and a record has boxes along the axes; write bndbox",
        ),
        (
            {"a.xml": "<annotations/>"},
            ':1: the root element is "annotations", not annotation; CVAT has a form of its own; export as PASCAL VOC '
            "there",
        ),
        ({"a.xml": "<annotation>\n<filename>"}, ":2: is not well-formed XML: no element found"),
        ({"a.xml": ""}, ":1: is not well-formed XML: no element found"),
    ],
    "voc v": [({"v/a.txt": ""}, ": has no .xml file; name the folder with the annotations")],
    "odvg a.jsonl": [
        (
            one(ODVG),
            ":1: detection, grounding are missing; an entry has filename, width, height, and detection (instances) "
            "or grounding (caption, regions)",
        ),
        (odvg(bbox=[1, 2, 3]), ":1: detection.instances[0].bbox: has 3 numbers, not 4"),
        (odvg(bbox=[1, 2, True, 4]), ":1: detection.instances[0].bbox[2]: true is a boolean, not a number"),
        (
            odvg(category=None, label=3),
            ":1: detection.instances[0].label: there is no category, and no name for the label 3; see --classes",
        ),
        (odvg(bbox=[1, 2, 10**400, 4]), None),
        ({"a.jsonl": '{"filename": "a", "filename": "b"}\n'}, None),
        ({"a.jsonl": '\n{"filename": NaN}\n'}, None),
        (
            {"a.jsonl": "[1, 2"},
            ": is not valid JSON: input data was truncated; write one JSON object a "
            "line (JSON Lines), or one list of them",
        ),
        ({"a.jsonl": ""}, ": holds no images, so there is no record to write"),
    ],
    "odvg a.json": [({"a.json": "[[]]"}, ": [0]: [] is a list, not an object")],
    "qwen a.jsonl --qwen-coords pixel": [
        ({}, ": No such file or directory"),
        (
            qwen({"bbox_2d": BOX}),
            ":1: conversations[0].value: label is missing; the name of the object stands in the question at best, "
            "and is not guessed",
        ),
        (
            qwen('The cat is at {"bbox_2d": [1, 2, 3, 4]}'),
            ":1: conversations[0].value: bbox_2d stands inside of other text; an answer is JSON, in a ```json fence "
            "or not",
        ),
        (
            one(entry(text="x")),
            ":1: conversations, messages, objects are missing; an entry has image, and conversations, messages or "
            "objects",
        ),
        (
            one({"image": "b.png", "objects": []}),
            ':1: image: there is no image "b.png"; the size of an image is read from its file; see --image-root and '
            "--image-prefix",
        ),
        (
            one(entry(conversations=answered("Hello."))),
            ": holds no images that a record can be made of (text, points, several images or another split), so "
            "there is no record to write",
        ),
    ],
    "swift a.jsonl": [
        (
            one(swift("<ref-object><bbox>", ["cat"], [BOX], bbox_type="norm1000")),
            ":1: objects.bbox_type: 'norm1000' is none of real, norm1",
        ),
        (
            one(swift("<ref-object><bbox>", ["cat"], [BOX], image_id=[1])),
            ":1: objects.image_id[0]: is 1, and the entry has one image, which has the number 0",
        ),
        (one(swift("<ref-object>", ["cat"], [BOX])), ":1: objects: bbox has 1 items, and the messages have 0 <bbox>"),
        (one(swift("<bbox>", ["cat"], [BOX])), ":1: objects: ref has 1 items, and the messages have 0 <ref-object>"),
        (
            one(swift("<bbox><ref-object>", ["cat"], [BOX])),
            ":1: messages: a <bbox> stands before any <ref-object>, so nothing names it",
        ),
    ],
    "paligemma a.jsonl": [
        (pali("<loc0001><loc0002><loc0003> cat"), f':1: suffix: object 1 is "<loc0001><loc0002><loc0003> cat"; {PALI}'),
        (
            pali("<loc0601><loc0101><loc0202><loc0406> cat"),
            f":1: suffix: object 1 has an inverted box, <loc0601><loc0101><loc0202><loc0406>; {PALI}",
        ),
        (pali(LOCS), ':1: suffix: object 1: the desc "" is blank (OBJ001)'),
        (pali(f"{LOCS} cat", image=5), ":1: image: 5 is an integer, not a string"),
        (
            one({"prefix": "detect cat", "suffix": f"{LOCS} cat"}),
            ":1: image, images are missing; name the one image of the entry",
        ),
    ],
    "refcoco refs.p": [
        (
            {"refs.p": pickle.dumps([{}], protocol=0)},
            ": is a pickle, which runs what is in it when it is read; name the same as JSON",
        )
    ],
    "refcoco r.json": [
        (
            {"r.json": [refs("cat", image_id=8)], "instances.json": json.dumps(TWO_IMAGES)},
            ":1: ann_id: the annotation 1 is one of the image 7",
        ),
        (
            {"r.json": [refs("cat")], "instances.json": json.dumps({**COCO, "annotations": COCO["annotations"] * 2})},
            "instances.json: annotations[1] (id 1): an annotation with the id 1 stands above already",
        ),
        ({"r.json": [refs("cat")]}, "instances.json: No such file or directory"),
        (
            {"r.json": [refs("cat", ann_id=5)], **INSTANCES},
            ":1: ann_id: 5 is the id of no annotation of the instances file",
        ),
        (
            {"r.json": [refs("cat", image_id=5)], **INSTANCES},
            ":1: image_id: 5 is the id of no image of the instances file",
        ),
        ({"r.json": [refs()], **INSTANCES}, ":1: sentences: is empty, so nothing refers to the object"),
    ],
    "yolo . --classes names.json": [
        ({"names.json": '{"1": "cat", "01": "dog"}'}, "names.json: the class number 1 stands twice")
    ],
    "refcoco r.json --split test": [
        (
            {"r.json": [refs("cat")], **INSTANCES},
            ": holds no images that a record can be made of (text, points, several images or another split), so "
            "there is no record to write",
        )
    ],
}
"""By the words of the command: files, and the message behind `error: `, the source left out before a colon."""


CALLS = [(words, *case) for words, cases in FAULTS.items() for case in cases]


@pytest.mark.parametrize(("words", "files", "message"), CALLS, ids=[f"{i}-{c[0]}" for i, c in enumerate(CALLS)])
def test_a_fault_names_its_place(words, files, message, capsys):
    write(files)
    before = sorted(Path().rglob("*"))
    assert run(["convert", *words.split(), "-o", "out.jsonl"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    if message is not None:
        source = words.split()[1] if message.startswith(":") else ""
        assert err == f"error: {source}{message}\n"
    else:
        assert err.startswith("error: a.")
    assert sorted(Path().rglob("*")) == before


# ------------------------------------------------------------------------------------------------------------------ XML


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("<annotation>&x;</annotation>", "a.xml:1: is not well-formed XML: undefined entity"),
        ("<a>" * 100 + "</a>" * 100, "a.xml:1: is nested deeper than 64 levels"),
        (b'<?xml version="1.0" encoding="base64"?><a/>', None),
        (b'<?xml version="1.0" encoding="nope"?><a/>', None),
        (b'<?xml version="1.0" encoding="utf-7"?><a/>', None),
        (b"\xff\xfe<\x00", None),
        (b"<annotation>\xff</annotation>", "a.xml:1: is not well-formed XML: not well-formed (invalid token)"),
        (b"PK\x03\x04", "a.xml:1: is not well-formed XML: not well-formed (invalid token)"),
    ],
)
def test_hostile_xml(data, reason, capsys):
    write({"a.xml": data})
    assert run(["convert", "voc", "a.xml", "-o", "out.jsonl"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: a.xml")
    assert reason is None or err == f"error: {reason}\n"
    assert not Path("out.jsonl").exists()


# ------------------------------------------------------------------------------------------------------ paths and names


def test_an_absolute_path_below_the_image_root_becomes_relative(here, capsys):
    write({"q/a.jsonl": [{"image": str(here / PATH), "objects": [{"bbox_2d": BOX, "label": "cat"}]}]})
    words = ["qwen", "q/a.jsonl", "--qwen-coords", "pixel", "--image-root"]
    assert converted(capsys, *words, str(here)) == ([[CAT]], {})
    assert records()[0]["images"] == [PATH]
    assert run(["convert", *words, str(here / "q"), "-o", "x.jsonl"]) == 2
    assert "is an absolute path, not a relative path (REC006)" in capsys.readouterr().err
    write({"q/a.jsonl": [{"image": f"{here}/q/../../a.png", "objects": []}]})
    assert run(["convert", *words, str(here), "-o", "x.jsonl"]) == 2
    assert "leaves the image root through `..` (REC007)" in capsys.readouterr().err


def test_the_prefix_is_part_of_the_path_that_is_looked_at(capsys):
    write({"a.jsonl": [{"image": "street.png", "objects": [{"bbox_2d": BOX, "label": "cat"}]}]})
    assert converted(capsys, "qwen", "a.jsonl", "--qwen-coords", "pixel", "--image-prefix", "images")[0] == [[CAT]]
    assert records()[0]["images"] == [PATH]


def test_tags_of_yaml_build_nothing(capsys):
    write({"a.yaml": "names: !!python/object/apply:os.mkdir [made]\n", "labels/street.txt": YOLO_CAT})
    assert converted(capsys, "yolo", ".", "--classes", "a.yaml")[0] == [[{**CAT, "desc": "made"}]]
    assert not Path("made").exists()


def test_a_size_is_that_of_the_upright_image(capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (101, 51)).save("turned.jpg", exif=exif)
    write({"a.jsonl": [{"image": "turned.jpg", "objects": []}]})
    converted(capsys, "qwen", "a.jsonl", "--qwen-coords", "pixel")
    assert (records()[0]["width"], records()[0]["height"]) == (51, 101)


def test_a_file_name_that_is_no_unicode(capsys):
    write({"classes.txt": "cat\n"})
    Path(PATH).rename(os.fsdecode(b"images/\xff.png"))
    assert run(["convert", "yolo", ".", "-o", "out.jsonl"]) == 2
    assert "is not valid Unicode; rename the file" in capsys.readouterr().err


def test_links_to_folders_are_not_followed(here, capsys):
    write({"d/classes.txt": "cat\n", "d/images/b.png": b""})
    fill_images()
    (here / "d/images/more").symlink_to(here / "images")
    assert len(converted(capsys, "yolo", "d")[0]) == 1


# ---------------------------------------------------------------------------------------------------------- the command

USAGE = [
    ("odvg a -o b --geometry poly", "--geometry is about coco, refcoco, yolo, and means nothing to odvg; leave it out"),
    ("coco a -o b --voc-origin 0", "--voc-origin is about voc, and means nothing to coco; leave it out"),
    ("yolo . -o b --multipart largest", "--multipart is about outlines; pass --geometry poly with it, or leave it out"),
]


@pytest.mark.parametrize(("words", "reason"), USAGE)
def test_options_that_would_do_nothing(words, reason, capsys):
    assert run(["convert", *words.split()]) == 2
    assert capsys.readouterr().err.endswith(f"Error: {reason}\n")
    assert not Path("b").exists()


def test_qwen_without_the_meaning_of_its_numbers_is_a_bad_call():
    write({"a.jsonl": [{"image": PATH, "objects": []}]})
    with pytest.raises(ValueError, match="qwen_coords has to say"):
        list(CONVERTERS["qwen"].convert("a.jsonl", ConvertOptions(order=ObjectOrder.SOURCE)))


def test_what_is_read_is_never_replaced(capsys):
    write(row(""))
    for out in ("classes.txt", "labels/street.txt"):
        before = Path(out).read_bytes()
        assert run(["convert", "yolo", ".", "-o", out, "--overwrite", "--classes", "classes.txt"]) == 2
        assert "is being read; name another output" in capsys.readouterr().err
        assert Path(out).read_bytes() == before
    assert run(["convert", "yolo", ".", "-o", "all.jsonl"]) == 0
    assert run(["convert", "yolo", ".", "-o", "all.jsonl"]) == 2
    assert run(["convert", "yolo", ".", "-o", "all.jsonl", "--overwrite"]) == 0


# ------------------------------------------------------------------------------------------------------- broken sources


def broken(data: bytes, rng: random.Random) -> bytes:
    """The bytes with a few of them changed, removed, repeated or cut off."""
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.randint(0, 12))
        piece = rng.choice(
            [b"", bytes(rng.choices(range(256), k=2)), data[start:end] * 2, b"null", b"-1", b"<", b'"', b"[", b"1e999"]
        )
        data = data[:start] + piece + (b"" if rng.random() < 0.05 else data[end:])
    return data


def fuzz(name: str, rounds: int, capsys: pytest.CaptureFixture[str]) -> set[int]:
    """Exit statuses over broken copies of what the writer wrote; no run may raise or leave a bad file."""
    words = writers.WRITERS[name](SMALL)
    files = [path for path in Path().rglob("*") if path.is_file() and path.suffix not in (".png", ".p")]
    texts_ = {path: path.read_bytes() for path in files}
    rng, statuses = random.Random(name), set()
    for _ in range(rounds):
        path = rng.choice(files)
        path.write_bytes(broken(texts_[path], rng))
        status = run(["convert", *words, "-o", "out.jsonl", "--overwrite"])
        statuses.add(status)
        said = capsys.readouterr().err
        if status == 0:
            records()
        else:
            assert said.startswith("error: ")
        path.write_bytes(texts_[path])
    return statuses


@pytest.mark.parametrize("name", writers.WRITERS)
def test_broken_sources_never_end_in_a_traceback(name, capsys):
    assert fuzz(name, 120, capsys) == {0, 2}


@pytest.mark.nightly
@pytest.mark.parametrize("name", writers.WRITERS)
def test_many_broken_sources_never_end_in_a_traceback(name, capsys):
    assert fuzz(name, 5000, capsys) == {0, 2}
