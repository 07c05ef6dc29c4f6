"""Does Stage-2 help? One Stage-1 checkpoint that was stopped early, trained further in five ways.

    python benchmarks/ablate_stage2.py -o FOLDER [--seeds 3] [--steps 300] [--stage1-steps 600] [--variants ...]

Every variant has the same number of optimizer steps, the same batches, seeds, learning rate and schedule. A seed
decides which scenes a run draws, and in which order; held-out scenes and Stage-1 checkpoint are the same for all.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ablation import Bench, machine, merged, table

VARIANTS = {
    "stage1": "stage1",
    "a_only": "stage2_a_only",
    "b_only": "stage2_b_only_ablation",
    "mixed": "stage2_mixed",
    "rollout_matching": "rollout_matching",
}
"""The recipe of configs/demo that each variant runs; stage1 is the continued Stage-1."""
START = "stage1 stopped early"


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--stage1-steps", type=int, default=600)
    parser.add_argument("--train", type=int, default=12_000, help="scenes to train on")
    parser.add_argument("--val", type=int, default=400, help="held-out scenes")
    parser.add_argument("--learning-rate", type=float, default=None, help="instead of the recipe's, for all variants")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    bench = Bench(args.output.resolve(), args.train, args.val)
    bench.prepare()
    early = bench.train("early", "stage1", bench.folder / "tiny-model", 0, stage1_changes(args.stage1_steps))
    rows = {START: [measures(bench.evaluate("early", early))]}
    for seed in range(1, args.seeds + 1):  # seed by seed, so that a stopped ablation has whole seeds
        for variant in args.variants:
            name = f"{variant}-{seed}"
            final = bench.train(name, VARIANTS[variant], early, seed, stage2_changes(variant, args))
            rows.setdefault(variant, []).append(measures(bench.evaluate(name, final)))
    print(f"{args.stage1_steps} steps of Stage-1, then {args.steps}; {args.seeds} seeds; {machine()}\n")
    print(table(rows))


def stage1_changes(steps: int) -> dict[str, Any]:
    """The demo's Stage-1 with fewer steps."""
    return {"training": {"max_steps": steps, "eval_steps": steps}}


def stage2_changes(variant: str, args: argparse.Namespace) -> dict[str, Any]:
    """What all variants have in common, and differ in from their recipes."""
    training: dict[str, Any] = {"max_steps": args.steps, "eval_steps": args.steps, "logging_steps": 20}
    if variant == "stage1":  # continues as the others do, not as a model that is trained from nothing
        training |= {"optim": "adamw_torch_fused", "learning_rate": 2.0e-4, "warmup_steps": 5}
        training |= {"weight_decay": 0.01, "adam_beta2": 0.999}
    # nothing stops a run early, not even rollouts that run away: all variants have the same budget
    unlimited = {"max_predictions_per_gt": None, "max_truncation_rate": None}
    changes: dict[str, Any] = {"training": training}
    if variant != "stage1":
        changes["rollout_matching"] = {"runaway": unlimited}
    if args.learning_rate is not None:
        changes = merged(changes, {"training": {"learning_rate": args.learning_rate}})
    return changes


def measures(found: dict[str, Any]) -> dict[str, float]:
    """The columns of the table. F1 and its parts are those of boxes alone but where words are named."""
    boxes, words = found["boxes"]["class_agnostic"], found["boxes"]["class_aware"]
    return {
        "precision@0.5": boxes["precision_50"] or 0.0,
        "recall@0.5": boxes["recall_50"],
        "F1@0.5": boxes["f1_50"],
        "F1@0.5:0.95": boxes["f1_mean"],
        "F1@0.5 with words": words["f1_50"],
        "matched IoU": found["written"]["matched_iou"],
        "recall@0.5, expected boxes": found["expected"]["recall"],
        "matched IoU, expected boxes": found["expected"]["matched_iou"],
        "duplicates": found["duplicates"]["rate"] or 0.0,
        "parse rate": found["outputs"]["parse_rate"],
        "tokens": found["outputs"]["tokens_per_output"],
    }


if __name__ == "__main__":
    main()
