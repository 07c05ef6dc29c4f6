"""Bindings of ``openspec/specs/evaluation``: the report page."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from spec_tools import ERROR, Done, coordspec, folder

from browser import DESKTOP, PHONE, Opened, browser, eventually, opened, scrolls_sideways
from coordspec.checks.paths import check_image_path
from coordspec.contracts import rule
from coordspec.errors import Place
from coordspec.pages.thumbnail import Picture, thumbnail
from coordspec.predictions.record import Dropped, PredictedObject
from coordspec.predictions.run import Run, write_run
from coordspec.record import DetObject
from coordspec.spec.binding import harness, scenario
from evaluate_scenes import prediction
from report_samples import (
    CAT,
    CAT_BOX,
    DOG,
    DOG_BOX,
    EVIL,
    EVIL_SHOWN,
    FAR_BOX,
    charts,
    data_of,
    facts,
    found,
    record,
    table,
    write_images,
    write_predictions,
    write_records,
    write_scenes,
)
from report_samples import write_run as write_run_folder

pytestmark = pytest.mark.page

PAGE = Path("page.html")


def report(*words: object) -> Done:
    return coordspec("report", *words, "-o", PAGE)


def value() -> dict[str, Any]:
    return data_of(PAGE)


# -------------------------------------------------------------------------------------------------------- report pages


@scenario("evaluation", "Report pages", "A data file with faults", digest="e37a002c0c26")
def test_a_data_file_with_faults() -> None:
    with folder():
        write_records(record(CAT, name="a.png"), record(DOG, name="b.png"))
        first, last = Path("data.jsonl").read_text().splitlines()
        Path("data.jsonl").write_text("\n".join([first, ERROR, last]) + "\n")
        done = report("data.jsonl")
        made = value()
    assert (done.status, done.out) == (1, "page.html: 2 records\n")
    (listed,) = made["findings"]["listed"]
    assert (listed["code"], listed["line"], listed["place"].split(":")[:2]) == ("GEO003", 2, ["data.jsonl", "2"])
    assert listed["message"] == "objects[0].bbox_2d[2]: 1000 is above the maximum 999"
    assert [card["place"] for card in made["gallery"]["cards"]] == ["data.jsonl:1", "data.jsonl:3"]
    assert "1 line that broke the contract left out of all but the findings." in made["notes"]


@scenario("evaluation", "Report pages", "Predictions", digest="2a22a8e6e3cd")
def test_predictions() -> None:
    wrong = PredictedObject("cat", FAR_BOX)
    with folder():
        scenes = [(record(CAT, name=f"{i}.png"), guess) for i, guess in enumerate(([found(CAT)], [wrong], None))]
        write_scenes(*scenes)
        done = report("preds.jsonl", "data.jsonl")
        whole = value()
        part = report("preds.jsonl", "data.jsonl", "--partial", "--overwrite")
        partial = value()
    assert (done.status, done.out) == (1, "page.html: 3 records\n")
    assert (facts(whole)["F1"], facts(whole)["objects"]) == ("0.400", "3")
    assert [(item["code"], item["line"]) for item in whole["findings"]["listed"]] == [("PRD008", 3)]
    assert (part.status, part.out, facts(partial)["F1"]) == (0, "page.html: 2 records\n", "0.500")


@scenario("evaluation", "Report pages", "A run", digest="3b0ba21b5f1d")
def test_a_run() -> None:
    lines = [{"step": 10, "loss": 3.0}, {"step": 20, "loss": 2.0}, {"step": 20, "eval/loss": 2.5}]
    config = {"model": {"path": "qwen"}, "training": {"learning_rate": 0.002, "betas": [0.9, 0.95]}}
    with folder():
        write_run_folder(lines, config)
        done = report("run")
        made = value()
    assert (done.status, done.out) == (0, "page.html: A training run: 3 logged lines, 1 checkpoint\n")
    assert table(made, "Checkpoints") == [["checkpoint-20", 20, "2.5000"]]
    wanted = [["model.path", "qwen"], ["training.learning_rate", "0.002"], ["training.betas", "[0.9, 0.95]"]]
    assert table(made, "Config") == wanted


@harness("report-refused")
def report_refused(words: str, text: str) -> None:
    with folder():
        write_scenes((record(CAT), [found(CAT)]))
        write_records(record(CAT, name="other.png"), name="other-data.jsonl")
        write_run_folder([{"step": 20, "loss": 1.0}])
        files = {"empty": "", "other": '{"a": 1}\n', "dumps": '{"target": {}}\n', "broken": '{"images": []}\n'}
        for name, content in files.items():
            Path(f"{name}.jsonl").write_text(content)
        for name in ("folder", "void"):
            Path(name).mkdir()
        Path("folder/a.jsonl").write_text("")
        Path("there.html").write_text("kept")
        before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
        call = words.split()
        done = coordspec("report", *call) if "-o" in call else report(*call)
        assert (done.status, done.out) == (2, "")
        assert text in done.err
        assert "Traceback" not in done.err
        assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


# -------------------------------------------------------------------------------------------------------------- charts


@scenario("evaluation", "Charts of a report", "Every logged loss", digest="99c5232b3bba")
def test_every_logged_loss() -> None:
    lines: list[dict[str, float]] = [
        {"step": 10, "loss": 3.0, "loss/base_ce": 1.0, "loss/some_term": math.nan, "grad_norm": 7.0},
        {"step": 20, "loss": 2.0, "loss/base_ce": 0.5, "loss/some_term": 4.0, "grad_norm": 8.0},
        {"step": 20, "eval/loss": 2.5, "eval/f1@0.5": 0.25},
    ]
    with folder():
        write_run_folder(lines)
        report("run")
        made = charts(value())
    series = {title: {one["name"]: one["points"] for one in chart["series"]} for title, chart in made.items()}
    assert series["loss"] == {"training": [[10, 3], [20, 2]], "data.val": [[20, 2.5]]}
    assert series["loss/base_ce"] == {"training": [[10, 1], [20, 0.5]]}
    assert series["loss/some_term"] == {"training": [[20, 4]]}
    assert made["loss/some_term"]["about"] == "1 value that is no finite number is not drawn."
    assert series["grad_norm"] == {"training": [[10, 7], [20, 8]]}
    assert series["F1 over steps, by IoU threshold"] == {"IoU 0.5": [[20, 0.25]]}
    assert series.keys() - {"F1 by IoU threshold"} == {
        *("loss", "loss/base_ce", "loss/some_term", "grad_norm", "F1 over steps, by IoU threshold")
    }


@scenario("evaluation", "Charts of a report", "F1, sizes and reliability", digest="f77c12c6dc86")
def test_f1_sizes_and_reliability() -> None:
    near = DetObject("dog", (520, 510, 910, 905))
    with folder():
        write_scenes(
            (record(CAT, DOG, name="a.png"), [found(CAT, score=0.9), found(near, score=0.4)]),
            (record(DOG, name="b.png"), [PredictedObject("dog", FAR_BOX, score=0.7)]),
        )
        report("preds.jsonl", "data.jsonl")
        made = charts(value())
        words = ("eval", "preds.jsonl", "data.jsonl", "--format", "json", "--bootstrap", 0)
        numbers = coordspec(*words).report
    wanted = [[row["iou"], float(f"{row['f1']:.6g}")] for row in numbers["boxes"]["class_aware"]["by_threshold"]]
    assert len(wanted) == 10
    assert made["F1 by IoU threshold"]["series"][0] == {"name": "F1", "points": wanted}
    assert made["Scores"]["bins"] == numbers["calibration"]["score"]["bins"]
    rows = made["Objects by size, and those found"]["rows"]
    assert (sum(row["count"] for row in rows), sum(row["part"] for row in rows)) == (3, 2)


# -------------------------------------------------------------------------------------------------------------- images


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@contextmanager
def shown(chromium: Browser, *words: object, size: tuple[int, int] = DESKTOP) -> Iterator[Opened]:
    """The page of a report, in a browser."""
    done = report(*words)
    assert done.status in (0, 1), done.err
    with opened(chromium, PAGE.absolute(), size) as found:
        yield found


PREDS = ("preds.jsonl", "data.jsonl")


def cards(page: Page) -> list[str]:
    names: list[str] = page.locator(".card .file").all_text_contents()
    return names


def three_records() -> None:
    """F1 1, 0 with two false positives, and 0.5 with two missed objects; in the order a, b, c."""
    guesses = [PredictedObject("cat", FAR_BOX), PredictedObject("dog", FAR_BOX)]
    write_scenes(
        (record(CAT, name="a.png"), [found(CAT)]),
        (record(DOG, name="b.png"), guesses),
        (record(CAT, DOG, DetObject("cow", FAR_BOX), name="c.png"), [found(CAT)]),
    )


@scenario("evaluation", "Images of a report", "Outcomes", digest="ec3b399254a1")
def test_outcomes(chromium: Browser) -> None:
    wrong = PredictedObject("cow", (500, 500, 900, 700))
    with folder():
        write_scenes((record(CAT, DOG), [found(CAT), wrong]))
        with shown(chromium, *PREDS) as window:
            page = window.page
            for kind, dashes in {"matched": "none", "fp": "9px, 5px", "fn": "0.1px, 4px"}.items():
                lines = page.locator(f".card .shape.{kind} .line")
                expect(lines).to_have_count(1)
                expect(lines).to_have_css("stroke-dasharray", dashes)
            page.locator(".open").click()
            rows = page.locator(".objects li").all_inner_texts()
    assert [row.split()[:3] for row in rows] == [["▲", "cow", "false"], ["◆", "dog", "missed"], ["●", "cat", "right"]]
    assert "IoU 0.50 with dog" in rows[0]


@scenario("evaluation", "Images of a report", "Polygons", digest="fd5fc0583bfb")
def test_polygons(chromium: Browser) -> None:
    with folder():
        item = record(DetObject("sail", poly=(0, 0, 999, 0, 999, 999)))
        write_records(item)
        write_images(item)
        with shown(chromium, "data.jsonl") as window:
            expect(window.page.locator(".card .line")).to_have_attribute("d", "M0 0L999 0L999 999Z")


@scenario("evaluation", "Images of a report", "Filters", digest="1e684a3b2303")
def test_filters(chromium: Browser) -> None:
    with folder():
        three_records()
        with shown(chromium, *PREDS, "--order", "file") as window:
            page = window.page
            eventually(lambda: cards(page), ["a.png", "b.png", "c.png"])
            page.locator("#category").select_option("cat")
            eventually(lambda: cards(page), ["a.png", "b.png", "c.png"])
            page.locator("#outcome").select_option("matched")
            eventually(lambda: cards(page), ["a.png", "c.png"])
            page.locator("#search").fill("COW")
            eventually(lambda: cards(page), ["c.png"])
            expect(page.locator(".status")).to_have_text("1 of 3 records.", use_inner_text=True)
            page.locator("#category").select_option("")
            page.locator("#outcome").select_option("fn")
            eventually(lambda: cards(page), ["c.png"])
            page.locator("#search").fill("")
            eventually(lambda: cards(page), ["b.png", "c.png"])
            page.locator("#outcome").select_option("perfect")
            eventually(lambda: cards(page), ["a.png"])
            page.locator("#search").fill("nothing like it")
            expect(page.locator(".status")).to_have_text("0 of 3 records.", use_inner_text=True)


@scenario("evaluation", "Images of a report", "Order", digest="30f7021c7cb6")
def test_order(chromium: Browser) -> None:
    orders = {"f1": "bca", "fp": "bac", "fn": "cba", "file": "abc"}
    with folder():
        three_records()
        with shown(chromium, *PREDS) as window:
            for order, wanted in orders.items():
                window.page.locator("#order").select_option(order)
                eventually(lambda: cards(window.page), [f"{name}.png" for name in wanted])
        for order, wanted in orders.items():
            report(*PREDS, "--order", order, "--overwrite")
            assert "".join(card["path"][0] for card in value()["gallery"]["cards"]) == wanted


@scenario("evaluation", "Images of a report", "Not all of them", digest="d682f3f8bc77")
def test_not_all_of_them(chromium: Browser) -> None:
    with folder():
        right, wrong = [found(CAT)], [PredictedObject("cat", FAR_BOX)]
        write_scenes(*((record(CAT, name=f"{i}.png"), right if i < 2 else wrong) for i in range(4)))
        with shown(chromium, *PREDS, "--max-images", 2) as window:
            status = window.page.locator(".status").inner_text()
            eventually(lambda: cards(window.page), ["2.png", "3.png"])
        again = report(*PREDS, "--max-images", 2, "--overwrite")
        assert facts(value())["F1"] == "0.500"
    assert status == "2 records. This page holds 2 of 4 records: those with the lowest F1."
    assert again.out == "page.html: 2 of 4 records shown, those with the lowest F1; see --max-images\n"


@scenario("evaluation", "Images of a report", "Keys", digest="a244ed34891e")
def test_keys(chromium: Browser) -> None:
    with folder():
        three_records()
        with shown(chromium, *PREDS, "--order", "file") as window:
            page = window.page
            focused = "document.activeElement.dataset.at ?? document.activeElement.id"
            page.keyboard.press("j")
            eventually(lambda: page.evaluate(focused), "0")
            page.keyboard.press("Enter")
            titles = []
            for key in ("j", "k"):
                titles.append(page.locator("#record-title").inner_text())
                page.keyboard.press(key)
            titles.append(page.locator("#record-title").inner_text())
            assert titles == ["a.png", "b.png", "a.png"]
            page.keyboard.press("Escape")
            expect(page.locator("dialog")).to_be_hidden()
            eventually(lambda: page.evaluate(focused), "0")
            page.keyboard.press("/")
            eventually(lambda: page.evaluate(focused), "search")


@scenario("evaluation", "Images of a report", "Widths", digest="e317a9e822ab")
def test_widths(chromium: Browser) -> None:
    long = DetObject("word" * 40, CAT_BOX)
    with folder():
        item = record(long, DOG, name=f"{'deep/' * 20}{'name' * 20}.png")
        write_scenes((item, [PredictedObject("x" * 90, DOG_BOX), found(long, score=0.5)]), text="z" * 5000)
        with shown(chromium, *PREDS) as window:
            page = window.page
            page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
            for width, height in (DESKTOP, PHONE, (320, 568)):
                page.set_viewport_size({"width": width, "height": height})
                for scheme in ("light", "dark"):
                    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                    assert not scrolls_sideways(page)
                    page.locator(".open").click()
                    page.locator("dialog details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
                    assert not scrolls_sideways(page)
                    expect(page.locator("dialog")).to_be_visible()
                    eventually(
                        lambda: page.locator("dialog").evaluate("one => one.scrollWidth <= one.clientWidth"), True
                    )
                    page.keyboard.press("Escape")


@scenario("evaluation", "Images of a report", "Cards as they are needed", digest="1befef4190c7")
def test_cards_as_they_are_needed(chromium: Browser) -> None:
    with folder():
        write_records(*(record(CAT, name=f"{i}.png") for i in range(60)))
        with shown(chromium, "data.jsonl", size=(1280, 400)) as window:
            page = window.page
            expect(page.locator(".card")).to_have_count(24)
            expect(page.locator(".status")).to_have_text("60 records.", use_inner_text=True)
            page.locator("#search").fill("59.png")
            eventually(lambda: cards(page), ["59.png"])
            page.locator("#search").fill("")
            page.locator("h1").click()
            for _ in range(60):
                page.keyboard.press("j")
            eventually(lambda: page.evaluate("document.activeElement.dataset.at"), "59")


# ------------------------------------------------------------------------------------------------------- one safe file


def pages_of_each_kind(name: str = "") -> Iterator[tuple[object, ...]]:
    """The words of three reports about files in the working directory, full of hostile text if ``name`` is."""
    here = name and f"{name}/"
    evil = EVIL if name else "cat"
    item = record(DetObject(evil, CAT_BOX), name=f"{name}.png" if name else "a.png")
    write_records(item, name=f"{here}data.jsonl")
    write_images(item, root=here or ".")
    guess = prediction(item, PredictedObject(evil, FAR_BOX), text=evil, dropped=(Dropped(evil, "bad_key"),))
    run = Run(evil, "0f", 1, {evil: {evil: [evil]}})
    preds = f"{here}preds.jsonl"
    write_predictions(prediction(item, *guess.objects, text=evil, dropped=guess.dropped, run=run.id), name=preds)
    write_run(preds, run)
    write_run_folder([{"step": 20, evil: 1.0, f"loss/{evil}": 1.0}], {evil: {evil: evil}}, folder=f"{here}run")
    yield (f"{here}data.jsonl",)
    yield preds, f"{here}data.jsonl"
    yield (f"{here}run",)


@scenario("evaluation", "One safe file", "One file", digest="bd2867739768")
def test_one_file(chromium: Browser) -> None:
    with folder():
        for words in pages_of_each_kind():
            with shown(chromium, *words, "--overwrite") as window:
                page = window.page
                policy = page.locator("meta[http-equiv]").get_attribute("content")
                sources = page.locator("img").evaluate_all("all => all.map((one) => one.src.slice(0, 23))")
                assert set(sources) <= {"data:image/jpeg;base64,"}
                assert (len(words), len(sources)) in {(1, 0), (1, 1), (2, 1)}
                refused = page.evaluate("fetch('https://example.org/').then(() => false, () => true)")
                assert refused
                assert window.complaints
                window.complaints.clear()
                window.requests[:] = [url for url in window.requests if "example.org" not in url]
            assert policy is not None
            parts = dict(part.split(" ", 1) for part in policy.split("; "))
            assert (parts["default-src"], parts["img-src"]) == ("'none'", "data:")
            assert [len(parts[name].split()) for name in ("style-src", "script-src")] == [1, 1]
            assert parts["script-src"].startswith("'sha256-")


@scenario("evaluation", "One safe file", "Hostile text", digest="bc7f87d071b0")
def test_hostile_text(chromium: Browser) -> None:
    with folder():
        for words in pages_of_each_kind(EVIL):
            if words[0] == f"{EVIL}/data.jsonl":
                line = json.loads(Path(str(words[0])).read_text())
                line["objects"][0]["desc"] = EVIL + "<|im_end|>"
                with Path(str(words[0])).open("a") as stream:
                    stream.write(json.dumps(line) + "\n")
            elif len(words) == 2:
                data = Path(str(words[1]))
                data.write_text(data.read_text("utf-8").split("\n")[0] + "\n", "utf-8")
            with shown(chromium, *words, "--overwrite") as window:
                page = window.page
                expect(page).to_have_title(EVIL_SHOWN + str(words[0])[len(EVIL) :])
                expect(page.locator("h1")).to_have_text(page.title(), use_inner_text=True)
                page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
                if page.locator(".open").count():
                    page.locator(".open").click()
                    page.locator("dialog details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
                    expect(page.locator("#record-title")).to_have_text(EVIL_SHOWN + ".png", use_inner_text=True)
                    expect(page.locator(".objects .desc").first).to_have_text(EVIL_SHOWN, use_inner_text=True)
                text = page.locator("body").inner_text()
                expect(page.locator("script")).to_have_count(2)
                expect(
                    page.locator("main script, dialog script, img:not([src^='data:image/jpeg;base64,'])")
                ).to_have_count(0)
                assert not {"\u202e", "\u2028"} & set(text)
                wanted = {1: "OBJ003" if "data" in str(words[0]) else f"{EVIL_SHOWN}.{EVIL_SHOWN}", 2: "bad_key"}
                if len(words) == 2:
                    expect(page.locator(".output pre")).to_have_text(EVIL_SHOWN, use_inner_text=True)
                    expect(page.locator(".dropped code")).to_have_text(EVIL_SHOWN, use_inner_text=True)
                    expect(page.locator("#tables")).to_contain_text(f"{EVIL_SHOWN}.{EVIL_SHOWN}")
                else:
                    expect(page.locator("main")).to_contain_text(wanted[1])
                    twice = re.compile(f"{re.escape(EVIL_SHOWN)}.*{re.escape(EVIL_SHOWN)}", re.DOTALL)
                    expect(page.locator("main")).to_contain_text(twice)


@scenario("evaluation", "One safe file", "Paths that leave the root", digest="2523125ae7a1")
def test_paths_that_leave_the_root() -> None:
    with folder() as here:
        Path("root").mkdir()
        Image.new("RGB", (64, 48), (255, 0, 0)).save("secret.png")
        write_records(record(CAT, name="sound.png"), name="root/data.jsonl")
        (sound,) = Path("root/data.jsonl").read_text().splitlines()
        paths = [
            "../secret.png",
            str(here / "secret.png"),
            "file:///secret.png",
            "a/../../secret.png",
            "..\\secret.png",
        ]
        bad = [sound.replace("sound.png", json.dumps(path)[1:-1]) for path in paths]
        Path("root/data.jsonl").write_text("\n".join([sound, *bad]) + "\n")
        done = report("root/data.jsonl")
        made = value()
        assert done.status == 1
        assert [card["image"] for card in made["gallery"]["cards"]] == [None]
        assert [item["line"] for item in made["findings"]["listed"]] == [2, 3, 4, 5, 6]
        for path in paths:
            picture = thumbnail(Picture(Path("root"), path, 64, 48, 0))
            assert picture.uri is None
            (issue,) = (rule(item.rule).issue(Place(""), item.values) for item in check_image_path(path, ()))
            assert picture.note == issue.message
