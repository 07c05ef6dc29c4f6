"""``coordspec convert coco``: COCO and LVIS instances to contract files."""

import gzip
import io
import json
import os
import sys
import threading
import zipfile
from copy import deepcopy
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from coordspec.boxes import polygon_area
from coordspec.convert import CONVERTERS, ConvertOptions, SourceError
from coordspec.convert.coco_file import CocoFile
from coordspec.convert.options import Crowd, Duplicates, Multipart, ObjectOrder, OutOfFrame, WrittenGeometry
from coordspec.errors import InputError, Place
from coordspec.jsonl.parse import parse_line
from coordspec.jsonl.read import read_lines
from coordspec.record import CoordForm, Record
from coordspec_cli.main import run

SMALL = Path(__file__).parent / "fixtures" / "coco_small"
TINY = next(
    (p / "shared/data/coco_tiny" for p in Path(__file__).resolve().parents if (p / "shared/data").is_dir()), None
)
DOCS = Path(__file__).parents[1] / "docs/data/CONVERT.md"
SHAPE = "a COCO instances file is one object with the lists images, annotations and categories"
LIMIT = 1 << 24

LIGHT_POLY = {"desc": "traffic light", "poly": [500, 200, 699, 200, 699, 599, 500, 599]}
CAT = {"desc": "cat", "bbox_2d": [100, 200, 400, 599]}
CAT_PART = {"desc": "cat", "poly": [100, 200, 200, 200, 200, 599, 100, 599]}
CROWD = {"desc": "person", "bbox_2d": [0, 0, 999, 999]}
MASK = {"desc": "cat", "bbox_2d": [599, 0, 999, 999]}

BASE_COUNTS = {"records": 2, "objects": 3, "negatives": 1, "crowds_skipped": 1, "duplicates": 1}


def lines_of(path):
    """The records of a contract file, every line held to the contract."""
    lines = list(read_lines(str(path), LIMIT))
    values = [parse_line(line.data, line.length, LIMIT) for line in lines]
    assert not any(parsed.faults for parsed in values)
    for line, parsed in zip(lines, values, strict=True):
        Record.from_value(parsed.value, Place(str(path), line.number))
    return [parsed.value for parsed in values]


def convert(source, **options):
    """Records and the counts above 0."""
    conversion = CONVERTERS["coco"].convert(str(source), ConvertOptions(**options))
    records = list(conversion)
    counts = {f.name: getattr(conversion.counts, f.name) for f in fields(conversion.counts)}
    return records, {name: number for name, number in counts.items() if number}


def written(record):
    return json.loads(record.line(CoordForm.INT))


@pytest.fixture
def source(tmp_path):
    """Writes a document (or raw bytes) to instances.json and returns its path."""

    def write(document):
        path = tmp_path / "instances.json"
        path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
        return path

    return write


def small():
    return json.loads((SMALL / "instances.json").read_text())


# ---------------------------------------------------------------- what comes out

CASES = [
    (
        "outlines, the largest part",
        {"geometry": WrittenGeometry.POLY, "multipart": Multipart.LARGEST},
        [MASK, CAT_PART, LIGHT_POLY],
        {"parts_left_out": 1, "boxes_for_none": 1},
    ),
    (
        "outlines with a crowd kept, which stays a box",
        {"geometry": WrittenGeometry.POLY, "crowd": Crowd.KEEP, "duplicates": Duplicates.KEEP},
        [CROWD, MASK, CAT, CAT, LIGHT_POLY],
        {
            "objects": 5,
            "duplicates": 0,
            "crowds_skipped": 0,
            "crowds_kept": 1,
            "boxes_for_parts": 2,
            "boxes_for_none": 1,
        },
    ),
]


