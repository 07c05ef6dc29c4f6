"""The main job on an embedded data set, as a user would do it.

python tools/demo.py            Act one: draw, check, break a copy, explain, repair, look. Act two: train, and compare.
python tools/demo.py --quick    Act one alone, which needs no torch.

Writes demo-out/ beside it, which configs/demo/ names; one from an earlier demo is replaced.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from demo_breaks import break_copy
from demo_table import Model, failed_items, measured, table, verdict, wrapped
from demo_training import minutes, train

from coordspec_cli.main import run as coordspec

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path("demo-out")
MARK = ".coordspec-demo"  # only a folder with this file in it is ever replaced

FEW, TRAIN, VAL = 300, 8000, 400
"""Scenes to learn from that are drawn for act one and for act two, and scenes that no model learns from."""
ANSWERS = ("--max-new-tokens", 160, "--batch-size", 100)
UNTRAINED = ("--unknown-preprocessing", "--user-prompt", "Detect all objects in the image.")
"""For a model that does not say what it is to be asked, since nothing was asked yet: what configs/demo/ asks."""
CHECKED, SHEET = 60, 24
MORE = "One run says little. What several runs measured: docs/benchmarks.md, “Does Stage-2 help?”."

MODELS = (
    ("untrained", "tiny-model", "the model as it was made, with random weights"),
    ("Stage-1", "stage1/final", "trained on the right answers: it is shown scene and answer, token by token"),
    ("more Stage-1", "stage1_continued/final", "Stage-1, then {steps} more steps of the same"),
    ("Stage-2", "stage2_mixed/final", "Stage-1, then {steps} steps, half of them on its own answers, corrected"),
)
"""Column of the table, folder of the weights, and what it is."""


def main(arguments: list[str]) -> int:
    """Run the demo; returns the exit status."""
    if arguments not in ([], ["--quick"]):
        print("usage: python tools/demo.py [--quick]", file=sys.stderr)
        return 2
    os.chdir(ROOT)
    began = time.monotonic()
    if not clear(FOLDER):
        print(f"{FOLDER} exists and is not from an earlier demo; move it away, or run this elsewhere", file=sys.stderr)
        return 2
    act_one(FOLDER)
    if arguments:
        ending("`make demo` goes on from here and trains a small model, in a few minutes on two cores.", began)
        return 0
    act_two(FOLDER)
    ending("Next, your own data: `coordspec validate YOUR.jsonl`, and the README.", began)
    return 0


def clear(folder: Path) -> bool:
    """Make the folder anew; False, and nothing changed, if it is not from a demo."""
    if folder.exists():
        if not (folder / MARK).exists():
            return False
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    return True


def act_one(folder: Path, train_scenes: int = FEW, val_scenes: int = VAL) -> None:
    """Data: draw, check, break a copy, explain, repair, and a page to look at."""
    data, broken, repaired = folder / "shapes", folder / "broken.jsonl", folder / "repaired.jsonl"
    page = folder / "findings.html"
    title("Act one: is the data right?")
    say("Draw pictures of coloured shapes, with a JSON line for each that says what is where.")
    print("   A box is two corners, in thousandths of the picture (bins): 0 is left or top, 999 right or bottom.")
    draw(data, train_scenes, val_scenes)
    say("Check every line, and that every picture is there and has the size that its line gives.")
    run(0, "validate", data / "train.jsonl", data / "val.jsonl", "--check-images")
    count = break_copy(data / "val.jsonl", broken)
    say(f"Break {count} lines of a copy, each as real files are broken, and check that.")
    run(1, "validate", broken, "--image-root", data, "--check-images", "--max-errors", 4)
    say("Four of them are shown. Every kind of fault has a name, and a page that explains it.")
    run(0, "rule", "inverted-box")
    say("Repair what can be repaired without guessing; the rest is for a person to decide.")
    run(1, "fix", broken, "-o", repaired)
    say("The same faults on a page, with what is in the copy and its pictures.")
    run(1, "report", broken, "--image-root", data, "--order", "findings", "-o", page)


def act_two(folder: Path) -> None:
    """A model of two million parameters learns to write boxes; four states of it are compared."""
    held_out = folder / "shapes/val.jsonl"
    title("Act two: train a small model to write boxes")
    say(f"More pictures to learn from. {VAL} others are kept back: the model is judged by those alone.")
    draw(folder / "shapes", TRAIN, VAL, "--overwrite")
    say("A model of the Qwen3-VL kind with random weights, so small that two cores can train it.")
    run(0, "tiny-model", folder / "tiny-model")
    compare(folder, held_out, stages())
    pages(folder, held_out)


def compare(folder: Path, held_out: Path, steps: int) -> None:
    """The table of the four models, and what follows from it. ``steps`` are those of the runs behind Stage-1."""
    say(f"Let all four models answer the {VAL} pictures that they have not seen, and compare with the truth.")
    print("$ coordspec infer MODEL PICTURES -o ANSWERS; coordspec eval ANSWERS PICTURES     (four times)", flush=True)
    models = [
        Model(name, meaning.format(steps=steps), measured(answered(folder, name, weights, held_out)))
        for name, weights, meaning in MODELS
    ]
    print()
    print(*(f"  {line}".rstrip() for line in table(models)), "", sep="\n")
    found = quiet(
        (0, 1), "checklist", folder / "stage1/final", held_out, *ANSWERS, "--max-records", CHECKED, "--format", "json"
    )
    said = [*verdict([model.measured for model in models], VAL), failed_items(json.loads(found)), MORE]
    print(*(f"  {line}" for sentence in said for line in wrapped(sentence)), sep="\n")


def stages() -> int:
    """Train Stage-1, and go on from it in two ways; returns the number of steps of each of those."""
    say("Stage-1: it learns from pictures and their right answers.")
    learn("configs/demo/stage1.yaml")
    say("Go on in two ways, with as many steps each. First: more of the same.")
    steps = learn("configs/demo/stage1_continued.yaml")
    say("Second, Stage-2: in half of the steps it answers first, and learns from its answer, corrected.")
    learn("configs/demo/stage2_mixed.yaml")
    return steps


def learn(config: str) -> int:
    """Check a training config and train as it says; returns the number of steps."""
    run(0, "check-config", config)
    print(f"$ coordspec train {config}", flush=True)
    return train(config)


def draw(folder: Path, train_scenes: int, val_scenes: int, *words: object) -> None:
    """Draw the data set; the same scenes each time, since the seed is the same."""
    size = ("--width", 64, "--height", 64, "--max-shapes", 2)
    run(0, "shapes", "-o", folder, "--train", train_scenes, "--val", val_scenes, *size, *words)


def answered(folder: Path, name: str, weights: str, held_out: Path) -> Any:
    """Let a model answer the held-out scenes; what coordspec eval says of that."""
    answers = answers_of(folder, weights)
    print(f"  {name} …", flush=True)
    asked = () if (folder / weights / "preprocess.json").exists() else UNTRAINED
    quiet((0,), "infer", folder / weights, held_out, "-o", answers, *ANSWERS, *asked)
    return json.loads(quiet((0,), "eval", answers, held_out, "--format", "json"))


def answers_of(folder: Path, weights: str) -> Path:
    """The file for the answers of a model."""
    return folder / f"answers-{Path(weights).parts[0]}.jsonl"


def pages(folder: Path, held_out: Path) -> None:
    """Pages and a picture to look at."""
    say("Pages to look at, in any browser, offline.")
    answers = answers_of(folder, "stage1")
    run(0, "report", answers, held_out, "-o", folder / "answers.html")
    run(0, "report", folder / "stage1", "-o", folder / "training.html")
    run(0, "sheet", answers, held_out, "-o", folder / "boxes.png", "--count", SHEET, "--columns", 6)


LOOK = {
    "findings.html": "the faults of the broken copy, what is in it, and its pictures",
    "answers.html": "what the trained model wrote for pictures it had not seen, beside what is right",
    "boxes.png": "the same in one picture: green is right, red is wrong, dashed is the truth",
    "training.html": "the course of the training",
}
"""What the demo leaves to look at."""


def ending(last: str, began: float) -> None:
    """The files to look at, and how long all took."""
    title("Look at")
    for name, what in LOOK.items():
        if (FOLDER / name).exists():
            print(f"  {FOLDER / name!s:<24} {what}")
    print(f"\nThis took {minutes(time.monotonic() - began)} minutes. {last}")


def title(text: str) -> None:
    """Print the title of an act."""
    print(f"\n{text}\n{'=' * len(text)}", flush=True)


def say(sentence: str) -> None:
    """Print what comes next."""
    print(f"\n-- {sentence}", flush=True)


def run(expected: int, *words: object) -> None:
    """Run a coordspec command as a user would type it, and insist on its exit status."""
    arguments = [str(word) for word in words]
    print(f"$ coordspec {shlex.join(arguments)}", flush=True)
    status = coordspec(arguments)
    if status != expected:
        raise SystemExit(f"the command ended with exit status {status}, not {expected}")


def quiet(expected: tuple[int, ...], *words: object) -> str:
    """Run a coordspec command without showing it; returns its output, and shows it if the status is another one."""
    arguments = [str(word) for word in words]
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = coordspec(arguments)
    if status not in expected:
        print(f"$ coordspec {shlex.join(arguments)}\n{out.getvalue()}{error.getvalue()}", file=sys.stderr)
        raise SystemExit(f"the command ended with exit status {status}")
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
