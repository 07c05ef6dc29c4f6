"""Command lines for the help page of every command; a test parses each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

EXAMPLES: Final[Mapping[str, tuple[str, ...]]] = {
    "validate": ("coordspec validate train.jsonl", "coordspec validate data --format sarif -o findings.sarif"),
    "rule": ("coordspec rule coord-range",),
    "rules": ("coordspec rules --family GEO",),
    "schema": ("coordspec schema record",),
    "stats": ("coordspec stats train.jsonl", "coordspec stats data --format json"),
    "shapes": ("coordspec shapes -o shapes --train 200 --val 50",),
    "convert": ("coordspec convert coco instances.json -o train.jsonl",),
    "coords": ("coordspec coords train.jsonl --to token -o train.coord.jsonl",),
    "fix": ("coordspec fix train.jsonl -o fixed.jsonl",),
    "export": ("coordspec export coco val.jsonl -o instances.json",),
    "export coco": ("coordspec export coco val.jsonl -o instances.json",),
    "export coco-results": ("coordspec export coco-results preds.jsonl --instances coco.json -o out.json",),
    "export label-studio": ("coordspec export label-studio --data val.jsonl -o tasks.json",),
    "check-config": ("coordspec check-config run.yaml",),
    "config": ("coordspec config show run.yaml",),
    "config init": ("coordspec config init", "coordspec config init stage1 -o my_run.yaml"),
    "config show": ("coordspec config show run.yaml",),
    "config diff": ("coordspec config diff old.yaml new.yaml",),
    "tiny-model": ("coordspec tiny-model tiny",),
    "expand-vocab": ("coordspec expand-vocab base expanded",),
    "train": ("coordspec train run.yaml", "coordspec train run.yaml --resume"),
    "guard": ("coordspec guard targets.jsonl --tokenizer model",),
    "mask": ("coordspec mask val.jsonl --tokenizer model --html mask.html",),
    "merge-lora": ("coordspec merge-lora run/final merged",),
    "infer": ("coordspec infer run/final val.jsonl -o preds.jsonl",),
    "eval": ("coordspec eval preds.jsonl val.jsonl",),
    "checklist": ("coordspec checklist run/final val.jsonl",),
    "report": ("coordspec report val.jsonl -o page.html", "coordspec report preds.jsonl val.jsonl -o page.html"),
    "sheet": ("coordspec sheet preds.jsonl val.jsonl -o sheet.png",),
    "spec": ("coordspec spec coverage",),
    "spec coverage": ("coordspec spec coverage --format json",),
    "spec lint": ("coordspec spec lint",),
    "gate": ("coordspec gate",),
    "docs": ("coordspec docs", "coordspec docs stage1-runbook"),
    "completion": (
        'eval "$(coordspec completion bash)"',
        "coordspec completion fish > ~/.config/fish/completions/coordspec.fish",
    ),
}
"""By the words that call a command."""
