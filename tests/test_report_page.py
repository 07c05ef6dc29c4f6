"""The page of ``coordspec report`` in a real browser: links between image and list, layers, keys, charts, contrast."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from browser import DESKTOP, PHONE, Opened, browser, eventually, low_contrast, opened, scrolls_sideways
from coordspec.predictions.record import Dropped, PredictedObject
from coordspec.record import DetObject
from coordspec_cli.main import run
from report_samples import CAT, DOG, FAR_BOX, found, record, write_run, write_scenes

pytestmark = [pytest.mark.page, pytest.mark.xdist_group("browser")]


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
    eventually(lambda: lit(page), (set(), set()))
    page.locator("dialog li.matched").hover()
    eventually(lambda: lit(page), ({"0", "2"}, {"2"}))
    page.locator("dialog li.fp").first.focus()
    page.mouse.move(0, 0)
    eventually(lambda: lit(page), ({"1", "3"}, {"1", "3"}), "a false positive lights what it overlaps most")
    page.keyboard.press("ArrowDown")
    eventually(lambda: lit(page), ({"4"}, {"4"}), "this one overlaps nothing")
    page.locator("dialog .shape.fn .hit").click(position={"x": 5, "y": 5}, force=True)
    eventually(lambda: page.evaluate("document.activeElement.dataset.o") in {"1", "3"}, True)


def test_what_an_open_record_says(page: Page) -> None:
    open_record(page, "0.png data.jsonl:1")
    dialog = page.locator("dialog")
    for part in ("data.jsonl:1 · 64×48", "Cut short", "object_9", "F1 0.40", "IoU 0.50 with dog · score 0.30",
                 "overlaps no object"):  # fmt: skip
        expect(dialog).to_contain_text(part, use_inner_text=True)
    expect(dialog).not_to_contain_text("shown with at most")
    dialog.locator("summary").click()
    expect(dialog.locator("pre")).to_have_text("{} raw", use_inner_text=True)
    expect(dialog.locator("img")).to_have_attribute("alt", "The image 0.png")


def test_from_record_to_record(page: Page) -> None:
    page.locator(".open").first.click()
    back, forth = page.locator("[data-step='-1']"), page.locator("[data-step='1']")
    expect(back).to_be_disabled()
    forth.click()
    forth.click()
    expect(page.locator(".counter")).to_have_text("3 of 30", use_inner_text=True)
    page.keyboard.press("Enter")
    expect(page.locator(".counter"), "the button keeps the focus").to_have_text("4 of 30", use_inner_text=True)
    for _ in range(40):
        page.keyboard.press("j")
    expect(page.locator(".counter")).to_have_text("30 of 30", use_inner_text=True)
    expect(forth).to_be_disabled()
    page.locator(".close").click()
    eventually(lambda: page.evaluate("document.activeElement.dataset.at"), "29")
    expect(page.locator(".card")).to_have_count(30)


def test_who_is_quick_keeps_the_focus(page: Page) -> None:
    """The event that gives the focus back to a card comes a moment after the record is closed."""
    page.locator(".open").first.click()
    closed = """() => new Promise((done) => {
      const dialog = document.querySelector("dialog[open]");
      dialog.addEventListener("close", () => done());
      dialog.close();
      document.querySelector("#search").focus();
    })"""
    page.evaluate(closed)
    eventually(lambda: page.evaluate("document.activeElement.id"), "search")


def test_letters_in_the_search_are_letters(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("jk/")
    expect(page.locator("#search")).to_have_value("jk/")
    expect(page.locator("dialog")).to_be_hidden()
    page.keyboard.press("Escape")
    eventually(lambda: page.evaluate("document.activeElement.tagName"), "BODY")


def test_layers_can_be_hidden(page: Page) -> None:
    open_record(page, "0.png data.jsonl:1")
    page.keyboard.press("Escape")
    kinds = ("gt", "matched", "fp", "fn")
    for kind in kinds:
        page.locator(f"#layer-{kind}").uncheck()
        for other in kinds:
            shape = expect(page.locator(f".card .shape.{other}").first)
            (shape.to_have_css if other == kind else shape.not_to_have_css)("display", "none")
        page.locator(f"#layer-{kind}").check()


def test_the_rest_of_the_cards_comes_by_button(chromium: Browser, files: dict[str, Path]) -> None:
    """Where the button does not come into sight by itself; with an observer it may be gone before the click."""
    blind = "window.IntersectionObserver = class { observe() {} };"
    with opened(chromium, files["predictions"], before=blind) as window:
        expect(window.page.locator(".card")).to_have_count(24)
        window.page.locator(".more").click()
        expect(window.page.locator(".card")).to_have_count(30)
        expect(window.page.locator(".more")).to_be_hidden()
        eventually(lambda: window.page.evaluate("document.activeElement.dataset.at"), "24")


def test_the_rest_of_the_cards_comes_into_sight(page: Page) -> None:
    page.locator("footer").scroll_into_view_if_needed()
    expect(page.locator(".card")).to_have_count(30)


def test_a_record_without_a_prediction(page: Page) -> None:
    page.locator("#outcome").select_option("missing")
    expect(page.locator(".badges")).to_have_text(["no prediction\n1 finding"], use_inner_text=True)
    page.locator("#outcome").select_option("findings")
    expect(page.locator(".card")).to_have_count(1)
    page.locator("#outcome").select_option("broken")
    expect(page.locator(".status")).to_have_text("29 of 30 records.", use_inner_text=True)


# -------------------------------------------------------------------------------------------------------------- charts


def test_charts_say_what_they_draw(windows: dict[str, Opened]) -> None:
    page = fresh(windows["run"])
    loss = page.locator(".chart").filter(has=page.locator("h4", has_text=re.compile("^loss$")))
    expect(loss.locator("svg.plot")).to_have_attribute(
        "aria-label", "loss over step. At the end: training 0.08475, data.val 0.5."
    )
    expect(loss.locator(".line.s0").first).to_have_attribute("d", re.compile(r"^M[^L]+(L[^L]+){58}$"))
    eventually(lambda: loss.locator(".legend").inner_text().split(), ["training", "data.val"])
    loss.locator("summary").click()
    expect(loss.locator("tbody tr")).to_have_count(59)
    eventually(lambda: loss.locator("tbody tr").last.inner_text().split(), ["59", "0.08475", "0.5"])
    folded = page.locator("details.group", has_text="Everything else that was logged (1)")
    expect(folded.locator(".chart")).to_have_count(0)
    folded.locator("summary").first.click()
    expect(folded.locator("h4")).to_have_text(["grad_norm"], use_inner_text=True)


def test_bars_and_reliability(page: Page) -> None:
    sizes = page.locator(".chart.bars").first
    expect(sizes.locator(".count").last).to_have_text(re.compile("1$"))
    label = sizes.locator("svg").get_attribute("aria-label")
    assert label is not None
    assert "3 % to 10 %: 29 of 29; 10 % to 30 %: 0 of 1; 30 % to 100 %: 0 of 1." in label
    expect(sizes.locator("rect")).to_have_count(4)
    scores = page.locator(".chart.reliability").first
    expect(scores.locator(".plot .bar")).to_have_count(4)
    scores.locator("summary").click()
    expect(scores.locator("tbody tr")).to_have_count(10)


def test_a_run_has_no_gallery(windows: dict[str, Opened]) -> None:
    page = fresh(windows["run"])
    expect(page.locator("nav a")).to_have_text(["Charts", "Tables"], use_inner_text=True)
    expect(page.locator("#images, #findings, dialog")).to_have_count(0)
    page.keyboard.press("j")
    expect(page.locator("#tables")).to_contain_text("checkpoint-20", use_inner_text=True)
    assert windows["run"].complaints == []


def test_data_is_not_judged(windows: dict[str, Opened]) -> None:
    page = fresh(windows["data"])
    expect(page.locator(".layers label")).to_have_text(["○\nobject"], use_inner_text=True)
    expect(page.locator("#outcome option")).to_have_text(["all"])
    page.locator(".open").first.click()
    expect(page.locator(".objects li")).to_have_count(2)
    expect(page.locator(".objects li").first).to_contain_text("#0 · 100 100 400 400", use_inner_text=True)


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