@pytest.mark.parametrize(("options", "objects", "counts"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_objects_and_counts(options, objects, counts):
    records, counted = convert(SMALL / "instances.json", **options)
    assert [written(record) for record in records] == [
        {"images": ["street.png"], "width": 101, "height": 51, "objects": objects},
        {"images": ["empty.png"], "width": 51, "height": 101, "objects": []},
    ]
    assert counted == {name: number for name, number in (BASE_COUNTS | counts).items() if number}


def test_lvis_paths_come_from_coco_url_and_names_lose_their_underscores():
    records, counted = convert(SMALL / "lvis.json")
    assert [written(record) for record in records] == [
        {"images": ["images/empty.png"], "width": 51, "height": 101, "objects": []},
        {
            "images": ["images/street.png"],
            "width": 101,
            "height": 51,
            "objects": [{"desc": "bat (animal)", "bbox_2d": [500, 200, 699, 599]}],
        },
    ]
    assert counted == {"records": 2, "objects": 1, "negatives": 1}


@pytest.mark.parametrize(
    ("prefix", "path"), [("val2017", "val2017/street.png"), ("a/b/", "a/b/street.png"), ("", "street.png")]
)
def test_image_prefix(prefix, path):
    records, _ = convert(SMALL / "instances.json", image_prefix=prefix)
    assert records[0].images == (path,)


def test_a_prefix_may_bring_back_a_path_that_leaves_its_root(source):
    document = small()
    document["images"][0]["file_name"] = "../street.png"
    path = source(document)
    assert convert(path, image_prefix="annotations")[0][0].images == ("annotations/../street.png",)
    with pytest.raises(SourceError) as caught:
        convert(path)
    assert str(caught.value) == (
        f'{path}: images[0] (id 7): image path: "../street.png" leaves the image root through `..` (REC007)'
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/a.png", '"/a.png" is an absolute path, not a relative path (REC006)'),
        ("", '"" cannot be the path of a file: it is blank (REC008)'),
    ],
)
def test_a_prefix_does_not_hide_a_bad_path(source, name, reason):
    path = source(changed(small(), ("images", 0, "file_name"), name))
    assert fault_of(path, image_prefix="images") == f"{path}: images[0] (id 7): image path: {reason}"


def test_what_the_source_may_leave_out(source):
    document = small()
    for annotation in document["annotations"]:
        for name in ("id", "iscrowd", "area", "segmentation"):
            del annotation[name]
    document["annotations"][0]["segmentation"] = None
    document["annotations"][1]["segmentation"] = []
    del document["info"], document["licenses"]
    records, counted = convert(source(document), geometry=WrittenGeometry.POLY)
    assert [o.desc for o in records[0].objects] == ["person", "cat", "cat", "traffic light"]
    assert counted == {"records": 2, "objects": 4, "negatives": 1, "boxes_for_none": 4, "duplicates": 1}


def test_categories_that_share_a_desc_are_counted(source):
    document = small()
    document["categories"][0]["name"] = "traffic light"
    assert convert(source(document))[1]["shared_descs"] == 1


def test_flat_boxes_are_kept_and_counted(source):
    document = small()
    document["annotations"][0]["bbox"] = [50, 10, 0.001, 20]
    records, counted = convert(source(document))
    assert written(records[0])["objects"][2]["bbox_2d"] == [500, 200, 500, 599]
    assert counted["flat"] == 1


# ---------------------------------------------------------------- the frame of the image

FRAME = [
    ("ends at the border", [60, 0, 41, 51], [599, 0, 999, 999], {}),
    ("a pixel of noise is clamped by the codec", [-1, -0.5, 103, 52.5], [0, 0, 999, 999], {}),
    ("cut at the border", [-20, 10, 40, 20], [0, 200, 200, 599], {"clipped": 1}),
    ("cut on all sides", [-20, -20, 400, 400], [0, 0, 999, 999], {"clipped": 1}),
    ("outside on the left", [-20, 10, 20, 20], None, {"outside": 1}),
    ("cut above", [10, -20, 30, 30], [100, 0, 400, 200], {"clipped": 1}),
    ("cut on the right", [90, 10, 30, 20], [899, 200, 999, 599], {"clipped": 1}),
    ("outside on the right", [101, 10, 20, 20], None, {"outside": 1}),
    ("outside above", [20, -20, 10, 20], None, {"outside": 1}),
    ("outside below", [20, 51, 10, 20], None, {"outside": 1}),
]


@pytest.mark.parametrize(("bbox", "bins", "counts"), [c[1:] for c in FRAME], ids=[c[0] for c in FRAME])
def test_clip_at_the_frame(source, bbox, bins, counts):
    document = small()
    document["annotations"] = [{"id": 1, "image_id": 7, "category_id": 5, "bbox": bbox}]
    records, counted = convert(source(document), out_of_frame=OutOfFrame.CLIP)
    assert written(records[0])["objects"] == ([] if bins is None else [{"desc": "cat", "bbox_2d": bins}])
    assert {k: v for k, v in counted.items() if k in ("clipped", "outside")} == counts


@pytest.mark.parametrize(
    ("bbox", "reason"),
    [
        ([-20, 10, 40, 20], "reaches 20 pixels out of its image of 101 x 51: its corners are -20, 10, 20, 30"),
        ([0, 0, 102.5, 10], "reaches 1.5 pixels out of its image of 101 x 51: its corners are 0, 0, 102.5, 10"),
        ([500, 500, 1, 1], "reaches 450 pixels out of its image of 101 x 51: its corners are 500, 500, 501, 501"),
    ],
)
def test_out_of_frame_stops_by_default(source, bbox, reason):
    document = small()
    document["annotations"][0]["bbox"] = bbox
    path = source(document)
    with pytest.raises(SourceError) as caught:
        convert(path)
    advice = "correct the source, or pass --out-of-frame clip"
    assert str(caught.value) == f"{path}: annotations[0] (id 1): {reason}; {advice}"


def test_points_of_an_outline_move_to_the_border(source):
    document = small()
    document["annotations"][0]["segmentation"] = [[50, -10, 150, 10, 50, 30]]
    records, counted = convert(source(document), geometry=WrittenGeometry.POLY, out_of_frame=OutOfFrame.CLIP)
    assert written(records[0])["objects"][0] == {"desc": "traffic light", "poly": [500, 0, 999, 200, 500, 599]}
    assert counted["clipped"] == 1


# ---------------------------------------------------------------- faults of the source

DELETE = object()
FAULTS = [
    (("annotations", 1, "bbox"), [], "annotations[1] (id 2): bbox has 0 numbers, not 4"),
    (("annotations", 1, "bbox"), DELETE, "annotations[1] (id 2): bbox is missing"),
    (("annotations", 1, "bbox"), None, "annotations[1] (id 2): bbox: expected array, got null"),
    (("annotations", 1, "bbox"), [1, 2, None, 4], "annotations[1] (id 2): bbox[2]: expected float, got null"),
    (("annotations", 1, "bbox"), [1, 2, True, 4], "annotations[1] (id 2): bbox[2]: expected float, got bool"),
    (("annotations", 1, "bbox"), [1, 2, 10**400, 4], "annotations[1] (id 2): bbox[2]: number out of range"),
    (
        ("annotations", 1, "bbox"),
        [1.7e308, 2, 1.7e308, 4],
        "annotations[1] (id 2): bbox ends beyond the largest number there is",
    ),
    (
        ("annotations", 1, "bbox"),
        [30, 2, 20, -0.5],
        "annotations[1] (id 2): bbox has the size 20 x -0.5; it is x, y, width, height, and no size is below 0",
    ),
    (("annotations", 1, "image_id"), "7", "annotations[1] (id 2): image_id: expected int, got str"),
    (("annotations", 1, "image_id"), DELETE, "annotations[1] (id 2): image_id is missing"),
    (("annotations", 1, "iscrowd"), 2, "annotations[1] (id 2): iscrowd is 2, not 0 or 1"),
    (("annotations", 1, "iscrowd"), None, "annotations[1] (id 2): iscrowd: expected int, got null"),
    (("annotations", 1, "id"), "x", 'annotations[1] (id "x"): id: expected int, got str'),
    (("annotations", 1, "id"), {"a": 1}, "annotations[1]: id: expected int, got object"),
    (("annotations", 1), 5, "annotations[1]: expected object, got int"),
    (("annotations", 1), None, "annotations[1]: expected object, got null"),
    (("images", 1, "height"), -5, "images[1] (id 3): height is -5, and an image has at least 1 pixel"),
    (("images", 1, "height"), 10**400, "images[1] (id 3): height is above 2147483647, which no image is"),
    (("images", 1, "height"), 10**5000, "images[1] (id 3): height: integer value out of range"),
    (("images", 1, "width"), DELETE, "images[1] (id 3): width is missing"),
    (("images", 1, "width"), "51", "images[1] (id 3): width: expected int, got str"),
    (("images", 1, "width"), 51.5, "images[1] (id 3): width: expected int, got float"),
    (("images", 1, "file_name"), 5, "images[1] (id 3): file_name: expected str, got int"),
    (
        ("images", 1, "file_name"),
        DELETE,
        "images[1] (id 3): file_name is missing, and so is coco_url, which it could be read from",
    ),
    (
        ("images", 1, "file_name"),
        " ",
        'images[1] (id 3): image path: " " cannot be the path of a file: it is blank (REC008)',
    ),
    (("categories", 1, "id"), 1, "categories[1] (id 1): a category with the id 1 stands above already"),
    (("categories", 1, "name"), "_", 'categories[1] (id 5): name: the desc "" is blank (OBJ001)'),
    (("categories", 1, "name"), DELETE, "categories[1] (id 5): name is missing"),
    (("categories",), DELETE, f"categories is missing; {SHAPE}"),
    (("annotations",), {}, f"annotations: expected array, got object; {SHAPE}"),
    (("images",), None, f"images: expected array, got null; {SHAPE}"),
]


def changed(document, path, value):
    document = deepcopy(document)
    *way, last = path
    target = document
    for step in way:
        target = target[step]
    if value is DELETE:
        del target[last]
    else:
        target[last] = value
    return document


def fault_of(path, **options):
    with pytest.raises(InputError) as caught:
        convert(path, **options)
    return str(caught.value)


@pytest.mark.parametrize(("at", "value", "message"), FAULTS, ids=[f[2][:60] for f in FAULTS])
def test_a_fault_names_its_place(source, at, value, message):
    sys.set_int_max_str_digits(6000)
    try:
        path = source(changed(small(), at, value))
    finally:
        sys.set_int_max_str_digits(4300)
    assert fault_of(path) == f"{path}: {message}"


POLY_FAULTS = [
    (
        [[1, 2, 3, 4]],
        "segmentation[0] has 4 numbers; a polygon is x, y, x, y, … of at least 6; correct it, or pass --geometry bbox",
    ),
    (
        [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7]],
        "segmentation[1] has 7 numbers; a polygon is x, y, x, y, … of at least 6; correct it, or pass --geometry bbox",
    ),
    ([1, 2, 3, 4, 5, 6], "segmentation[0]: expected array, got int"),
    ([[1, 2, 3, 4, 5, "6"]], "segmentation[0][5]: expected float, got str"),
    ("RLE", "segmentation is neither a list of polygons nor a mask (RLE)"),
    (5, "segmentation is neither a list of polygons nor a mask (RLE)"),
]


