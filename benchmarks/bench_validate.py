"""Speed and memory of ``coordspec validate`` against its peers, in one run.

    python benchmarks/bench_validate.py [--megabytes 200] [--rounds 5] [--out results.json]

A generated LVIS-like file: object counts with a long tail, about 1,200 descriptions, COCO-like image sizes, boxes in
reading order. Single-core figures are CPU time, medians over rounds in which every candidate takes its turn; the two
worker figure is wall time. Peers read the same lines from the same file.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
import orjson

from coordspec.contracts import schema
from coordspec.coords import TOKENS
from coordspec.errors import Severity
from coordspec.validate.blocks import validate_range
from coordspec.validate.explain import Explainer, ValidateOptions, locate_all
from coordspec.validate.run import validate_files

SIZES = ((640, 480), (480, 640), (640, 427), (500, 375), (427, 640), (640, 640), (612, 612), (375, 500))
FIRST = [
    "black",
    "red",
    "small",
    "wooden",
    "old",
    "striped",
    "left",
    "plastic",
    "folded",
    "open",
    "wet",
    "round",
    "tall",
    "broken",
    "empty",
    "painted",
]
SECOND = [
    "cat",
    "traffic_light",
    "coffee_table",
    "person",
    "handbag",
    "bicycle",
    "wine_glass",
    "street_sign",
    "awning",
    "bottle_cap",
    "banana",
    "horse",
    "boat",
    "kite",
    "umbrella",
    "laptop",
    "mouse",
    "vase",
    "clock",
    "zebra",
    "apple",
    "bench",
    "bowl",
    "bus",
    "cabinet",
    "candle",
    "carrot",
    "chair",
    "curtain",
    "dog",
    "doughnut",
    "elephant",
    "faucet",
    "flag",
    "fork",
    "giraffe",
    "glove",
    "guitar",
    "hat",
    "helmet",
    "jacket",
    "jar",
    "kettle",
    "knife",
    "ladder",
    "lamp",
    "magnet",
    "mirror",
    "mug",
    "napkin",
    "necklace",
    "oven",
    "pan",
    "pillow",
    "plate",
    "pot",
    "refrigerator",
    "ring",
    "rug",
    "sandal",
    "scarf",
    "shirt",
    "shoe",
    "sink",
    "skateboard",
    "ski",
    "sofa",
    "spoon",
    "surfboard",
    "sweater",
    "tomato",
    "towel",
    "truck",
]


def records(seed: int, *, tokens: bool = False) -> Iterator[dict[str, Any]]:
    """Endless valid records."""
    rng = random.Random(seed)
    descs = [f"{a} {b.replace('_', ' ')}" for a in FIRST for b in SECOND]
    number = 0
    while True:
        number += 1
        width, height = rng.choice(SIZES)
        few = rng.sample(descs, 6)
        boxes = sorted(
            (rng.randrange(0, 900), rng.randrange(0, 950), rng.random() ** 3, rng.random() ** 3)
            for _ in range(min(300, int(rng.expovariate(1 / 12)) + (rng.random() < 0.97)))
        )
        objects = [
            {"desc": rng.choice(few), "bbox_2d": [x, y, x + 1 + int((998 - x) * w), y + 1 + int((998 - y) * h)]}
            for y, x, w, h in boxes
        ]
        unique = {json.dumps(item): item for item in objects}
        if tokens:
            for item in unique.values():
                item["bbox_2d"] = [TOKENS[k] for k in item["bbox_2d"]]
        yield {
            "images": [f"train2017/{number:012d}.jpg"],
            "width": width,
            "height": height,
            "objects": list(unique.values()),
        }


def spoil(record: dict[str, Any], rng: random.Random) -> bytes:
    """A line of the record with one fault in it."""
    if not record["objects"]:
        record["objects"] = [{"desc": "cat", "bbox_2d": [1, 2, 3, 4]}]
    item = rng.choice(record["objects"])
    box = item["bbox_2d"]
    kind = rng.randrange(10)
    if kind == 0:
        box[rng.randrange(4)] = rng.choice((1000, -1, 4096))
    elif kind == 1:
        box[:] = box[2:] + box[:2]
    elif kind == 2:
        box.pop()
    elif kind == 3:
        box[rng.randrange(4)] += 0.5
    elif kind == 4:
        item["desc"] = " "
    elif kind == 5:
        del item["bbox_2d"]
    elif kind == 6:
        item["bbox"] = item.pop("bbox_2d")
    elif kind == 7:
        del record[rng.choice(("width", "height"))]
    elif kind == 8:
        record["images"] = ["/abs/" + record["images"][0]]
    else:
        item["desc"] += "<|im_end|>"
    return orjson.dumps(record)


def write(path: Path, size: int, bad_share: float, *, tokens: bool = False) -> None:
    rng = random.Random(1)
    done = 0
    with path.open("wb") as stream:
        for record in records(0, tokens=tokens):
            line = spoil(record, rng) if rng.random() < bad_share else json.dumps(record, ensure_ascii=False).encode()
            done += stream.write(line + b"\n")
            if done >= size:
                return


def typical(line: bytes) -> list[str]:
    """What a careful training repository has: json.loads and a page of isinstance checks."""
    errors: list[str] = []
    try:
        record = json.loads(line)
    except ValueError as error:
        return [f"invalid JSON: {error}"]
    for key in ("images", "width", "height", "objects"):
        if key not in record:
            errors.append(f"missing {key}")
    images = record.get("images")
    if not isinstance(images, list) or not images or not all(isinstance(p, str) and p for p in images):
        errors.append("images must be a non-empty list of paths")
    elif any(p.startswith("/") or ".." in p.split("/") for p in images):
        errors.append("images must be relative")
    for key in ("width", "height"):
        value = record.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            errors.append(f"{key} must be a positive integer, got {value!r}")
    for i, obj in enumerate(record.get("objects") or []):
        desc = obj.get("desc")
        if not isinstance(desc, str) or not desc.strip():
            errors.append(f"objects[{i}].desc must be a non-blank string")
        elif "<|" in desc:
            errors.append(f"objects[{i}].desc holds a special token")
        present = [key for key in ("bbox_2d", "poly") if key in obj]
        if len(present) != 1:
            errors.append(f"objects[{i}] needs exactly one geometry, has {present}")
            continue
        coords = obj[present[0]]
        if not isinstance(coords, list) or (len(coords) != 4 if present[0] == "bbox_2d" else len(coords) < 6):
            errors.append(f"objects[{i}].{present[0]} has the wrong length")
            continue
        for j, value in enumerate(coords):
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 999:
                errors.append(f"objects[{i}].{present[0]}[{j}] must be in 0..999, got {value!r}")
                break
        else:
            if present[0] == "bbox_2d" and (coords[0] > coords[2] or coords[1] > coords[3]):
                errors.append(f"objects[{i}].bbox_2d is inverted: {coords}")
    return errors


def inlined(node: Any, root: Any) -> Any:
    """A schema with every local $ref replaced by what it points to."""
    if isinstance(node, list):
        return [inlined(item, root) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = root
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return inlined(target, root)
    return {key: inlined(value, root) for key, value in node.items() if key not in ("$defs", "$id")}


def cpu(work: Callable[[], object]) -> float:
    gc.collect()
    start = time.process_time()
    work()
    return time.process_time() - start


def by_line(path: Path, call: Callable[[bytes], object]) -> Callable[[], None]:
    def run() -> None:
        with path.open("rb") as stream:
            for line in stream:
                call(line)

    return run


def explain_all(path: Path) -> Callable[[], None]:
    """The explaining path alone, every finding located and made into an issue with its message."""
    options = ValidateOptions()
    explain = Explainer(options).explain

    def run() -> None:
        number = offset = 0
        with path.open("rb") as stream:
            for line in stream:
                number += 1
                data = line.rstrip(b"\n")
                for found in locate_all(explain(data, len(data)), data, number, offset):
                    found.issue("x.jsonl", options)
                offset += len(line)

    return run


WORKER = """
import re, sys
from pathlib import Path
from coordspec.validate.blocks import validate_range
from coordspec.validate.explain import ValidateOptions
summary = validate_range(sys.argv[1], 0, Path(sys.argv[1]).stat().st_size, ValidateOptions())
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1], summary.lines)
"""


def worker_memory(path: Path) -> tuple[float, int]:
    """Peak resident MiB of a fresh process that checks the whole file with what a worker imports, and its lines."""
    done = subprocess.run([sys.executable, "-c", WORKER, str(path)], check=True, capture_output=True, text=True)
    kilobytes, lines = map(int, done.stdout.split())
    return kilobytes / 1024, lines


def medians(rounds: int, candidates: dict[str, Callable[[], object]]) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, work in candidates.items():
            times[name].append(cpu(work))
    return {name: statistics.median(values) for name, values in times.items()}


WALLS = """
import statistics, sys, time
from coordspec.validate.explain import ValidateOptions
from coordspec.validate.run import Plan, validate_files
def wall(jobs):
    start = time.perf_counter()
    validate_files([sys.argv[1]], ValidateOptions(), Plan(jobs=jobs))
    return time.perf_counter() - start
