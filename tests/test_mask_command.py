"""``coordspec mask``: what it reads and refuses, what it prints, and the page as a file."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import rollouts
from conftest import Done
from coordspec.pages import thumbnail as thumbnails
from coordspec.pages.html import html_page, json_in_script
from coordspec.pages.thumbnail import Picture
from coordspec.record import CoordForm, DetObject, Record
from mask_samples import (
    CAT,
    DOG,
    NAME,
    RECORD,
    ROLLOUT,
    dump_line,
    entry,
    write_data,
    write_images,
    write_rollouts,
    write_set,
)
from qwen_tokenizer import ids_of

pytestmark = pytest.mark.terminal

Run = Callable[..., Done]
T = ("--tokenizer", "tokenizer.json")
R = ("--rollouts", "rollouts.jsonl")


@pytest.fixture
def mask(coordspec: Run) -> Run:
    """``coordspec mask data.jsonl --tokenizer tokenizer.json …``"""
    return lambda *words: coordspec("mask", "data.jsonl", *T, *words)


def samples(done: Done) -> list[dict[str, Any]]:
    assert "Traceback" not in done.err
    assert done.status in (0, 1), done.err
    found: list[dict[str, Any]] = json.loads(done.out)["samples"]
    return found


def data_of(page: str) -> dict[str, Any]:
    """The data in a page, as a browser finds it: scripts end at the first closing tag."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    value: dict[str, Any] = json.loads(found[1])
    return value


# -------------------------------------------------------------------------------------------------------------- inputs


def test_a_record_alone_shows_stage_1(mask: Run, tmp_path: Path) -> None:
    write_set(tmp_path)
    (found,) = samples(mask("--format", "json"))
    assert (found["sample"], found["policy"], found["left_out"]) == ("data.jsonl:1", "stage1", None)
    assert found["image"] == {"path": "images/0.png", "width": 64, "height": 48, "more": 0}
    assert [e["owner"] for e in found["entries"]] == ["fn", "fn", "fn"]
    assert found["report"]["fn"] == [0, 1, 2]


def test_ids_are_taken_as_they_are(mask: Run, tmp_path: Path) -> None:
    write_set(tmp_path)
    ids = [token_id for character in "{" + entry(1, CAT).split("<", 1)[0] for token_id in ids_of(character, NAME)]
    write_rollouts(tmp_path, {"ids": ids, "text": "not this"})
    (found,) = samples(mask(*R, "--format", "json"))
    assert (found["left_out"], found["report"]["truncated"]) == ("".join(entry(1, CAT).split("<", 1)[0]), True)


@pytest.mark.parametrize(("field", "values"), [("index", (1, 0)), ("line", (2, 1))])
def test_whose_rollout_a_line_is(field: str, values: tuple[int, int], mask: Run, tmp_path: Path) -> None:
    write_set(tmp_path, [ROLLOUT, ROLLOUT])
    write_rollouts(tmp_path, *({field: value, "text": f"rollout of line {2 - i}"} for i, value in enumerate(values)))
    found = samples(mask(*R, "--format", "json"))
    assert [item["left_out"] for item in found] == ["rollout of line 1", "rollout of line 2"]
    assert [item["sample"] for item in found] == ["data.jsonl:1", "data.jsonl:2"]


def test_records_without_a_rollout_are_left_out(mask: Run, tmp_path: Path) -> None:
    write_set(tmp_path, [ROLLOUT] * 3)
    write_rollouts(tmp_path, {"index": 1, "text": ROLLOUT})
    done = mask(*R, "--format", "json")
    assert [item["sample"] for item in samples(done)] == ["data.jsonl:2"]
    assert done.err == "note: 2 records without a rollout left out\n"


