"""Strict parsing of one line: a C decoder where its answer can be trusted, the scanner everywhere else."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from coordspec.checks.finding import Finding
from coordspec.errors import Pointer
from coordspec.jsonl.scan import MAX_DEPTH, scan

BOM: Final = b"\xef\xbb\xbf"
WHITE_SPACE: Final = b" \t\r\n"
"""What JSON calls white space; no other character is."""
_CONTAINERS: Final = frozenset((dict, list))

_decode = msgspec.json.Decoder().decode


class TextFault(NamedTuple):
    """A finding about the text of a line, and the byte of the line that it is about."""

    finding: Finding
    start: int


class ParsedLine(NamedTuple):
    """``value`` says something only if ``usable``; faults of the text may stand beside a usable value."""

    value: Any
    usable: bool
    faults: list[TextFault]


def parse_line(data: bytes, length: int, max_line_bytes: int) -> ParsedLine:
    """Read one line as strict JSON. Never raises, whatever the bytes are.

    ``length`` is the line's real length, above ``len(data)`` where the reader cut it.
    """
    if length > max_line_bytes:
        return _refused("too-long", 0, value=length, limit=max_line_bytes)
    try:
        value = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _scan(data)
    if _is_strict(data, value):
        return ParsedLine(value, True, [])
    return _scan(data)


def _refused(name: str, start: int, **values: object) -> ParsedLine:
    return ParsedLine(None, False, [TextFault(Finding(name, (), values), start)])


def _is_strict(data: bytes, value: Any) -> bool:
    """Whether no key is repeated and nothing is nested too deep; msgspec holds the line to all other rules.

    Every key that stands in the text brings one colon outside of strings, and a repeated key is decoded once: the line
    repeats a key exactly if it has more such colons than its value has keys. A line without a repeated key is decoded
    whole, so that the depth of its value is the depth of the text.
    """
    keys = depth = 0
    level = [value] if type(value) in _CONTAINERS else []
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            return False
        inner: list[Any] = []
        for item in level:
            if type(item) is dict:
                keys += len(item)
                inner += [member for member in item.values() if type(member) in _CONTAINERS]
            else:
                inner += [member for member in item if type(member) in _CONTAINERS]
        level = inner
    return data.count(b":") == keys or _colons_outside_strings(data) == keys


def _colons_outside_strings(data: bytes) -> int:
    """The colons between the strings of a line that was decoded."""
    if b"\\" in data:
        # Pairs first, from the left: what is left of a run of backslashes before a quote escapes that quote.
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return sum(part.count(b":") for part in data.split(b'"')[::2])


def _scan(data: bytes) -> ParsedLine:
    body, faults = data, []
    if data.startswith(BOM):
        faults.append(TextFault(Finding("byte-order-mark", (), {}), 0))
        body = data[len(BOM) :]
    if not body.strip(WHITE_SPACE):
        return ParsedLine(None, False, [*faults, TextFault(Finding("blank-line", (), {}), 0)])
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        values = {"value": f"0x{body[error.start]:02X}", "reason": error.reason}
        start = len(data) - len(body) + error.start
        return ParsedLine(None, False, [*faults, TextFault(Finding("invalid-utf8", (), values), start)])
    result = scan(text)
    start, done = len(data) - len(body), 0
    for finding, index in sorted(result.faults, key=lambda fault: fault[1]):
        start += len(text[done:index].encode())
        done = index
        faults.append(TextFault(finding, start))
    return ParsedLine(result.value, result.usable, faults)


_S = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SPACE = re.compile(_S)
_BRACKET = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_KEY = re.compile(rb"(" + _STRING + rb")" + _S + rb":" + _S, re.DOTALL)
_COMMA = re.compile(_S + rb"," + _S)
# A value in which no list or object stands deeper than two levels: enough for the fields of an object, and for objects.
_SCALAR = rb'[^ \t\r\n,\[\]{}"]++'
_ATOM = rb"(?:" + _STRING + rb"|" + _SCALAR + rb")"
_LIST = rb"\[" + _S + rb"(?:" + _ATOM + _S + rb",?+" + _S + rb")*+\]"
_FLAT = rb"(?:" + _ATOM + rb"|" + _LIST + rb")"
_OBJECT = rb"\{" + _S + rb"(?:" + _STRING + _S + rb":" + _S + _FLAT + _S + rb",?+" + _S + rb")*+\}"
_ANY = rb"(?:" + _FLAT + rb"|" + _OBJECT + rb")"
_VALUE = re.compile(_ANY, re.DOTALL)
_ITEM = re.compile(_ANY + _S + rb"," + _S, re.DOTALL)


class ValuePlace(NamedTuple):
    """A value of a line, or with ``on_key`` the key in front of it."""

    at: Pointer
    on_key: bool = False


def locate(data: bytes, targets: Collection[ValuePlace], *, repeats: bool = False) -> dict[ValuePlace, int]:
    """The bytes at which values and keys start in a line that ``parse_line`` found usable, in one pass over the line.

    Of a key that stands twice the last one counts, as in the parsed value; ``repeats`` says that there may be such
    keys. A key or index that is not there is a bug of the caller.
    """
    found: dict[ValuePlace, int] = {}
    start = _end(_SPACE, data, len(BOM) if data.startswith(BOM) else 0)
    _descend(data, start, list(targets), 0, repeats, found)
    assert len(found) == len(set(targets)), targets
    return found


def _descend(  # noqa: PLR0917 (a recursion)
    data: bytes, index: int, targets: list[ValuePlace], depth: int, repeats: bool, found: dict[ValuePlace, int]
) -> None:
    """Place the targets at or inside of the value at ``index``, which is ``depth`` steps deep."""
    inside: dict[str | int, list[ValuePlace]] = {}
    for target in targets:
        if len(target.at) == depth:
            found[target] = index
        else:
            inside.setdefault(target.at[depth], []).append(target)
    if not inside:
        return
    places: dict[str | int, tuple[int, int]] = {}
    if len(inside) == 1 and not repeats:
        (step,) = inside
        place = _jump(data, index, step)
        if place is not None:
            places[step] = place
    walk = _members if data[index : index + 1] == b"{" else _items
    for step, key, value in walk(data, index) if not places else ():
        if step in inside:
            places[step] = key, value
            if len(places) == len(inside) and not repeats:
                break
    for step, (key, value) in places.items():
        here = [target for target in inside[step] if target.on_key and len(target.at) == depth + 1]
        found.update(dict.fromkeys(here, key))
        below = [target for target in inside[step] if target not in here] if here else inside[step]
        _descend(data, value, below, depth + 1, repeats, found)


def _end(pattern: re.Pattern[bytes], data: bytes, index: int) -> int:
    match = pattern.match(data, index)
    assert match, (pattern.pattern, index)
    return match.end()


def _next(data: bytes, index: int) -> int:
    """The start of what follows the value at ``index`` and the comma behind it; the bracket if there is no comma."""
    match = _ITEM.match(data, index)
    if match:
        return match.end()
    index = _end(_SPACE, data, _skip(data, index))
    return _end(_COMMA, data, index) if data[index : index + 1] == b"," else index


def _jump(data: bytes, index: int, step: str | int) -> tuple[int, int] | None:
    """Start of the key and of the value one step inside of what stands at ``index``, if one expression leads there."""
    match = (_to_item(step) if isinstance(step, int) else _to_member(step)).match(data, index)
    if match is None or isinstance(step, int):
        return None if match is None else (match.end(), match.end())
    return match.end(), _end(_KEY, data, match.end())


@lru_cache(maxsize=256)
def _to_member(key: str) -> re.Pattern[bytes]:
    """From a brace to the key, written without escapes, over values that ``_VALUE`` knows."""
    wanted = re.escape(b'"' + key.encode("utf-8", "surrogatepass") + b'"')
    other = rb"(?!" + wanted + rb")" + _STRING + _S + rb":" + _S + _ANY + _S + rb"," + _S
    return re.compile(rb"\{" + _S + rb"(?:" + other + rb")*+(?=" + wanted + _S + rb":)", re.DOTALL)


@lru_cache(maxsize=256)
def _to_item(number: int) -> re.Pattern[bytes]:
    """From a bracket to the item of that index, over values that ``_VALUE`` knows."""
    return re.compile(rb"\[" + _S + rb"(?:" + _ANY + _S + rb"," + _S + rb"){%d}+" % number, re.DOTALL)


def _items(data: bytes, index: int) -> Iterator[tuple[int, int, int]]:
    """Index and start of every item of the list at ``index``, the start twice."""
    index = _end(_SPACE, data, index + 1)
    number = 0
    while data[index : index + 1] not in (b"]", b""):
        yield number, index, index
        index = _next(data, index)
        number += 1


def _members(data: bytes, index: int) -> Iterator[tuple[str, int, int]]:
    """Key, start of the key and start of the value of every member of the object at ``index``."""
    index = _end(_SPACE, data, index + 1)
    while (match := _KEY.match(data, index)) is not None:
        name = match[1]
        key = name[1:-1].decode() if b"\\" not in name else scan(name.decode()).value
        yield key, index, match.end()
        index = _next(data, match.end())


def _skip(data: bytes, index: int) -> int:
    """The index behind the value that starts at ``index``."""
    match = _VALUE.match(data, index)
    if match:
        return match.end()
    depth = 0
    for bracket in _BRACKET.finditer(data, index):
        if bracket[0] in (b"{", b"["):
            depth += 1
        elif bracket[0] in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                return bracket.end()
    raise AssertionError("unbalanced brackets in a line that was parsed")
