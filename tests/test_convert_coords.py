"""``coordspec coords``: contract files between pixels, integer bins and coord tokens."""

import gzip
import io
import json
import random
import sys
from fractions import Fraction

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from coordspec.checks.finding import CoordSpace
from coordspec.checks.record import check_record
from coordspec.contracts import rule
from coordspec.convert.coords import CoordKind, recode, recode_lines
from coordspec.convert.pixels import MAX_SIDE
from coordspec.coords import BINS, TOKENS, bin_from_pixel, pixel_from_bin
from coordspec.errors import Place, Severity
from coordspec.jsonl.read import read_lines
from coordspec_cli.main import run

INT, TOKEN, PIXEL = CoordKind.INT, CoordKind.TOKEN, CoordKind.PIXEL
NOWHERE = Place("")
LIMIT = 1 << 24


def tokens(*bins):
    return [f"<|coord_{k}|>" for k in bins]


def record(*objects, width=101, height=51, **fields):
    return {"images": ["a.png"], "width": width, "height": height, "objects": list(objects), **fields}


def boxed(coords, **fields):
    return record({"desc": "cat", "bbox_2d": coords}, **fields)


@pytest.fixture
def file(tmp_path):
    """Writes values, or lines of text, to in.jsonl and returns its path."""

    def write(*lines, name="in.jsonl"):
        path = tmp_path / name
        path.write_text("".join((v if isinstance(v, str) else json.dumps(v)) + "\n" for v in lines))
        return path

    return write


def values_of(path):
    return [json.loads(line.data) for line in read_lines(str(path), LIMIT)]


# ---------------------------------------------------------------- what comes out

# What becomes of each form stands in the scenario "One box in three forms"; here: what is left as it is.
CASES = [
    (None, INT, [1, 2, 3, 4], [1, 2, 3, 4]),
    (None, TOKEN, tokens(1, 2, 3, 4), tokens(1, 2, 3, 4)),
    (PIXEL, PIXEL, [0, 0.25, 50, 51], [0, 0.25, 50, 51]),
    (None, PIXEL, tokens(0, 333, 666, 999), [0.0, 333 * 50 / 999, 666 * 100 / 999, 50.0]),
]


@pytest.mark.parametrize(("source", "target", "given_", "wanted"), CASES)
def test_boxes(source, target, given_, wanted):
    assert recode(boxed(given_), source, target, NOWHERE) == boxed(wanted)


def test_objects_of_one_record_may_differ_in_form():
    value = record({"desc": "cat", "bbox_2d": [1, 2, 3, 4]}, {"desc": "dog", "bbox_2d": tokens(1, 2, 3, 4)})
    assert [item["bbox_2d"] for item in recode(value, None, TOKEN, NOWHERE)["objects"]] == [tokens(1, 2, 3, 4)] * 2


def test_the_value_that_came_in_is_left_alone():
    value = record({"desc": "cat", "poly": [[1, 2], [3, 2], [3, 4]]})
    before = json.dumps(value)
    recode(value, None, TOKEN, NOWHERE)
    assert json.dumps(value) == before


# ---------------------------------------------------------------- properties

SIDES = st.integers(1, 20_000) | st.sampled_from([1, 2, 999, 1000, 1001, MAX_SIDE])


@st.composite
def records(draw, coord):
    """Valid records; ``coord`` draws a coordinate for a side."""
    width, height = draw(SIDES), draw(SIDES)
    objects = []
    for _ in range(draw(st.integers(0, 4))):
        points = [(draw(coord(width)), draw(coord(height))) for _ in range(draw(st.integers(2, 5)))]
        if len(points) == 2:
            (x1, x2), (y1, y2) = (sorted(axis) for axis in zip(*points, strict=True))
            objects.append({"desc": "cat", "bbox_2d": [x1, y1, x2, y2]})
        else:
            nested = draw(st.booleans())
            poly = [list(p) for p in points] if nested else [v for p in points for v in p]
            objects.append({"poly": poly, "desc": "cat", "poly_points": len(points)})
    return record(*objects, width=width, height=height)


def bins(_side):
    return st.integers(0, BINS - 1)


def pixels(side):
    return st.integers(0, side) | st.floats(0, side)


def errors(value, space=CoordSpace.NORM1000):
    return [f for f in check_record(value, space) if rule(f.rule).severity is Severity.ERROR]


@given(records(bins))
def test_int_to_token_and_back_is_the_identity(value):
    in_tokens = recode(value, INT, TOKEN, NOWHERE)
    assert not errors(in_tokens)
    assert recode(in_tokens, TOKEN, INT, NOWHERE) == value
    assert recode(in_tokens, None, TOKEN, NOWHERE) == in_tokens


@given(records(bins))
def test_int_to_pixel_and_back_is_the_identity(value):
    in_pixels = recode(value, INT, PIXEL, NOWHERE)
    assert not errors(in_pixels, CoordSpace.PIXEL)
    assert recode(json.loads(json.dumps(in_pixels)), PIXEL, INT, NOWHERE) == value


