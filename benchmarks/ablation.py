"""What the ablations share: runs of the embedded default through the commands a user has, each made once.

Everything goes into one folder. A run that is there is not made again, so an ablation that was stopped goes on.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from coordspec.boxes import DEFAULT_IOU_GATE
from coordspec.contracts import rule
from coordspec.evaluate.join import join
from coordspec.match import match_objects
from coordspec.predictions.files import read_predictions
from coordspec.predictions.record import PredictedObject
from coordspec.record import DetObject, all_records
from coordspec.train.evaluation import agreement

CONFIGS = Path(__file__).parents[1] / "configs/demo"
LIMIT = rule("too-long").params["max_line_bytes"]


@dataclass(frozen=True, slots=True)
class Bench:
    """The folder of an ablation: drawn shapes of ``train`` and ``val`` scenes, an untrained model, and runs."""

    folder: Path
    train_scenes: int
    val_scenes: int

    @property
    def val(self) -> Path:
        """The held-out scenes."""
        return self.folder / "shapes/val.jsonl"

    def prepare(self) -> None:
        """Draw the scenes and make the model, where they are not there."""
        if not (self.folder / "shapes").exists():
            size = ("--train", self.train_scenes, "--val", self.val_scenes, "--width", 64, "--height", 64)
            coordspec("shapes", "-o", self.folder / "shapes", *size)
        if not (self.folder / "tiny-model").exists():
            coordspec("tiny-model", self.folder / "tiny-model")

    def train(self, name: str, recipe: str, model: Path, seed: int, changes: Mapping[str, Any]) -> Path:
        """Train ``configs/demo/RECIPE.yaml`` with changes; the final checkpoint."""
        run = self.folder / name
        final = run / "final"
        if final.exists():
            return final
        config: dict[str, Any] = {
            "extends": str(CONFIGS / f"{recipe}.yaml"),
            "model": {"path": str(model)},
            "data": {"train": [str(self.folder / "shapes/train.jsonl")], "val": []},
            "training": {"output_dir": str(run), "seed": seed, "data_seed": seed, "save_steps": 100_000},
            "eval": {"generate": False, "metric_for_best": None},
            "logging": {"console": False},
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(merged(config, changes)), encoding="utf-8")
        resume = ("--resume",) if run.exists() else ()
        coordspec("train", path, *resume)
        return final

    def evaluate(self, name: str, checkpoint: Path) -> dict[str, Any]:
        """What ``coordspec eval`` says of greedy answers to the held-out scenes, and ``fit`` of the boxes in them."""
        answers, found = self.folder / f"{name}.answers.jsonl", self.folder / f"{name}.eval.json"
        if not found.exists():
            coordspec("infer", checkpoint, self.val, "-o", answers, "--max-new-tokens", 256, "--batch-size", 50)
            report = coordspec("eval", answers, self.val, "--format", "json", "--bootstrap", 0)
            found.write_text(report, encoding="utf-8")
        value: dict[str, Any] = json.loads(found.read_text("utf-8"))
        for boxes, expected in (("written", False), ("expected", True)):
            value[boxes] = dict(zip(("recall", "matched_iou"), fit(answers, self.val, expected=expected), strict=True))
        return value

    def checklist(self, name: str, checkpoint: Path) -> dict[str, Any]:
        """What ``coordspec checklist`` measures on the held-out scenes, whether its items pass or not."""
        found = self.folder / f"{name}.checklist.json"
        if not found.exists():
            options = ("--format", "json", "--show", 0, "--max-new-tokens", 256, "--batch-size", 50)
            report = coordspec("checklist", checkpoint, self.val, *options, allowed=(0, 1))
            found.write_text(report, encoding="utf-8")
        value: dict[str, Any] = json.loads(found.read_text("utf-8"))
        return value


def coordspec(*words: object, allowed: tuple[int, ...] = (0,)) -> str:
    """Run a command that may end with one of some exit statuses; what it printed."""
    command = [sys.executable, "-m", "coordspec_cli", *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in allowed:
        raise SystemExit(f"{' '.join(command[3:])}: exit status {done.returncode}")
    return done.stdout


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping laid over another, as ``extends`` does."""
    both = dict(base)
    for key, value in over.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both


def fit(answers: Path, data: Path, *, expected: bool) -> tuple[float, float]:
    """Recall at IoU 0.5, and mean IoU of the pairs that Channel-B would match, whatever the objects are called.

    The boxes are those that were written, or with ``expected`` those of the expectation at each of their coordinates:
    what the box loss of Stage-2 sees. Where that inverts a box, its corners are put in order, as the loss does.
    """
    joined = join(all_records(str(data), LIMIT), read_predictions(str(answers), LIMIT).predictions)
    objects, right, matched, total = 0, 0, 0, 0.0
    for record, prediction in zip(joined.records, joined.predictions, strict=True):
        found = () if prediction is None else prediction.objects
        predicted = [_expected(item) if expected else DetObject(item.desc, item.bbox_2d, item.poly) for item in found]
        agreed = agreement(record, predicted, match_objects(predicted, record.objects, DEFAULT_IOU_GATE).pairs)
        objects, right = objects + len(record.objects), right + len(match_objects(predicted, record.objects, 0.5).pairs)
        matched, total = matched + agreed.matched, total + agreed.iou
    return right / objects, total / matched if matched else 0.0


def _expected(item: PredictedObject) -> DetObject:
    assert item.coords is not None, "coordspec infer writes them"
    x1, y1, x2, y2 = (round(bin_) for bin_ in item.coords.expected)
    return DetObject(item.desc, bbox_2d=(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))


def table(rows: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Markdown: for every variant and measure the mean over its seeds ± their standard deviation."""
    names = list(next(iter(rows.values()))[0])
    lines = ["| variant | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for variant, runs in rows.items():
        cells = [_spread([run[name] for run in runs]) for name in names]
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine() -> str:
    """Where and with what this ran."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("coordspec", "torch", "transformers"))
    return f"{platform.machine()}, Python {platform.python_version()}, {packages}"


def _spread(values: Sequence[float]) -> str:
    mean = statistics.fmean(values)
    return f"{mean:.3f}" if len(values) < 2 else f"{mean:.3f} ± {statistics.stdev(values):.3f}"