print(statistics.median(wall(1) / wall(2) for _ in range(int(sys.argv[2]))))
"""


def two_workers(path: Path, rounds: int) -> float:
    """Wall time of one worker over that of two, in a fresh process: forking this one would copy the peers' data."""
    words = [sys.executable, "-c", WALLS, str(path), str(rounds)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def orjson_seconds(path: str) -> float:
    """Wall time of the plainest loop there is; two of them at once show what a second core of this machine gives."""
    start = time.perf_counter()
    with open(path, "rb") as stream:
        for line in stream:
            orjson.loads(line)
    return time.perf_counter() - start


def machine_scaling(path: Path, rounds: int) -> float:
    with ProcessPoolExecutor(2) as pool:
        pairs = []
        for _ in range(rounds):
            alone = pool.submit(orjson_seconds, str(path)).result()
            both = [pool.submit(orjson_seconds, str(path)) for _ in range(2)]
            pairs.append(2 * alone / max(done.result() for done in both))
    return statistics.median(pairs)


def measure(folder: Path, size: int, rounds: int) -> dict[str, float]:
    good, token, mixed, bad = (folder / f"{name}.jsonl" for name in ("good", "token", "mixed", "bad"))
    write(good, size, 0.0)
    write(token, size // 4, 0.0, tokens=True)
    write(mixed, size // 4, 0.01)
    write(bad, size // 10, 1.0)
    quarter = folder / "quarter.jsonl"
    write(quarter, size // 4, 0.0)
    assert all(
        item.severity is Severity.ERROR for item in validate_files([str(bad)], ValidateOptions()).outcome.issues[:50]
    )

    def check(path: Path) -> Callable[[], object]:
        return lambda: validate_range(str(path), 0, path.stat().st_size, ValidateOptions())

    times = medians(rounds, {"ours": check(good), "orjson": by_line(good, orjson.loads)})
    token_times = medians(rounds, {"ours": check(token), "orjson": by_line(token, orjson.loads)})
    flat = inlined(dict(schema("record")), schema("record"))
    with quarter.open("rb") as stream:
        objects = [orjson.loads(line) for line in stream]
    fast = jsonschema_rs.Draft202012Validator(flat)
    slow = jsonschema.Draft202012Validator(flat)
    few = objects[:: max(1, len(objects) // 300)]
    peers = medians(
        rounds,
        {
            "ours": check(quarter),
            "mixed": check(mixed),
            "jsonschema-rs": lambda: [fast.is_valid(item) for item in objects],
            "jsonschema": lambda: [slow.is_valid(item) for item in few],
        },
    )
    peers["jsonschema"] *= sum(len(orjson.dumps(o)) for o in objects) / sum(len(orjson.dumps(o)) for o in few)
    worst = medians(
        rounds,
        {
            "typical": by_line(bad, typical),
            "typical good": by_line(quarter, typical),
            "explain": explain_all(bad),
            "validate": check(bad),
        },
    )
    memory, lines = worker_memory(good)
    megabytes = {path.name: path.stat().st_size / 1e6 for path in (good, token, quarter, mixed, bad)}
    clean, dirty = peers["ours"] / megabytes["quarter.jsonl"], peers["mixed"] / megabytes["mixed.jsonl"]
    return {
        "lines": lines,
        "MB/s validate": megabytes["good.jsonl"] / times["ours"],
        "MB/s orjson": megabytes["good.jsonl"] / times["orjson"],
        "MB/s validate, tokens": megabytes["token.jsonl"] / token_times["ours"],
        "MB/s typical validator, good file": megabytes["quarter.jsonl"] / worst["typical good"],
        "MB/s typical validator, bad file": megabytes["bad.jsonl"] / worst["typical"],
        "MB/s explain, bad file": megabytes["bad.jsonl"] / worst["explain"],
        "MB/s validate, bad file": megabytes["bad.jsonl"] / worst["validate"],
        "speed / orjson.loads (>= 0.65)": times["orjson"] / times["ours"],
        "speed / orjson.loads, tokens": token_times["orjson"] / token_times["ours"],
        "speed / jsonschema-rs (>= 1.3)": peers["jsonschema-rs"] / peers["ours"],
        "speed / jsonschema (>= 180)": peers["jsonschema"] / peers["ours"],
        "2 workers / 1, wall (>= 1.9)": two_workers(good, rounds),
        "2 orjson loops / 1, wall (what the machine gives)": machine_scaling(quarter, rounds),
        "MiB resident per worker (<= 64)": memory,
        "cost of 1 % bad lines (<= 1.2)": dirty / clean,
        "explain / typical, all lines bad (>= 1.5)": worst["typical"] / worst["explain"],
        "validate / typical, all lines bad": worst["typical"] / worst["validate"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), args.megabytes * 1_000_000, args.rounds)
    peers = ", ".join(f"{name} {version(name)}" for name in ("orjson", "msgspec", "jsonschema-rs", "jsonschema"))
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, {peers}")
    for name, value in results.items():
        print(f"{value:12.2f}  {name}")
    if args.out:
        args.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
