"""Bindings of ``openspec/specs/supervision-view``."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from spec_tools import Done, coordspec, folder

from browser import Opened, browser, eventually, opened, scrolls_sideways
from coordspec.findings.visible import visible
from coordspec.record import CoordForm, DetObject, Record
from coordspec.spec.binding import harness, scenario
from coordspec.view.text import LETTERS
from coordspec_cli.main import run
from mask_samples import (
    CAT,
    DOG,
    NAME,
    ROLLOUT,
    WRONG,
    dump_line,
    entry,
    near,
    write_data,
    write_images,
    write_rollouts,
)
from qwen_tokenizer import ids_of
from test_mask_view import sample

pytestmark = pytest.mark.page

ROOT = Path(__file__).resolve().parents[2]
T = ("--tokenizer", "tokenizer.json")
EVIL = """</script><script>document.title = "x"</script><img src=x onerror="document.title = 'x'">"'&lt;"""
FOUND_ONE = "{" + ", ".join([entry(1, near(CAT)), entry(2, WRONG)]) + "}<|im_end|>"


def record(number: int, *objects: DetObject) -> Record:
    return Record((f"{number}.png",), 64, 48, objects or (CAT, DOG))


def write(count: int = 1, *rollouts: Any) -> None:
    """So many records and these rollouts, in the working directory."""
    write_data(Path(), *(record(number) for number in range(1, count + 1)))
    write_rollouts(Path(), *rollouts)


def shown(done: Done) -> list[Any]:
    samples: list[Any] = json.loads(done.out)["samples"] if done.out else []
    return samples


# ----------------------------------------------------------------------------------------------------------- sources


@harness("mask-input")
def mask_input(rollouts: bool, options: str, policy: str, owners: list[str]) -> None:
    with folder():
        write(1, FOUND_ONE)
        given = ("--rollouts", "rollouts.jsonl") if rollouts else ()
        done = coordspec("mask", "data.jsonl", *T, *given, *options.split(), "--format", "json")
    (found,) = shown(done)
    assert (found["policy"], [item["owner"] for item in found["entries"]]) == (policy, owners)
    assert found["issues"] == []


def mask_dump(line: str, *words: str) -> Done:
    with folder() as here:
        write()
        (here / "dump.jsonl").write_text(line + "\n", "utf-8")
        return coordspec("mask", "dump.jsonl", *T, *words)


@scenario("supervision-view", "Sources of targets", "A dump", digest="ed5626df1816")
def test_a_dump() -> None:
    line = dump_line()
    (found,) = shown(mask_dump(line, "--format", "json"))
    target = json.loads(line)["target"]
    for name in ("ids", "ce_weight", "owner", "kind", "slots"):
        assert found[name] == target[name]


@scenario("supervision-view", "Sources of targets", "An unsound dump", digest="198b285fe00a")
def test_an_unsound_dump() -> None:
    value = json.loads(dump_line())
    value["target"]["ce_weight"][value["target"]["owner"].index("fp")] = 1.0
    done = mask_dump(json.dumps(value))
    assert done.status == 1
    assert re.search(r"^  MSK\d+ .*weight", done.out, re.MULTILINE)
    assert '"object_2"' in done.out


@scenario("supervision-view", "Sources of targets", "A dump of another tokenizer", digest="772ff5d3c02f")
def test_a_dump_of_another_tokenizer() -> None:
    done = mask_dump(json.dumps({**json.loads(dump_line()), "tokenizer": "0123456789abcdef"}))
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: dump.jsonl:1: was built with the tokenizer 0123456789abcdef")


