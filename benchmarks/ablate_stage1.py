"""Which coordinate loss teaches the embedded default most: hard cross entropy, softCE + W1 + gate, or all of them?

    python benchmarks/ablate_stage1.py -o FOLDER [--seeds 3] [--steps 400] [--variants ...]

Runs the demo's Stage-1 with each variant. A seed decides on the first weights and on the order of the scenes, so runs
of one seed differ in the loss alone; held-out scenes are the same for all. A term that a variant has weighs as much as
in the demo's recipe. FOLDER keeps everything, and gets the table (table.md) and the numbers of every run (runs.json).
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ablation import CONFIGS, Bench, coordspec, machine, table
from coordspec.config.check import CheckOptions, check_config

RECIPE = "stage1"
TERMS = ("ce_weight", "soft_ce_weight", "w1_weight", "gate_weight")
NAMES = {"hard": "hard CE", "soft": "softCE + W1 + gate", "mixed": "hard + soft + W1 + gate"}
WITHOUT = {"hard": ("soft_ce_weight", "w1_weight"), "soft": ("ce_weight",), "mixed": ()}
"""The terms that a variant leaves out. Hard CE among the bins and the gate are, together, the ordinary cross entropy
over the vocabulary: that of a trainer which knows nothing of coordinates."""


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--train", type=int, default=12_000, help="scenes to train on")
    parser.add_argument("--val", type=int, default=200, help="held-out scenes")
    parser.add_argument("--variants", nargs="+", choices=NAMES, default=list(NAMES))
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    bench = Bench(args.output.resolve(), args.train, args.val)
    bench.prepare()
    weight = weight_of_terms()
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(1, args.seeds + 1):  # seed by seed, so that a stopped ablation has whole seeds
        model = bench.folder / f"tiny-model-{seed}"
        if not model.exists():
            coordspec("tiny-model", model, "--seed", seed)
        for variant in args.variants:
            name = f"{variant}-{args.steps}-{seed}"
            final = bench.train(name, RECIPE, model, seed, changes(variant, args.steps, weight))
            found = measures(bench.evaluate(name, final), bench.checklist(name, final))
            rows.setdefault(NAMES[variant], []).append(found)
    about = f"{args.steps} steps, {args.seeds} seeds, weight {weight:g} for each term, {args.val} scenes; {machine()}"
    text = f"{about}\n\n{table(rows)}\n"
    print(text, end="")
    (args.output / "table.md").write_text(text, encoding="utf-8")
    (args.output / "runs.json").write_text(
        json.dumps({"about": about, "runs": rows}, indent=2) + "\n", encoding="utf-8"
    )


def weight_of_terms() -> float:
    """What each term weighs in the recipe; they weigh the same there."""
    checked = check_config(str(CONFIGS / f"{RECIPE}.yaml"), CheckOptions(data=False))
    assert checked.config is not None, "the recipe is sound"
    return checked.config.custom.coord_soft_ce_w1.gate_weight


def changes(variant: str, steps: int, weight: float) -> dict[str, Any]:
    """What a variant changes in the recipe, beside the folders."""
    weights = {term: 0.0 if term in WITHOUT[variant] else weight for term in TERMS}
    return {
        "training": {"max_steps": steps, "eval_steps": None, "save_steps": 100, "logging_steps": 20},
        "custom": {"coord_soft_ce_w1": weights},
    }


def measures(scores: Mapping[str, Any], checked: Mapping[str, Any]) -> dict[str, float]:
    """The columns of the table: greedy answers first, then what the checklist measures under teacher forcing."""
    boxes, words = scores["boxes"]["class_agnostic"], scores["boxes"]["class_aware"]
    matched = scores["calibration"]["coords"] or dict.fromkeys(("written_error", "expected_error"), math.nan)
    items = {item["name"]: item["value"] for item in checked["items"]}
    return {
        "F1@0.5 with words": words["f1_50"],
        "F1@0.5:0.95 with words": words["f1_mean"],
        "F1@0.5": boxes["f1_50"],
        "F1@0.5:0.95": boxes["f1_mean"],
        "error of written bins, matched": matched["written_error"],
        "error of expected bins, matched": matched["expected_error"],
        "error of expected bins, forced": checked["losses"]["coord/expected_bin_error"],
        **{f"{mass['mass']:.0%} interval covers": mass["covered"] for mass in checked["calibration"]["coverage"]},
        "undercoverage": items["undercoverage"],
        "best temperature": checked["calibration"]["best_temperature"],
        "parse rate": scores["outputs"]["parse_rate"],
        "read whole": scores["outputs"]["whole_rate"],
    }


if __name__ == "__main__":
    main()
