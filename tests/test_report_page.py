"""The page of ``coordspec report`` in a real browser: links between image and list, layers, keys, charts, contrast."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from browser import DESKTOP, PHONE, Opened, browser, low_contrast, opened, scrolls_sideways
from coordspec.predictions.record import Dropped, PredictedObject
from coordspec.record import DetObject
from coordspec_cli.main import run
from report_samples import CAT, DOG, FAR_BOX, found, record, write_run, write_scenes

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind: predictions of 30 records, their data, and a run."""
    folder = tmp_path_factory.mktemp("report")
    wrong = PredictedObject("cow", (500, 500, 900, 700), score=0.3)
    far = PredictedObject("dog", FAR_BOX, score=0.6)
    scenes: list[Any] = [(record(CAT, DOG, name="0.png"), [found(CAT, score=0.9), wrong, far])]
    scenes += [(record(CAT, name=f"{i}.png", size=(48, 64 + i)), [found(CAT, score=0.8)]) for i in range(1, 29)]
    scenes.append((record(DetObject("sail", poly=(0, 0, 999, 0, 999, 999)), name="last.png"), None))
    lines: list[dict[str, float]] = [{"step": i, "loss": 5 / i, "grad_norm": 1.0} for i in range(1, 60)]
    lines += [{"step": 59, "eval/loss": 0.5, "eval/f1": 0.25, "eval/f1@0.5": 0.5, "eval/f1@0.75": 0.125}]
    pages = {name: folder / f"{name}.html" for name in ("predictions", "data", "run")}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_scenes(*scenes, dropped=(Dropped("object_9", "inverted_box"),), text="{} raw", truncated=True)
        write_run(lines, {"training": {"learning_rate": 0.1}})
        words = {"predictions": ["preds.jsonl", "data.jsonl"], "data": ["data.jsonl"], "run": ["run"]}
        for name, page in pages.items():
            assert run(["report", *words[name], "-o", str(page)]) in (0, 1)
    return pages


@pytest.fixture(scope="module")
def windows(chromium: Browser, files: dict[str, Path]) -> Iterator[dict[str, Opened]]:
    with (
        opened(chromium, files["predictions"], has_touch=True) as predictions,
        opened(chromium, files["data"]) as data,
        opened(chromium, files["run"]) as of_run,
    ):
        yield {"predictions": predictions, "data": data, "run": of_run}


def fresh(window: Opened) -> Page:
    window.page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
    window.page.mouse.move(0, 0)
    window.page.reload()
    return window.page


@pytest.fixture
def page(windows: dict[str, Opened]) -> Iterator[Page]:
    """The page of predictions as it is after loading."""
    yield fresh(windows["predictions"])
    assert windows["predictions"].complaints == []


def open_record(page: Page, name: str) -> None:
    page.locator("#search").fill(name)
    page.locator(".open").first.click()


def lit(page: Page) -> tuple[set[str], set[str]]:
    """What is highlighted in the image and in the list of the open record."""
    found = [page.locator(f"dialog {kind}.lit").evaluate_all("all => all.map((one) => one.dataset.o)")
             for kind in (".shape", "li")]  # fmt: skip
    return set(found[0]), set(found[1])


# ------------------------------------------------------------------------------------------------------------- a record


def test_list_and_image_light_each_other(page: Page) -> None:
    open_record(page, "0.png data.jsonl:1")
    assert lit(page) == (set(), set())
    page.locator("dialog li.matched").hover()
    assert lit(page) == ({"0", "2"}, {"2"})
    page.locator("dialog li.fp").first.focus()
    page.mouse.move(0, 0)
    assert lit(page) == ({"1", "3"}, {"1", "3"}), "a false positive lights what it overlaps most"
    page.keyboard.press("ArrowDown")
    assert lit(page) == ({"4"}, {"4"}), "this one overlaps nothing"
    page.locator("dialog .shape.fn .hit").click(position={"x": 5, "y": 5}, force=True)
    assert page.evaluate("document.activeElement.dataset.o") in {"1", "3"}


def test_what_an_open_record_says(page: Page) -> None:
    open_record(page, "0.png data.jsonl:1")
    dialog = page.locator("dialog")
    text = dialog.inner_text()
    assert "data.jsonl:1 · 64×48" in text
    assert "shown with at most" not in text
    assert "Cut short" in text
    assert "object_9" in text
    assert "F1 0.40" in text
    assert "IoU 0.50 with dog · score 0.30" in text
    assert "overlaps no object" in text
    dialog.locator("summary").click()
    assert dialog.locator("pre").inner_text() == "{} raw"
    assert dialog.locator("img").get_attribute("alt") == "The image 0.png"


def test_from_record_to_record(page: Page) -> None:
    page.locator(".open").first.click()
    back, forth = page.locator("[data-step='-1']"), page.locator("[data-step='1']")
    assert back.is_disabled()
    forth.click()
    forth.click()
    assert page.locator(".counter").inner_text() == "3 of 30"
    page.keyboard.press("Enter")
    assert page.locator(".counter").inner_text() == "4 of 30", "the button keeps the focus"
    for _ in range(40):
        page.keyboard.press("j")
    assert page.locator(".counter").inner_text() == "30 of 30"
    assert forth.is_disabled()
    page.locator(".close").click()
    assert page.evaluate("document.activeElement.dataset.at") == "29"
    assert page.locator(".card").count() == 30


