"""Markdown as its readers see it: which lines are prose, fenced code and comment, and the digest of a scenario."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from coordspec.hashes import text_sha256

DIGEST_CHARS: Final = 12
CASES: Final = "yaml coordspec"
"""The info string of a block whose cases are run."""

# Blocks alone: inline text is parsed where it may hold a comment, which is almost nowhere.
_COMMONMARK: Final = MarkdownIt("commonmark")
_COMMONMARK.core.ruler.enableOnly(["block"])
_COMMENT_START: Final = "<!--"
_COMMENT_END: Final = "-->"
_COMMENT: Final = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_SPANS: Final = ("html_inline", "code_inline")
_ANY_FENCE: Final = re.compile(r"\s*(`{3,}|~{3,})(.*)$")

_BULLET: Final = re.compile(r"[-*+](?=\s)")
_NUMBER: Final = re.compile(r"(\d{1,9})[.)](?=\s)")
_RULER: Final = re.compile(r":?-+:?")
_DASHES: Final = re.compile(r"-+")
_CELL_END: Final = re.compile(r"(?<!\\)\|")


class LineKind(Enum):
    """What a line is to a reader of rendered Markdown."""

    PROSE = "prose"
    FENCE = "fence"
    CODE = "code"
    COMMENT = "comment"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of the text, numbered from 1; ``prose`` is what is left of it without comments."""

    number: int
    text: str
    kind: LineKind
    prose: str


@dataclass(frozen=True, slots=True)
class FencedBlock:
    """A fenced block: its info string, its text without the fence's indentation, and the line of its opening fence."""

    info: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Unclosed:
    """Something that hides the text behind it: a fence, or a comment."""

    opening: str
    line: int


@dataclass(frozen=True, slots=True)
class MarkdownText:
    """A text taken apart."""

    lines: tuple[TextLine, ...]
    blocks: tuple[FencedBlock, ...]
    unclosed: tuple[Unclosed, ...]


def plain_lines(text: str) -> list[str]:
    """The lines of a text with any line ends and with or without byte order mark."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def take_apart(texts: Sequence[str]) -> MarkdownText:
    """What CommonMark 0.31 makes of lines: fenced blocks (section 4.5), HTML comments (4.6 and 6.6), and prose.

    markdown-it-py reads them, so the rules of containers hold: a fence in an item of a list ends with the item.
    """
    page = _Page(texts)
    for token in _COMMONMARK.parse("".join(text.replace("\0", "\ufffd") + "\n" for text in texts)):
        if token.type == "fence":
            page.fence(token)
        elif token.type == "html_block" and token.content.lstrip(" ").startswith(_COMMENT_START):
            page.comment(token)
        elif token.type == "html_block":
            page.html(token)
        elif token.type == "inline" and _COMMENT_START in token.content:
            page.inline(token)
    lines = (TextLine(n, *line) for n, line in enumerate(zip(texts, page.kinds, page.prose, strict=True), 1))
    return MarkdownText(tuple(lines), tuple(page.blocks), tuple(page.unclosed))


class _Page:
    """What is known of every line while the tokens go by: prose, until a token says otherwise."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.kinds = [LineKind.PROSE] * len(texts)
        self.prose = list(texts)
        self.blocks: list[FencedBlock] = []
        self.unclosed: list[Unclosed] = []

    def fence(self, token: Token) -> None:
        start, end = _range(token)
        body = token.content.split("\n")[:-1]
        closed = end - start - 1 > len(body)  # a closing fence is a line of the token, and none of its content
        inside = end - start - (2 if closed else 1)
        self.kinds[start:end] = [LineKind.FENCE, *[LineKind.CODE] * inside, *[LineKind.FENCE] * closed]
        self.prose[start:end] = [""] * (end - start)
        text = "".join(row.rstrip() + "\n" for row in body)
        self.blocks.append(FencedBlock(" ".join(token.info.split()), text, start + 1))
        if not closed:
            self.unclosed.append(Unclosed(token.markup, start + 1))

    def html(self, token: Token) -> None:
        """A block of HTML, such as a table. It goes on to the next blank line, whatever looks like Markdown in it."""
        start, end = _range(token)
        self.kinds[start:end] = [LineKind.HTML] * (end - start)

    def comment(self, token: Token) -> None:
        """A comment that begins a line. It ends with the line that ends it; without one it hides all that follows."""
        start, end = _range(token)
        closed = _COMMENT_END in token.content
        if not closed:
            self.unclosed.append(Unclosed(_COMMENT_START, start + 1))
        self._cut(start, end, [(found[0], True) for found in _COMMENT.finditer(token.content)])
        self.kinds[start + 1 : end] = [LineKind.COMMENT] * (end - start - 1)
        if not self.prose[start].strip() and not (closed and end - start == 1):
            self.kinds[start] = LineKind.COMMENT

    def inline(self, token: Token) -> None:
        """Comments inside of a paragraph. What looks like one in a code span, or is never closed, is text."""
        children: list[Token] = []
        _COMMONMARK.inline.parse(token.content, _COMMONMARK, {}, children)
        pieces = [(child.content, child.type == "html_inline") for child in children if child.type in _SPANS]
        self._cut(*_range(token), [(text, html and text.startswith(_COMMENT_START)) for text, html in pieces])

    def _cut(self, start: int, end: int, pieces: Iterable[tuple[str, bool]]) -> None:
        """Take out of lines the pieces that are comments; the others are passed over on the way."""
        text, kept, done = "\n".join(self.texts[start:end]), "", 0
        for piece, is_comment in pieces:
            # Containers indent or quote each line anew, and the token has the lines without that.
            found = re.compile(r"\n[ \t>]*".join(map(re.escape, piece.rstrip("\n").split("\n")))).search(text, done)
            if found is None:
                continue
            kept += text[done : found.start()] + ("\n" * found[0].count("\n") if is_comment else found[0])
            done = found.end()
        self.prose[start:end] = (kept + text[done:]).split("\n")


