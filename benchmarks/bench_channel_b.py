"""What it costs to build a Channel-B target, stage by stage, against what cannot be saved.

    python benchmarks/bench_channel_b.py [--rounds 15] [--tokenizer FILE]

A sample has 100 objects and about 3,000 tokens; the rollout holds 90 of them, moved a little, and 10 false positives,
so that 10 objects are injected. The tokenizer is Qwen's real BPE with the coord tokens added, made from the ranks that
dashscope ships, or a tokenizer.json. Times are CPU time on one core, the best of the rounds. The floor is what the
tokenizer takes for the injected text, once, and what SciPy takes for the assignment alone.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from scipy.optimize import linear_sum_assignment
from tokenizers import Tokenizer

from coordspec.config.training import ChannelB
from coordspec.contracts import mask_policies
from coordspec.coords import MAX_BIN
from coordspec.guard import check_target
from coordspec.match import match_objects, pairwise_iou
from coordspec.record import DetObject, Record, render_payload
from coordspec.rollout.align import align
from coordspec.rollout.parse import parse_rollout
from coordspec.rollout.tokens import TokenTable
from coordspec.samples.dataset import Task
from coordspec.target import build_target, ground_truth_target
from coordspec.train.stage2.rollouts import rollout_target

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

END = "<|im_end|>"
DESCS = ("person", "black cat", "traffic light", "wine glass", "碗", "café table", "dining table", "potted plant")


def objects(rng: random.Random, count: int) -> list[DetObject]:
    """Boxes on a grid, so that most of them overlap little, as in a crowded image."""
    found = []
    for index in range(count):
        x, y = (index % 10) * 95 + rng.randrange(20), (index // 10 % 10) * 95 + rng.randrange(20)
        found.append(DetObject(rng.choice(DESCS), (x, y, x + rng.randrange(30, 70), y + rng.randrange(30, 70))))
    return found


def predictions(rng: random.Random, gt: list[DetObject]) -> list[DetObject]:
    """Nine of ten objects, moved by up to two bins, and as many false positives as are missing."""
    kept = gt[: len(gt) * 9 // 10]
    moved = [
        DetObject(item.desc, tuple(min(MAX_BIN, max(0, k + rng.randint(-2, 2))) for k in item.bbox_2d or ()))
        for item in kept
    ]
    return moved + [DetObject("bird", (0, 0, MAX_BIN, MAX_BIN))] * (len(gt) - len(kept))


def milliseconds(function: Callable[[], object], rounds: int) -> float:
    """The least CPU time of a call, over rounds of several calls."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        for _ in range(10):
            function()
        times.append((time.process_time() - started) / 10)
    return min(times) * 1000


def by_hand(ids: list[int], gt: list[DetObject], tokenizer: Tokenizer) -> list[tuple[int, float]]:
    """What a trainer does that is written in an afternoon: decode token by token, find spans by text, weigh by span.

    It parses with ``json``, takes the last brace, matches greedily in Python and encodes the whole target again.
    """
    pieces = [tokenizer.decode([token_id], skip_special_tokens=False) for token_id in ids]
    text = "".join(pieces).removesuffix(END)
    parsed = json.loads(text)
    boxes = {key: [int(re.findall(r"\d+", token)[0]) for token in value["bbox_2d"]] for key, value in parsed.items()}
    free, matched = dict(enumerate(gt)), set()
    for key, (x1, y1, x2, y2) in boxes.items():
        best, which = 0.0, None
        for index, item in free.items():
            a1, b1, a2, b2 = item.bbox_2d or (0, 0, 0, 0)
            inter = max(0, min(x2, a2) - max(x1, a1)) * max(0, min(y2, b2) - max(y1, b1))
            union = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - inter
            if union and inter / union > best:
                best, which = inter / union, index
        if which is not None and best >= 0.3:
            matched.add(key)
            del free[which]
    start = 1 + max(int(key.split("_")[1]) for key in parsed)
    injected = render_payload(list(free.values()), start)[1:]
    whole = text[: text.rindex("}")] + ", " + injected + END
    encoded = tokenizer.encode(whole, add_special_tokens=False)
    spans = [(m.start(), m.end(), m[1] in matched) for m in re.finditer(r'"(object_\d+)": \{[^}]*\}', whole)]
    weights = []
    for token_id, (first, behind) in zip(encoded.ids, encoded.offsets, strict=True):
        weight = 1.0
        for start_of, end_of, sound in spans:
            if first < end_of and behind > start_of and not sound:
                weight = 0.0
        weights.append((token_id, weight))
    return weights


