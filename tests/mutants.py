"""Seeded lines around the edge of the contract: valid records, and what a careless or hostile writer makes of them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from coordspec.contracts import rule_book
from coordspec.coords import TOKENS

DESCS = (
    "cat", "black cat", "sign: stop", "café", "猫", "😀 face", "a<b", "x<|im_end|>", "<think>", "<|coord_5|>", "", " ",
    "\u200b", "\u00a0", "tab\there", "nul\u0000", "\u2028", "quote\"s", "back\\slash", "a, b: {c} [d]", "\u007f", "é" * 40,
    "\u202e", "\ufeff", "</tool_call>", "|><|", "<| im_end |>",
)  # fmt: skip
PATHS = (
    "a.png", "dir/b.jpg", "./c.png", "a b.png", "../up.png", "x/../y.png", "x/../../y.png", "/abs.png", "C:/x.png", "c:x",
    "http://h/x.png", "data:image/png;base64,AA", "\\\\host\\x", "a\\..\\..\\b", "", " ", " lead.png", "nul\u0000.png", "..", "...",
    "a:b.png", "日本/猫.png", "~/x.png",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 999, 1000, 998, 12.0, 12.5, -0.0, 1e300, 2**64, "", "12", "x", [], {}, [1], {"a": 1}, [[1, 2]],
    "<|coord_0|>", "<|coord_999|>", "<|coord_1000|>", "<|coord_01|>", "<|coord_٣|>", "<|coord_5|>\n", "<|coord_-1|>", [[[]]],
)  # fmt: skip
KEYS = (
    "images", "width", "height", "objects", "summary", "metadata", "desc", "bbox_2d", "poly", "poly_points", "bbox", "polygon",
    "segmentation", "coords", "line", "line_points", "Desc", "label", "",
)  # fmt: skip


ESCAPED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:./")


def valid_record(rng: random.Random) -> dict[str, Any]:
    """A record that breaks no rule, but for what chance makes of its boxes."""
    tokens = rng.random() < 0.4
    objects = [valid_object(rng, tokens) for _ in range(rng.choice((0, 1, 1, 2, 3, 5)))]
    if rng.random() < 0.6:
        objects.sort(key=lambda item: json.dumps(item.get("bbox_2d", item.get("poly"))[1::-1]))
    record: dict[str, Any] = {
        "images": [rng.choice(PATHS[:4]) for _ in range(rng.choice((1, 1, 1, 2)))],
        "width": rng.choice((1, 320, 640, 2000)),
        "height": rng.choice((1, 240, 480, 1500)),
        "objects": objects,
    }
    if rng.random() < 0.15:
        record["summary"] = rng.choice(("a cat", "a: b", "une phrase à lire"))
    if rng.random() < 0.2:
        record["metadata"] = rng.choice(
            ({}, {"id": 5}, {"a": "x:y", "b": 1.5}, {"deep": {"a": [1, {"b": None}]}}, {"é": "\\"})
        )
    return record


def valid_object(rng: random.Random, tokens: bool) -> dict[str, Any]:
    x1, y1 = rng.randrange(0, 900), rng.randrange(0, 900)
    x2, y2 = rng.randrange(x1 + 1, 1000), rng.randrange(y1 + 1, 1000)
    if rng.random() < 0.75:
        flat, key = [x1, y1, x2, y2], "bbox_2d"
    else:
        flat, key = [x1, y1, x2, y1, x2, y2, x1, y2][: rng.choice((6, 8))], "poly"
    coords: list[Any] = [TOKENS[k] for k in flat] if tokens else list(flat)
    item: dict[str, Any] = {"desc": rng.choice(DESCS[:5]), key: coords}
    if key == "poly" and rng.random() < 0.4:
        item["poly_points"] = len(flat) // 2
    if key == "poly" and rng.random() < 0.2:
        item["poly"] = [coords[i : i + 2] for i in range(0, len(coords), 2)]
    return item


def _value(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(VALUES))


def _container(record: dict[str, Any], rng: random.Random) -> Any:
    """Some dict or list of the record, the record itself included."""
    found: list[Any] = [record]
    for node in found:
        inner = node.values() if isinstance(node, dict) else node
        found += [value for value in inner if isinstance(value, dict | list)]
    return rng.choice(found)


def _replace(record: dict[str, Any], rng: random.Random) -> None:
    node = _container(record, rng)
    if node:
        place = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        node[place] = _value(rng)


def _remove(record: dict[str, Any], rng: random.Random) -> None:
    node = _container(record, rng)
    if node:
        node.pop(rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node)))


def _add(record: dict[str, Any], rng: random.Random) -> None:
    node = _container(record, rng)
    if isinstance(node, dict):
        node[rng.choice(KEYS)] = _value(rng)
    else:
        node.insert(rng.randrange(len(node) + 1), _value(rng))


def _objects(record: dict[str, Any]) -> list[dict[str, Any]]:
    items = record.get("objects")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _double(record: dict[str, Any], rng: random.Random) -> None:
    items = record.get("objects")
    if isinstance(items, list) and items:
        items.append(json.loads(json.dumps(rng.choice(items))))


def _coordinate(record: dict[str, Any], rng: random.Random) -> None:
    items = _objects(record)
    coords = [v for item in items for v in (item.get("bbox_2d"), item.get("poly")) if isinstance(v, list) and v]
    if coords:
        chosen = rng.choice(coords)
        chosen[rng.randrange(len(chosen))] = rng.choice((_value(rng), rng.randrange(1000)))


def _swap(record: dict[str, Any], rng: random.Random) -> None:
    items = _objects(record)
    boxes = [item["bbox_2d"] for item in items if isinstance(item.get("bbox_2d"), list) and len(item["bbox_2d"]) == 4]
    if boxes:
        box = rng.choice(boxes)
        i = rng.randrange(2)
        box[i], box[i + 2] = rng.choice(((box[i + 2], box[i]), (box[i], box[i])))


def _text(record: dict[str, Any], rng: random.Random) -> None:
    items = _objects(record)
    if items and rng.random() < 0.7:
        rng.choice(items)["desc"] = rng.choice(DESCS)
    else:
        record["images"] = [rng.choice(PATHS)]


VALUE_MUTATIONS: tuple[Callable[[dict[str, Any], random.Random], None], ...] = (
    _replace, _remove, _add, _double, _coordinate, _coordinate, _swap, _text, _text,
)  # fmt: skip


def _repeat_key(line: bytes, rng: random.Random) -> bytes:
    keys = [key for key in KEYS if f'"{key}": '.encode() in line]
    if not keys:
        return line
    key = rng.choice(keys)
    plain = f'"{key}": '.encode()
    spelled = rng.choice(
        (plain, f'"\\u{ord(key[0]):04x}{key[1:]}": '.encode() if key else plain, plain.replace(b'":', b'" :'))
    )
    at = line.index(plain)
    if rng.random() < 0.2:  # the colon that the repeated key brings, taken away elsewhere
        line = line[:at] + _escape(line[at:], rng) if line.count(b'"', 0, at) % 2 == 0 else line
    return line[:at] + spelled + rng.choice((b"1", b'"x"', b"[]", b"null", b'"a:b"')) + b", " + line[at:]


def _edit_bytes(line: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(line) + 1)
    kind = rng.randrange(4)
    if kind == 0:
        return line[:at] + line[at + 1 :]
    if kind == 1:
        extra = rng.choice(
            (
                b"{",
                b"}",
                b"[",
                b"]",
                b",",
                b":",
                b'"',
                b"\\",
                b" ",
                b"\t",
                b"\r",
                b"0",
                b"-",
                b".",
                b"e",
                b"\xff",
                b"\x00",
            )
        )
        return line[:at] + extra + line[at:]
    if kind == 2:
        return line[:at]
    return line[:at] + bytes([rng.randrange(256)]).replace(b"\n", b" ") + line[at + 1 :]


def _escape(line: bytes, rng: random.Random) -> bytes:
    """Write some letters of the line as escapes: the same value in other bytes."""
    letters = [i for i, c in enumerate(line) if chr(c) in ESCAPED and line[i - 1 : i] not in (b"\\", b"u")]
    inside = [i for i in letters if line.count(b'"', 0, i) % 2]
    colons = [i for i in inside if line[i : i + 1] == b":"]
    if colons and rng.random() < 0.5:
        inside = colons
    for at in sorted(rng.sample(inside, min(len(inside), rng.randrange(1, 4))), reverse=True):
        line = line[:at] + f"\\u{line[at]:04x}".encode() + line[at + 1 :]
    return line


def _number(line: bytes, rng: random.Random) -> bytes:
    digits = [i for i, c in enumerate(line) if chr(c).isdigit()]
    if not digits:
        return line
    at = rng.choice(digits)
    other = (
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e999",
        b"9" * 5000,
        b"01",
        b"1.",
        b"+1",
        b"-0",
        b"1E2",
        b"0x1",
        b"12.0",
        b"true",
    )
    return line[:at] + rng.choice(other) + line[at + 1 :]


def _surrogate(line: bytes, rng: random.Random) -> bytes:
    quotes = [i for i, c in enumerate(line) if c == ord('"')]
    if not quotes:
        return line
    at = rng.choice(quotes) + 1
    return (
        line[:at]
        + rng.choice((rb"\ud800", rb"\udc00", rb"\ud83d\ude00", rb"\ud83d", b"\xed\xa0\x80", rb"\u003a", b":"))
        + line[at:]
    )


def _wrap(line: bytes, rng: random.Random) -> bytes:
    deep = rng.choice((1, 59, 60, 61, 62, 63, 64, 65, 2000))
    return rng.choice(
        (
            b"\xef\xbb\xbf" + line, line + b" ", b" " + line, line + line, b"[" + line + b"]", b"", b"  ", b"null", b'"x"', line + b"\r",
            line.replace(b"{", b'{"metadata": ' + b"[" * deep + b"]" * deep + b", ", 1), b"[" * deep + b"]" * deep,
        )
    )  # fmt: skip


BYTE_MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _repeat_key, _repeat_key, _edit_bytes, _edit_bytes, _escape, _number, _surrogate, _wrap,
)  # fmt: skip


def lines(seed: int) -> Iterator[bytes]:
    """Endless lines without line feeds: a third valid, the others mutated once or several times."""
    rng = random.Random(seed)
    examples = [
        line
        for rule in rule_book().about("data").by_name.values()
        for line in (rule.bad_line, rule.good.encode())
        if line is not None
    ]
    while True:
        if rng.random() < 0.03:
            line = rng.choice(examples)
        else:
            record = valid_record(rng)
            for _ in range(rng.choice((0, 0, 1, 1, 2))):
                rng.choice(VALUE_MUTATIONS)(record, rng)
            separators = rng.choice(((", ", ": "), (", ", ": "), (",", ":"), (" , ", " : ")))
            line = json.dumps(record, ensure_ascii=rng.random() < 0.3, separators=separators).encode(
                "utf-8", "surrogatepass"
            )
        while rng.random() < 0.3:
            line = rng.choice(BYTE_MUTATIONS)(line, rng)
        yield line.replace(b"\n", b" ")
