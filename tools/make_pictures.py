"""Draw the README's pictures, in docs/images, from real runs of the commands.

python tools/make_pictures.py    The picture of boxes is made from what `make demo` left; without that it is left alone.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

from coordspec.findings.formats import write_report
from coordspec.validate.explain import ValidateOptions
from coordspec.validate.run import validate_files
from coordspec_cli.main import run
from coordspec_cli.reporting import colour

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = 112
DEMO = ROOT / "demo-out"
ANSWERS = DEMO / "answers-stage1.jsonl"
SHEET = ("--count", "12", "--columns", "6", "--cell", "150")


def broken_lines() -> list[str]:
    """A few records as people write them, most with one fault."""
    record = {"images": ["train2017/000000391895.jpg"], "width": 640, "height": 360}
    objects: list[list[dict[str, object]]] = [
        [{"desc": "black cat", "bbox_2d": [110, 310, 410, 705]}],
        [{"desc": "black cat", "bbox_2d": [110, 310, 410, 1000]}],
        [{"desc": "traffic light", "bbox_2d": [560, 20, 40, 90]}],
        [{"desc": "cup<|im_end|>", "bbox_2d": ["<|coord_5|>", "<|coord_9|>", "<|coord_50|>", "<|coord_90|>"]}],
        [{"desc": "person", "bbox": [3, 4, 50, 60]}],
    ]
    return [json.dumps({**record, "objects": items}, ensure_ascii=False) for items in objects]


def findings_picture(target: Path) -> None:
    """What ``coordspec validate`` prints for ``broken_lines``."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("train.jsonl").write_text("\n".join(broken_lines()) + "\n", "utf-8")
        text = io.StringIO()
        write_report(validate_files(["train.jsonl"], ValidateOptions()).outcome, "text", text, colour)
        os.chdir(ROOT)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print("$ coordspec validate train.jsonl", style="bold")
    console.print(Text.from_ansi(text.getvalue()))
    target.write_text(console.export_svg(title="coordspec"), "utf-8")


def boxes_picture(target: Path) -> None:
    """What ``coordspec sheet`` draws of the first answers of the demo's Stage-1 model, in fewer colours."""
    sheet = DEMO / "readme.png"
    if run(["sheet", str(ANSWERS), str(DEMO / "shapes/val.jsonl"), "-o", str(sheet), "--overwrite", *SHEET]):
        raise SystemExit("coordspec sheet failed")
    Image.open(sheet).quantize(96, dither=Image.Dither.NONE).save(target, optimize=True)


def main() -> None:
    """Draw all of them."""
    folder = ROOT / "docs" / "images"
    folder.mkdir(exist_ok=True)
    findings_picture(folder / "findings.svg")
    if ANSWERS.exists():
        boxes_picture(folder / "boxes.png")
    else:
        print(f"{ANSWERS} is not there, so boxes.png is left as it is; `make demo` makes the former", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
