"""A real browser for tests of pages: Chromium of the system, headless, without network.

Where there is no Chromium, these tests are skipped; where the environment variable ``CI`` is set, they fail.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
DESKTOP, PHONE = (1280, 860), (390, 844)

# How long an assertion waits for what a page draws after an event: only a test that fails ends with it.
PATIENCE_S = 60.0
expect.set_options(timeout=1000 * PATIENCE_S)

T = TypeVar("T")
_CONTRAST = """(names) => {
  const linear = (c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const ground = (one) => {
    const color = parse(getComputedStyle(one).backgroundColor);
    return (color[3] ?? 1) > 0.9 ? color : ground(one.parentElement);
  };
  return names.map((name) => {
    const one = document.querySelector(name);
    const [low, high] = [parse(getComputedStyle(one).color), ground(one)].map(light).sort((a, b) => a - b);
    return [name, (high + 0.05) / (low + 0.05)];
  });
}"""


@cache
def executable() -> str | None:
    """The browser's path, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium, started once for a module of tests."""
    path = executable()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"no browser is installed, and CI is set: one of {', '.join(NAMES)} has to be there")
        pytest.skip(f"no browser is installed ({', '.join(NAMES)})")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield chromium
        finally:
            chromium.close()


@dataclass
class Opened:
    """A page that is open, and all that it asked for or complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@contextmanager
def opened(
    chromium: Browser, file: Path, size: tuple[int, int] = DESKTOP, before: str = "", **options: Any
) -> Iterator[Opened]:
    """A local file in a window of this size; ``before`` is run in it first.

    ``options`` go to the browser's context.

    When the block ends, the page must have asked for nothing but itself, and have written nothing to the console.
    """
    context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    try:
        found = Opened(context.new_page())
        page = found.page
        page.on("request", lambda request: found.requests.append(request.url))
        page.on("console", lambda message: found.complaints.append(message.text))
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        if before:
            page.add_init_script(before)
        page.goto(file.as_uri())
        yield found
        outside = [url for url in found.requests if url != file.as_uri() and not url.startswith("data:")]
        assert outside == [], "the page asks for something outside of itself"
        assert found.complaints == []
    finally:
        context.close()


def eventually(read: Callable[[], T], wanted: T, message: str = "") -> None:
    """Assert that ``read`` comes to give ``wanted``: for what no single assertion of Playwright waits for.

    Pages draw some things in events that come later: a fold that opens, an element that comes into sight, a dialog that
    closes. What is read right behind an action may be what was there before it.
    """
    end = time.monotonic() + PATIENCE_S
    while (last := read()) != wanted and time.monotonic() < end:
        time.sleep(0.01)
    assert last == wanted, message


def scrolls_sideways(page: Page) -> bool:
    """True for a page that is wider than its window."""
    root = "document.documentElement"
    return bool(page.evaluate(f"{root}.scrollWidth > {root}.clientWidth"))


def low_contrast(page: Page, selectors: Sequence[str]) -> list[tuple[str, float]]:
    """The elements whose text has too little contrast. WCAG 2.1, success criterion 1.4.3: 4.5 to 1."""
    return [(name, ratio) for name, ratio in page.evaluate(_CONTRAST, list(selectors)) if ratio < 4.5]