def test_letters_in_the_search_are_letters(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("jk/")
    assert page.locator("#search").input_value() == "jk/"
    assert not page.locator("dialog").is_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.tagName") == "BODY"


def test_layers_can_be_hidden(page: Page) -> None:
    open_record(page, "0.png data.jsonl:1")
    page.keyboard.press("Escape")
    kinds = ("truth", "matched", "fp", "fn")
    for kind in kinds:
        page.locator(f"#layer-{kind}").uncheck()
        for other in kinds:
            shape = page.locator(f".card .shape.{other}").first
            assert (shape.evaluate("one => getComputedStyle(one).display") == "none") is (other == kind)
        page.locator(f"#layer-{kind}").check()


def test_the_rest_of_the_cards_comes_by_button(page: Page) -> None:
    assert page.locator(".card").count() in (24, 30)
    if page.locator(".more").is_visible():
        page.locator(".more").click()
    assert page.locator(".card").count() == 30


def test_a_record_without_a_prediction(page: Page) -> None:
    page.locator("#outcome").select_option("missing")
    assert page.locator(".badges").all_inner_texts() == ["no prediction\n1 finding"]
    page.locator("#outcome").select_option("findings")
    assert page.locator(".card").count() == 1
    page.locator("#outcome").select_option("broken")
    assert page.locator(".status").inner_text() == "29 of 30 records."


# -------------------------------------------------------------------------------------------------------------- charts


def test_charts_say_what_they_draw(windows: dict[str, Opened]) -> None:
    page = fresh(windows["run"])
    loss = page.locator(".chart").filter(has=page.locator("h4", has_text=re.compile("^loss$")))
    assert loss.locator("svg.plot").get_attribute("aria-label") == (
        "loss over step. At the end: training 0.08475, data.val 0.5."
    )
    assert loss.locator(".line.s0").first.get_attribute("d").count("L") == 58
    assert loss.locator(".legend").inner_text().split() == ["training", "data.val"]
    loss.locator("summary").click()
    assert loss.locator("tbody tr").count() == 59
    assert loss.locator("tbody tr").last.inner_text().split() == ["59", "0.08475", "0.5"]
    folded = page.locator("details.group", has_text="Everything else that was logged (1)")
    assert folded.locator(".chart").count() == 0
    folded.locator("summary").first.click()
    assert folded.locator("h4").all_inner_texts() == ["grad_norm"]


def test_bars_and_reliability(page: Page) -> None:
    sizes = page.locator(".chart.bars").first
    assert sizes.locator(".count").all_text_contents()[-1].endswith("1")
    label = sizes.locator("svg").get_attribute("aria-label")
    assert label is not None
    assert "3 % to 10 %: 29 of 29; 10 % to 30 %: 0 of 1; 30 % to 100 %: 0 of 1." in label
    assert sizes.locator("rect").count() == 4
    scores = page.locator(".chart.reliability").first
    assert scores.locator(".plot .bar").count() == 4
    scores.locator("summary").click()
    assert scores.locator("tbody tr").count() == 10


def test_a_run_has_no_gallery(windows: dict[str, Opened]) -> None:
    page = fresh(windows["run"])
    assert page.locator("nav a").all_inner_texts() == ["Charts", "Tables"]
    assert page.locator("#images, #findings, dialog").count() == 0
    page.keyboard.press("j")
    assert "checkpoint-20" in page.locator("#tables").inner_text()
    assert windows["run"].complaints == []


def test_data_is_not_judged(windows: dict[str, Opened]) -> None:
    page = fresh(windows["data"])
    assert page.locator(".layers label").all_inner_texts() == ["○\nobject"]
    assert page.locator("#outcome option").all_text_contents() == ["all"]
    page.locator(".open").first.click()
    assert page.locator(".objects li").count() == 2
    assert "#0 · 100 100 400 400" in page.locator(".objects li").first.inner_text()


# ------------------------------------------------------------------------------------------------------ sizes, colours


@pytest.mark.parametrize("name", ["predictions", "data", "run"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE, (320, 568), (768, 1024)], ids=str)
def test_no_width_scrolls_sideways(name: str, size: tuple[int, int], windows: dict[str, Opened]) -> None:
    page = fresh(windows[name])
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    assert not scrolls_sideways(page)


SHOWN = (".title p", ".facts dt", ".facts .note", "h3", ".about", ".legend", ".status", ".file", ".counts .matched",
         ".counts .fp", ".counts .fn", ".counts .f1", ".badges span", "summary", ".keys", ".filters label span",
         ".severity", ".rule", "th")  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(scheme: Any, page: Page) -> None:
    page.emulate_media(color_scheme=scheme)
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    assert low_contrast(page, SHOWN) == []
    page.emulate_media(color_scheme="light")