@pytest.mark.parametrize(("segmentation", "reason"), POLY_FAULTS)
def test_a_fault_of_an_outline_stops_only_where_outlines_are_asked_for(source, segmentation, reason):
    path = source(changed(small(), ("annotations", 0, "segmentation"), segmentation))
    assert fault_of(path, geometry=WrittenGeometry.POLY) == f"{path}: annotations[0] (id 1): {reason}"
    assert convert(path)[1] == BASE_COUNTS


FAIL_OPTIONS = [
    (
        {"crowd": Crowd.FAIL},
        "annotations[2] (id 3): is a crowd region; pass --crowd skip or --crowd keep, or remove it",
    ),
    (
        {"geometry": WrittenGeometry.POLY, "multipart": Multipart.FAIL},
        "annotations[1] (id 2): has 2 polygons, and a poly is exactly one; pass --multipart bbox to write its box",
    ),
]


@pytest.mark.parametrize(("options", "message"), FAIL_OPTIONS)
def test_options_that_stop(options, message):
    path = SMALL / "instances.json"
    assert fault_of(path, **options) == f"{path}: {message}"


def test_multipart_fail_stops_at_a_mask(source):
    document = small()
    del document["annotations"][1:4]
    path = source(document)
    assert fault_of(path, geometry=WrittenGeometry.POLY, multipart=Multipart.FAIL) == (
        f"{path}: annotations[1] (id 5): has no polygon, but a mask or no outline at all, and a poly is exactly one; "
        "pass --multipart bbox to write its box"
    )


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://images.cocodataset.org/train2017/000000391895.jpg", "train2017/000000391895.jpg"),
        ("https://h.org/a/b/c/d.jpg?size=1/2#x", "c/d.jpg"),
        ("http://h.org//a//b.jpg", "a/b.jpg"),
        ("http://h.org/a.jpg", None),
        ("a/b.jpg", None),
        ("http://[", None),
        ("", None),
    ],
)
def test_paths_from_coco_url(source, url, path):
    document = json.loads((SMALL / "lvis.json").read_text())
    document["images"][0]["coco_url"] = url
    file = source(document)
    if path is None:
        assert fault_of(file) == (
            f"{file}: images[0] (id 3): file_name is missing, and coco_url does not end with a folder and a file name"
        )
    else:
        assert convert(file)[0][0].images == (path,)


