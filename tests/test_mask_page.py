"""The page of ``coordspec mask`` in a real browser: links, keys, sizes, hostile text, and no complaint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from browser import DESKTOP, PHONE, Opened, browser, eventually, low_contrast, opened, scrolls_sideways
from coordspec.errors import Place
from coordspec.pages.thumbnail import Picture
from coordspec.record import DetObject, Record
from coordspec.target import Dump, build_target
from coordspec.target.objects import ground_truth_objects
from coordspec.view import TargetSource, make_sample, mask_page
from mask_samples import CAT, DOG, END, NAME, RECORD, ROLLOUT, entry, near, write_images
from qwen_tokenizer import ids_of, table

pytestmark = [pytest.mark.page, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


def page_file(folder: Path, *pairs: tuple[Record, str], policy: str = "unified", name: str = NAME) -> Path:
    """A page of these records and rollouts."""
    tables = table(name)
    samples = []
    for number, (record, text) in enumerate(pairs, 1):
        ids = tuple(ids_of(text, name))
        objects = ground_truth_objects(record, tables)
        target = build_target(ids, objects, tables, policy=policy)
        picture = Picture(folder, record.images[0], record.width, record.height, 0)
        dump = Dump(f"data.jsonl:{number}", objects, ids, target, tables.fingerprint)
        samples.append(make_sample(TargetSource(Place("data.jsonl", number), dump, picture), tables))
    file = folder / "page.html"
    file.write_text(mask_page(samples), "utf-8")
    return file


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three samples: of every kind, nothing predicted, and one whose target is not what it should be."""
    folder = tmp_path_factory.mktemp("page")
    write_images(folder, RECORD)
    return page_file(folder, (RECORD, ROLLOUT), (RECORD, "A cat." + END), (RECORD, "{" + entry(1, near(CAT)) + "}"))


@pytest.fixture(scope="module")
def usual_window(chromium: Browser, usual: Path) -> Iterator[Opened]:
    with opened(chromium, usual, has_touch=True) as found:
        yield found


@pytest.fixture
def page(usual_window: Opened) -> Iterator[Page]:
    """The usual page as it is after loading, in a window of a desktop."""
    window = usual_window.page
    window.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})
    window.mouse.move(0, 0)
    window.reload()
    yield window
    assert usual_window.complaints == []


def lit_shapes(page: Page) -> set[str]:
    return set(page.locator(".shape.lit").evaluate_all("all => all.map((one) => one.dataset.o)"))


def lit_entries(page: Page) -> list[str]:
    found: list[str] = page.locator(".block.lit").evaluate_all("all => all.map((one) => one.dataset.entry)")
    return found


def focused(page: Page) -> str:
    """The token, the box or the id that has the focus."""
    found: str = page.evaluate(
        "(({dataset, id, tagName}) => dataset.t ?? dataset.o ?? (id || tagName))(document.activeElement)"
    )
    return found


def token(page: Page, text: str, nth: int = 0) -> Any:
    return page.locator(".t[data-t]", has_text=re.compile(f"^{re.escape(text)}$")).nth(nth)


LINKS = [("108", ["0"], {"p0", "g0"}), ("640", ["1"], {"p1"}), ("600", ["2"], set()), ("200", ["3"], {"g1"})]
"""A coordinate, the entry that it stands in, and the boxes of that entry."""


@pytest.mark.parametrize(("text", "entries", "shapes"), LINKS)
def test_a_token_lights_its_entry_and_its_boxes(text: str, entries: list[str], shapes: set[str], page: Page) -> None:
    wanted = page.locator(f'.block[data-entry="{entries[0]}"] .t.coord', has_text=text).first
    wanted.hover()
    eventually(lambda: (lit_entries(page), lit_shapes(page)), (entries, shapes))
    page.locator("h1").hover()
    eventually(lambda: (lit_entries(page), lit_shapes(page)), ([], set()))
    wanted.focus()
    eventually(lambda: (lit_entries(page), lit_shapes(page)), (entries, shapes))
    wanted.click()
    page.locator("h1").click()
    eventually(lambda: (lit_entries(page), lit_shapes(page)), (entries, shapes))
    expect(wanted).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    eventually(lambda: (lit_entries(page), lit_shapes(page)), ([], set()))
    expect(wanted).to_have_attribute("aria-selected", "false")