def stages(tokenizer: Tokenizer, table: TokenTable, count: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """What is timed, for a sample of that many objects."""
    rng = random.Random(count)
    gt = objects(rng, count)
    ids = tokenizer.encode(render_payload(predictions(rng, gt)) + END, add_special_tokens=False).ids
    broken = render_payload(predictions(rng, gt)).replace('"desc"', '"description"')[:-1]
    broken_ids = tokenizer.encode(broken, add_special_tokens=False).ids
    rollout, target = parse_rollout(ids, table), build_target(ids, gt, table)
    said = [entry.item for entry in rollout.predictions if entry.item is not None]
    cost = 1.0 - pairwise_iou(said, gt)
    missed = render_payload([gt[index] for index in target.report.fn], target.report.start_id)[1:] + END
    yield "tokens of the rollout", lambda: len(ids)
    yield "objects that are injected", lambda: len(target.report.fn)
    yield "align: ids to bytes", lambda: align(ids, table)
    yield "parse, alignment included", lambda: parse_rollout(ids, table)
    yield "match", lambda: match_objects(said, gt)
    yield "floor: SciPy alone", lambda: linear_sum_assignment(cost)
    yield "floor: encoding the injected text once", lambda: tokenizer.encode(missed, add_special_tokens=False).ids
    yield "parse, match, inject, mask", lambda: build_target(ids, gt, table)
    yield "the same, every entry dropped and the end cut off", lambda: build_target(broken_ids, gt, table)
    task = Task(Record(("a.png",), 1000, 1000, tuple(gt)), None, 0, ())  # type: ignore[arg-type]  # no prompt is used
    yield "all of a sample: build, guard, count", lambda: rollout_target(task, tuple(ids), table, ChannelB())
    yield "guard", lambda: check_target(target, gt, table, ids)
    yield "target of the ground truth", lambda: ground_truth_target(gt, table)
    yield "a trainer written by hand", lambda: by_hand(ids, gt, tokenizer)


GOALS = {
    "parse, match, inject, mask": 3.0,
    "the same, every entry dropped and the end cut off": 10.0,
}
COUNTS = (25, 50, 100, 200)
MEASURED = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tokenizer", type=Path)
    options = parser.parse_args()
    if options.tokenizer is None:
        from qwen_tokenizer import qwen  # noqa: PLC0415 (of the tests, and needed without --tokenizer alone)

        tokenizer = qwen()
    else:
        tokenizer = Tokenizer.from_file(str(options.tokenizer))
    table = TokenTable(tokenizer)
    gc.collect()
    gc.freeze()  # the vocabulary is not looked through again, as in a training process that has started
    columns: dict[str, list[str]] = {}
    for count in COUNTS:
        for name, function in stages(tokenizer, table, count):
            counted = name.startswith(("tokens", "objects"))
            value = str(function()) if counted else f"{milliseconds(function, options.rounds):.2f}"
            columns.setdefault(name, []).append(value)
    _print(columns)


def _print(columns: dict[str, list[str]]) -> None:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "tokenizers"))
    print(f"{platform.system()}, {platform.machine()}, Python {platform.python_version()}, {libraries}.")
    print(f"Policy {mask_policies().default}. Milliseconds of CPU time on one core, best of the rounds.\n")
    print("| " + " | ".join(["what", *(f"{count} objects" for count in COUNTS), "goal at 100"]) + " |")
    print("| --- " * (len(COUNTS) + 2) + "|")
    for name, values in columns.items():
        goal = GOALS.get(name)
        missed = goal is not None and float(values[COUNTS.index(MEASURED)]) > goal
        verdict = "" if goal is None else f"≤ {goal:.0f}" + (", **missed**" if missed else "")
        print("| " + " | ".join([name, *values, verdict]) + " |")


if __name__ == "__main__":
    main()
