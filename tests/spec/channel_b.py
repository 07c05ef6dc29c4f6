"""What the bindings of Channel-B share: entries to put into rollouts, and targets built on every tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from coordspec.contracts import Kind, Owner
from coordspec.record import CoordForm, DetObject
from coordspec.rollout.parse import Rollout, parse_rollout
from coordspec.rollout.tokens import TokenTable
from coordspec.target import Target, build_target
from qwen_tokenizer import TOKENIZERS, ids_of, table

BOX = (1, 2, 3, 4)
FAR = DetObject("far", bbox_2d=(700, 700, 900, 900))
"""An object that overlaps nothing else here."""

B = '"bbox_2d": ["<|coord_1|>", "<|coord_2|>", "<|coord_3|>", "<|coord_4|>"]'
P = '"poly": ["<|coord_1|>", "<|coord_2|>", "<|coord_3|>", "<|coord_2|>", "<|coord_3|>", "<|coord_4|>"]'
END = "<|im_end|>"


def value(item: DetObject) -> str:
    """The value of an entry, as the payload has it."""
    return json.dumps(item.fields(CoordForm.TOKEN), ensure_ascii=False)


def entry(number: int, item: DetObject) -> str:
    return f'"object_{number}": {value(item)}'


def cat(number: int = 1) -> DetObject:
    """Objects that do not overlap: the first has the box 1, 2, 3, 4."""
    return DetObject("cat", bbox_2d=tuple(k + 10 * (number - 1) for k in BOX))  # type: ignore[arg-type]


E1, E2 = entry(1, cat(1)), entry(2, cat(2))


class Built(NamedTuple):
    """A target, how its rollout was read, and both as text."""

    tables: TokenTable
    rollout: Rollout
    target: Target

    @property
    def text(self) -> str:
        return self.tables.text(self.target.ids)

    def tokens(self) -> list[tuple[str, float, Owner, Kind]]:
        target = self.target
        texts = [self.tables.text([token_id]) for token_id in target.ids]
        return list(zip(texts, target.ce_weight, target.owner, target.kind, strict=True))

    def spans(self) -> list[tuple[int, int]]:
        """First byte and the byte behind the last of every token."""
        spans, at = [], 0
        for token_id in self.target.ids:
            spans.append((at, at + len(self.tables.bytes_of[token_id])))
            at = spans[-1][1]
        return spans

    def over(self, piece: str, start: int = 0) -> list[int]:
        """The tokens that touch a piece of the text."""
        first = self.text.encode().index(piece.encode(), start)
        behind = first + len(piece.encode())
        return [i for i, (a, b) in enumerate(self.spans()) if a < behind and b > first]


def read(text: str) -> Iterator[Rollout]:
    """The rollout of this text under every tokenizer."""
    for name in TOKENIZERS:
        yield parse_rollout(ids_of(text, name), table(name))


def build(text: str, gt: Sequence[DetObject], **options: Any) -> Iterator[Built]:
    """The target of this rollout and ground truth under every tokenizer."""
    for name in TOKENIZERS:
        ids = ids_of(text, name)
        yield Built(table(name), parse_rollout(ids, table(name)), build_target(ids, gt, table(name), **options))
