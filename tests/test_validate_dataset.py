"""The whole-file checks on realistic random data: silent on sound files, loud on each way to get coordinates wrong."""

from __future__ import annotations

import functools
import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from coordspec.checks.finding import CoordSpace
from coordspec.contracts import rule
from coordspec.coords import TOKENS, bin_from_pixel
from coordspec.errors import Place
from coordspec.findings.outcome import Outcome
from coordspec.validate import run
from coordspec.validate.explain import ValidateOptions
from coordspec.validate.run import Plan, split_file, validate_files

SUSPECTS = ("suspect-xywh", "suspect-pixel-coords", "suspect-double-normalised")
MIN_BOXES = rule("suspect-xywh").params["min_boxes"]

Box = list[float]
Size = tuple[int, int]


class Scene(NamedTuple):
    """The true annotation of an image: boxes as pixel corners x1, y1, x2, y2."""

    size: Size
    boxes: list[Box]


def scenes(seed: int, sizes: Callable[[random.Random], Size], count: int = 150, most: int = 6) -> list[Scene]:
    """Images with 1 to ``most`` objects of all sizes, most of them small, anywhere, some cut by the border."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        width, height = sizes(rng)
        boxes = []
        for _ in range(rng.randint(1, most)):
            w, h = (max(3.0, side * min(0.98, rng.lognormvariate(-1.7, 0.8))) for side in (width, height))
            x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
            # what leaves the picture is cut at its border, which annotations put one past the last pixel
            x2, y2 = (side if rng.random() < 0.05 else end for side, end in ((width, x + w), (height, y + h)))
            boxes.append([x, y, x2, y2])
        found.append(Scene((width, height), boxes))
    return found


def between(low: int, high: int) -> Callable[[random.Random], Size]:
    return lambda rng: (rng.randint(low, high), rng.randint(low, high))


def exactly(width: int, height: int) -> Callable[[random.Random], Size]:
    return lambda _: (width, height)


def bins(box: Box, size: Size) -> list[int]:
    return [bin_from_pixel(value, size[i % 2]) for i, value in enumerate(box)]


def xywh(box: Box) -> Box:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def right(box: Box, size: Size) -> Box:
    return [*bins(box, size)]


def xywh_bins(box: Box, size: Size) -> Box:
    return [*bins(xywh(box), size)]


def xywh_pixels(box: Box, size: Size) -> Box:
    return [round(value) for value in xywh(box)]


def pixels(box: Box, size: Size) -> Box:
    return [min(round(value), size[i % 2]) for i, value in enumerate(box)]


def twice(box: Box, size: Size) -> Box:
    return [*bins([*bins(box, size)], size)]


def unit_rounded(box: Box, size: Size) -> Box:
    return [round(value / size[i % 2]) for i, value in enumerate(box)]


def record(scene: Scene, write: Callable[[Box, Size], Box], tokens: bool = False) -> dict[str, Any]:
    boxes: list[list[Any]] = [write(box, scene.size) for box in scene.boxes]
    if tokens:
        boxes = [[TOKENS[int(k)] for k in box] for box in boxes]
    objects = [{"desc": f"thing {i}", "bbox_2d": box} for i, box in enumerate(boxes)]
    return {"images": ["a.png"], "width": scene.size[0], "height": scene.size[1], "objects": objects}


def check(path: Path, records: list[dict[str, Any]], plan: Plan | None = None, **options: Any) -> Outcome:
    path.write_text("".join(json.dumps(item) + "\n" for item in records))
    return validate_files([str(path)], ValidateOptions(**options), plan or Plan()).outcome


def suspects(outcome: Outcome) -> dict[str, int]:
    return {name: outcome.by_rule[name] for name in SUSPECTS if name in outcome.by_rule}


SOUND = {
    "all sizes": between(320, 4000),
    "small": between(320, 800),
    "about 1000": between(900, 1100),
    "large": between(1300, 4000),
    "320 × 240": exactly(320, 240),
    "VGA": exactly(640, 480),
    "800 × 800": exactly(800, 800),
    "1000 × 1000": exactly(1000, 1000),
    "full HD": exactly(1920, 1080),
    "4000 × 3000": exactly(4000, 3000),
}


@pytest.mark.parametrize("tokens", [False, True], ids=["integers", "tokens"])
@pytest.mark.parametrize("sizes", SOUND.values(), ids=SOUND)
def test_real_bins_are_no_suspects(sizes: Callable[[random.Random], Size], tokens: bool, tmp_path: Path) -> None:
    for seed in range(4):
        for most in (1, 6):
            records = [record(scene, right, tokens) for scene in scenes(seed, sizes, most=most)]
            outcome = check(tmp_path / "a.jsonl", records)
            assert suspects(outcome) == {}, (seed, most)
            assert outcome.errors == 0


XYWH, PIXEL, DOUBLE = SUSPECTS
WRONG: dict[str, tuple[Callable[[Box, Size], Box], Callable[[random.Random], Size], set[str]]] = {
    "x y w h in bins, all sizes": (xywh_bins, between(320, 4000), {XYWH}),
    "x y w h in bins, small": (xywh_bins, exactly(640, 480), {XYWH}),
    "x y w h in bins, large": (xywh_bins, exactly(4000, 3000), {XYWH}),
    "x y w h in pixels, COCO": (xywh_pixels, between(320, 640), {XYWH, PIXEL}),
    "x y w h in pixels, to 1000": (xywh_pixels, between(320, 1000), {XYWH, PIXEL}),
    "x y w h in pixels, large": (xywh_pixels, between(1200, 2400), {XYWH, PIXEL}),
    "pixels, COCO": (pixels, between(320, 640), {PIXEL}),
    "pixels, to 800": (pixels, between(320, 800), {PIXEL}),
    "pixels, VGA": (pixels, exactly(640, 480), {PIXEL}),
    "pixels, about 1200": (pixels, between(1150, 1250), {PIXEL}),
    "pixels, large": (pixels, between(1500, 4000), {PIXEL}),
    "pixels, all sizes": (pixels, between(320, 4000), {PIXEL}),
    "twice, small": (twice, between(320, 640), {DOUBLE}),
    "twice, VGA": (twice, exactly(640, 480), {DOUBLE}),
    "twice, large": (twice, between(1300, 4000), {DOUBLE}),
    "twice, 4000 × 3000": (twice, exactly(4000, 3000), {DOUBLE}),
    "unit floats rounded, small": (unit_rounded, between(320, 640), {DOUBLE}),
    "unit floats rounded, large": (unit_rounded, between(1300, 4000), {DOUBLE}),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_wrong_coordinates_are_suspects(case: tuple[Any, Any, set[str]], tmp_path: Path) -> None:
    write, sizes, names = case
    for seed in range(5):
        records = [record(scene, write) for scene in scenes(seed, sizes)]
        assert suspects(check(tmp_path / "a.jsonl", records)) == dict.fromkeys(names, 1), seed


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_a_suspicion_is_one_warning_on_the_file_whatever_its_parts(
    case: tuple[Any, Any, set[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, sizes, names = case
    records = [record(scene, write) for scene in scenes(1, sizes)]
    path = tmp_path / "a.jsonl"
    whole = check(path, records)
    monkeypatch.setattr(run, "split_file", functools.partial(split_file, part_bytes=2_000))
    parts = check(path, records, Plan(jobs=2))
    assert parts == whole
    found = [issue for issue in whole.issues if issue.name in SUSPECTS]
    assert {issue.name for issue in found} >= names
    assert len({issue.name for issue in found}) == len(found)
    for issue in found:
        assert (issue.severity.value, issue.place) == ("warning", Place(str(path)))
    assert check(path, records, space=CoordSpace.PIXEL).by_rule.keys().isdisjoint(SUSPECTS)


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_few_boxes_raise_no_suspicion(case: tuple[Any, Any, set[str]], tmp_path: Path) -> None:
    write, sizes, _ = case
    for seed in range(5):
        few = [record(scene, write) for scene in scenes(seed, sizes, count=MIN_BOXES - 1, most=1)]
        assert suspects(check(tmp_path / "a.jsonl", few)) == {}


EXAMPLES = [
    # a box in an image of 640 × 480 that is wrong for certain, and the rule
    ([0, 0, 1, 1], None),
    ([0, 0, 0, 1], "suspect-double-normalised"),
]


@pytest.mark.parametrize(("box", "name"), EXAMPLES)
def test_the_first_count_of_boxes_that_is_enough(box: Box, name: str | None, tmp_path: Path) -> None:
    item = record(Scene((640, 480), [box]), lambda box, _: box)
    for count in (1, MIN_BOXES - 1, MIN_BOXES):
        found = set(suspects(check(tmp_path / "a.jsonl", [item] * count)))
        assert (name in found) == (name is not None and count == MIN_BOXES), count


def test_pixel_coordinates_take_several_records(tmp_path: Path) -> None:
    """Thirty boxes in one image are one image's worth of evidence."""
    for count, found in ((1, {}), (9, {}), (10, {"suspect-pixel-coords": 1})):
        records = [record(scene, pixels) for scene in scenes(3, exactly(320, 240), count=count, most=1)]
        for item in records:
            item["objects"] = [{"desc": f"{i}", "bbox_2d": [10, 20, 310, 200 + i]} for i in range(MIN_BOXES)]
        assert suspects(check(tmp_path / "a.jsonl", records)) == found, count


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 1.0])
def test_swapped_corners_are_no_width_and_height(share: float, tmp_path: Path) -> None:
    for seed in range(5):
        rng = random.Random(seed)
        records = [record(scene, right) for scene in scenes(seed, between(320, 2000))]
        swapped = 0
        for item in (item for line in records for item in line["objects"]):
            if rng.random() < share:
                box = item["bbox_2d"]
                item["bbox_2d"] = [*box[2:], *box[:2]]
                swapped += 1
        outcome = check(tmp_path / "a.jsonl", records)
        assert suspects(outcome) == {}, seed
        assert outcome.by_rule["inverted-box"] > 0.9 * swapped