BOXES = [("p0", ["0"], {"p0", "g0"}), ("g0", ["0"], {"p0", "g0"}), ("p1", ["1"], {"p1"}), ("g1", ["3"], {"g1"}),
         ("g2", ["4"], {"g2"})]  # fmt: skip


@pytest.mark.parametrize(("name", "entries", "shapes"), BOXES)
def test_a_box_lights_its_tokens(name: str, entries: list[str], shapes: set[str], page: Page) -> None:
    box = page.locator(f'.shape[data-o="{name}"]')
    box.evaluate("one => one.focus()")
    eventually(lambda: (lit_entries(page), lit_shapes(page)), (entries, shapes))
    page.keyboard.press("Enter")
    expect(box).to_have_attribute("aria-selected", "true")
    page.locator("h1").click()
    eventually(lambda: (lit_entries(page), lit_shapes(page)), (entries, shapes))


def test_a_box_can_be_pointed_at_and_clicked(page: Page) -> None:
    area = page.locator(".boxes").bounding_box()
    assert area is not None
    x, y = area["x"] + area["width"] * 0.75, area["y"] + area["height"] * 0.5  # inside of the dog
    page.mouse.move(x, y)
    eventually(lambda: lit_entries(page), ["3"])
    page.mouse.click(x, y)
    page.mouse.move(0, 0)
    eventually(lambda: lit_entries(page), ["3"])
    page.locator("button.held").click()
    eventually(lambda: lit_entries(page), [])


def test_the_details_of_a_token(page: Page) -> None:
    page.locator(".t.coord", has_text="108").first.hover()
    details = page.locator(".details")
    for part in ("<|coord_108|>", "matched: predicted", "coordinate", "0 in the cross entropy",
                 "x1 of object 0: box loss", "108, ground truth 100 (+8)", "prediction 0", "black cat",
                 "108 100 400 491", "100 100 400 500"):  # fmt: skip
        expect(details).to_contain_text(part, use_inner_text=True)
    at = page.locator(".t.coord", has_text="108").first.get_attribute("data-t")
    expect(details).to_contain_text(f"id {ids_of('<|coord_108|>', NAME)[0]}, position {at}")
    expect(page.locator("path.edge").last).to_have_attribute("d", "M108 100V491")
    page.locator('.block[data-entry="1"] .t.coord', has_text="640").hover()
    expect(page.locator(".details dt", has_text="slot")).to_have_count(0)
    page.locator('.block[data-entry="4"] .t.coord', has_text="900").hover()
    expect(page.locator(".details")).to_contain_text("y3 of object 2", use_inner_text=True)
    expect(page.locator("path.edge").last).to_have_attribute("d", "M300 900h0")


def test_dropped_entries_and_what_was_left_out(page: Page) -> None:
    (item,) = page.locator(".dropped li").all_inner_texts()
    assert item.split("\n") == ["✕", "object_7", "unexpected_key", "there is a key beside desc and the geometry"]
    page.locator(".dropped .link").click()
    page.locator("h1").hover()
    eventually(lambda: lit_entries(page), ["2"])
    eventually(lambda: page.locator(".left-out pre").inner_text().strip(), "and so on")
    page.keyboard.press("j")
    expect(page.locator(".dropped")).to_have_count(0)


