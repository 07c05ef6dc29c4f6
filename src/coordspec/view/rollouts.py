"""Files of rollouts: what a model wrote for the records of a contract file, as ids or as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from coordspec.checks.finding import type_name
from coordspec.contracts import rule
from coordspec.coords import BIN_OF_TOKEN
from coordspec.errors import ContractError, InputError, Place
from coordspec.jsonl.parse import parse_line
from coordspec.jsonl.read import Line, read_lines
from coordspec.rollout.grammar import SPECIAL
from coordspec.tokenizer import END_OF_TURN

if TYPE_CHECKING:
    from coordspec.rollout.tokens import TokenTable

_BY: Final = ("index", "line")
"""The fields that say whose rollout a line is: the number of the record from 0, or its line from 1."""


class Generated(NamedTuple):
    """One rollout: ``record`` is the line of its record, ``images`` are those it says it is for, if it says any."""

    place: Place
    record: int
    ids: Sequence[int] | None
    text: str | None
    images: Sequence[Any] | None

    def token_ids(self, table: TokenTable) -> tuple[int, ...]:
        """The ids as they are; of a text those of ``encode_rollout``.

        Raises:
            InputError: an id is none of this tokenizer; the message names file and line.
        """
        if self.ids is None:
            assert self.text is not None, "a rollout has ids or a text"
            return encode_rollout(self.text, table)
        try:
            return tuple(table.check(self.ids).tolist())
        except (InputError, ValueError) as error:
            raise InputError(str(self.place), str(error)) from error


class Rollouts(NamedTuple):
    """The rollouts of a file by the line of their record; ``ordered``: their order alone tells whose they are."""

    path: str
    by_record: dict[int, Generated]
    ordered: bool


def encode_rollout(text: str, table: TokenTable) -> tuple[int, ...]:
    """The ids of a text that a model wrote: coord tokens and ``<|im_end|>`` are read as tokens, all else as text.

    A model may have written the same text in other tokens. Where that matters, keep the ids.
    """
    data = text.encode()
    ids: list[int] = []
    at = 0
    for match in SPECIAL.finditer(data):
        token_id = _special_id(match[0].decode(), table)
        if token_id is not None:
            ids += [*table.encode_bytes(data[at : match.start()]), token_id]
            at = match.end()
    return (*ids, *table.encode_bytes(data[at:]))


def _special_id(text: str, table: TokenTable) -> int | None:
    if text == END_OF_TURN:
        return table.end_id
    k = BIN_OF_TOKEN.get(text)
    return None if k is None else table.coords.ids[k]


def read_rollouts(path: str, max_line_bytes: int) -> Rollouts:
    """All rollouts of a JSONL file. A prediction file of ``coordspec infer`` is one, too.

    Raises:
        ContractError: a line is no strict JSON.
        InputError: the file cannot be read; a line has neither ``ids`` nor ``text``, or says in another way than the
            lines before it whose it is, or is a second one for its record. The message names file and line.
    """
    found: dict[int, Generated] = {}
    by: str | None = None
    for line in read_lines(path, max_line_bytes):
        place = Place(path, line.number)
        value = _object(line, place, max_line_bytes)
        says = next((name for name in _BY if name in value), None)
        by = says if line.number == 1 else by
        if says != by:
            raise InputError(str(place), f"has {_named(says)}, and line 1 {_named(by)}; all lines say it in one way")
        record = line.number if says is None else _record_line(value[says], says, place)
        if record in found:
            raise InputError(str(place), f"is a second rollout for line {record}, after {found[record].place}")
        found[record] = _generated(value, record, place)
    return Rollouts(path, found, by is None)


def _object(line: Line, place: Place, max_line_bytes: int) -> dict[str, Any]:
    parsed = parse_line(line.data, line.length, max_line_bytes)
    if parsed.faults:
        raise ContractError(rule(fault.finding.rule).issue(place, fault.finding.values) for fault in parsed.faults)
    if not isinstance(parsed.value, dict):
        raise InputError(str(place), f'is {type_name(parsed.value)}, not an object with "ids" or "text"')
    return parsed.value


def _named(field: str | None) -> str:
    return f'the field "{field}"' if field else 'neither "index" nor "line"'


def _record_line(value: object, field: str, place: Place) -> int:
    first = _BY.index(field)
    if type(value) is not int or value < first:
        raise InputError(str(place), f'"{field}" is an integer from {first}, not {value!r:.40}')
    return value + 1 - first


def _generated(value: dict[str, Any], record: int, place: Place) -> Generated:
    ids, text, images = (value.get(name) for name in ("ids", "text", "images"))
    if ids is not None and not (isinstance(ids, list) and all(type(token_id) is int for token_id in ids)):
        raise InputError(str(place), '"ids" is a list of integers')
    if text is not None and not isinstance(text, str):
        raise InputError(str(place), f'"text" is a string, not {type_name(text)}')
    if ids is None and text is None:
        raise InputError(str(place), 'has neither "ids" nor "text"')
    return Generated(place, record, ids, text, images if isinstance(images, list) else None)
