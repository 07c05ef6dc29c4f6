"""Statistics of contract files: every number counted by hand, nothing counted that breaks the contract."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordspec import stats
from coordspec.checks.finding import CoordSpace
from coordspec.stats import CappedCounter, Stats, collect
from coordspec_cli.main import run

LIMIT = 1 << 20
BOX = {"desc": "cat", "bbox_2d": [0, 0, 999, 999]}


def line(*objects: Any, width: int = 640, height: int = 480, **more: Any) -> str:
    record = {"images": ["a.png"], "width": width, "height": height, "objects": list(objects), **more}
    return json.dumps(record, ensure_ascii=False)


def box(*corners: Any, desc: str = "cat") -> dict[str, Any]:
    return {"desc": desc, "bbox_2d": list(corners)}


def tokens(*bins: int) -> list[str]:
    return [f"<|coord_{k}|>" for k in bins]


def counted(*lines: str | bytes, space: CoordSpace = CoordSpace.NORM1000) -> dict[str, Any]:
    made = Stats(space)
    for text in lines:
        data = text.encode() if isinstance(text, str) else text
        made.add_line(data, len(data), LIMIT)
    return made.value()


def non_zero(value: Any, key: str) -> dict[str, int]:
    return {f"{b['from']}-{b['to']}": b[key] for b in value if b[key]}


def test_the_value_of_nothing():
    value = counted()
    assert list(value) == [
        *("coord_space", "records", "unusable", "blank", "negatives", "objects", "objects_per_record", "geometry"),
        *("coord_form", "descs", "zero_area", "box_area_share", "box_pixel_area", "image_size"),
    ]
    assert value["objects_per_record"]["mean"] is value["objects_per_record"]["min"] is None
    assert value["geometry"] == {"bbox_2d": 0, "poly": 0}
    assert value["coord_form"] == {"float": 0, "int": 0, "token": 0}
    assert value["descs"] == {"distinct": 0, "left_out": 0, "top": []}
    assert value["box_pixel_area"] == {"small": 0, "medium": 0, "large": 0}
    nothing = {"min": None, "max": None}
    assert value["image_size"] == {"width": nothing, "height": nothing, "distinct": 0, "left_out": 0, "top": []}
    assert json.loads(json.dumps(value)) == value


def test_every_key_is_documented():
    text = Stats.value.__doc__ or ""
    assert [key for key in counted() if f"``{key}``" not in text] == []


def test_counts():
    value = counted(
        line(box(0, 0, 999, 999), {"desc": "dog", "poly": tokens(0, 0, 99, 0, 99, 99)}, summary="x"),
        line(box(*tokens(1, 1, 3, 3)), {"desc": "cat", "poly": [[5, 5], [8, 5], [8, 9]]}, width=320),
        line(),
        line(width=320),
    )
    assert (value["records"], value["negatives"], value["objects"], value["unusable"]) == (4, 2, 4, 0)
    assert value["geometry"] == {"bbox_2d": 2, "poly": 2}
    assert value["coord_form"] == {"float": 0, "int": 2, "token": 2}
    assert value["descs"]["top"] == [{"desc": "cat", "count": 3}, {"desc": "dog", "count": 1}]
    per_record = value["objects_per_record"]
    assert (per_record["min"], per_record["mean"], per_record["max"]) == (0, 1.0, 2)
    assert non_zero(per_record["histogram"], "records") == {"0-0": 2, "2-2": 2}
    assert value["image_size"] == {
        "width": {"min": 320, "max": 640},
        "height": {"min": 480, "max": 480},
        "distinct": 2,
        "left_out": 0,
        "top": [{"width": 320, "height": 480, "records": 2}, {"width": 640, "height": 480, "records": 2}],
    }


@pytest.mark.parametrize(
    ("count", "bucket"),
    [(0, "0-0"), (1, "1-1"), (2, "2-2"), (3, "3-5"), (5, "3-5"), (6, "6-10"), (100, "51-100"), (101, "101-None")],
)
def test_buckets_of_objects(count, bucket):
    value = counted(line(*[box(0, 0, 9, 9)] * count))
    assert non_zero(value["objects_per_record"]["histogram"], "records") == {bucket: 1}


@pytest.mark.parametrize(
    ("corners", "size", "share", "pixels"),
    [
        ((0, 0, 999, 999), (96, 96), "0.3-1.0", "large"),  # the whole image: 9216 pixels
        ((0, 0, 999, 999), (96, 95), "0.3-1.0", "medium"),
        ((0, 0, 999, 999), (32, 32), "0.3-1.0", "medium"),
        ((0, 0, 999, 999), (32, 31), "0.3-1.0", "small"),
        ((0, 0, 333, 333), (640, 480), "0.1-0.3", "large"),  # a ninth
        ((0, 0, 999, 299), (640, 480), "0.1-0.3", "large"),
        ((0, 0, 999, 300), (640, 480), "0.3-1.0", "large"),
        ((7, 7, 7, 9), (640, 480), "0.0-0.0001", "small"),
        ((0, 0, 999, 999), (10**400, 10**400), "0.3-1.0", "large"),  # sides that no float holds
    ],
)
def test_box_sizes(corners, size, share, pixels):
    value = counted(line(box(*corners), width=size[0], height=size[1]))
    assert non_zero(value["box_area_share"], "boxes") == {share: 1}
    assert value["box_pixel_area"] == {name: int(name == pixels) for name in ("small", "medium", "large")}
    assert value["zero_area"] == int(corners == (7, 7, 7, 9))


def test_a_poly_counts_with_its_enclosing_box():
    value = counted(line({"desc": "cat", "poly": [0, 0, 999, 0, 999, 999]}))
    assert non_zero(value["box_area_share"], "boxes") == {"0.3-1.0": 1}


def test_pixel_space():
    text = line(box(0, 0, 32, 31.5), box(0, 0, 640, 480))
    value = counted(text, space=CoordSpace.PIXEL)
    assert value["coord_form"] == {"float": 1, "int": 1, "token": 0}
    assert value["box_pixel_area"] == {"small": 1, "medium": 0, "large": 1}
    assert non_zero(value["box_area_share"], "boxes") == {"0.003-0.01": 1, "0.3-1.0": 1}
    assert counted(text)["unusable"] == 1


@pytest.mark.parametrize(
    ("data", "blank"),
    [
        (b"not json", 0),
        (b"", 1),
        (b" \t\r", 1),
        (b"\x89PNG\x00\xff", 0),
        (b"[]", 0),
        (b"\xef\xbb\xbf" + line(BOX).encode(), 0),
        (line(BOX).encode()[:-1] + b', "width": 3}', 0),
        (line(box(1, 2, 3)).encode(), 0),
        (line(box(9, 9, 1, 1)).encode(), 0),
        (line({"desc": " ", "bbox_2d": [1, 2, 3, 4]}).encode(), 0),
    ],
)
def test_lines_that_break_the_contract_are_left_out(data, blank):
    value = counted(data, line(BOX))
    assert (value["records"], value["objects"], value["unusable"], value["blank"]) == (1, 1, 1, blank)


def test_warnings_are_counted_in():
    assert counted(line(BOX, BOX, colour=3))["objects"] == 2


def test_a_line_above_the_limit_is_unusable(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(line(BOX) + "\n" + line(BOX, summary="x" * 400) + "\n")
    assert collect([str(path)], CoordSpace.NORM1000, 300).value()["unusable"] == 1


@given(st.lists(st.sampled_from("abcdefgh")))
def test_a_capped_counter_loses_nothing(keys):
    counter: CappedCounter[str] = CappedCounter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stats, "MAX_DISTINCT", 3)
        for key in keys:
            counter.add(key)
    kept = list(dict.fromkeys(keys))[:3]
    assert dict(counter.counts) == {key: keys.count(key) for key in kept}
    assert counter.left_out == sum(key not in kept for key in keys)
    assert counter.top(2) == sorted(counter.counts.items(), key=lambda item: (-item[1], item[0]))[:2]


def test_long_descs_are_capped_together(monkeypatch):
    monkeypatch.setattr(stats, "MAX_DISTINCT_CHARS", 10)
    value = counted(line(*(box(0, 0, 9, 9, desc=desc) for desc in ("a" * 8, "b" * 3, "cc", "a" * 8, "d"))))
    assert value["descs"]["left_out"] == 2
    assert [(d["desc"], d["count"]) for d in value["descs"]["top"]] == [("aaaaaaaa", 2), ("cc", 1)]


@given(st.lists(st.lists(st.tuples(*[st.integers(0, 999)] * 4), max_size=6), max_size=6))
def test_every_object_is_in_one_bucket_of_each_kind(records):
    value = counted(*(line(*(box(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in r)) for r in records))
    total = sum(map(len, records))
    assert value["objects"] == sum(b["boxes"] for b in value["box_area_share"]) == total
    assert sum(value["geometry"].values()) == sum(value["coord_form"].values()) == total
    assert sum(value["box_pixel_area"].values()) == sum(d["count"] for d in value["descs"]["top"]) == total
    assert sum(b["records"] for b in value["objects_per_record"]["histogram"]) == len(records)


# ------------------------------------------------------------------ the command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.jsonl").write_text(line(BOX) + "\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress((line(BOX, box(1, 1, 5, 5, desc="dog")) + "\n").encode()))
    (tmp_path / "notes.txt").write_text("no records")
    return tmp_path


def test_json_of_a_folder(folder, capsys):
    assert run(["stats", str(folder), "--format", "json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value.pop("files") == [f"{folder}/a.jsonl", f"{folder}/b.jsonl.gz"]
    assert value == counted(line(BOX), line(BOX, box(1, 1, 5, 5, desc="dog")))


def test_tables(folder, capsys):
    assert run(["stats", str(folder)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    rows = [tuple(row.split("  ")[:1]) + (row.split()[-1],) for row in said.out.splitlines() if row]
    for row in [("files", "2"), ("records", "2"), ("objects", "3"), ("distinct descriptions", "2"), ("cat", "2")]:
        assert row in rows
    assert "640 x 480        2" in said.out.splitlines()
    assert "1                1  50.0%  ##############################" in said.out.splitlines()


def test_text_from_data_cannot_reach_the_terminal(tmp_path, capsys):
    evil = "[red]a[/red] [/] \u202e\u2028\x9b b:cat:" + "x" * 100
    path = tmp_path / "a.jsonl"
    path.write_text(line(box(1, 2, 3, 4, desc=evil.replace("\x9b", "")), box(1, 2, 3, 4, desc=":cat:")))
    assert run(["stats", str(path)]) == 0
    out = capsys.readouterr().out
    assert r"[red]a[/red] [/] \u202e\u2028 b:cat:xxxxxxxxx" in out
    assert "\u202e" not in out
    assert "x" * 100 in out, "nothing is cut where no terminal has to hold it"
    assert "\n:cat:" in out


def test_json_is_ascii(tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text(line(box(1, 2, 3, 4, desc="猫\u202e")))
    assert run(["stats", str(path), "--format", "json"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out)["descs"]["top"][0]["desc"] == "猫\u202e"


def test_a_narrow_encoding_gets_escapes(tmp_path, spawn):
    path = tmp_path / "a.jsonl"
    path.write_text(line(box(1, 2, 3, 4, desc="猫")))
    done = spawn("stats", path, env={"PYTHONIOENCODING": "ascii"})
    assert (done.status, done.err) == (0, "")
    assert r"\u732b" in done.out


@pytest.mark.parametrize(
    ("content", "args", "note"),
    [
        (b"x\n", [], "note: 1 unusable line left out; `coordspec validate {}` says what is wrong with them\n"),
        (
            b"\x00\xff\n\n",
            ["--coord-space", "pixel"],
            "note: 2 unusable lines left out; "
            "`coordspec validate --coord-space pixel {}` says what is wrong with them\n",
        ),
    ],
)
def test_unusable_lines_are_said_and_fail(content, args, note, tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    assert run(["stats", str(path), *args]) == 1
    assert capsys.readouterr().err == note.format(path)


def test_the_hint_names_few_files(tmp_path, capsys):
    for name in "abcd":
        (tmp_path / name).write_text("x\n")
    paths = [str(tmp_path / name) for name in "abcd"]
    assert run(["stats", *paths]) == 1
    assert f"`coordspec validate {' '.join(paths[:3])} …` says" in capsys.readouterr().err


def test_an_empty_file_has_no_tables_of_nothing(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text("")
    assert run(["stats", str(tmp_path / "a.jsonl")]) == 0
    titles = [row for row in capsys.readouterr().out.splitlines() if row[:1].isupper()]
    assert titles == ["Contents"]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["nope.jsonl"], "error: nope.jsonl: no such file or folder"),
        (["*.nope"], "error: *.nope: no file matches"),
        ([], "Error: Missing argument 'FILE...'."),
        (["a", "--max-line-bytes", "0"], "Error: Invalid value for '--max-line-bytes': 0 is not in the range x>=1."),
        (["a", "--format", "csv"], "Error: Invalid value for '--format': 'csv' is not one of 'text', 'json'."),
        (
            ["a", "--coord-space", "unit"],
            "Error: Invalid value for '--coord-space': 'unit' is not one of 'norm1000', 'pixel'.",
        ),
    ],
)
def test_usage_errors(args, error, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["stats", *args]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == error


def test_a_folder_without_records_and_a_broken_gzip_are_errors(tmp_path, capsys):
    assert run(["stats", str(tmp_path)]) == 2
    (tmp_path / "a.jsonl.gz").write_bytes(b"no gzip")
    assert run(["stats", str(tmp_path)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"error: {tmp_path}: no .jsonl, .jsonl.gz, .jsonl.zst file in this folder"
    assert second.startswith(f"error: {tmp_path}/a.jsonl.gz: Not a gzipped file")


def test_standard_input(spawn):
    assert json.loads(spawn("stats", "-", "--format", "json", input=line(BOX).encode()).out)["records"] == 1