@given(records(pixels))
def test_pixels_become_a_valid_record_in_bins(value):
    assert not errors(value, CoordSpace.PIXEL)
    assert not errors(recode(value, PIXEL, INT, NOWHERE))
    assert recode(recode(value, PIXEL, INT, NOWHERE), None, TOKEN, NOWHERE) == recode(value, PIXEL, TOKEN, NOWHERE)


def test_every_bin_survives_pixels_at_many_sides():
    sides = [*range(1, 130), *range(990, 1010), 2**16, MAX_SIDE - 1, MAX_SIDE]
    sides += random.Random(0).sample(range(130, 100_000), 200)
    for side in sides:
        assert [bin_from_pixel(pixel_from_bin(k, side), side) for k in range(BINS)] == list(range(BINS)), side


@given(side=SIDES, quarter=st.integers(0, 4 * 20_000))
def test_bin_from_pixel_against_fractions(side, quarter):
    exact = Fraction(999) * Fraction(quarter, 4) / max(1, side - 1)
    assert bin_from_pixel(quarter / 4, side) == min(999, max(0, round(exact)))


# ---------------------------------------------------------------- faults

GOOD = boxed([1, 2, 3, 4])
OF_BOX = "objects[0].bbox_2d"
OF_TOKENS = "pass --from int, or leave --from out to take both forms"
FAULTS = [
    (None, TOKEN, boxed([1, 2, 3.5, 4]), f"{OF_BOX}[2]: 3.5 is a float, not a coordinate (GEO004)"),
    (None, INT, boxed([1, 2, *tokens(3, 4)]), f"{OF_BOX}: the geometry mixes integers and coord tokens (GEO006)"),
    (PIXEL, INT, boxed([1, 2, 101.5, 4]), f"{OF_BOX}[2]: 101.5 is above the maximum 101 (GEO003)"),
    (PIXEL, INT, boxed(tokens(1, 2, 3, 4)), f'{OF_BOX}[0]: "<|coord_1|>" is a string, not a coordinate (GEO004)'),
    (PIXEL, INT, {k: v for k, v in GOOD.items() if k != "height"}, "the required field height is missing (REC001)"),
    (PIXEL, INT, boxed([1, 2, 3, 4], width=10**400), "width is above 2147483647, which no image is"),
    (None, PIXEL, boxed([1, 2, 3, 4], height=2**31), "height is above 2147483647, which no image is"),
    (
        *(TOKEN, INT, record({"desc": "cat", "poly": [[1, 2], [3, 2], [3, 4]]})),
        f"objects[0].poly: is in int form, not in token form as said; {OF_TOKENS}",
    ),
    (None, INT, "", "the line is blank (JSN004)"),
    (None, INT, '{"images": [], "images": []}', 'images: the key "images" stands twice in one object (JSN006)'),
    (
        None,
        INT,
        json.dumps(boxed([1, 2, float("nan"), 4])),
        f"{OF_BOX}[2]: NaN is not a finite number, and not JSON (JSN007)",
    ),
    (None, INT, "<xml>", "not valid JSON: a value was expected, not '<xml>' (JSN001)"),
    (None, INT, [GOOD], "the line holds a list, not a JSON object (JSN005)"),
    (None, INT, "[" * 100_000, f"{'[0]' * 64}: nested deeper than 64 levels (JSN009)"),
]


@pytest.mark.parametrize("case", FAULTS, ids=[c[3][:50] for c in FAULTS])
def test_a_fault_stops_with_its_place(file, tmp_path, capsys, case):
    source, target, line, message = case
    path = file(GOOD if source is not TOKEN else boxed(tokens(1, 2, 3, 4)), line, "never read")
    said = ["--from", source.value] if source else []
    assert run(["coords", str(path), *said, "--to", target.value, "-o", str(tmp_path / "out.jsonl")]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {path}:2: {message}"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "noted"),
    [(["--to", "token"], True), (["--from", "int", "--to", "token"], False)],
)
def test_pixels_that_were_not_said_earn_a_note(file, tmp_path, capsys, arguments, noted):
    path = file(boxed([100, 200, 1500, 400.5]))
    assert run(["coords", str(path), *arguments, "-o", str(tmp_path / "out")]) == 2
    note = "note: if the coordinates are pixels, pass --from pixel\n" if noted else ""
    error = f"error: {path}:1: objects[0].bbox_2d[2]: 1500 is above the maximum 999 (GEO003)\n"
    assert capsys.readouterr().err == note + error


