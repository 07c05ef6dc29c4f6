"""Through how many files of the product a value passes: a line that is validated or evaluated, a config, a step.

    python tools/count_files.py [--list]

A file counts where a function of it runs; what only runs while modules are imported does not count.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PRODUCT = str(ROOT / "src" / "coordspec")
sys.path.insert(0, str(ROOT / "tests"))

import training_runs  # noqa: E402
from coordspec.train.trainer import CoordTrainer  # noqa: E402
from coordspec_cli.main import run  # noqa: E402
from stage2_samples import AB  # noqa: E402


class Seen(set[str]):
    """The files of the product of which a function is called within a ``with``, in this thread."""

    def __enter__(self) -> Seen:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_name != "<module>" and code.co_filename.startswith(PRODUCT):
            self.add(code.co_filename[len(PRODUCT) + 1 :])


def command(*words: object) -> Seen:
    """The files that a command runs through.

    Raises:
        SystemExit: the command fails, so the way was not walked to its end.
    """
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), Seen() as seen:
        status = run([str(word) for word in words])
    if status:
        sys.exit(said.getvalue())
    return seen


def channel_b(folder: Path) -> Seen:
    """The files of one optimizer step, from its rows to its metrics, with a tiny model that writes its own rollouts."""
    seen = Seen()
    begin, end = CoordTrainer.get_batch_samples, CoordTrainer._close_step

    def first(self: CoordTrainer, *args: Any, **words: Any) -> Any:
        seen.__enter__()
        return begin(self, *args, **words)

    def last(self: CoordTrainer) -> None:
        end(self)
        seen.__exit__()

    CoordTrainer.get_batch_samples, CoordTrainer._close_step = first, last  # type: ignore[method-assign]
    training_runs.ran(folder, AB, max_steps=1)
    return seen


def main(words: list[str]) -> None:
    data = training_runs.inputs() / "shapes"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "run.yaml"
        config.write_text(yaml.safe_dump(training_runs.settings(folder / "out")), "utf-8")
        roads: dict[str, Callable[[], Seen]] = {
            "validate": lambda: command("validate", data / "val.jsonl"),
            "check-config": lambda: command("check-config", config),
            "eval": lambda: command("eval", *evaluated(folder, data / "val.jsonl")),
            "a Channel-B step": lambda: channel_b(folder),
        }
        for road, walk in roads.items():
            files = walk()
            print(f"{road:<18}{len(files):>4} files")
            for file in sorted(files) if "--list" in words else ():
                print(f"    {file}")


def evaluated(folder: Path, data: Path) -> tuple[Path, Path]:
    """A prediction file of one line, which says what the ground truth says, and a file of that record alone."""
    text = data.read_text("utf-8").splitlines()[0]
    record = json.loads(text)
    line = {"index": 0, **{name: record[name] for name in ("images", "width", "height")}}
    line |= {"objects": [{**item, "score": 0.5} for item in record["objects"]]}
    line |= {"dropped": [], "truncated": False, "fallback": None, "text": None, "tokens": None, "run": None}
    paths = folder / "predictions.jsonl", folder / "record.jsonl"
    for path, value in zip(paths, (json.dumps(line), text), strict=True):
        path.write_text(f"{value}\n", "utf-8")
    return paths


if __name__ == "__main__":
    main(sys.argv[1:])