def test_a_prediction_file_is_a_rollout_file(mask: Run, tmp_path: Path) -> None:
    write_set(tmp_path)
    prediction = {"index": 0, "images": ["images/0.png"], "width": 64, "height": 48, "objects": [], "dropped": [],
                  "truncated": False, "fallback": None, "text": ROLLOUT, "tokens": 3, "run": None}  # fmt: skip
    write_rollouts(tmp_path, prediction)
    assert samples(mask(*R, "--format", "json"))[0]["report"]["matches"] == [[0, 0]]


def test_dumped_targets(coordspec: Run, tmp_path: Path) -> None:
    write_set(tmp_path)
    (tmp_path / "targets.jsonl").write_text(dump_line() + "\n" + dump_line("train.jsonl:9") + "\n", "utf-8")
    done = coordspec("mask", "targets.jsonl", *T, "--lines", "2", "--format", "json")
    (found,) = samples(done)
    assert (found["sample"], found["image"], found["policy"]) == ("train.jsonl:9", None, "unified")


def test_standard_input(spawn: Run, tmp_path: Path) -> None:
    write_set(tmp_path)
    done = spawn("mask", "-", *T, "--format", "json", input=(tmp_path / "data.jsonl").read_bytes())
    assert [item["sample"] for item in samples(done)] == ["-:1"]


def test_more_samples_than_are_shown(mask: Run, tmp_path: Path) -> None:
    write_set(tmp_path, [ROLLOUT] * 6)
    done = mask("--lines", "3-6", "--max-samples", "1", "--format", "json")
    assert [item["sample"] for item in samples(done)] == ["data.jsonl:3"]
    assert done.err == "note: 3 more samples not shown; see --max-samples and --lines\n"


# ------------------------------------------------------------------------------------------------------------- refused


def lines(*values: object) -> bytes:
    return "".join((value if isinstance(value, str) else json.dumps(value)) + "\n" for value in values).encode()


TEXT = {"text": "{}"}
ROLLOUT_FILES: dict[str, tuple[bytes, str]] = {
    "broken": (b"{\n", "rollouts.jsonl:1: "),
    "blank": (lines("", TEXT), "rollouts.jsonl:1: the line is blank (JSN"),
    "a list": (lines([1], TEXT), 'rollouts.jsonl:1: is a list, not an object with "ids" or "text"'),
    "neither": (lines(TEXT, {"txt": "{}"}), 'rollouts.jsonl:2: has neither "ids" nor "text"'),
    "text of another type": (lines({"text": 1}), 'rollouts.jsonl:1: "text" is a string, not an integer'),
    "ids of another type": (lines({"ids": "12"}), 'rollouts.jsonl:1: "ids" is a list of integers'),
    "ids of booleans": (lines({"ids": [True]}), 'rollouts.jsonl:1: "ids" is a list of integers'),
    "foreign id": (lines({"ids": [1, 10**6]}, TEXT), "rollouts.jsonl:1: token 1: the id 1000000 is none of this"),
    "negative id": (lines({"ids": [-1]}, TEXT), "rollouts.jsonl:1: token 0: the id -1 is none of this"),
    "huge id": (lines({"ids": [10**30]}, TEXT), "rollouts.jsonl:1: token ids are a flat sequence of integers"),
    "lone surrogate": (b'{"text": "\\ud800"}\n', "rollouts.jsonl:1: "),
    "empty": (b"", "data.jsonl:1: has no rollout: rollouts.jsonl has 0 lines and data.jsonl has 2; without"),
    "negative index": (lines({"index": -1, **TEXT}), 'rollouts.jsonl:1: "index" is an integer from 0, not -1'),
    "line zero": (lines({"line": 0, **TEXT}), 'rollouts.jsonl:1: "line" is an integer from 1, not 0'),
    "index of text": (lines({"index": "0", **TEXT}), "rollouts.jsonl:1: \"index\" is an integer from 0, not '0'"),
    "mixed": (
        lines({"index": 0, **TEXT}, TEXT),
        'rollouts.jsonl:2: has neither "index" nor "line", and line 1 the field "index"; all lines say it in one way',
    ),
}


