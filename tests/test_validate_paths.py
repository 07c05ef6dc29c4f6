"""The accept path never says yes to a line with a finding, and the explainer says what the reference says."""

from __future__ import annotations

import itertools
import json
import os
import random
from collections import Counter

import pytest

import mutants
from coordspec.checks.finding import CoordSpace
from coordspec.coords import BIN_OF_TOKEN
from coordspec.jsonl.parse import ValuePlace, locate, parse_line
from coordspec.validate.accept import Acceptor
from coordspec.validate.explain import Explainer, ValidateOptions, explain_reference, locate_all
from coordspec.validate.tally import BoxTally

CHUNK = 8  # small, so that some blocks hold neither colons in strings nor escapes


def compare(seed: int, count: int, space: CoordSpace) -> Counter[str]:
    """Run all three over ``count`` lines; the counts say how often each outcome was seen."""
    options = ValidateOptions(space=space)
    acceptor, explainer = Acceptor(space, options.max_line_bytes), Explainer(options)
    seen: Counter[str] = Counter()
    rng = random.Random(seed)
    stream = itertools.islice(mutants.lines(seed), count)
    while chunk := list(itertools.islice(stream, CHUNK)):
        fast = BoxTally()
        block = b"\n".join(chunk) + b"\n"
        if rng.random() < 0.5:  # one that has seen nothing takes ways that an old one no longer takes
            acceptor = Acceptor(space, options.max_line_bytes)
        refused = set(acceptor.accept(chunk, fast, rng.choice((None, block))))
        slow = BoxTally()
        for index, line in enumerate(chunk):
            truth = explain_reference(line, len(line), options)
            rules = sorted(truth.rules())
            if index not in refused:
                assert not rules, f"accepted, but breaks {rules}: {line!r}"
                slow.add(truth.boxes)
                seen["accepted"] += 1
            other = explainer.explain(line, len(line))
            assert locate_all(other, line, 1, 0) == locate_all(truth, line, 1, 0), line
            mine, theirs = BoxTally(), BoxTally()
            mine.add(other.boxes)
            theirs.add(truth.boxes)
            assert mine == theirs, line
            seen.update(rules or ["clean"])
        assert fast == slow
    return seen


@pytest.mark.parametrize("space", list(CoordSpace))
@pytest.mark.parametrize("seed", range(4))
def test_no_false_accepts_and_no_other_explanations(seed: int, space: CoordSpace) -> None:
    count = 25_000 if space is CoordSpace.NORM1000 else 5_000
    seen = compare(seed, count, space)
    # The comparison says something only where lines of every kind came by.
    assert seen["clean"] > count / 10
    assert seen["accepted"] > seen["clean"] / 4
    assert len(seen) > (34 if space is CoordSpace.NORM1000 else 25), seen


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 120))
def test_no_false_accepts_in_ten_million_lines(seed: int) -> None:
    count = int(os.environ.get("COORDSPEC_FUZZ_LINES", "10000000")) // 20
    assert compare(seed, count, CoordSpace.NORM1000)["accepted"] > count / 20


def test_msgspec_gives_bins_for_tokens() -> None:
    """The accept path rests on how msgspec looks up enum members; this fails when a new version does it otherwise."""
    acceptor = Acceptor(CoordSpace.NORM1000, 1 << 20)
    tokens = list(BIN_OF_TOKEN)
    lines = [
        json.dumps({"images": ["a"], "width": 9, "height": 9, "objects": [{"desc": "x", "bbox_2d": box}]}).encode()
        for low, high in itertools.pairwise(tokens)
        for box in ([low, low, high, high], [high, low, low, high], [low, high, high, low])
    ]
    assert acceptor.accept(lines, BoxTally()) == [i for i in range(len(lines)) if i % 3]


@pytest.mark.parametrize("seed", range(3))
def test_locate_points_at_what_was_parsed(seed: int) -> None:
    """Wherever a value stands in a usable line, the text that starts there is that value."""
    rng = random.Random(seed)
    checked = 0
    for line in itertools.islice(mutants.lines(seed), 4_000):
        parsed = parse_line(line, len(line), 1 << 24)
        if not parsed.usable or any(f.finding.rule == "lone-surrogate" for f in parsed.faults):
            continue
        repeats = any(f.finding.rule == "duplicate-key" for f in parsed.faults)
        value, at = parsed.value, ()
        while isinstance(value, dict | list) and value and rng.random() < 0.85:
            step = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
            value, at = value[step], (*at, step)
        place, key_place = ValuePlace(at), ValuePlace(at, on_key=True)
        starts = locate(line, [place, key_place], repeats=repeats)
        start = starts[place]
        found, _ = json.JSONDecoder().raw_decode(line[start:].decode())
        assert found == value, (line, at)
        if at and isinstance(at[-1], str):
            key, _ = json.JSONDecoder().raw_decode(line[starts[key_place] :].decode())
            assert key == at[-1]
        checked += 1
    assert checked > 1_000
