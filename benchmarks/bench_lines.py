"""How long one line takes to read strictly, by what stands on it: parse_line against json.loads, in one run.

    python benchmarks/bench_lines.py [ROUNDS]

The claim: a prediction line takes at most 60 µs, and no shape goes the slow way for its shape alone. Each figure is the
best of ROUNDS passes over 200 generated lines of one shape, CPU time, one core; the worst shape comes first.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from coordspec.jsonl.parse import parse_line

LINES, LIMIT = 200, 1 << 24
WORDS = ("black cat", "a dog: asleep", "une tasse « bleue »", "碗", "man, left", 'the "red" one', "tree")


def box(rng: random.Random) -> list[int]:
    x, y = sorted(rng.sample(range(1000), 2)), sorted(rng.sample(range(1000), 2))
    return [x[0], y[0], x[1], y[1]]


def item(rng: random.Random, **more: Any) -> dict[str, Any]:
    return {"desc": rng.choice(WORDS), "bbox_2d": box(rng), **more}


def record(rng: random.Random, **more: Any) -> dict[str, Any]:
    objects = [item(rng) for _ in range(rng.randint(1, 20))]
    return {"images": [f"val/{rng.randrange(10**9):012}.jpg"], "width": 640, "height": 480, "objects": objects, **more}


def outlined(rng: random.Random) -> dict[str, Any]:
    polygons = [
        {"desc": rng.choice(WORDS), "poly": [rng.randrange(1000) for _ in range(2 * rng.randint(3, 30))]}
        for _ in range(8)
    ]
    source = {"id": 7, "tags": ["a", "b"], "license": {"name": "x", "url": "http://x/y"}}
    return record(rng, metadata={"source": source}) | {"objects": polygons}


def prediction(rng: random.Random) -> dict[str, Any]:
    found = [item(rng, score=rng.random(), span=[0, 5]) for _ in range(8)]
    text = json.dumps({f"object_{i}": item(rng) for i in range(1, 9)})
    dropped = [{"key": "object_9", "reason": "inverted_box"}]
    return record(rng) | {"index": 3, "objects": found, "dropped": dropped, "text": text, "tokens": 120, "run": "ab:cd"}


def dump(rng: random.Random) -> dict[str, Any]:
    slots = [{"object": k, "positions": list(range(4)), "bins": box(rng)} for k in range(8)]
    target = {"ids": [rng.randrange(150_000) for _ in range(400)], "owner": ["fn"] * 400, "slots": slots}
    return {"sample": "data.jsonl:3", "objects": [item(rng) for _ in range(8)], "target": target}


SHAPES: dict[str, Callable[[random.Random], Any]] = {
    "record": record,
    "record with polygons and nested metadata": outlined,
    "prediction": prediction,
    "dumped target": dump,
}


def best(read: Callable[[bytes], object], lines: list[bytes], rounds: int) -> float:
    """Microseconds of a line."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        for line in lines:
            read(line)
        times.append(time.process_time() - start)
    return 1e6 * min(times) / len(lines)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    rows = []
    for name, make in SHAPES.items():
        rng = random.Random(0)
        lines = [json.dumps(make(rng), ensure_ascii=False).encode() for _ in range(LINES)]
        assert all(parse_line(line, len(line), LIMIT).usable for line in lines)
        ours = best(lambda line: parse_line(line, len(line), LIMIT), lines, rounds)
        theirs = best(json.loads, lines, rounds)
        rows.append((ours / theirs, name, ours, theirs, sum(map(len, lines)) / LINES))
    print(f"{'shape':<42} {'parse_line':>11} {'json.loads':>11} {'ratio':>6} {'bytes':>7}")
    for ratio, name, ours, theirs, size in sorted(rows, reverse=True):
        print(f"{name:<42} {ours:>8.1f} µs {theirs:>8.1f} µs {ratio:>6.2f} {size:>7.0f}")


if __name__ == "__main__":
    main()