@pytest.mark.parametrize("case", ROLLOUT_FILES)
def test_rollouts_that_are_refused(case: str, mask: Run, tmp_path: Path) -> None:
    write_set(tmp_path, [ROLLOUT] * 2)
    data, message = ROLLOUT_FILES[case]
    (tmp_path / "rollouts.jsonl").write_bytes(data)
    done = mask(*R)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"error: {message}"), done.err


USAGE: dict[str, tuple[tuple[str, ...], str]] = {
    "no tokenizer": (("data.jsonl",), "Missing option '--tokenizer'"),
    "no such tokenizer": (("data.jsonl", "--tokenizer", "x"), "Path 'x' does not exist"),
    "tokenizer of JSON": (("data.jsonl", "--tokenizer", "data.jsonl"), "data.jsonl: is no tokenizer of the tokenizers"),
    "no such data": (("x.jsonl", *T), "error: x.jsonl: No such file"),
    "a folder": ((".", *T), "error: .: Is a directory"),
    "an image": (("images/0.png", *T), "error: "),
    "no such rollouts": (("data.jsonl", *T, "--rollouts", "x"), "error: x: No such file"),
    "unknown policy": (("data.jsonl", *T, "--policy", "x"), "'x' is not one of"),
    "policy without rollouts": (("data.jsonl", *T, "--policy", "unified"), "--policy unified needs --rollouts"),
    "ground truth rows": (("data.jsonl", *T, *R, "--policy", "stage1"), "--policy stage1 is for the ground truth"),
    "gate without rollouts": (("data.jsonl", *T, "--iou-gate", "0.5"), "--iou-gate does nothing without --rollouts"),
    "gate": (("data.jsonl", *T, *R, "--iou-gate", "2"), "2.0 is not in the range 0<=x<=1"),
    "sample": (("data.jsonl", *T, "--lines", "a"), "'a' is neither a line number from 1 nor a range such as 10-12"),
    "beyond": (("data.jsonl", *T, "--lines", "1,9"), "error: data.jsonl: has 1 line, and --lines names line 9"),
    "overwrite": (("data.jsonl", *T, "--overwrite"), "--overwrite does nothing without --html"),
    "twice stdin": (("-", *T, "--rollouts", "-"), "only one of DATA and --rollouts can be standard input"),
    "dump and policy": (("dump.jsonl", *T, "--policy", "unified"), "--policy does nothing with dumped targets, which"),
    "dump and rollouts": (
        ("dump.jsonl", *T, *R),
        "--rollouts does nothing with dumped targets, which dump.jsonl holds",
    ),
    "dump and gate": (("dump.jsonl", *T, "--iou-gate", "0.3"), "--iou-gate does nothing with dumped targets"),
    "dump and root": (("dump.jsonl", *T, "--image-root", "."), "--image-root does nothing with dumped targets"),
    "broken dump": (("half.jsonl", *T), "error: half.jsonl:1: is no dumped target: Object missing required field"),
    "dump of objects": (("wrong.jsonl", *T), "error: wrong.jsonl:1: is no dumped target: "),
    "a record after dumps": (("dump.jsonl", *T, "--lines", "2"), "error: dump.jsonl:2: is no dumped target"),
    "empty": (("empty.jsonl", *T), "error: empty.jsonl: is empty, so there is nothing to look at"),
    "escaping image": (("escape.jsonl", *T), "escape.jsonl:1: images[0]: "),
    "page over data": (("data.jsonl", *T, "--html", "data.jsonl", "--overwrite"), "data.jsonl: is being read"),
    "page over tokenizer": (
        ("data.jsonl", "--tokenizer", ".", "--html", "tokenizer.json", "--overwrite"),
        "tokenizer.json: is being read",
    ),
    "page over rollouts": (("data.jsonl", *T, *R, "--html", "rollouts.jsonl", "--overwrite"), "is being read"),
    "page over an image": (("data.jsonl", *T, "--html", "images/0.png", "--overwrite"), "images/0.png: is being read"),
    "page exists": (("data.jsonl", *T, "--html", "old.html"), "old.html: exists already; name another output"),
    "page is a folder": (("data.jsonl", *T, "--html", "images"), "images: is a folder; name a file"),
    "no such folder": (("data.jsonl", *T, "--html", "x/out.html"), "x/out.html: cannot be written: "),
}


