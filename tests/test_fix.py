"""Repairs: each one alone as data, then what holds of all of them, then the command."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coordspec.checks.finding import CoordSpace
from coordspec.checks.record import check_record
from coordspec.contracts import rule, rule_book
from coordspec.errors import InputError, Severity
from coordspec.jsonl.parse import BOM, parse_line
from coordspec.repair.files import repair_file
from coordspec.repair.lines import RepairOptions, repair_line
from coordspec.repair.objects import SAFE_REPAIRS, UNSAFE_REPAIRS
from coordspec.repair.raw import RawFloat, render
from coordspec_cli.main import run

HEAD = '{"images": ["a.png"], "width": 640, "height": 480, "objects": ['
OPTIONS = RepairOptions()
UNSAFE = RepairOptions(unsafe=True)


def line(*objects: str, tail: str = "") -> bytes:
    return f"{HEAD}{', '.join(objects)}]{tail}}}".encode()


# ------------------------------------------------------------------ one object

# name of the repair, the object before, the object after (None: it is left alone)
OBJECT_CASES: list[tuple[str, str, str | None]] = [
    ("legacy-key", '{"bbox": [1, 2, 3, 4], "desc": "a"}', '{"bbox_2d": [1, 2, 3, 4], "desc": "a"}'),
    ("legacy-key", '{"segmentation": [[1, 2], [3, 4], [5, 7]]}', '{"poly": [[1, 2], [3, 4], [5, 7]]}'),
    ("legacy-key", '{"bbox": ["<|coord_1|>", "<|coord_2|>", "<|coord_3|>", "<|coord_4|>"]}',
     '{"bbox_2d": ["<|coord_1|>", "<|coord_2|>", "<|coord_3|>", "<|coord_4|>"]}'),
    ("legacy-key", '{"bbox": [1.50, 2, 3, 4]}', '{"bbox_2d": [1.50, 2, 3, 4]}'),
    ("legacy-key", '{"bbox": [1, 2, 1, 2]}', '{"bbox_2d": [1, 2, 1, 2]}'),
    ("legacy-key", '{"bbox": [1, 2, 3, 4000]}', '{"bbox_2d": [1, 2, 3, 4000]}'),
    ("legacy-key", '{"bbox": [30, 2, 3, 4]}', None),
    ("legacy-key", '{"bbox": [0, 0, 3, true]}', None),
    ("legacy-key", '{"bbox": [1, 2, 3, "4"]}', None),
    ("legacy-key", '{"bbox": "1 2 3 4"}', None),
    ("legacy-key", '{"bbox": [[1, 2], [3, 4]]}', None),
    ("legacy-key", '{"bbox": [1, 2, 3, 4], "bbox_2d": [1, 2, 3, 4]}', None),
    ("legacy-key", '{"bbox": [1, 2, 3, 4], "segmentation": [[1, 2], [3, 4], [5, 7]]}', None),
    ("legacy-key", '{"bbox": [1, 2, 3, 4], "coords": [1, 2, 3, 4]}', None),
    ("legacy-key", '{"segmentation": [1, 2, 3, 4]}', None),
    ("legacy-key", '{"segmentation": {"counts": "x", "size": [4, 4]}}', None),
    ("legacy-key", '{"line": [1, 2, 3, 4, 5, 7]}', None),
    ("nested-poly", '{"poly": [[1, 2], [3, 4], [5, 7]]}', '{"poly": [1, 2, 3, 4, 5, 7]}'),
    ("nested-poly", '{"poly": [["<|coord_1|>", "<|coord_2|>"], ["<|coord_3|>", "<|coord_4|>"], [5, 7]]}',
     '{"poly": ["<|coord_1|>", "<|coord_2|>", "<|coord_3|>", "<|coord_4|>", 5, 7]}'),
    ("nested-poly", '{"poly": [[1, 2], [3, 4]]}', None),
    ("nested-poly", '{"poly": [[1, 2], [3, 4], [5]]}', None),
    ("nested-poly", '{"poly": [[1, 2], [3, 4], [5, null]]}', None),
    ("nested-poly", '{"poly": [1, 2, 3, 4, 5, 7]}', None),
    ("closing-vertex", '{"poly": [1, 2, 3, 4, 5, 7, 1, 2, 1, 2]}', '{"poly": [1, 2, 3, 4, 5, 7]}'),
    ("closing-vertex", '{"poly": [1.0, 2, 3, 4, 5, 7, 1, 2.0]}', '{"poly": [1.0, 2, 3, 4, 5, 7]}'),
    ("closing-vertex", '{"poly": [1, 2, 3, 4, 5, 7, 1, 2], "poly_points": 4}',
     '{"poly": [1, 2, 3, 4, 5, 7], "poly_points": 3}'),
    ("closing-vertex", '{"poly": [1, 2, 3, 4, 5, 7, 1, 2], "poly_points": 3}',
     '{"poly": [1, 2, 3, 4, 5, 7], "poly_points": 3}'),
    ("closing-vertex", '{"poly": [1, 2, 3, 4, 1, 2]}', None),
    ("closing-vertex", '{"poly": [1, 2, 3, 4, 5, 7, 2, 1]}', None),
    ("closing-vertex", '{"poly": [1, 2, 3, 4, 5, 7, true, 2]}', None),
    ("closing-vertex", '{"poly": [1, 2, 3, 4, 5, 7, 1, 2, 1]}', None),
    ("closing-vertex", '{"poly": [[1, 2], [3, 4], [5, 7], [1, 2]]}', None),
    ("closing-vertex", '{"poly": ["x", 2, 3, 4, 5, 7, "x", 2]}', None),
    ("poly-points-mismatch", '{"poly_points": 9, "poly": [[1, 2], [3, 4], [5, 7]]}',
     '{"poly_points": 3, "poly": [[1, 2], [3, 4], [5, 7]]}'),
    ("poly-points-mismatch", '{"poly": [1, 2, 3, 4, 5, 7], "poly_points": 3}', None),
    ("poly-points-mismatch", '{"poly": [1, 2, 3, 4, 5, 7], "poly_points": "9"}', None),
    ("poly-points-mismatch", '{"poly": [1, 2, 3, 4, 5, 7], "poly_points": true}', None),
    ("poly-points-mismatch", '{"poly": [1, 2, 3, 4, 5], "poly_points": 9}', None),
    ("poly-points-mismatch", '{"bbox_2d": [1, 2, 3, 4], "poly_points": 2}', None),
    ("inverted-box", '{"bbox_2d": [30, 20, 3, 4]}', '{"bbox_2d": [3, 4, 30, 20]}'),
    ("inverted-box", '{"bbox_2d": [3.50, 20, 3.50, 4.0]}', '{"bbox_2d": [3.50, 4.0, 3.50, 20]}'),
    ("inverted-box", '{"bbox_2d": ["<|coord_10|>", "<|coord_2|>", "<|coord_9|>", "<|coord_4|>"]}',
     '{"bbox_2d": ["<|coord_9|>", "<|coord_2|>", "<|coord_10|>", "<|coord_4|>"]}'),
    ("inverted-box", '{"bbox_2d": [3, 2, 30, 4]}', None),
    ("inverted-box", '{"bbox_2d": [30, 2, 3]}', None),
    ("inverted-box", '{"bbox_2d": [30, 2, 3, null]}', None),
    ("inverted-box", '{"bbox": [30, 2, 3, 4]}', None),
]  # fmt: skip


def decoded(text: str) -> Any:
    return json.loads(text, parse_float=RawFloat)


@pytest.mark.parametrize(("name", "before", "after"), OBJECT_CASES)
def test_repairs_one_by_one(name, before, after):
    value = decoded(before)
    result = {**SAFE_REPAIRS, **UNSAFE_REPAIRS}[name](value)
    assert (None if result is None else render(result)) == after
    assert render(value) == before


@pytest.mark.parametrize("name", [*SAFE_REPAIRS, *UNSAFE_REPAIRS])
def test_every_repair_is_tested_and_documented(name):
    outcomes = {after is not None for case, _, after in OBJECT_CASES if case == name}
    assert outcomes == {True, False}
    assert f"`{name}`" in (Path(__file__).parents[1] / "docs/data/FIX.md").read_text()


@pytest.mark.parametrize("found", [r for r in rule_book().by_name.values() if "`coordspec fix`" in r.fix])
def test_what_the_rules_promise_is_done(found):
    """A rule whose hint names this command is repaired in its own bad example."""
    repaired = repair_line(found.bad_line, OPTIONS)
    assert repaired.done[found.name] == 1
    assert repaired.left == {}


# ------------------------------------------------------------------ one line


def test_all_at_once():
    before = line('{"desc": "a", "polygon": [[1, 2], [3, 4], [5, 7], [1, 2]], "poly_points": 7}')
    repaired = repair_line(before, OPTIONS)
    assert repaired.data == line('{"desc": "a", "poly": [1, 2, 3, 4, 5, 7], "poly_points": 3}')
    assert repaired.done == {"legacy-key": 1, "nested-poly": 1, "closing-vertex": 1, "poly-points-mismatch": 1}
    assert repaired.left == {}


# Everything around a repaired object, and every other object, keeps its very characters.
KEPT = [
    ('{"images":["a.png"],"width":640,"height":480,"objects":[', "]}"),
    (HEAD + '{"desc":"caf\\u00e9","bbox_2d":[1,2,3,4]} ,\t', '  ], "summary": "\\/ \\u2028 é"}'),
    (HEAD, '], "metadata": {"f": 1.0, "e": 1e5, "E": 1E+05, "z": -0, "n": -0.0, "b": 123456789012345678901234567890}}'),
    (HEAD, '], "metadata": {"objects": [{"bbox": [1, 2, 3, 4]}], "s": "\\ud83d"}}'),
    (
        ' {"summary": "日本 \\ud83d\\ude00", "images": ["a.png"], "width": 640, "height": 480, "\\u006fbjects": [',
        "] } \t",
    ),
    (HEAD + "[], null, 1.50, ", ', "x"]}'),
]


@pytest.mark.parametrize("end", ["", "\r"])
@pytest.mark.parametrize(("head", "tail"), KEPT)
def test_other_characters_stay(head, tail, end):
    before = f'{head}{{"desc": "a", "bbox": [1, 2, 3, 4], "score": 1.50}}{tail}{end}'
    after = f'{head}{{"desc": "a", "bbox_2d": [1, 2, 3, 4], "score": 1.50}}{tail}{end}'
    assert repair_line(before.encode(), OPTIONS).data == after.encode()


@pytest.mark.parametrize(
    "rest",
    ['"x": 1.0', '"x": -0', '"x": 1E400000000000000000000000000000, "y": 1'.replace("1E4", "0E4"),
     '"x": 99999999999999999999999', '"x": "\\ud83d \\"é\\u0000"', '"x": {"é": [null, true, {}, []]}', '"\\udc00": 1'],
)  # fmt: skip
def test_what_stands_in_a_repaired_object_stays(rest):
    after = repair_line(line(f'{{"desc": "a", "bbox": [1, 2, 3, 4], {rest}}}'), OPTIONS).data
    assert after == line(f'{{"desc": "a", "bbox_2d": [1, 2, 3, 4], {rest}}}')


LEGACY = '{"desc": "a", "bbox": [1, 2, 3, 4]}'
LEFT_ALONE = [
    (b"", {"blank-line": 1}, None),
    (b" \t \r", {"blank-line": 1}, None),
    (BOM, {"byte-order-mark": 1, "blank-line": 1}, None),
    (BOM + line(), {"byte-order-mark": 1}, line()),
    (BOM + BOM + line(), {"byte-order-mark": 1}, line()),
    (BOM + b"{broken", {"byte-order-mark": 1}, b"{broken"),
    (b'{"objects": [' + LEGACY.encode() + b"]", {}, "same"),
    (b'{"objects": 3}', {}, "same"),
    (b'{"images": ["a.png"]}', {}, "same"),
    (b"[1, 2]", {}, "same"),
    (b"null", {}, "same"),
    (b"\xff\xfe\x00", {}, "same"),
    (line(LEGACY, tail=', "width": 640'), {}, "same"),
    (line(LEGACY[:-1] + ', "desc": "b"}'), {}, "same"),
    (line(LEGACY, tail=', "metadata": {"a": 1, "a": 2}'), {}, "same"),
    (BOM + line(LEGACY, tail=', "metadata": {"a": 1, "a": 2}'), {"byte-order-mark": 1},
     line(LEGACY, tail=', "metadata": {"a": 1, "a": 2}')),
    (line(LEGACY, tail=', "metadata": {"a": NaN}'), {}, "same"),
    (line(LEGACY, tail=', "metadata": {"a": ' + "[" * 70 + "]" * 70 + "}"), {}, "same"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "done", "after"), LEFT_ALONE)
def test_lines_that_are_not_rewritten(before, done, after):
    repaired = repair_line(before, OPTIONS)
    assert repaired.done == done
    assert repaired.data == (before if after == "same" else after)


@pytest.mark.parametrize(
    ("before", "left"),
    [
        (line(), {}),
        (b"nope", {"invalid-json": 1}),
        (BOM + b"nope", {"invalid-json": 1}),
        (line(LEGACY, tail=', "width": 640'), {"duplicate-key": 1, "legacy-key": 1}),
        (line('{"desc": "a", "bbox": [30, 2, 3, 4]}', LEGACY), {"legacy-key": 1}),
        (line('{"desc": "a", "bbox": [1, 2, 3, 4], "score": 1}'), {"unknown-field": 1}),
        (line('{"desc": "a", "bbox": [1, 2, 3, 4000]}'), {"coord-range": 1}),
        (line('{"desc": "a", "bbox_2d": [30, 2, 3, 4]}'), {"inverted-box": 1}),
        (line('{"desc": "\\ud800", "bbox": [1, 2, 3, 4]}'), {"lone-surrogate": 1}),
        (b"", {}),
    ],
)
def test_what_is_left(before, left):
    assert repair_line(before, OPTIONS).left == left


def test_unsafe_and_pixels():
    inverted = line('{"desc": "a", "bbox_2d": [300, 2.50, 3, 4]}')
    assert repair_line(inverted, OPTIONS).data == inverted
    assert repair_line(inverted, RepairOptions(True, CoordSpace.PIXEL)) == (
        line('{"desc": "a", "bbox_2d": [3, 2.50, 300, 4]}'), {"inverted-box": 1}, {},
    )  # fmt: skip


def test_a_repair_never_makes_a_line_too_long():
    before = line('{"desc":"a","poly":[[1,2],[3,4],[5,7],[1,9]],"x":[1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9]}')
    limit = RepairOptions(max_line_bytes=len(before))
    assert len(repair_line(before, OPTIONS).data) > len(before)
    assert repair_line(before, limit) == (before, {}, {"unknown-field": 1})


# ------------------------------------------------------------------ what holds of all of them

coordinates = st.one_of(
    st.integers(0, 999),
    st.integers(0, 5),
    st.sampled_from(["<|coord_3|>", "<|coord_5|>", "x", 1.5, -0.0, True, None, 2000]),
)
bins = st.integers(0, 4)
flat = st.lists(bins, min_size=4, max_size=12) | st.lists(coordinates, max_size=12)
pairs = st.lists(st.lists(bins, min_size=2, max_size=2), min_size=2, max_size=6)
closed = pairs.map(lambda p: [*p, p[0]]) | flat.map(lambda f: [*f, *f[:2]])
values = st.one_of(flat, pairs, closed, coordinates)
keys = st.sampled_from(["bbox", "polygon", "segmentation", "coords", "bbox_2d", "poly", "poly_points", "score", "line"])
objects = st.builds(
    lambda desc, rest: {"desc": desc, **rest},
    st.sampled_from(["cat", "猫", "\ud83d", ""]),
    st.dictionaries(keys, values | st.integers(0, 8), max_size=3),
)
polys = st.fixed_dictionaries(
    {"desc": st.just("a"), "poly": closed | pairs}, optional={"poly_points": st.integers(2, 7)}
)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    record = {"images": ["a.png"], "width": 640, "height": 480}
    record["objects"] = draw(st.lists(objects | polys, max_size=4))
    extra = st.dictionaries(st.text(max_size=3), st.floats(allow_nan=False, allow_infinity=False) | st.integers())
    record["metadata"] = draw(extra)
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]))
    data = json.dumps(record, separators=separators).encode()
    cut = draw(st.sampled_from([0, 0, 0, 0, 1]))
    prefix, end = draw(st.sampled_from([b"", b"", b"", BOM, b" "])), draw(st.sampled_from([b"", b"\r"]))
    return prefix + data[: len(data) - cut] + end


def errors(data: bytes) -> bool:
    """Whether a line breaks a rule at error level, asked of the checks themselves."""
    parsed = parse_line(data, len(data), 1 << 24)
    found = [fault.finding.rule for fault in parsed.faults]
    found += [finding.rule for finding in check_record(parsed.value)] if parsed.usable else ["invalid-json"]
    return any(rule(name).severity is Severity.ERROR for name in found)


some = st.sampled_from([OPTIONS, UNSAFE])


@given(st.one_of(lines(), st.binary(max_size=30).map(lambda b: b.replace(b"\n", b""))), some)
@example(BOM + BOM + b"\xef", OPTIONS)
@example(line('{"desc": "a", "poly": [[1, 2], [3, 4], [5, 7], [1, 2], [1, 2]], "poly_points": 5}'), OPTIONS)
def test_a_second_repair_changes_nothing(data, options):
    once = repair_line(data, options)
    if once.data is not None:
        assert repair_line(once.data, options) == (once.data, {}, once.left)


@given(lines(), some)
def test_a_valid_line_stays_valid(data, options):
    repaired = repair_line(data, options)
    if not errors(data):
        assert repaired.data is not None
        assert not errors(repaired.data)
        assert repaired.done.keys() <= {"nested-poly", "closing-vertex"}


@given(lines(), some)
def test_what_is_left_is_what_the_checks_find(data, options):
    repaired = repair_line(data, options)
    left = any(rule(name).severity is Severity.ERROR for name in repaired.left)
    assert repaired.data is not None
    assert left == errors(repaired.data)


@given(lines(), some)
def test_nothing_but_geometry_changes(data, options):
    repaired = repair_line(data, options)
    assert repaired.data is not None
    if not repaired.done.keys() - {"byte-order-mark"}:
        assert data.removeprefix(BOM) == repaired.data
        return
    before, after = json.loads(data.removeprefix(BOM)), json.loads(repaired.data)
    olds, news = before.pop("objects"), after.pop("objects")
    assert before == after
    assert len(olds) == len(news)
    for old, new in zip(olds, news, strict=True):
        assert len(old) == len(new)
        moved = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
        assert moved in ([], [("bbox", "bbox_2d")], [("polygon", "poly")], [("segmentation", "poly")])
        same = old.keys() & new.keys() - {"poly", "poly_points", "bbox_2d"}
        assert all(old[key] == new[key] for key in same)
        if "poly" in new:
            a, b = (points(item.get("poly", item.get("polygon", item.get("segmentation")))) for item in (old, new))
            assert a[: len(b)] == b
            assert all(a[i : i + 2] == b[:2] for i in range(len(b), len(a), 2))


def points(poly: Any) -> list[Any]:
    """The flat form of a poly, by a rule of its own."""
    return [v for p in poly for v in (p if isinstance(p, list) else [p])] if isinstance(poly, list) else [poly]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_render_is_json_dumps(value):
    assert render(value) == json.dumps(value, ensure_ascii=False)


# ------------------------------------------------------------------ one file


def repaired_file(content: bytes, tmp_path: Path, options: RepairOptions = OPTIONS) -> tuple[bytes, dict[str, Any]]:
    source = tmp_path / "in.jsonl"
    source.write_bytes(content)
    output = io.BytesIO()
    report = repair_file(str(source), output, options)
    return output.getvalue(), report.value()


BAD, GOOD = line(LEGACY), line('{"desc": "a", "bbox_2d": [1, 2, 3, 4]}')


@pytest.mark.parametrize(
    ("content", "after"),
    [
        (b"", b""),
        (b"\n\n", b""),
        (BAD, GOOD),
        (BAD + b"\n", GOOD + b"\n"),
        (BAD + b"\r\n\r\n" + BAD + b"\r\n", GOOD + b"\r\n" + GOOD + b"\r\n"),
        (BAD + b"\n \n" + BAD, GOOD + b"\n" + GOOD),
        (GOOD + b"\n  ", GOOD + b"\n"),
        (b"x\x85y\x0bz\x0c\x1c\n\xe2\x80\xa8\n", b"x\x85y\x0bz\x0c\x1c\n\xe2\x80\xa8\n"),
        (bytes(range(256)) * 3, bytes(range(256)) * 3),
    ],
)
def test_line_ends_stay(content, after, tmp_path):
    assert repaired_file(content, tmp_path)[0] == after


def test_the_report(tmp_path):
    content = b"\n".join([BOM + BAD, b"", GOOD, line('{"desc": "a", "bbox": [9, 2, 3, 4], "score": 1}'), b"nope", b""])
    assert repaired_file(content, tmp_path)[1] == {
        "lines": 5,
        "changed": 1,
        "removed": 1,
        "repaired": [
            {"name": "blank-line", "count": 1},
            {"name": "byte-order-mark", "count": 1},
            {"name": "legacy-key", "count": 1},
        ],
        "left": [
            {"rule": "invalid-json", "code": "JSN001", "severity": "error", "count": 1},
            {"rule": "legacy-key", "code": "OBJ006", "severity": "error", "count": 1},
            {"rule": "unknown-field", "code": "REC003", "severity": "warning", "count": 1},
        ],
        "errors_left": 2,
        "warnings_left": 1,
    }


@pytest.mark.parametrize("content", [b"", b"\n \n", BOM + b"\n"])
def test_a_result_without_records_is_an_error_left(content, tmp_path):
    assert repaired_file(content, tmp_path)[1]["left"] == [
        {"rule": "no-records", "code": "DAT004", "severity": "error", "count": 1}
    ]


@pytest.mark.parametrize("count", [1, 2, 9000])
def test_a_line_above_the_limit_stops_everything(count, tmp_path):
    """In one block with other lines, and longer than a block."""
    content = GOOD + b"\n" + b"x" * (len(GOOD) * count + 1) + b"\n" + GOOD + b"\n"
    with pytest.raises(InputError) as caught:
        repaired_file(content, tmp_path, RepairOptions(max_line_bytes=len(GOOD)))
    assert str(caught.value) == (
        f"{tmp_path}/in.jsonl:2: the line is {len(GOOD) * count + 1} bytes long, above the maximum {len(GOOD)}; "
        "split the file into one record a line; raise --max-line-bytes if the record is meant to be this long"
    )


# ------------------------------------------------------------------ the command


@pytest.fixture
def bad_file(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_bytes(BOM + BAD + b"\r\n\n" + GOOD + b"\n")
    return path


def test_fix_and_fix_again(bad_file, tmp_path, capsys):
    once, twice = tmp_path / "once.jsonl", tmp_path / "twice.jsonl"
    assert run(["fix", str(bad_file), "-o", str(once)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        f"{once}: 3 lines read, 1 changed, 1 removed",
        "                 repaired  left  severity",
        "blank-line              1     0",
        "byte-order-mark         1     0",
        "legacy-key              1     0",
        "note: renamed boxes were taken as corners x1, y1, x2, y2; `coordspec validate` warns if they look otherwise",
    ]
    assert once.read_bytes() == GOOD + b"\r\n" + GOOD + b"\n"
    assert run(["fix", str(once), "-o", str(twice)]) == 0
    assert capsys.readouterr().err == (
        f"{twice}: 2 lines read, 0 changed, 0 removed; nothing to repair, and nothing left\n"
    )
    assert twice.read_bytes() == once.read_bytes()


def test_errors_left(bad_file, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    bad_file.write_bytes(line('{"desc": "a", "bbox_2d": [30, 2, 3, 4], "x": 1}') + b"\n")
    assert run(["fix", str(bad_file), "-o", str(out)]) == 1
    assert capsys.readouterr().err.splitlines()[1:] == [
        "               repaired  left  severity",
        "unknown-field         0     1   warning",
        "inverted-box          0     1     error",
        f"note: `coordspec validate {out}` says what is left, and where",
    ]
    assert run(["fix", str(bad_file), "-o", str(out), "--unsafe", "--overwrite"]) == 0
    assert out.read_bytes() == line('{"desc": "a", "bbox_2d": [3, 2, 30, 4], "x": 1}') + b"\n"


def test_coord_space_is_for_what_is_left(bad_file, tmp_path, capsys):
    bad_file.write_bytes(line('{"desc": "a", "bbox": [1.5, 2, 600, 4]}') + b"\n")
    assert run(["fix", str(bad_file), "-o", str(tmp_path / "a")]) == 1
    assert run(["fix", str(bad_file), "-o", str(tmp_path / "b"), "--coord-space", "pixel"]) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    capsys.readouterr()
    bad_file.write_bytes(line('{"desc": "a", "bbox": [1.5, 2, 700, 4]}') + b"\n")
    assert run(["fix", str(bad_file), "-o", str(tmp_path / "c"), "--coord-space", "pixel"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"note: `coordspec validate --coord-space pixel {tmp_path}/c` says what is left, and where"


def test_json_report(bad_file, tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    assert run(["fix", str(bad_file), "-o", str(out), "--format", "json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert list(value) == [
        *("input", "output", "lines", "changed", "removed", "repaired", "left", "errors_left", "warnings_left")
    ]
    assert (value["input"], value["output"], value["lines"]) == (str(bad_file), str(out), 3)
    documented = (Path(__file__).parents[1] / "docs/data/FIX.md").read_text()
    assert [key for key in value if f"`{key}`" not in documented] == []


def test_compressed_in_and_out(bad_file, tmp_path, capsys):
    packed = tmp_path / "in.jsonl.gz"
    packed.write_bytes(gzip.compress(bad_file.read_bytes()))
    assert run(["fix", str(packed), "-o", str(tmp_path / "out.jsonl.gz")]) == 0
    assert gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()) == GOOD + b"\r\n" + GOOD + b"\n"


def test_streams(bad_file, spawn):
    done = spawn("fix", "-", "-o", "-", input=bad_file.read_bytes())
    assert done == (0, (GOOD + b"\r\n" + GOOD + b"\n").decode(), done.err)
    assert done.err.startswith("-: 3 lines read, 1 changed, 1 removed\n")


def test_nothing_is_ever_lost(bad_file, tmp_path, capsys):
    before = bad_file.read_bytes()
    alias, other = tmp_path / "alias.jsonl", tmp_path / "other.jsonl"
    alias.symlink_to(bad_file)
    other.write_bytes(b"mine")
    assert run(["fix", str(bad_file), "-o", str(alias), "--overwrite"]) == 2
    assert capsys.readouterr().err == f"error: {alias}: is being read; name another output\n"
    assert run(["fix", str(bad_file), "-o", str(other), "--overwrite", "--max-line-bytes", "9"]) == 2
    assert (bad_file.read_bytes(), other.read_bytes()) == (before, b"mine")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["alias.jsonl", "in.jsonl", "other.jsonl"]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["nope.jsonl", "-o", "out"], "error: nope.jsonl: No such file or directory"),
        ([".", "-o", "out"], "error: .: Is a directory"),
        (["in.jsonl", "-o", "."], "error: .: is a folder; name a file"),
        (["in.jsonl", "-o", "no/out"], "error: no/out: cannot be written: No such file or directory"),
        (["in.jsonl"], "Error: Missing option '-o' / '--output'."),
        (["-o", "out"], "Error: Missing argument 'IN'."),
        (["in.jsonl", "-o", "-", "--format", "json"],
         "Error: --format json writes the report to stdout; name a file for -o"),
        (["in.jsonl", "-o", "out", "--max-line-bytes", "0"],
         "Error: Invalid value for '--max-line-bytes': 0 is not in the range x>=1."),
        (["in.jsonl", "-o", "out", "--coord-space", "unit"],
         "Error: Invalid value for '--coord-space': 'unit' is not one of 'norm1000', 'pixel'."),
    ],
)  # fmt: skip
def test_usage_errors(args, error, bad_file, monkeypatch, capsys):
    monkeypatch.chdir(bad_file.parent)
    assert run(["fix", *args]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == error
    assert [p.name for p in bad_file.parent.iterdir()] == ["in.jsonl"]