def test_owners_and_weights_are_told_without_colour(page: Page) -> None:
    style = "(one, names) => names.map((name) => getComputedStyle(one)[name])"
    borders = {
        name: page.locator(f".block.{name}").first.evaluate(style, ["borderLeftStyle"])[0]
        for name in ("matched", "fp", "fn", "dropped")
    }
    assert len(set(borders.values())) == 4
    glyphs = {page.locator(f".block.{name} .head .glyph").first.inner_text() for name in borders}
    assert len(glyphs) == 4
    dashes = {
        name: tuple(page.locator(f".shape.{name} .line").first.evaluate(style, ["strokeDasharray", "strokeLinecap"]))
        for name in ("gt", "matched", "fp", "fn")
    }
    assert len(set(dashes.values())) == 4
    on = page.locator('.block[data-entry="0"] .t.struct.on').first
    off = page.locator('.block[data-entry="1"] .t.struct.off').first
    expect(on).not_to_have_css("border-bottom-color", "rgba(0, 0, 0, 0)")
    eventually(lambda: off.evaluate(style, ["borderBottomColor"]), ["rgba(0, 0, 0, 0)"])
    slot, plain = (page.locator(f".block .t.coord.{name}").first for name in ("slot", "off"))
    eventually(lambda: slot.evaluate(style, ["borderBottomStyle"]), ["double"])
    eventually(lambda: plain.evaluate(style, ["borderBottomStyle"]), ["dotted"])


# ---------------------------------------------------------------------------------------------------------------- keys


def test_samples_by_keys(page: Page) -> None:
    picker = page.locator("#picker")
    shown = []
    for key in ("k", "j", "ArrowRight", "j", "ArrowLeft", "k"):
        page.keyboard.press(key)
        shown.append(picker.input_value())
    assert shown == ["0", "1", "2", "2", "1", "0"]
    picker.focus()
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    expect(picker).to_have_value("2")
    page.keyboard.press("ArrowLeft")
    expect(picker).to_have_value("1")
    expect(page.locator(".counter")).to_have_text("2 of 3", use_inner_text=True)
    expect(page).to_have_title("data.jsonl:2 · What the target teaches")
    page.get_by_role("button", name="Next sample").click()
    expect(page.locator(".counter")).to_have_text("3 of 3", use_inner_text=True)
    expect(page.get_by_role("button", name="Next sample")).to_be_disabled()


def test_the_order_of_tab(page: Page) -> None:
    order = []
    for _ in range(11):
        page.keyboard.press("Tab")
        order.append(focused(page))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or order[-1][0] in "gp", f"the focus on {order[-1]} cannot be seen"
    first_box = page.locator(".shape").first.get_attribute("data-o")
    assert order == ["picker", "BUTTON", first_box, "layer-gt", "layer-matched", "layer-fp", "layer-fn", "raw",
                     "0", "BUTTON", "SUMMARY"]  # fmt: skip
    page.locator(".shape").first.evaluate("one => one.focus()")
    halo = page.evaluate("getComputedStyle(document.querySelector('.shape:focus-visible .halo')).strokeWidth")
    assert halo == "9px"


def test_arrows_among_tokens(page: Page) -> None:
    starts = page.locator(".block[data-entry]").evaluate_all("all => all.map((b) => b.querySelector('.t').dataset.t)")
    page.locator('.t[data-t="0"]').focus()
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "ArrowDown", "ArrowDown", "ArrowUp", "Home", "ArrowLeft"):
        page.keyboard.press(key)
        seen.append(focused(page))
    inside = 1 if starts[0] != "1" else None
    assert seen[:3] == ["1", "2", "1"]
    assert seen[3:6] == ([starts[1], starts[2], starts[1]] if inside is None else [starts[0], starts[1], starts[0]])
    assert seen[6:] == ["0", "0"]
    page.keyboard.press("End")
    last = focused(page)
    expect(page.locator(".t[data-t]")).to_have_count(int(last) + 1)
    page.keyboard.press("ArrowRight")
    eventually(lambda: focused(page), last)
    expect(page.locator('.t[tabindex="0"]')).to_have_count(1)
    expect(page.locator("#picker")).to_have_value("0")
    page.keyboard.press("Enter")
    expect(page.locator('.t[aria-selected="true"]')).to_have_count(1)