def test_a_few_wrong_records_in_a_sound_file_are_no_suspects(tmp_path: Path) -> None:
    for seed in range(5):
        sound = [record(scene, right) for scene in scenes(seed, between(320, 4000))]
        for write, sizes, _ in WRONG.values():
            few = [record(scene, write) for scene in scenes(seed, sizes, count=3)]
            assert suspects(check(tmp_path / "a.jsonl", sound + few)) == {}, write


def test_polygons_and_negatives_raise_no_suspicion(tmp_path: Path) -> None:
    outline = {"desc": "cat", "poly": [1, 2, 300, 2, 300, 200]}
    records = [
        {"images": ["a.png"], "width": 320, "height": 240, "objects": [{**outline, "desc": str(i)} for i in range(9)]}
    ]
    negatives = [{**records[0], "objects": []}]
    assert check(tmp_path / "a.jsonl", records * 50 + negatives * 50).by_rule == {}


MESSAGES = [
    (
        PIXEL,
        [100, 80, 319, 239],
        "the coordinates look like pixels: in 0 of the 60 images that could tell a box reaches past the image's own "
        "width or height, and in bins from 0 to 999 most would",
    ),
    (
        DOUBLE,
        [1, 0, 1, 1],
        "the coordinates look normalised twice: 60 of 60 boxes lie in bins 0 to 2 and have no area",
    ),
]