@harness("mask-lines")
def mask_lines(options: str, shown: list[int], status: int) -> None:
    with folder() as here:
        write(5)
        lines = (here / "data.jsonl").read_text("utf-8").splitlines()
        lines[3] = "{"
        (here / "data.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
        done = coordspec("mask", "data.jsonl", *T, *options.split(), "--format", "json")
    names = [item["sample"] for item in json.loads(done.out)["samples"]] if done.out else []
    assert (names, done.status) == ([f"data.jsonl:{number}" for number in shown], status)


# ----------------------------------------------------------------------------------------------------------- rollouts


@harness("mask-rollouts")
def mask_rollouts(lines: list[dict[str, Any]], shown: list[int] | None = None, refused: str | None = None) -> None:
    with folder():
        write(2, *({"text": ROLLOUT, **line} for line in lines))
        done = coordspec("mask", "data.jsonl", *T, "--rollouts", "rollouts.jsonl", "--format", "json")
    if refused is not None:
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith(f"error: {refused}")
        return
    names = [item["sample"] for item in json.loads(done.out)["samples"]]
    assert names == [f"data.jsonl:{number}" for number in shown or ()]


@scenario("supervision-view", "Rollouts and records", "Ids and text", digest="7e8926de7ad4")
def test_ids_and_text() -> None:
    found = []
    for line in ({"ids": ids_of(ROLLOUT, NAME)}, {"text": ROLLOUT}):
        with folder():
            write(1, line)
            found += shown(coordspec("mask", "data.jsonl", *T, "--rollouts", "rollouts.jsonl", "--format", "json"))
    assert found[0] == found[1]


# --------------------------------------------------------------------------------------------------------------- text


def text_of(rollout: str, *words: str) -> Done:
    with folder():
        write(1, rollout)
        return coordspec("mask", "data.jsonl", *T, "--rollouts", "rollouts.jsonl", *words)


@scenario("supervision-view", "Text", "A rollout of every kind", digest="95ad4ab0736c")
def test_a_rollout_of_every_kind() -> None:
    lines = text_of(ROLLOUT).out.splitlines()
    assert lines[2] == (
        "  start_id 8; matches 0→0; fp 1; fn 1; dropped object_7 (unexpected_key); truncated no; fallback none"
    )
    titles = [line.strip() for line in lines if re.match(" {2}[a-z]+.*:|  frame$", line)]
    assert "matched: prediction 0, ground truth 0 black cat, IoU 0.95" in titles
    assert "fp: prediction 1, largest IoU 0.00" in titles
    assert "dropped (unexpected_key): there is a key beside desc and the geometry" in titles
    assert "fn: ground truth 1 dog" in titles
    assert "  left out behind the cut:  and so on" in lines


@scenario("supervision-view", "Text", "Marks", digest="21ed4534b702")
def test_marks() -> None:
    lines = text_of(ROLLOUT).out.splitlines()
    seen = sample(ROLLOUT, [CAT, DOG])
    rows = [line[4:] for line in lines if re.match(" {4}[^ -]", line) or line.startswith('     "')]
    text, marks = "".join(rows[0::2]), "".join(rows[1::2])
    assert text == "".join(seen.texts)
    at = 0
    for position, piece in enumerate(seen.texts):
        mark = marks[at : at + len(piece)]
        weighted = seen.target.ce_weight[position] > 0
        letter = LETTERS[seen.target.kind[position]]
        assert mark[0] == (letter.upper() if weighted else letter)
        assert set(mark[1:]) <= {"-" if weighted else "=" if position in seen.slotted else "."}
        at += len(piece)


@scenario("supervision-view", "Text", "No colours", digest="660eddd87b68")
def test_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = text_of(ROLLOUT).out
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = in_a_terminal(ROLLOUT)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in plain
    assert in_a_terminal(ROLLOUT) == plain
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


class Terminal(io.StringIO):
    """Standard output that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def in_a_terminal(rollout: str) -> str:
    terminal = Terminal()
    with folder(), contextlib.redirect_stdout(terminal):
        write(1, rollout)
        run(["mask", "data.jsonl", *T, "--rollouts", "rollouts.jsonl"])
    return terminal.getvalue()


@scenario("supervision-view", "Text", "Control characters", digest="b72a5d01078e")
def test_control_characters() -> None:
    out = text_of('{"object_1": {"desc": "a\x1b[31m\x07\u202eb"}} \x1b]0;x\x07').out
    assert all(line == visible(line) for line in out.splitlines())
    assert "\\x1b[31m\\x07" in out
    assert "left out behind the cut:  \\x1b]0;x\\x07" in out


@scenario("supervision-view", "Text", "The same as JSON", digest="d9d4d3e5ae47")
def test_the_same_as_json() -> None:
    out = text_of(ROLLOUT, "--format", "json").out
    assert out.isascii()
    assert len(out.splitlines()) == 1
    page = (ROOT / "docs/training/MASK.md").read_text("utf-8")
    value = json.loads(out)
    (found,), policy = value["samples"], value["policies"]["unified"]
    names = {*value, *policy, *found}
    for part in (found["image"], found["report"], *found["report"]["dropped"], *found["entries"], *found["slots"]):
        names |= set(part)
    assert {name for name in names if f"`{name}`" not in page} == set()


# --------------------------------------------------------------------------------------------------------------- page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture
def window(chromium: Browser, tmp_path: Path) -> Iterator[Opened]:
    """The page of two samples, as the command writes it."""
    with folder() as here:
        write(2, ROLLOUT, ROLLOUT)
        write_images(here, record(1), record(2))
        done = coordspec("mask", "data.jsonl", *T, "--rollouts", "rollouts.jsonl", "--html", tmp_path / "page.html")
        assert done.status == 0, done.err
    with opened(chromium, tmp_path / "page.html") as found:
        yield found


def lit(page: Page) -> tuple[list[str], set[str]]:
    """Entries and boxes that are highlighted."""
    entries = page.locator(".block.lit").evaluate_all("all => all.map((one) => one.dataset.entry)")
    return entries, set(page.locator(".shape.lit").evaluate_all("all => all.map((one) => one.dataset.o)"))


@scenario("supervision-view", "Page", "One file", digest="7aa40e2798f6")
def test_one_file(window: Opened) -> None:
    eventually(lambda: window.page.locator(".picture img").evaluate("one => one.naturalWidth"), 64)
    blocked = """async () => {
        const script = document.createElement("script");
        script.textContent = "document.title = 'ran'";
        document.body.append(script);
        const failed = await fetch("https://example.org/").then(() => false, () => true);
        return [document.title === "ran", failed];
    }"""
    title = window.page.title()
    eventually(lambda: window.page.evaluate(blocked), [False, True])
    expect(window.page).to_have_title(title)
    assert len(window.complaints) >= 2
    assert all("Content Security Policy" in text or "blocked" in text for text in window.complaints)
    window.complaints.clear()
    assert [url for url in window.requests if not url.startswith(("data:", "file:"))] == []


@scenario("supervision-view", "Page", "Hostile text", digest="ae0fc5e04903")
def test_hostile_text(chromium: Browser, tmp_path: Path) -> None:
    evil = DetObject(EVIL, bbox_2d=(1, 2, 300, 400))
    rollout = "{" + entry(1, evil) + ", " + json.dumps(EVIL) + ": 1} \x1b\x07" + EVIL
    with folder() as here:
        write_data(here, record(1, evil))
        write_rollouts(here, rollout)
        coordspec("mask", "data.jsonl", *T, "--rollouts", "rollouts.jsonl", "--html", tmp_path / "page.html")
    with opened(chromium, tmp_path / "page.html") as found:
        page = found.page
        expect(page).to_have_title("data.jsonl:1 · What the target teaches")
        expect(page.locator("script")).to_have_count(2)
        expect(page.locator("img")).to_have_count(0)
        eventually(lambda: page.locator(".left-out pre").inner_text().strip(), "\\x1b\\x07" + EVIL)
        expect(page.locator(".dropped code")).to_have_text(EVIL, use_inner_text=True)
        expect(page.locator(".block.matched .head")).to_contain_text(EVIL, use_inner_text=True)


@scenario("supervision-view", "Page", "Links", digest="7c14696561e2")
def test_links(window: Opened) -> None:
    page = window.page
    for index, boxes in enumerate(({"p0", "g0"}, {"p1"}, set(), {"g1"})):
        page.locator(f'.block[data-entry="{index}"] .t').nth(3).hover()
        eventually(lambda: lit(page), ([str(index)], boxes))
        for box in boxes:
            page.locator(f'.shape[data-o="{box}"]').evaluate("one => one.focus()")
            eventually(lambda: lit(page), ([str(index)], boxes))


@scenario("supervision-view", "Page", "Keys", digest="7f93c4288221")
def test_keys(window: Opened) -> None:
    page = window.page
    counter = page.locator(".counter")
    page.keyboard.press("j")
    expect(counter).to_have_text("2 of 2", use_inner_text=True)
    page.keyboard.press("k")
    expect(counter).to_have_text("1 of 2", use_inner_text=True)
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("Object.keys(document.activeElement.dataset)[0] ?? ''"))
    assert [name for name in reached if name] == ["o", "t"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".t.here")).to_have_count(1)
    held = lit(page)
    assert held[0] == ["0"]
    page.keyboard.press("Enter")
    page.evaluate("document.activeElement.blur()")
    eventually(lambda: lit(page), held)
    page.keyboard.press("Escape")
    eventually(lambda: lit(page), ([], set()))
    page.locator(".shape").first.evaluate("one => one.focus()")
    before = lit(page)
    page.keyboard.press("ArrowRight")
    eventually(lambda: lit(page) == before, False)


@scenario("supervision-view", "Page", "Dropped entries", digest="9021d95ca86c")
def test_dropped_entries(window: Opened) -> None:
    page = window.page
    (item,) = page.locator(".dropped li").all_inner_texts()
    assert item.split("\n")[1:] == ["object_7", "unexpected_key", "there is a key beside desc and the geometry"]
    page.locator(".dropped .link").click()
    eventually(lambda: lit(page), (["2"], set()))
    expect(page.locator(".block.lit")).to_have_attribute("aria-label", "dropped · unexpected_key")


@scenario("supervision-view", "Page", "Widths", digest="f7d189435f4c")
def test_widths(window: Opened) -> None:
    for scheme in ("light", "dark"):
        window.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for width in (320, 390, 768, 1280):
            window.page.set_viewport_size({"width": width, "height": 800})
            assert not scrolls_sideways(window.page)


@scenario("supervision-view", "Page", "Nothing is lost", digest="d16eb043d75e")
def test_nothing_is_lost() -> None:
    with folder() as here:
        write(1, ROLLOUT)
        write_images(here, record(1))
        (here / "old.html").write_text("old")
        before = {path: path.read_bytes() for path in here.iterdir()}
        for words in (("old.html",), ("data.jsonl", "--overwrite"), ("tokenizer.json", "--overwrite"),
                      ("rollouts.jsonl", "--overwrite"), ("1.png", "--overwrite")):  # fmt: skip
            done = coordspec("mask", "data.jsonl", *T, "--rollouts", "rollouts.jsonl", "--html", *words)
            assert (done.status, done.out) == (2, "")
        assert {path: path.read_bytes() for path in here.iterdir()} == before
        assert record(1).line(CoordForm.INT) in (here / "data.jsonl").read_text("utf-8")