def test_arrows_among_boxes(page: Page) -> None:
    names = page.locator(".shape").evaluate_all("all => all.map((one) => one.dataset.o)")
    page.locator(".shape").first.evaluate("one => one.focus()")
    seen = []
    for _ in names:
        page.keyboard.press("ArrowRight")
        seen.append(focused(page))
    assert seen == [*names[1:], names[0]]
    page.keyboard.press("ArrowUp")
    eventually(lambda: focused(page), names[-1])
    page.locator("#layer-gt").uncheck()
    expect(page.locator(".shape.gt")).to_be_hidden()
    page.locator(f'.shape[data-o="{names[-1]}"]').evaluate("one => one.focus()")
    page.keyboard.press("Home")
    hidden = page.locator(".shape.gt").evaluate_all("all => all.map((one) => one.dataset.o)")
    eventually(lambda: focused(page) in hidden, False)


def test_roles_and_names(page: Page) -> None:
    expect(page.get_by_role("combobox", name="Sample")).to_have_count(1)
    expect(page.get_by_role("listbox", name="Tokens of the target")).to_have_count(1)
    expect(page.get_by_role("listbox", name="Boxes in the image").get_by_role("option")).to_have_count(5)
    expect(page.get_by_role("option", name="false positive: prediction 1, pink <b>square</b>")).to_have_count(1)
    expect(page.get_by_role("option", name="missed object: object 2, 碗")).to_have_count(1)
    expect(page.get_by_role("group", name="dropped · unexpected_key")).to_have_count(1)
    expect(page.get_by_role("img", name="The image images/a.png")).to_have_count(1)


def test_coordinates_as_tokens(page: Page) -> None:
    expect(token(page, "<|coord_108|>")).to_have_count(0)
    page.locator("#raw").check()
    expect(token(page, "<|coord_108|>")).to_have_count(1)
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(token(page, "<|coord_108|>")).to_have_count(1)


# ------------------------------------------------------------------------------------------------------- hostile, large


def test_paths_and_text_from_right_to_left(chromium: Browser, tmp_path: Path) -> None:
    odd = DetObject("شجرة \u202eevil\u202c \x1b[31m", bbox_2d=(5, 5, 9, 9))
    record = Record(("../../etc/passwd.png",), 64, 48, (CAT, DOG))
    file = page_file(tmp_path, (record, "{" + entry(1, CAT) + ", " + entry(2, odd) + "}" + END), name="qwen")
    with opened(chromium, file) as window:
        page = window.page
        expect(page.locator("figcaption")).not_to_contain_text("image-path", use_inner_text=True)
        expect(page.locator("figcaption")).to_contain_text("../../etc/passwd.png", use_inner_text=True)
        text = page.locator('.block[data-entry="1"] .tokens').inner_text()
        assert "\\xe2\\x80\\xaeevil" in text  # the tokens hold single bytes of it
        assert "شجرة" in text
        expect(page.locator("body")).not_to_contain_text(re.compile(r"[\u202a-\u202e\x1b]"))
        # Text from right to left does not pull the tokens around it along.
        lefts = page.locator('.block[data-entry="1"] .t:not(.coord)').evaluate_all(
            "all => all.map((one) => one.getClientRects()[0]).map(({top, left}) => [Math.round(top), left])"
        )
        assert lefts == sorted(lefts)


def test_a_long_rollout(chromium: Browser, tmp_path: Path) -> None:
    objects = [DetObject(f"thing {i}", bbox_2d=(5 * i, 5 * i, 5 * i + 50, 5 * i + 60)) for i in range(150)]
    record = Record(("a.png",), 640, 480, tuple(objects))
    file = page_file(tmp_path, (record, "{" + ", ".join(entry(i, item) for i, item in enumerate(objects, 1))))
    with opened(chromium, file, PHONE) as found:
        page = found.page
        expect(page.locator('.t[data-t="4000"]')).to_have_count(1)
        expect(page.locator(".block.matched")).to_have_count(150)
        page.locator('.t[data-t="0"]').focus()
        page.keyboard.press("End")
        expect(page.locator(".t.here")).to_have_count(1)
        assert not scrolls_sideways(page)
        expect(page.locator(".facts")).to_contain_text("truncated", use_inner_text=True)