@pytest.mark.parametrize(("name", "box", "message"), MESSAGES)
def test_what_is_said(name: str, box: Box, message: str, tmp_path: Path) -> None:
    records = [record(Scene((640, 480), [box]), lambda box, _: box)] * 60
    outcome = check(tmp_path / "a.jsonl", records, rules=frozenset([name]))
    assert [issue.message for issue in outcome.issues] == [message]


def test_what_is_said_of_large_images(tmp_path: Path) -> None:
    records = [record(Scene((2000, 2000), [[10, 10, 400, 400]]), lambda box, _: box)] * 60
    outcome = check(tmp_path / "a.jsonl", records)
    assert [issue.message for issue in outcome.issues] == [
        "the coordinates look normalised twice: in 0 of 60 images with sides of at least 1300 pixels a box reaches "
        "beyond pixel 1000"
    ]


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.jsonl", b""), ("a.jsonl.gz", gzip.compress(b"", mtime=0)), ("a.jsonl", b"\n"), ("a.jsonl", b"\xef\xbb\xbf")],
)
def test_a_file_without_records(name: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    outcome = validate_files([str(path)], ValidateOptions()).outcome
    assert outcome.errors > 0
    if outcome.records == 0:
        assert [(i.code, i.name, i.message, i.place.line) for i in outcome.issues] == [
            ("DAT004", "no-records", "the file holds no records", None)
        ]
    assert validate_files([str(path)], ValidateOptions(rules=frozenset(["coord-range"]))).outcome.errors == 0


def test_an_unreadable_file_is_not_called_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(b"no gzip")
    outcome = validate_files([str(path)], ValidateOptions()).outcome
    assert (outcome.by_rule, len(outcome.unreadable)) == ({}, 1)
