"""Random ground truth, and what a careless or broken model makes of it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from coordspec.coords import MAX_BIN
from coordspec.record import CoordForm, DetObject, render_payload
from qwen_tokenizer import ids_by_bytes, table

CAT, DOG = DetObject("cat", bbox_2d=(10, 10, 110, 110)), DetObject("dog", bbox_2d=(500, 500, 600, 700))
BIRD = DetObject("bird", bbox_2d=(700, 10, 800, 110))
DESCS = (
    *(
        "cat",
        "black cat",
        "traffic light",
        "café crème",
        "碗",
        "naïve 🐈",
        "größe",
        "猫猫",
        "a } b",
        "{",
        "}}}",
        "[",
        "]]",
    ),
    *(
        'say "}"',
        "\\\\",
        'quote"s',
        "a, b: {c} [d]",
        "x < y | z >",
        "two  spaces",
        " leading",
        "trailing ",
        "a/b",
        "é" * 12,
    ),
    *('"object_50": {', '", "bbox_2d": [', "object_3", "naïve"),
)
"""Descs that a record may have."""

PREDICTED = (*DESCS, "<|coord_5|>", "x<|vision_start|>", "line\nfeed", "tab\there", "nul\u0000", "\u007f")
"""Descs that only a model writes."""

BLANK = ("", " ", "\u200b", "\u00a0\u00a0")
GLUE = ((", ", ": "), (",", ":"), (" , ", " : "), (",\n  ", ": "), ("\t,\r\n", "\n:\t"))


class Sample(NamedTuple):
    """Ground truth and the text of a rollout, which may hold the text of added tokens."""

    gt: list[DetObject]
    text: bytes


def body(*items: DetObject, start: int = 1) -> str:
    """The payload without its closing brace."""
    return render_payload(items, start)[:-1]


def box(rng: random.Random) -> tuple[int, int, int, int]:
    x1, y1 = rng.randrange(MAX_BIN + 1), rng.randrange(MAX_BIN + 1)
    reach = rng.choice((0, 5, 200, MAX_BIN))
    return x1, y1, min(MAX_BIN, x1 + rng.randint(0, reach)), min(MAX_BIN, y1 + rng.randint(0, reach))


def poly(rng: random.Random) -> tuple[int, ...]:
    """Any polygon: also one that crosses itself, or has no area."""
    span = rng.choice((1, 50, MAX_BIN + 1))
    return tuple(rng.randrange(span) for _ in range(2 * rng.randint(3, 6)))


def thing(rng: random.Random, descs: Sequence[str] = DESCS) -> DetObject:
    desc = rng.choice(descs)
    return DetObject(desc, bbox_2d=box(rng)) if rng.random() < 0.75 else DetObject(desc, poly=poly(rng))


def jittered(rng: random.Random, item: DetObject) -> DetObject:
    """About the same object, in another form now and then."""
    desc = item.desc if rng.random() < 0.5 else rng.choice(PREDICTED)
    if item.bbox_2d is None:
        outline = tuple(min(MAX_BIN, max(0, k + rng.randint(-4, 4))) for k in item.poly or ())
        return DetObject(desc, poly=outline)
    x1, y1, x2, y2 = (min(MAX_BIN, max(0, k + rng.randint(-9, 9))) for k in item.bbox_2d)
    x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
    if rng.random() < 0.15:
        return DetObject(desc, poly=(x1, y1, x2, y1, x2, y2, x1, y2))
    return DetObject(desc, bbox_2d=(x1, y1, x2, y2))


def value_text(rng: random.Random, item: DetObject, glue: tuple[str, str]) -> str:
    fields = item.fields(CoordForm.TOKEN)
    if rng.random() < 0.15:
        fields = dict(reversed(fields.items()))
    return json.dumps(fields, ensure_ascii=rng.random() < 0.1, separators=glue)


def _replace(old: str, new: str) -> Callable[[random.Random, str], str]:
    return lambda rng, text: text.replace(old, new, 1)


BREAKAGES: tuple[Callable[[random.Random, str], str], ...] = (
    _replace('"desc"', '"dsc"'),
    _replace('"desc"', '"desc": "x", "desc"'),
    _replace('"bbox_2d"', '"bbox_2d": [], "bbox_2d"'),
    _replace('"bbox_2d"', '"bbox"'),
    _replace('"bbox_2d"', '"poly"'),
    _replace("[", '["<|coord_1|>", '),
    _replace("[", "[[], "),
    _replace("[", '{"a": ['),
    _replace("<|coord_", "<|coord_0"),
    _replace('"<|coord_', "<|coord_"),
    _replace("|>", "|> "),
    _replace("[", "[12, "),
    _replace("{", '{"score": 0.5, '),
    _replace("{", '{"x": {"object_77": {}}, '),
    _replace("{", '{"x": "\\q", '),
    _replace("{", '{"x": "\\ud83d", '),
    _replace("{", '{"x": "\t", '),
    _replace("{", '{"x": ' + "[" * 70 + "]" * 70 + ", "),
    _replace("desc", "d\\u0065sc"),
    lambda rng, text: json.dumps(rng.choice((1, None, "cat", [], True)), ensure_ascii=False),
    lambda rng, text: text.replace("<|coord_", "<|coord_9", 1),
    lambda rng, text: text.replace("[", '[], "poly": [', 1),
    lambda rng, text: text.replace('["<|coord_', '["<|coord_999|>", "<|coord_999|>", "<|coord_', 1),
    lambda rng, text: re.sub(r"\[[^,]*,", '["<|coord_999|>",', text, count=1),
    lambda rng, text: text + "}",
    lambda rng, text: text[:-1],
    lambda rng, text: text.replace(",", "", 1),
    lambda rng, text: text.replace(":", ";", 1),
)
"""What goes wrong in an entry's value, or makes it another but sound one."""

