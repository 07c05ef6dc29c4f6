"""Which lines of a Markdown text are prose, which are fenced code and which are comment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

_TAB: Final = 4
"""Columns from one tab stop to the next; text that is indented as much is code without a fence."""

_LIST_ITEM: Final = re.compile(r"(?P<indent> *)(?:[-*+]|\d{1,9}[.)])(?P<gap> +|$)")
_OPENING: Final = re.compile(r"(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>.*)$")
_CODE_SPAN: Final = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)")
_COMMENT: Final = re.compile(r"<!--.*?-->")
_ANY_FENCE: Final = re.compile(r"\s*(`{3,}|~{3,})(.*)$")


class Kind(Enum):
    """What a line is to a reader of rendered Markdown."""

    PROSE = "prose"
    FENCE = "fence"
    CODE = "code"
    COMMENT = "comment"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the text, numbered from 1; ``prose`` is what is left of it without comments."""

    number: int
    text: str
    kind: Kind
    prose: str


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its info string, its text without the fence's indentation, and the line of its opening fence."""

    info: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Unclosed:
    """Something that hides the text behind it up to the end: a fence, or a comment."""

    opening: str
    line: int


@dataclass(frozen=True, slots=True)
class Scan:
    """A text taken apart."""

    lines: tuple[Line, ...]
    blocks: tuple[Block, ...]
    unclosed: tuple[Unclosed, ...]


def plain_lines(text: str) -> list[str]:
    """The lines of a text with any line ends and with or without byte order mark."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def scan(texts: Sequence[str], first: int = 1) -> Scan:
    """Take lines apart as CommonMark 0.31 does (fenced code blocks, 4.5; HTML comments, 4.6).

    A fence may be indented by three columns more than what holds it: the page, or an item of a list. It ends at a fence
    of the same character that is as long or longer, or where the item of the list ends.
    """
    scanner = _Scanner(first)
    for text in texts:
        scanner.take(text)
    return scanner.done()


@dataclass(slots=True)
class _Open:
    """A fence that is not closed yet."""

    fence: str
    info: str
    indent: int
    floor: int
    line: int


class _Scanner:
    def __init__(self, first: int) -> None:
        self.number = first - 1
        self.lines: list[Line] = []
        self.blocks: list[Block] = []
        self.unclosed: list[Unclosed] = []
        self.items: list[int] = []  # columns at which the content of the open list items starts
        self.open: _Open | None = None
        self.code: list[str] = []
        self.comment: int | None = None

    def take(self, text: str) -> None:
        self.number += 1
        if self.open is not None and self._in_fence(text, self.open):
            return
        if self.comment is not None:
            self._in_comment(text)
            return
        self._prose(text)

    def done(self) -> Scan:
        if self.open is not None:
            self.unclosed.append(Unclosed(self.open.fence, self.open.line))
            self._close(self.open)
        if self.comment is not None:
            self.unclosed.append(Unclosed("<!--", self.comment))
        return Scan(tuple(self.lines), tuple(self.blocks), tuple(self.unclosed))

    def _add(self, text: str, kind: Kind, prose: str = "") -> None:
        self.lines.append(Line(self.number, text, kind, prose))

    def _in_fence(self, raw: str, fence: _Open) -> bool:
        """Take a line behind an opening fence; False if the list item that holds the fence has ended before it."""
        text = raw.expandtabs(_TAB) if raw.lstrip(" ").startswith("\t") else raw  # tabs count only as indentation
        indent = _indent(text)
        if text.strip() and indent < fence.floor:
            self.unclosed.append(Unclosed(fence.fence, fence.line))
            self._close(fence)
            return False
        mark = text.strip()
        closes = len(mark) >= len(fence.fence) and set(mark) == {fence.fence[0]} and indent - fence.floor < _TAB
        self._add(raw, Kind.FENCE if closes else Kind.CODE)
        if closes:
            self._close(fence)
        else:
            self.code.append((text[min(indent, fence.indent) :] if fence.indent else raw).rstrip())
        return True

    def _close(self, fence: _Open) -> None:
        self.blocks.append(Block(fence.info, "".join(line + "\n" for line in self.code), fence.line))
        self.open, self.code = None, []

    def _in_comment(self, text: str) -> None:
        _, end, rest = text.partition("-->")
        self._add(text, Kind.COMMENT, rest.strip())
        if end:
            self.comment = None

    def _prose(self, raw: str) -> None:
        text = raw.expandtabs(_TAB)
        if text.strip():
            indent = _indent(text)
            self.items = [column for column in self.items if column <= indent]
        if fence := self._opening(text):
            self.open = fence
            self._add(raw, Kind.FENCE)
            return
        if item := _LIST_ITEM.match(text):
            gap = len(item["gap"])
            self.items.append(len(item[0]) if 1 <= gap <= _TAB else len(item[0]) - gap + 1)
        prose, opens = without_comments(raw)
        self._add(raw, Kind.COMMENT if opens and not prose.strip() else Kind.PROSE, prose)
        if opens:
            self.comment = self.number

    def _opening(self, text: str) -> _Open | None:
        found = _OPENING.match(text)
        if found is None:
            return None
        indent, fence, info = len(found["indent"]), found["fence"], found["info"]
        floor = self.items[-1] if self.items else 0
        if indent - floor >= _TAB or ("`" in info and fence[0] == "`"):
            return None
        return _Open(fence, " ".join(info.split()), indent, floor, self.number)


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def without_comments(text: str) -> tuple[str, bool]:
    """A line without its comments, and whether a comment is still open at its end. Code spans hold no comments."""
    spans = _CODE_SPAN.sub(lambda match: "x" * len(match[0]), text)
    kept, at = "", 0
    for comment in _COMMENT.finditer(spans):
        kept, at = kept + text[at : comment.start()], comment.end()
    start = spans.find("<!--", at)
    return (kept + text[at:], False) if start < 0 else (kept + text[at:start], True)


def openspec_live(texts: Sequence[str]) -> Iterator[bool]:
    """For each line, whether OpenSpec 1.13 reads it: it knows fences of any indentation, and no comments.

    Measured against its readers: any info string opens a fence, a run of the same character that is as long closes it.
    """
    fence = ""
    for text in texts:
        found = _ANY_FENCE.match(text)
        mark, rest = (found[1], found[2]) if found else ("", "")
        yield not fence and not mark
        if not fence:
            fence = mark
        elif mark and mark[0] == fence[0] and len(mark) >= len(fence) and not rest.strip():
            fence = ""
