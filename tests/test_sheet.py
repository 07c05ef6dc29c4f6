"""The contact sheet: what is judged right, where boxes and labels are drawn, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from coordspec.evaluate.judge import Judged, judge, match_counts
from coordspec.infer.sheet import _EDGE, _PAPER, _RIGHT, _TRUTH, _WRONG, Layout, draw_sheet
from coordspec.predictions.record import PredictedObject, Prediction
from coordspec.record import DetObject, Record

GREY = (128, 128, 128)
SIDE = 100
BOX = (200, 200, 800, 800)
CAT = DetObject("cat", bbox_2d=BOX)
LAYOUT = Layout(columns=2, cell=200)


def record(*objects: DetObject, name: str = "a.png") -> Record:
    return Record((name,), SIDE, SIDE, objects)


def prediction(*objects: PredictedObject, truncated: bool = False) -> Prediction:
    return Prediction(0, ("a.png",), SIDE, SIDE, objects, truncated=truncated)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (SIDE, SIDE), GREY).save(tmp_path / "a.png")
    return tmp_path


@pytest.mark.parametrize(
    ("predicted", "right", "found"),
    [
        ([PredictedObject("Cat", bbox_2d=BOX)], (True,), (True,)),
        ([PredictedObject("dog", bbox_2d=BOX)], (False,), (False,)),
        ([PredictedObject("cat", bbox_2d=(200, 200, 800, 450))], (False,), (False,)),
        ([PredictedObject("cat", bbox_2d=BOX)] * 2, (True, False), (True,)),
        ([PredictedObject("cat", poly=(200, 200, 800, 200, 800, 800))], (True,), (True,)),
        ([], (), (False,)),
    ],
)
def test_what_is_right(predicted: list[PredictedObject], right: tuple[bool, ...], found: tuple[bool, ...]) -> None:
    before = record(CAT), prediction(PredictedObject("cat", bbox_2d=BOX))
    after = record(), prediction(PredictedObject("cat", bbox_2d=BOX))
    judged = judge([before[0], record(CAT), after[0]], [before[1], prediction(*predicted), after[1]])
    assert [item.right for item in judged] == [(True,), right, (False,)]
    assert [item.found for item in judged] == [(True,), found, ()]


def test_a_record_without_prediction() -> None:
    (judged,) = judge([record(CAT)], [None])
    assert (judged.right, judged.found) == ((), (False,))
    assert match_counts([judged]).f1 == 0
    assert match_counts(judge([record()], [None])).f1 is None


def test_f1_counts_all_records() -> None:
    one = PredictedObject("cat", bbox_2d=BOX)
    judged = judge([record(CAT), record(CAT)], [prediction(one, one), None])
    assert match_counts(judged).f1 == pytest.approx(2 * 1 / (2 + 2))


def cell_of(folder: Path, item: Judged) -> Image.Image:
    """The part of a sheet that shows the image of its only record."""
    sheet = draw_sheet([item], folder, LAYOUT, "title")
    left, top = next((x, y) for y in range(sheet.height) for x in range(sheet.width) if sheet.getpixel((x, y)) == GREY)
    return sheet.crop((left, top, left + LAYOUT.cell, top + LAYOUT.cell))


def colours(image: Image.Image) -> set[Any]:
    return {colour for _, colour in image.getcolors(1 << 20) or []}


@pytest.mark.parametrize(("desc", "colour"), [("cat", _RIGHT), ("dog", _WRONG)])
def test_predictions_are_solid_lines(folder: Path, desc: str, colour: tuple[int, int, int]) -> None:
    far = PredictedObject(desc, bbox_2d=BOX)
    (item,) = judge([record(DetObject("cat", bbox_2d=(200, 200, 799, 800)))], [prediction(far)])
    cell = cell_of(folder, item)
    right = round(0.8 * (LAYOUT.cell - 1))
    for y in range(round(0.25 * LAYOUT.cell), round(0.75 * LAYOUT.cell)):
        assert cell.getpixel((right + 1, y)) == colour
    assert ({_RIGHT, _WRONG} - {colour}).isdisjoint(colours(cell))


def test_ground_truth_is_dashed(folder: Path) -> None:
    (item,) = judge([record(CAT)], [None])
    cell = cell_of(folder, item)
    x = round(0.8 * (LAYOUT.cell - 1))
    line = [cell.getpixel((x, y)) for y in range(round(0.22 * LAYOUT.cell), round(0.78 * LAYOUT.cell))]
    assert set(line) == {_TRUTH, _EDGE}
    assert 8 < sum(a != b for a, b in pairwise(line)) < 30
    assert cell.getpixel((x + 4, 100)) == GREY


def test_a_label_stays_in_the_image(folder: Path) -> None:
    at_corner = PredictedObject("w" * 200, bbox_2d=(900, 0, 999, 50))
    (item,) = judge([record()], [prediction(at_corner)])
    cell = cell_of(folder, item)
    assert cell.getpixel((LAYOUT.cell - 1, 1)) == _WRONG
    assert cell.getpixel((LAYOUT.cell // 3, 1)) == GREY, "a label takes a part of the width"


def test_images_keep_their_proportions(tmp_path: Path) -> None:
    Image.new("RGB", (100, 50), GREY).save(tmp_path / "a.png")
    (item,) = judge([Record(("a.png",), 100, 50)], [None])
    cell = cell_of(tmp_path, item)
    assert cell.getpixel((199, 99)) == GREY
    assert cell.getpixel((199, 100)) == _PAPER


def test_the_same_input_gives_the_same_pixels(folder: Path) -> None:
    judged = judge([record(CAT)] * 3, [prediction(PredictedObject("cat", bbox_2d=BOX), truncated=True)] * 3)
    sheets = [draw_sheet(judged, folder, LAYOUT, "title") for _ in range(2)]
    assert sheets[0].tobytes() == sheets[1].tobytes()
    assert sheets[0].width > 2 * LAYOUT.cell
    assert sheets[0].height > 2 * LAYOUT.cell


def test_the_command(folder: Path, coordspec: Callable[..., Any]) -> None:
    lines = [{"images": ["a.png"], "width": SIDE, "height": SIDE, "objects": [CAT.fields("int")]}]
    (folder / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "p.jsonl").write_text(prediction(PredictedObject("cat", bbox_2d=BOX)).line() + "\n")
    words = ["sheet", "p.jsonl", "a.jsonl", "-o", "sheet.png", "--columns", 1, "--cell", 120]
    assert coordspec(*words) == (0, "sheet.png: 1 of 1 record\n", "")
    first = (folder / "sheet.png").read_bytes()
    with Image.open(folder / "sheet.png") as picture:
        assert picture.height == 120 + 90
        assert picture.width > 300, "the key to the colours fits in"
    assert coordspec(*words).err.startswith("error: sheet.png: exists already")
    assert coordspec(*words, "--overwrite").status == 0
    assert (folder / "sheet.png").read_bytes() == first
    assert coordspec(*words, "--overwrite", "--font", "a.png").err.startswith("error: a.png: is no font")
    (folder / "other.jsonl").write_text((folder / "p.jsonl").read_text().replace("a.png", "b.png"))
    refused = coordspec("sheet", "other.jsonl", "a.jsonl", "-o", "new.png")
    assert refused == (2, "", "error: other.jsonl: holds no prediction for a record of a.jsonl\n")
    assert coordspec("sheet", "p.jsonl", "a.jsonl", "-o", "a.jsonl", "--overwrite").status == 2


def test_a_missing_image_stops_it(folder: Path, coordspec: Callable[..., Any]) -> None:
    (folder / "a.jsonl").write_text('{"images": ["b.png"], "width": 9, "height": 9, "objects": []}\n')
    (folder / "p.jsonl").write_text(
        Prediction(0, ("b.png",), 9, 9, (PredictedObject("cat", bbox_2d=BOX),)).line() + "\n"
    )
    done = coordspec("sheet", "p.jsonl", "a.jsonl", "-o", "sheet.png")
    assert (done.status, (folder / "sheet.png").exists()) == (2, False)
    assert "b.png" in done.err