RAW_FAULTS = [
    ("empty", b"", f"is empty; {SHAPE}"),
    ("binary", b"\x89PNG\r\n\x1a\n", r'is not valid JSON: invalid character (byte 0), at "\\x89PNG\r\n\u001a\n"'),
    ("cut", b'{"images": [', "is not valid JSON: input data was truncated"),
    ("NaN", b'{"images": [], "annotations": [NaN]}', 'is not valid JSON: invalid character (byte 31), at "NaN]}"'),
    ("a list", b"[]", f"expected object, got array; {SHAPE}"),
    ("not UTF-8", b"\xff\xfe{", r'is not valid JSON: invalid character (byte 0), at "\\xff\\xfe{"'),
    ("deep", b'{"images": ' + b"[" * 200_000, f"is nested too deep to be read; {SHAPE}"),
    (
        "no images",
        b'{"images": [], "annotations": [], "categories": []}',
        "holds no images, so there is no record to write",
    ),
    (
        "a surrogate",
        rb'{"images": [{"id": 1, "width": 1, "height": 1, "file_name": "\ud800"}]}',
        "is not valid JSON: input data was truncated",
    ),
    (
        "a string that is not UTF-8",
        b'{"images": [{"id": 1, "width": 1, "height": 1, "file_name": "\xff"}], "annotations": [], "categories": []}',
        "images[0] (id 1): not valid UTF-8: byte 0xFF cannot be read (invalid start byte) (JSN002)",
    ),
]


