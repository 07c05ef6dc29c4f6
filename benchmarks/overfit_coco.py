"""Can training reproduce real annotations to the bin? The embedded default learns 8 images of COCO by heart.

    python benchmarks/overfit_coco.py [--data ../shared/data/coco_tiny] [--images 8] [--steps 300] [--work DIR]

Converts the annotations, takes the first images with 1 to 6 objects, trains on them with `coordspec train`, lets
`coordspec infer` answer them greedily, and compares the objects: same number, same order, same words, all coordinates
equal. Prints a line for each image. Exit status 1 if one is not exact, 2 if the data is not there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
FEWEST, MOST = 1, 6
MAX_NEW_TOKENS = 400
CONFIG: dict[str, Any] = {
    "extends": str(ROOT / "configs/demo/overlay.yaml"),
    "template": {"user_prompt": "Detect all objects in the image.", "max_pixels": 96 * 96, "max_length": 1024},
    "training": {
        "per_device_train_batch_size": 8,
        "optim": "muon",
        "learning_rate": 2.0e-3,
        "adam_beta2": 0.95,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 20,
        "logging_steps": 20,
        "eval_steps": None,
    },
    "custom": {
        "trainer_variant": "stage1_sft",
        "coord_tokens": {"enabled": True},
        # the hard cross entropy parts the right bin from its neighbours, to which the soft target gives nearly as much
        "coord_soft_ce_w1": {"enabled": True, "ce_weight": 1, "soft_ce_weight": 1, "w1_weight": 1, "gate_weight": 1},
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/coco_tiny")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--work", type=Path, help="folder to keep everything in; without it, nothing is kept")
    options = parser.parse_args()
    if not options.data.is_dir():
        print(f"{options.data} is not there; name the folder with --data", file=sys.stderr)
        return 2
    if options.work is None:
        with tempfile.TemporaryDirectory() as folder:
            return overfit(options, Path(folder))
    options.work.mkdir(parents=True)
    return overfit(options, options.work)


def overfit(options: argparse.Namespace, folder: Path) -> int:
    data, run, answers = folder / "coco.jsonl", folder / "run", folder / "answers.jsonl"
    records = convert(options.data.resolve(), folder, data, options.images)
    command("tiny-model", folder / "tiny-model")
    config = {**CONFIG, "model": {"path": str(folder / "tiny-model")}}
    config["data"] = {"train": [str(data)], "val": [], "image_root": str(options.data.resolve())}
    config["training"] = {**CONFIG["training"], "output_dir": str(run), "max_steps": options.steps}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    began = time.perf_counter()
    command("train", folder / "config.yaml")
    seconds = time.perf_counter() - began
    root = ("--image-root", options.data.resolve())
    command("infer", run / "final", data, "-o", answers, *root, "--max-new-tokens", MAX_NEW_TOKENS)
    predictions = sorted(
        map(json.loads, answers.read_text(encoding="utf-8").splitlines()), key=lambda line: line["index"]
    )
    exact = [compare(*pair) for pair in zip(records, predictions, strict=True)]
    print(f"{sum(exact)} of {len(exact)} images exact after {options.steps} steps, {seconds:.0f} s of training")
    return 0 if all(exact) else 1


def convert(source: Path, folder: Path, out: Path, count: int) -> list[dict[str, Any]]:
    """The records that are trained on, written to ``out``."""
    everything = folder / "all.jsonl"
    command("convert", "coco", source / "instances_val2017.json", "-o", everything, "--image-prefix", "val2017")
    records = map(json.loads, everything.read_text(encoding="utf-8").splitlines())
    few = [record for record in records if FEWEST <= len(record["objects"]) <= MOST][:count]
    out.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in few), encoding="utf-8")
    command("validate", out, "--image-root", source, "--check-images")
    return few


def compare(record: dict[str, Any], prediction: dict[str, Any]) -> bool:
    """Whether the answer is the annotation; prints what differs."""
    wanted, found = ([(item["desc"], item["bbox_2d"]) for item in line["objects"]] for line in (record, prediction))
    same = wanted == found
    print(f"{record['images'][0]}: {len(wanted)} objects, {'exact' if same else 'not exact'}")
    if not same:
        print(f"  annotated: {wanted}\n  written:   {prediction.get('text', found)}")
    return same


def command(*words: object) -> None:
    """Run a coordspec command; only what goes wrong is shown."""
    arguments = [str(word) for word in words]
    done = subprocess.run(
        [sys.executable, "-m", "coordspec_cli", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"coordspec {' '.join(arguments)}: exit status {done.returncode}\n{done.stderr[-4000:]}")


if __name__ == "__main__":
    sys.exit(main())
