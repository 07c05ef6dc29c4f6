"""The main job on the embedded data set, as a user would do it: draw, check, break a copy, train, look at boxes.

python tools/demo.py    Writes demo-out/ beside it, which configs/demo/ names; one from an earlier demo is replaced.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MARK = ".coordspec-demo"  # only a folder with this file in it is ever replaced


ROOT = Path(__file__).parent.parent
TRAIN, VAL, SHEET, CHECKED = 12000, 200, 24, 100


def main() -> int:
    """Run the demo; returns the exit status."""
    folder = Path("demo-out")
    os.chdir(ROOT)
    if folder.exists():
        if not (folder / MARK).exists():
            print(f"{folder} exists and is not from an earlier demo; name another folder", file=sys.stderr)
            return 2
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    data, broken, repaired = folder / "shapes", folder / "broken.jsonl", folder / "repaired.jsonl"
    say("Draw a small data set of coloured shapes.")
    run(0, "shapes", "-o", data, "--train", TRAIN, "--val", VAL, "--width", 64, "--height", 64)
    say("Is it what a trainer expects? Images included.")
    run(0, "validate", data / "train.jsonl", data / "val.jsonl", "--check-images")
    say("What is in it?")
    run(0, "stats", data / "val.jsonl")
    say("Break a copy on purpose, in ways that real files are broken.")
    count = break_copy(data / "val.jsonl", broken)
    print(f"  {count} lines of {broken} were changed")
    run(1, "validate", broken, "--image-root", data, "--check-images", "--max-errors", "20")
    say("Repair what can be repaired without guessing.")
    run(1, "fix", broken, "-o", repaired)
    say("One of the rules, explained.")
    run(0, "rule", "inverted-box")
    train(folder, data / "val.jsonl")
    correct(folder, data / "val.jsonl")
    report(folder, data / "val.jsonl")
    print(f"\nEverything is in {folder}. Next: coordspec validate YOUR.jsonl")
    return 0


def train(folder: Path, held_out: Path) -> None:
    """A tiny model learns to write boxes, and is looked at on scenes that it has never seen."""
    config, final, answers = "configs/demo/stage1.yaml", folder / "stage1" / "final", folder / "answers.jsonl"
    say("A model of two million parameters, untrained.")
    run(0, "tiny-model", folder / "tiny-model")
    say("Is its training config sound? Then train: a few minutes on two cores.")
    run(0, "check-config", config)
    run(0, "train", config)
    say("What does it write for scenes that it has never seen?")
    run(0, "infer", final, held_out, "-o", answers, "--max-new-tokens", 256, "--batch-size", 50)
    run(0, "sheet", answers, held_out, "-o", folder / "sheet.png", "--count", SHEET, "--columns", 6)
    run(0, "eval", answers, held_out)
    say("Is it sound? The checklist of a trained checkpoint; one so small may fail an item after minutes.")
    run((0, 1), "checklist", final, held_out, "--max-new-tokens", 256, "--batch-size", 50, "--max-records", CHECKED)


def correct(folder: Path, held_out: Path) -> None:
    """Stage-2: the model goes on with its own answers; what that changes."""
    config, targets, answers = "configs/demo/stage2_mixed.yaml", folder / "targets", folder / "answers-stage2.jsonl"
    final = folder / "stage2_mixed" / "final"
    say("Stage-2: it goes on, half of the steps with its own answers, corrected. A minute or two.")
    run(0, "check-config", config)
    run(0, "train", config, "--dump-targets", targets)
    run(0, "guard", targets, "--tokenizer", final)
    run(0, "infer", final, held_out, "-o", answers, "--max-new-tokens", 256, "--batch-size", 50)
    say("Before and after.")
    compare({"Stage-1": folder / "answers.jsonl", "Stage-2": answers}, held_out)


def compare(answers: Mapping[str, Path], held_out: Path) -> None:
    """What coordspec eval says of several prediction files, side by side."""
    found = {name: evaluated(path, held_out) for name, path in answers.items()}
    print(f"  {'':<30}" + "".join(f"{name:>10}" for name in found))
    for row in next(iter(found.values())):
        print(f"  {row:<30}" + "".join(f"{values[row]:>10.3f}" for values in found.values()))


def evaluated(answers: Path, held_out: Path) -> dict[str, float]:
    """Some of what coordspec eval says of a prediction file; a share of nothing is 0."""
    words = ["eval", str(answers), str(held_out), "--format", "json", "--bootstrap", "0"]
    command = [sys.executable, "-m", "coordspec_cli", *words]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    boxes, words_too = found["boxes"]["class_agnostic"], found["boxes"]["class_aware"]
    measures = {
        "precision, boxes alone": boxes["precision_50"],
        "recall, boxes alone": boxes["recall_50"],
        "F1 at IoU 0.5, boxes alone": boxes["f1_50"],
        "F1 at IoU 0.5, with words": words_too["f1_50"],
        "mean F1 from 0.5 to 0.95": words_too["f1_mean"],
        "mean IoU of what was found": found["boxes"]["mean_iou"],
        "duplicates": found["duplicates"]["rate"],
        "tokens in an answer": found["outputs"]["tokens_per_output"],
    }
    return {name: value or 0.0 for name, value in measures.items()}


def report(folder: Path, held_out: Path) -> None:
    """Pages to look at."""
    say("Pages to look at, in any browser, offline.")
    answers, page, runs = folder / "answers-stage2.jsonl", folder / "report.html", folder / "run.html"
    run(0, "report", answers, held_out, "-o", page)
    run(0, "report", folder / "stage1", "-o", runs)
    print(f"  the answers and what they should be: {page}\n  the run of Stage-1: {runs}")
    print(f"  a contact sheet of Stage-1: {folder / 'sheet.png'}")


def say(sentence: str) -> None:
    """Print a headline."""
    print(f"\n== {sentence}", flush=True)


def run(expected: int | tuple[int, ...], *words: object) -> None:
    """Run a coordspec command as a user would type it, and insist on its exit status, or one of some."""
    arguments = [str(word) for word in words]
    print(f"$ coordspec {shlex.join(arguments)}", flush=True)
    status = subprocess.run([sys.executable, "-m", "coordspec_cli", *arguments], check=False).returncode
    if status not in (expected if isinstance(expected, tuple) else (expected,)):
        raise SystemExit(f"the command ended with exit status {status}, not {expected}")


def _swap_corners(record: dict[str, Any]) -> None:
    box = record["objects"][0]["bbox_2d"]
    box[:] = box[2:] + box[:2]


def _legacy_key(record: dict[str, Any]) -> None:
    item = record["objects"][0]
    item["bbox"] = item.pop("bbox_2d")


def _out_of_range(record: dict[str, Any]) -> None:
    record["objects"][0]["bbox_2d"][2] = 1280


def _no_geometry(record: dict[str, Any]) -> None:
    del record["objects"][0]["bbox_2d"]


def _special_token(record: dict[str, Any]) -> None:
    record["objects"][0]["desc"] += "<|im_end|>"


def _wrong_size(record: dict[str, Any]) -> None:
    record["width"] += 1


def _missing_image(record: dict[str, Any]) -> None:
    record["images"] = ["images/val/nowhere.png"]


BREAKS: tuple[Callable[[dict[str, Any]], None], ...] = (
    _swap_corners,
    _legacy_key,
    _out_of_range,
    _no_geometry,
    _special_token,
    _wrong_size,
    _missing_image,
)


def break_copy(source: Path, target: Path) -> int:
    """Write a copy in which the first records with objects have one fault each; returns how many lines changed."""
    left = list(BREAKS)
    lines: list[str] = []
    for line in source.read_text("utf-8").splitlines():
        record = json.loads(line)
        if left and record["objects"]:
            left.pop(0)(record)
        lines.append(json.dumps(record, ensure_ascii=False))
    lines.insert(10, lines[9].replace('"width": ', '"width": 1, "width": '))
    lines.insert(20, lines[19][: len(lines[19]) // 2])
    lines.insert(30, "")
    target.write_text("\n".join(lines) + "\n", "utf-8")
    return len(BREAKS) - len(left) + 3


if __name__ == "__main__":
    sys.exit(main())