@pytest.mark.parametrize("case", USAGE)
def test_wrong_usage(case: str, coordspec: Run, tmp_path: Path) -> None:
    write_set(tmp_path)
    record = RECORD.line(CoordForm.INT)
    (tmp_path / "dump.jsonl").write_text(dump_line() + "\n" + record + "\n", "utf-8")
    (tmp_path / "half.jsonl").write_text('{"target": {}}\n')
    (tmp_path / "wrong.jsonl").write_text(dump_line().replace('"desc": "dog"', '"desc": ""', 1) + "\n", "utf-8")
    (tmp_path / "escape.jsonl").write_text(record.replace("images/a.png", "../a.png") + "\n", "utf-8")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "old.html").write_text("old")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    words, message = USAGE[case]
    done = coordspec("mask", *words)
    assert (done.status, done.out) == (2, "")
    assert message in " ".join(done.err.split()) or message in done.err, done.err
    assert "Traceback" not in done.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


# --------------------------------------------------------------------------------------------------------------- forms


def test_the_text_is_as_wide_as_the_terminal(mask: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")
    lines = mask(*R).out.splitlines()
    assert lines[0] == "data.jsonl:1  images/0.png 64×48"
    assert 50 < max(len(line) for line in lines if re.match(" {4}[^ ]", line)) <= 60


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_colours_in_a_terminal(mask: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    mask(*R)
    text = terminal.getvalue()
    assert "\x1b[32m\x1b[4m" in text  # matched, underlined: in the cross entropy
    assert re.search(r"\x1b\[31m[^\x1b]*object_2", text)  # false positive, not underlined


def test_an_encoding_without_these_characters(spawn: Run, tmp_path: Path) -> None:
    write_set(tmp_path)
    env = {"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "ascii", "PYTHONPATH": ":".join(sys.path)}
    done = spawn("mask", "data.jsonl", *T, *R, env=env)
    assert done.status == 0
    assert "\\u7897" in done.out


def test_the_json_is_ascii_and_strict(mask: Run, tmp_path: Path) -> None:
    write_set(tmp_path, [ROLLOUT.replace("pink", "\u202e\x7f碗")])
    done = mask(*R, "--format", "json")
    assert done.out.isascii()
    assert set(samples(done)[0]) == {
        *("sample", "policy", "image", "ids", "texts", "ce_weight", "owner", "kind", "bins", "entries", "slots"),
        *("objects", "predictions", "report", "left_out", "issues"),
    }


def test_an_unsound_target_ends_with_1(coordspec: Run, tmp_path: Path) -> None:
    write_set(tmp_path)
    (tmp_path / "dump.jsonl").write_text(dump_line().replace('"ce_weight": [1.0', '"ce_weight": [0.0', 1), "utf-8")
    done = coordspec("mask", "dump.jsonl", *T)
    assert done.status == 1
    assert "MSK" in done.out
    assert samples(coordspec("mask", "dump.jsonl", *T, "--format", "json"))[0]["issues"]


# ---------------------------------------------------------------------------------------------------------- the page


def page_of(mask: Run, tmp_path: Path, *words: str) -> str:
    done = mask("--html", "out.html", "--overwrite", *words)
    assert done.status == 0, done.err
    return (tmp_path / "out.html").read_text("utf-8")


def test_the_page_is_one_file_that_asks_for_nothing(mask: Run, tmp_path: Path) -> None:
    write_set(tmp_path)
    page = page_of(mask, tmp_path, *R)
    assert re.findall(r"https?://[^\"' ]*", page) == ["http://www.w3.org/2000/svg"]
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    assert set(directives) == {"default-src", "img-src", "style-src", "script-src", "base-uri", "form-action"}
    assert directives["default-src"] == directives["base-uri"] == directives["form-action"] == "'none'"
    assert directives["img-src"] == "data:"
    for directive, tag in (("style-src", "style"), ("script-src", "script")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert directives[directive] == f"'sha256-{digest}'"
    assert "innerHTML" not in page
    assert "unsafe" not in policy


def test_the_page_holds_what_json_says(mask: Run, tmp_path: Path) -> None:
    write_set(tmp_path)
    value = data_of(page_of(mask, tmp_path, *R))
    assert value["samples"] == samples(mask(*R, "--format", "json"))
    assert value["thumbnails"][0]["note"] is None
    picture = Image.open(io.BytesIO(base64.b64decode(value["thumbnails"][0]["uri"].partition(",")[2])))
    assert (picture.format, picture.size) == ("JPEG", (64, 48))


def test_html_prints_no_text_unless_asked(mask: Run, tmp_path: Path) -> None:
    write_set(tmp_path)
    done = mask("--html", "out.html")
    assert (done.status, done.out, done.err) == (0, "", "out.html: 1 sample\n")
    done = mask("--html", "out.html")
    assert (done.status, done.err) == (2, "error: out.html: exists already; name another output, or pass --overwrite\n")
    assert samples(mask("--html", "out.html", "--overwrite", "--format", "json"))
    assert "start_id" in mask("--html", "out.html", "--overwrite", "--format", "text").out


EVIL = """</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>"'&amp;]]>"""


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.append(tag)


def test_no_text_of_the_data_becomes_markup(mask: Run, tmp_path: Path) -> None:
    write_set(tmp_path)
    clean = Tags()
    clean.feed(page_of(mask, tmp_path, *R))
    record = Record(("images/</script><script>.png",), 64, 48, (DetObject(EVIL, bbox_2d=(1, 2, 3, 4)), DOG))
    write_data(tmp_path, record)
    write_rollouts(
        tmp_path, "{" + entry(1, DetObject(EVIL, bbox_2d=(1, 2, 3, 9))) + ", " + json.dumps(EVIL) + ": 1}" + EVIL
    )
    page = page_of(mask, tmp_path, *R)
    evil = Tags()
    evil.feed(page)
    assert evil.found == clean.found
    assert EVIL not in page
    value = data_of(page)["samples"][0]
    assert value["left_out"] == EVIL
    assert value["predictions"][0]["desc"] == EVIL
    assert value["report"]["dropped"][0]["key"] == EVIL


@pytest.mark.parametrize("value", ["</script>", "<!--", "&lt;", "\u2028", "碗", "\ud800"])
def test_json_in_a_script_is_that_value(value: str) -> None:
    text = json_in_script([value])
    assert json.loads(text) == [value]
    assert text.isascii()
    assert not set(text) & set("<>&")


def test_the_title_of_a_page_is_text() -> None:
    page = html_page("<b>", style="a{}", script="1", data=1)
    assert "<title>&lt;b&gt;</title>" in page


# --------------------------------------------------------------------------------------------------------------- images


def picture_of(tmp_path: Path, name: str = "a.png", width: int = 64, height: int = 48) -> thumbnails.Thumbnail:
    return thumbnails.thumbnail(Picture(tmp_path, name, width, height, 0))


def decoded(found: thumbnails.Thumbnail) -> Image.Image:
    assert found.uri is not None
    assert found.uri.startswith("data:image/jpeg;base64,")
    return Image.open(io.BytesIO(base64.b64decode(found.uri.partition(",")[2])))


def test_a_large_image_becomes_a_small_one(tmp_path: Path) -> None:
    noise = Image.frombytes("RGB", (2000, 1000), random.Random(1).randbytes(6_000_000))
    noise.save(tmp_path / "a.png")
    found = picture_of(tmp_path, width=2000, height=1000)
    image = decoded(found)
    assert found.note is None
    assert max(image.size) <= 1024
    assert image.width == 2 * image.height
    assert len(found.uri or "") <= 4 * thumbnails.LARGE.max_bytes / 3 + 50


def test_an_image_is_turned_upright_and_loses_its_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "secret"
    Image.new("RGB", (48, 64)).save(tmp_path / "a.jpg", exif=exif)
    found = picture_of(tmp_path, "a.jpg")
    assert decoded(found).size == (64, 48)
    assert "exif" not in decoded(found).info
    assert found.note is None


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1"])
def test_images_of_every_mode(mode: str, tmp_path: Path) -> None:
    name = "a.tif" if mode == "CMYK" else "a.png"
    Image.new(mode, (64, 48)).save(tmp_path / name)
    assert decoded(picture_of(tmp_path, name)).mode == "RGB"


NOTES: dict[str, tuple[str, bool]] = {
    "none": ('the image "a.png" does not exist under ', False),
    "text": ("it is no image of a known format", False),
    "truncated": ("the image cannot be read: image file is truncated", False),
    "other size": ("32×32", True),
}


@pytest.mark.parametrize("case", NOTES)
def test_what_is_wrong_with_an_image_is_a_note(case: str, tmp_path: Path) -> None:
    if case == "text":
        (tmp_path / "a.png").write_text("no image")
    elif case == "truncated":
        Image.frombytes("RGB", (64, 48), random.Random(1).randbytes(64 * 48 * 3)).save(tmp_path / "b.png")
        (tmp_path / "a.png").write_bytes((tmp_path / "b.png").read_bytes()[:500])
    elif case == "other size":
        Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    found = picture_of(tmp_path)
    note, shown = NOTES[case]
    assert note in (found.note or "")
    assert (found.uri is not None) is shown


@pytest.mark.parametrize(("name", "value"), [("MAX_IMAGE_BYTES", 10), ("MAX_IMAGE_PIXELS", 10)])
def test_an_image_over_a_limit_is_not_decoded(
    name: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    monkeypatch.setattr(thumbnails, name, value)
    found = picture_of(tmp_path)
    assert found.uri is None
    assert "10" in (found.note or "")


def test_a_missing_image_does_not_stop_the_page(mask: Run, tmp_path: Path) -> None:
    write_data(tmp_path, RECORD)
    value = data_of(page_of(mask, tmp_path))
    assert value["thumbnails"][0]["uri"] is None
    assert "images/a.png" in value["thumbnails"][0]["note"]


def test_the_image_root(mask: Run, tmp_path: Path) -> None:
    write_data(tmp_path, RECORD)
    write_images(tmp_path / "elsewhere", RECORD)
    assert data_of(page_of(mask, tmp_path, "--image-root", "elsewhere"))["thumbnails"][0]["uri"]


# ---------------------------------------------------------------------------------------------------------------- sizes


def test_many_random_samples(mask: Run, tmp_path: Path) -> None:
    made = [rollouts.sample(random.Random(seed)) for seed in range(50)]
    write_data(tmp_path, *(Record((f"{i}.png",), 64, 48, tuple(gt)) for i, (gt, _) in enumerate(made)))
    write_rollouts(tmp_path, *({"ids": ids_of(text, NAME)} for _, text in made))
    done = mask(*R, "--max-samples", "50", "--format", "json", "--html", "out.html")
    assert done.status == 0
    assert len(samples(done)) == 50


def test_a_long_rollout(mask: Run, tmp_path: Path) -> None:
    objects = [DetObject(f"thing {i}", bbox_2d=(i, i, i + 50, i + 60)) for i in range(150)]
    write_set(tmp_path, ["{" + ", ".join(entry(i, item) for i, item in enumerate(objects, 1))])
    (found,) = samples(mask(*R, "--format", "json"))
    assert len(found["ids"]) > 4_000
    assert found["report"]["truncated"]