@pytest.mark.parametrize(("data", "message"), [c[1:] for c in RAW_FAULTS], ids=[c[0] for c in RAW_FAULTS])
def test_faults_of_the_file(source, data, message):
    path = source(data)
    assert fault_of(path) == f"{path}: {message}"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="C code has a recursion limit of its own from Python 3.12 on")
def test_an_item_nested_too_deep_for_the_stack_that_is_left(source):
    nested = b"[" * 500 + b"]" * 500
    path = source(b'{"images": [], "annotations": [{"id": 1, "x": %s}], "categories": []}' % nested)
    items = CocoFile.open(str(path)).annotations

    def item_from_below(frames):
        return item_from_below(frames - 1) if frames else items.item(0)

    with pytest.raises(SourceError) as caught:
        item_from_below(550)
    assert str(caught.value) == f"{path}: annotations[0]: nested deeper than 64 levels (JSN009)"


def test_nothing_left_after_skip_empty_is_a_fault(source):
    path = source(changed(small(), ("annotations",), []))
    assert fault_of(path, skip_empty=True) == (
        f"{path}: holds no images with objects, and --skip-empty leaves the others out, so there is no record to write"
    )


def test_files_that_cannot_be_read(tmp_path):
    assert fault_of(tmp_path) == f"{tmp_path}: Is a directory"
    assert fault_of(tmp_path / "a.json") == f"{tmp_path / 'a.json'}: No such file or directory"
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(SMALL / "instances.json")
    assert fault_of(packed) == f"{packed}: is a ZIP archive; unpack it, and name the JSON file in it"