KEYS = ("object_01", "object_0", "object_-2", "Object_2", "object_٢", "obj_7", "object_", "cat", "", "object_\\u0034")


def key(rng: random.Random, number: int) -> str:
    """Mostly the next key."""
    draw = rng.random()
    if draw < 0.85:
        return f"object_{number}"
    if draw < 0.92:
        return f"object_{rng.choice((1, 1, 2, 40, 123456789, 1234567890))}"
    return rng.choice(KEYS)


def rollout(rng: random.Random, gt: Sequence[DetObject]) -> str:
    """A text: entries for some of the objects, in some order and style, sound, dropped or broken."""
    chosen = [item for item in gt if rng.random() < 0.7]
    if rng.random() < 0.3:
        rng.shuffle(chosen)
    entries, number = [], rng.choice((1, 1, 1, 3))
    separator, colon = rng.choice(GLUE[:1] * 4 + GLUE)
    for item in chosen:
        for _ in range(rng.choice((1, 1, 1, 1, 2))):
            said = jittered(rng, item) if rng.random() < 0.85 else thing(rng, (*PREDICTED, *BLANK))
            text = value_text(rng, said, (separator, colon))
            if rng.random() < 0.12:
                text = rng.choice(BREAKAGES)(rng, text)
            entries.append(f'"{key(rng, number)}"{colon}{text}')
            number += 1
    space = rng.choice(("",) * 8 + (" ", "\n", "\r\n\t"))
    return rng.choice(("",) * 9 + ("\n ",)) + "{" + space + separator.join(entries) + space + "}"


def ending(rng: random.Random, text: str) -> str:
    return text + rng.choice(
        ("<|im_end|>",) * 8
        + ("", "}<|im_end|>", "}}", " and that is all}", '<|im_end|>{"object_1": {}}', "<|endoftext|>")
    )


def sample(rng: random.Random) -> Sample:
    """Ground truth of a few objects, and a rollout against it."""
    gt = [thing(rng) for _ in range(rng.choice((0, 1, 1, 2, 3, 5, 8)))]
    if gt and rng.random() < 0.1:
        gt.append(gt[0])
    text = ending(rng, rollout(rng, gt))
    draw = rng.random()
    if draw < 0.04:
        text = rng.choice(
            ("", "A cat.<|im_end|>", "[{}]", "<|im_end|>{}", " \n\t{}<|im_end|>", "{", "{ }", "{,}", "{]}")
        )
    elif draw < 0.08:
        at = rng.randint(0, len(text))
        text = text[:at] + rng.choice(("{", "}", '"', ",", "\\", "[", ":", "é", "<|coord_7|>")) + text[at:]
    data = text.encode()
    if rng.random() < 0.04:
        at = rng.randint(0, len(data))
        data = data[:at] + rng.choice((b"\xe7", b"\x97\xa2", b"\xff", b"\xf0\x9f")) + data[at:]
    return Sample(gt, data)


def split_otherwise(rng: random.Random, ids: Sequence[int], name: str) -> list[int]:
    """The same text in other tokens: now and then a token becomes two, down to halves of characters."""
    tables, id_of = table(name), ids_by_bytes(name)
    whole = {*tables.coords.ids, tables.end_id}
    found: list[int] = []
    for token_id in ids:
        data = tables.bytes_of[token_id]
        at = rng.randint(1, len(data) - 1) if len(data) > 1 and token_id not in whole and rng.random() < 0.1 else 0
        parts = (id_of.get(data[:at]), id_of.get(data[at:])) if at else (None, None)
        found += [token_id] if None in parts else [part for part in parts if part is not None]
    return found
