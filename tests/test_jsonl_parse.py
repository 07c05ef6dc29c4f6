"""The fast decision of ``parse_line`` against the scanner, which defines what strict JSON is."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from coordspec.jsonl import parse
from coordspec.jsonl.parse import parse_line
from coordspec.jsonl.scan import MAX_DEPTH, scan

TOKENS = ["<|coord_1|>", "<|coord_2|>", "<|coord_998|>", "<|coord_999|>"]
RECORD = {"images": ["a.jpg"], "width": 6, "height": 4, "objects": [{"desc": "red: cup", "bbox_2d": TOKENS}]}
SHAPES: dict[str, Any] = {
    "record": RECORD,
    "record with metadata": RECORD | {"summary": 'a "b" \\', "metadata": {"a": {"b": [1, {"c": 2.5e3}]}}},
    "polygons": RECORD | {"objects": [{"desc": "x", "poly": [[1, 2], [3, 4], [5, 6]]}] * 3},
    "prediction": {
        "gt": RECORD["objects"],
        "pred": [{"desc": "é", "score": 0.5, "bbox_2d": TOKENS}],
        "raw": '{"k": 1}',
    },
    "dump": {"step": 3, "ids": [1, 2, 3], "rows": [{"i": 1, "m": {"k": None}}], "rollout": '{"object_1": {"desc"'},
    "empty": {"": {"": {}}, "a": [[], [{}]]},
    "list": [{"a": 1}, {"a": 2}, [{"b": [True, False]}]],
    "string": 'a:b\\":{}',
    "number": 12345678901234567890,
    "backslashes": {"a\\": "\\\\:", 'b"': '\\":"', "c": "\U0001f600"},
    "deep list": json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH),
    "deep objects": json.loads('{"a": ' * MAX_DEPTH + "1" + "}" * MAX_DEPTH),
}
INSERTS = (
    *(b'"', b"\\", b":", b",", b"{", b"}", b"[", b"]", b" ", b"0", b"-", b"\xff", b"\x00", b"\xc3\xa9", b"\t"),
    *(b'"a": 1, ', b'"desc": "x", ', b'"\\u0061": 1, ', b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 400),
    *(b"\\ud800", b"\\ud83d\\ude00", b'\\"', b"\\\\", b"\\u003a", b"\xef\xbb\xbf", b"[{", b"}]", b'{"a": 1, "a": 2}'),
)


def mutated(line: bytes, rng: random.Random) -> bytes:
    """The line with up to three pieces put in, cut out or doubled."""
    for _ in range(rng.randint(0, 3)):
        start = rng.randint(0, len(line))
        end = min(len(line), start + rng.randint(0, 12))
        kind = rng.randrange(4)
        if kind == 0:
            line = line[:start] + rng.choice(INSERTS) + line[start:]
        elif kind == 1:
            line = line[:start] + line[end:]
        elif kind == 2:
            line = line[:end] + line[start:]
        else:  # where an object begins, so that many lines stay readable
            braces = [i for i, byte in enumerate(line) if byte in b"{"] or [0]
            place = rng.choice(braces) + 1
            line = (
                line[:place]
                + rng.choice((b'"a": 1, ', b'"a": {"b": ":"}, ', b'"desc": 1, ', b'"\\u0061": 1, '))
                + line[place:]
            )
    return line


def agree(count: int, seed: int, scanned: Callable[[bytes], parse.Parsed]) -> None:
    rng = random.Random(seed)
    lines = [json.dumps(value, ensure_ascii=bool(i)).encode() for value in SHAPES.values() for i in range(2)]
    for _ in range(count):
        line = mutated(rng.choice(lines), rng)
        got, wanted = parse_line(line, len(line), 1 << 20), scanned(line)
        assert (got.usable, got.faults) == (wanted.usable, wanted.faults), line
        assert not wanted.usable or repr(got.value) == repr(wanted.value), line


def test_fast_decision_is_the_scanners() -> None:
    agree(10_000, 1, parse._scan)


@pytest.mark.nightly
def test_fast_decision_is_the_scanners_on_many_lines() -> None:
    agree(300_000, 2, parse._scan)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_sound_line_of_any_shape_needs_no_scanner(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(text: bytes) -> parse.Parsed:
        raise AssertionError(text)

    monkeypatch.setattr(parse, "_scan", forbidden)
    line = json.dumps(SHAPES[shape]).encode()
    parsed = parse_line(line, len(line), len(line))
    assert parsed.usable
    assert parsed.value == SHAPES[shape] == scan(line.decode()).value


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a": ', "}"), ('[{"a": ', "}]")])
def test_one_level_too_many_is_refused(opened: str, closed: str) -> None:
    levels = MAX_DEPTH // len(closed)
    allowed, refused = ((opened * levels + inmost + closed * levels).encode() for inmost in ("1", "[]"))
    assert parse_line(allowed, len(allowed), len(allowed)).faults == []
    found = parse_line(refused, len(refused), len(refused))
    assert not found.usable
    assert [fault.finding.rule for fault in found.faults] == ["too-deep"]