# ---------------------------------------------------------------- other ways in

DATA = (SMALL / "instances.json").read_bytes()


@pytest.mark.parametrize(
    ("name", "data"), [("a.json.gz", gzip.compress(DATA, mtime=0)), ("a.json.zst", zstandard.compress(DATA))]
)
def test_compressed_sources(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert convert(tmp_path / name)[1] == BASE_COUNTS


def test_a_pipe_and_standard_input(tmp_path, monkeypatch):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[DATA])
    writer.start()
    assert convert(pipe)[1] == BASE_COUNTS
    writer.join()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(DATA)))
    assert convert("-")[1] == BASE_COUNTS


# ---------------------------------------------------------------- properties


def quarters(low, high):
    """Pixel coordinates with exact binary fractions, so that a naive oracle in fractions rounds alike."""
    return st.integers(low * 4, high * 4).map(lambda n: n / 4)


@st.composite
def documents(draw):
    width, height = draw(st.integers(1, 5000)), draw(st.integers(1, 5000))
    annotations = []
    for number in range(draw(st.integers(0, 8))):
        x1, x2 = sorted((draw(quarters(0, width)), draw(quarters(0, width))))
        y1, y2 = sorted((draw(quarters(0, height)), draw(quarters(0, height))))
        part = st.lists(st.tuples(quarters(0, width), quarters(0, height)), min_size=3, max_size=6)
        outline = draw(st.lists(part.map(lambda points: [v for p in points for v in p]), max_size=3))
        annotation = {"id": number, "image_id": 1, "category_id": draw(st.integers(1, 3)), "segmentation": outline}
        annotation |= {"bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": draw(st.integers(0, 1))}
        annotations.append(annotation)
    names = draw(st.lists(st.sampled_from(["cat", "狗", "traffic_light", "naïve 🐱", "a\tb"]), min_size=3, max_size=3))
    return {
        "images": [{"id": 1, "width": width, "height": height, "file_name": "a.png"}],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
    }


OPTIONS = st.builds(
    ConvertOptions,
    geometry=st.sampled_from(WrittenGeometry),
    order=st.sampled_from(ObjectOrder),
    crowd=st.sampled_from([Crowd.SKIP, Crowd.KEEP]),
    multipart=st.sampled_from([Multipart.BBOX, Multipart.LARGEST]),
    duplicates=st.sampled_from(Duplicates),
)


def naive_bins(pixels, width, height):
    bins = []
    for i, pixel in enumerate(pixels):
        side = height if i % 2 else width
        bins.append(min(999, max(0, round(Fraction(999) * Fraction(pixel) / max(1, side - 1)))))
    return tuple(bins)


def naive_area(poly):
    points = [(Fraction(x), Fraction(y)) for x, y in zip(poly[0::2], poly[1::2], strict=True)]
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True))) / 2