def _range(token: Token) -> tuple[int, int]:
    assert token.map is not None  # every block token has one
    return token.map[0], token.map[1]


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


# ---------------------------------------------------------------- the digest


def scenario_digest(body: str) -> str:
    """Twelve hexadecimal digits over the normalised body of a scenario.

    Line ends, blank lines, indentation, where prose is wrapped, runs of white space, the width of table cells, the
    character of list markers and of fences make no difference. Everything else does; in a fenced block that is every
    character but white space at the ends of lines.
    """
    return text_sha256(normalised(body))[:DIGEST_CHARS]


def normalised(body: str) -> str:
    """The body as the digest sees it: prose as one line for each list item, row or block around it."""
    scanned = take_apart(plain_lines(body))
    blocks = {block.line: f"```{block.info}\n{block.text}```" for block in scanned.blocks}
    parts: list[str] = []
    joins = False
    for line in scanned.lines:
        if line.kind in (LineKind.CODE, LineKind.FENCE):
            parts += [blocks[line.number]] if line.number in blocks else []
            joins = False
            continue
        for text, starts in _pieces(line):
            if starts or not joins:
                parts.append(text)
            else:
                parts[-1] += " " + text
            joins = not text.startswith("|")
    return "\n".join(parts)


def _pieces(line: TextLine) -> Iterator[tuple[str, bool]]:
    """The words of a line in one string, and whether it starts something new; nothing for a blank line."""
    text = " ".join(line.text.split())
    if not text:
        return
    if text.startswith("|"):
        cells = [cell.strip() for cell in _CELL_END.split(text)[1:]]
        cells = cells[:-1] if cells[-1:] == [""] else cells
        ruler = all(map(_RULER.fullmatch, cells))
        yield "|" + "|".join(_DASHES.sub("-", cell) if ruler else cell for cell in cells), True
        return
    marked = _NUMBER.sub(r"\1.", _BULLET.sub("-", text, count=1), count=1) if _starts_item(text) else text
    yield marked, marked != text or _starts_item(text)


def _starts_item(text: str) -> bool:
    return bool(_BULLET.match(text) or _NUMBER.match(text))