def test_a_long_line_is_refused(file, tmp_path, capsys):
    path = file(GOOD)
    length = path.stat().st_size - 1
    out = ["-o", str(tmp_path / "out.jsonl"), "--to", "int"]
    assert run(["coords", str(path), *out, "--max-line-bytes", str(length - 1)]) == 2
    assert capsys.readouterr().err == (
        f"error: {path}:1: the line is {length} bytes long, above the maximum {length - 1} (JSN010)\n"
    )
    assert run(["coords", str(path), *out, "--max-line-bytes", str(length)]) == 0


def test_files_that_cannot_be_used(file, tmp_path, capsys):
    empty, binary = file(name="empty.jsonl"), tmp_path / "binary"
    binary.write_bytes(b"\x89PNG\r\n\x1a\n")
    torn = tmp_path / "torn.jsonl.gz"
    torn.write_bytes(gzip.compress(b"x" * 999)[:20])
    out = tmp_path / "out.jsonl"
    cases = [
        (empty, f"{empty}: the file holds no records (DAT004)"),
        (binary, f"{binary}:1: not valid UTF-8: byte 0x89 cannot be read (invalid start byte) (JSN002)"),
        (tmp_path, f"{tmp_path}: Is a directory"),
        (tmp_path / "no", f"{tmp_path / 'no'}: No such file or directory"),
        (torn, f"{torn}: broken gzip data: Compressed file ended before the end-of-stream marker was reached"),
    ]
    for path, message in cases:
        assert run(["coords", str(path), "--to", "int", "-o", str(out)]) == 2
        assert capsys.readouterr().err == f"error: {message}\n"
        assert not out.exists()


# ---------------------------------------------------------------- the command

USAGE = [
    (["a", "-o", "b"], "Error: Missing option '--to'. Choose from:\n\tpixel,\n\tint,\n\ttoken\n"),
    (["a", "--to", "int"], "Error: Missing option '-o' / '--output'.\n"),
    (["a", "--to", "float", "-o", "b"], "'float' is not one of 'pixel', 'int', 'token'.\n"),
    (
        ["a", "--from", "pixel", "--to", "pixel", "-o", "b"],
        "Error: --from pixel --to pixel changes nothing; name another form for --to\n",
    ),
    (["a", "--to", "int", "-o", "b", "--max-line-bytes", "0"], "0 is not in the range x>=1.\n"),
]


@pytest.mark.parametrize(("arguments", "end"), USAGE)
def test_wrong_usage(arguments, end, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["coords", *arguments]) == 2
    assert capsys.readouterr().err.endswith(end)
    assert list(tmp_path.iterdir()) == []


def test_report_and_round_trip_through_files(file, tmp_path, capsys):
    path = file(GOOD, boxed(tokens(5, 6, 7, 8), metadata={"id": 10**22 + 1}))
    in_tokens, in_pixels, back = (tmp_path / f"{name}.jsonl" for name in ("token", "pixel", "int"))
    assert run(["coords", str(path), "--to", "token", "-o", str(in_tokens)]) == 0
    assert run(["coords", str(in_tokens), "--from", "token", "--to", "pixel", "-o", str(in_pixels)]) == 0
    assert run(["coords", str(in_pixels), "--from", "pixel", "--to", "int", "-o", str(back)]) == 0
    assert values_of(back) == [GOOD, boxed([5, 6, 7, 8], metadata={"id": 10**22 + 1})]
    assert capsys.readouterr().err == (
        f"{in_tokens}: 2 records, bins and tokens to token\n"
        f"{in_pixels}: 2 records, token to pixel\n"
        f"{back}: 2 records, pixel to int\n"
    )


def test_what_is_read_is_never_replaced(file, capsys):
    path = file(GOOD)
    assert run(["coords", str(path), "--to", "token", "-o", str(path), "--overwrite"]) == 2
    assert capsys.readouterr().err == f"error: {path}: is being read; name another output\n"
    assert values_of(path) == [GOOD]


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_compressed_in_and_out(tmp_path, ending):
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[ending]
    source, out = tmp_path / f"in.jsonl{ending}", tmp_path / f"out.jsonl{ending}"
    source.write_bytes(pack(json.dumps(GOOD).encode() + b"\r\n"))
    assert run(["coords", str(source), "--to", "token", "-o", str(out)]) == 0
    assert values_of(out) == [boxed(tokens(1, 2, 3, 4))]
    assert out.read_bytes()[:2] == pack(b"")[:2] or not ending


def test_standard_streams(monkeypatch, capfdbinary):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(GOOD).encode())))
    assert run(["coords", "-", "--to", "token", "-o", "-"]) == 0
    out, err = capfdbinary.readouterr()
    assert json.loads(out) == boxed([TOKENS[k] for k in (1, 2, 3, 4)])
    assert err == b"standard output: 1 records, bins and tokens to token\n"


def test_lines_come_one_by_one(file):
    lines = recode_lines(str(file(GOOD, "broken")), None, TOKEN, LIMIT)
    assert json.loads(next(lines)) == boxed(tokens(1, 2, 3, 4))