def naive_object(annotation, document, options):
    """desc and bins of an annotation, or None for a crowd that is skipped."""
    image = document["images"][0]
    crowd = annotation["iscrowd"] == 1
    if crowd and options.crowd is Crowd.SKIP:
        return None
    x, y, w, h = annotation["bbox"]
    kind, pixels = "bbox_2d", [x, y, x + w, y + h]
    parts = annotation["segmentation"]
    if options.geometry is WrittenGeometry.POLY and not crowd:
        if len(parts) == 1:
            kind, pixels = "poly", parts[0]
        elif parts and options.multipart is Multipart.LARGEST:
            kind, pixels = "poly", sorted(parts, key=naive_area, reverse=True)[0]
    name = next(c["name"] for c in document["categories"] if c["id"] == annotation["category_id"])
    desc = name.replace("_", " ").replace("\t", " ")
    return desc, kind, naive_bins(pixels, image["width"], image["height"])


def corner(made):
    xs, ys = made[2][0::2], made[2][1::2]
    return min(ys), min(xs)


def extent(made):
    xs, ys = made[2][0::2], made[2][1::2]
    return (max(xs) - min(xs)) * (max(ys) - min(ys))


@given(document=documents(), options=OPTIONS)
def test_against_a_naive_converter(tmp_path_factory, document, options):
    path = tmp_path_factory.getbasetemp() / "property.json"
    path.write_text(json.dumps(document))
    conversion = CONVERTERS["coco"].convert(str(path), options)
    (record,) = conversion
    expected = [naive_object(a, document, options) for a in document["annotations"]]
    expected = [made for made in expected if made is not None]
    if options.duplicates is Duplicates.DROP:
        expected = [made for i, made in enumerate(expected) if made not in expected[:i]]
    if options.order is ObjectOrder.READING:
        expected.sort(key=corner)
    if options.order is ObjectOrder.AREA:
        expected.sort(key=extent, reverse=True)
    got = [(o.desc, "poly", o.poly) if o.poly else (o.desc, "bbox_2d", o.bbox_2d) for o in record.objects]
    assert got == expected
    for form in CoordForm:
        assert Record.from_value(json.loads(record.line(form))) == record
    counts = conversion.counts
    left_out = counts.crowds_skipped + counts.duplicates
    assert counts.objects + left_out == len(document["annotations"])


@given(st.lists(st.integers(-1000, 1000), min_size=6, max_size=20).filter(lambda p: len(p) % 2 == 0))
def test_polygon_area(poly):
    assert polygon_area(poly) == naive_area(poly)
    backwards = [v for i in range(len(poly) - 2, -2, -2) for v in poly[i : i + 2]]
    assert polygon_area(backwards) == polygon_area(poly)


# ---------------------------------------------------------------- the command


