"""Draw the pictures of docs/training/MASK.md from a real run of the command, the page in a real Chromium.

python tools/make_mask_pictures.py
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

from coordspec.coords import MAX_BIN, TOKENS
from coordspec_cli.main import run

IMAGES: Final = Path(__file__).resolve().parent.parent / "docs" / "images"
COLUMNS: Final = 104
SHIFTS: Final = (14, -11, 9, -16)
"""How far the model is off, in bins."""

WIDE: Final = {"width": 1320, "height": 900}
FLAGS: Final = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


class Terminal(io.StringIO):
    """Standard output as a person has it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def rollout(objects: Sequence[dict[str, Any]]) -> str:
    """What a model might write: all but the last object, one that is not there, and an entry that is no object."""
    found = [
        {"desc": item["desc"], "bbox_2d": [moved(k, by) for k, by in zip(item["bbox_2d"], SHIFTS, strict=True)]}
        for item in objects[:-1]
    ]
    entries = [*found, {"desc": "grey cross", "bbox_2d": [TOKENS[k] for k in (40, 610, 215, 905)]}]
    texts = [f'"object_{number}": {json.dumps(item)}' for number, item in enumerate(entries, 1)]
    texts.append(f'"object_{len(texts) + 1}": {{"desc": "star", "bbox_2d": ["{TOKENS[300]}", "{TOKENS[310]}"]}}')
    return "{" + ", ".join(texts) + "}<|im_end|>"


def moved(k: int, by: int) -> str:
    return TOKENS[min(MAX_BIN, max(0, k + by))]


def prepare() -> None:
    """A data set, a tokenizer and rollouts in the working directory."""
    with contextlib.redirect_stdout(io.StringIO()):
        run(
            ["shapes", "-o", "shapes", "--train", "3", "--val", "1", "--seed", "4", "--width", "640", "--height", "480"]
        )
        run(["tiny-model", "tiny"])
    records = [json.loads(line) for line in Path("shapes/train.jsonl").read_text("utf-8").splitlines()]
    lines = [json.dumps({"text": rollout(record["objects"])}) for record in records]
    Path("rollouts.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


def terminal_picture(words: Sequence[str], target: Path) -> None:
    """What the command prints in a terminal."""
    terminal = Terminal()
    os.environ["COLUMNS"] = str(COLUMNS)
    with contextlib.redirect_stdout(terminal):
        run([*words, "--lines", "1"])
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(
        "$ coordspec mask shapes/train.jsonl --rollouts rollouts.jsonl --tokenizer tiny --lines 1", style="bold"
    )
    console.print(Text.from_ansi(terminal.getvalue()))
    target.write_text(console.export_svg(title="coordspec mask"), "utf-8")


def page_picture(words: Sequence[str], target: Path) -> None:
    """The page, with a coordinate of a match held."""
    run([*words, "--html", "page.html"])
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        page = chromium.new_page(viewport=WIDE)  # type: ignore[arg-type]
        page.goto(Path("page.html").resolve().as_uri())
        page.locator(".t.coord.slot").nth(2).click()
        page.locator("h1").hover()
        shot = Image.open(io.BytesIO(page.screenshot()))
        shot.convert("RGB").quantize(200, dither=Image.Dither.NONE).save(target, optimize=True)
        chromium.close()


def main() -> None:
    """Draw both."""
    words = ["mask", "shapes/train.jsonl", "--rollouts", "rollouts.jsonl", "--tokenizer", "tiny"]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        prepare()
        terminal_picture(words, IMAGES / "mask-terminal.svg")
        page_picture(words, IMAGES / "mask-page.png")


if __name__ == "__main__":
    sys.exit(main())