def test_fifty_samples(chromium: Browser, tmp_path: Path) -> None:
    file = page_file(tmp_path, *[(RECORD, ROLLOUT)] * 50)
    with opened(chromium, file) as found:
        page = found.page
        expect(page.locator("#picker option")).to_have_count(50)
        expect(page.locator("#picker option").nth(49)).to_have_text(
            "data.jsonl:50 · 1 matched, 1 fp, 2 fn, 1 dropped", use_inner_text=True
        )
        page.locator("#picker").select_option("49")
        expect(page.locator(".counter")).to_have_text("50 of 50", use_inner_text=True)
        for _ in range(60):
            page.keyboard.press("k")
        page.locator("h1").click()
        for _ in range(60):
            page.keyboard.press("k")
        expect(page.locator(".counter")).to_have_text("1 of 50", use_inner_text=True)


@pytest.mark.parametrize("policy", ["rollout_matching", "reordered_gt_sft"])
def test_other_policies(policy: str, chromium: Browser, tmp_path: Path) -> None:
    file = page_file(tmp_path, (RECORD, ROLLOUT), policy=policy)
    with opened(chromium, file) as found:
        page = found.page
        expect(page.locator(".summary")).to_contain_text(policy, use_inner_text=True)
        page.locator("details.rows summary").click()
        expect(page.locator("details.rows tbody tr")).to_have_count(4)
        page.locator('.shape[data-o="p1"]').evaluate("one => one.focus()")
        eventually(lambda: lit_entries(page), [] if policy == "reordered_gt_sft" else ["1"])


# ------------------------------------------------------------------------------------------------------- sizes, colours


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE, (320, 568), (768, 1024)], ids=str)
def test_no_width_scrolls_sideways(size: tuple[int, int], scheme: Any, page: Page) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.locator("#raw").check()
    page.locator("details.rows summary").click()
    page.locator(".t.coord").first.focus()
    page.keyboard.press("Enter")
    assert not scrolls_sideways(page)
    page.keyboard.press("j")
    assert not scrolls_sideways(page)


def test_on_a_phone_the_image_stays_in_sight(page: Page) -> None:
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    page.locator('.block[data-entry="4"] .t.coord').first.tap()
    image = page.locator(".picture").bounding_box()
    assert image is not None
    assert 0 <= image["y"] < 100
    expect(page.locator(".details")).to_be_visible()
    eventually(lambda: lit_shapes(page), {"g2"})


SHOWN = (".policy", ".facts dt", ".head", ".t.off", ".t.on", ".t.coord.slot", ".meaning", ".hint", ".keys",
         ".left-out pre", ".glyph.fp", ".glyph.fn", ".glyph.matched", ".tag.fp", ".tag.fn", ".tag.matched",
         "figcaption", ".mark")  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(scheme: Any, page: Page) -> None:
    page.emulate_media(color_scheme=scheme)
    assert low_contrast(page, SHOWN) == []


def test_a_page_that_asks_for_something_is_found_out(chromium: Browser, tmp_path: Path) -> None:
    """The check of ``opened`` itself."""
    for name, markup in {"outside": '<img src="other.png">', "complaint": "<script>missing()</script>"}.items():
        file = tmp_path / f"{name}.html"
        file.write_text(f"<!doctype html><title>x</title>{markup}")
        with pytest.raises(AssertionError), opened(chromium, file) as found:
            found.page.wait_for_load_state()


def test_without_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("browser.executable", lambda: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no browser is installed"), browser():
        pass
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no browser is installed, and CI is set"), browser():
        pass