def test_command_writes_a_file_and_reports(tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    arguments = ["convert", "coco", str(SMALL / "instances.json"), "-o", str(out), "--image-prefix", "images"]
    assert run([*arguments, "--geometry", "poly", "--multipart", "bbox"]) == 0
    assert capsys.readouterr() == (
        "",
        f"{out}:\n"
        "  records: 2\n"
        "  objects: 3\n"
        "  records without objects (negatives): 1\n"
        "  crowd regions left out (--crowd keep writes their boxes): 1\n"
        "  boxes in place of outlines of several polygons (--multipart): 1\n"
        "  boxes in place of masks or missing outlines, which have no polygon: 1\n"
        "  duplicate objects dropped (--duplicates keep writes them): 1\n",
    )
    assert [value["images"] for value in lines_of(out)] == [["images/street.png"], ["images/empty.png"]]
    assert lines_of(out)[0]["objects"] == [MASK, CAT, LIGHT_POLY]


def test_output_is_the_same_every_time(tmp_path):
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        assert run(["convert", "coco", str(SMALL / "instances.json"), "-o", str(tmp_path / name)]) == 0
    header = (tmp_path / "a.jsonl.gz").read_bytes()[:10]
    assert header[3:8] == bytes(5), "no file name and no time (RFC 1952)"
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_standard_output(capfdbinary):
    assert run(["convert", "coco", str(SMALL / "lvis.json"), "-o", "-"]) == 0
    out, err = capfdbinary.readouterr()
    assert [json.loads(line)["images"] for line in out.splitlines()] == [["images/empty.png"], ["images/street.png"]]
    assert err.startswith(b"standard output:\n  records: 2\n")


USAGE = [
    (
        ["convert", "kitti", "a", "-o", "b"],
        "'kitti' is not one of 'coco', 'yolo', 'voc', 'odvg', 'qwen', 'swift', 'paligemma', 'refcoco'.\n",
    ),
    (["convert", "coco", "a"], "Error: Missing option '-o' / '--output'.\n"),
    (["convert", "coco", "a", "-o", "b", "--image-prefix", "/a"], '"/a" is an absolute path, not a relative path\n'),
    (
        ["convert", "coco", "a", "-o", "b", "--image-prefix", "a/../.."],
        '"a/../.." leaves the image root through `..`\n',
    ),
    (
        ["convert", "coco", "a", "-o", "b", "--multipart", "largest"],
        "Error: --multipart is about outlines; pass --geometry poly with it, or leave it out\n",
    ),
    (["convert", "coco", "a", "-o", "b", "--order", "size"], "'size' is not one of 'reading', 'source', 'area'.\n"),
]


@pytest.mark.parametrize(("arguments", "end"), USAGE)
def test_wrong_usage(arguments, end, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(end)
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_are_refused(tmp_path, capsys):
    source = tmp_path / "a.json"
    source.write_bytes(DATA)
    cases = [
        ([str(source), "--overwrite"], f"{source}: is being read; name another output"),
        ([str(tmp_path)], f"{tmp_path}: is a folder; name a file"),
        ([str(tmp_path / "no/out")], f"{tmp_path / 'no/out'}: cannot be written: No such file or directory"),
    ]
    for arguments, message in cases:
        assert run(["convert", "coco", str(source), "-o", *arguments]) == 2
        assert capsys.readouterr().err == f"error: {message}\n"
    assert source.read_bytes() == DATA


@pytest.mark.parametrize("name", ["convert", "coords"])
def test_every_option_is_documented(name, capsys):
    import importlib

    command = importlib.import_module(f"coordspec_cli.{name}").command
    text = DOCS.read_text()
    missing = [o for p in command.params for o in p.opts if o.startswith("--") and f"`{o}" not in text]
    assert not missing


# ---------------------------------------------------------------- with the images


def image_sizes_agree(out, root):
    for value in lines_of(out):
        with Image.open(root / value["images"][0]) as image:
            assert image.size == (value["width"], value["height"])


@pytest.mark.parametrize("geometry", list(WrittenGeometry))
def test_lvis_is_clean(tmp_path, geometry):
    out = tmp_path / "out.jsonl"
    assert run(["convert", "coco", str(SMALL / "lvis.json"), "-o", str(out), "--geometry", geometry.value]) == 0
    image_sizes_agree(out, SMALL)
    assert run(["validate", str(out), "--check-images", "--image-root", str(SMALL)]) == 0


@pytest.mark.skipif(TINY is None or not TINY.is_dir(), reason="shared/data/coco_tiny is not here")
@pytest.mark.parametrize("coords", list(CoordForm))
@pytest.mark.parametrize("geometry", list(WrittenGeometry))
def test_coco_tiny_is_clean(tmp_path, geometry, coords):
    out = tmp_path / "out.jsonl"
    arguments = ["--geometry", geometry.value, "--coords", coords.value, "--image-prefix", "val2017"]
    assert run(["convert", "coco", str(TINY / "instances_val2017.json"), "-o", str(out), *arguments]) == 0
    values = lines_of(out)
    assert (len(values), sum(len(value["objects"]) for value in values)) == (80, 804)
    image_sizes_agree(out, TINY)
    assert run(["validate", str(out), "--check-images", "--image-root", str(TINY)]) == 0
