"""What makes an entry a prediction: one small function for each reason to drop it, and the table that wires them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from coordspec.checks.text import is_blank
from coordspec.contracts import record_contract
from coordspec.coords import BIN_OF_TOKEN
from coordspec.jsonl.scan import MAX_DEPTH
from coordspec.record import DetObject
from coordspec.rollout.grammar import KEY, MAX_KEY_DIGITS
from coordspec.rollout.lexer import Node, Text, read_string
from coordspec.rollout.reasons import DropReason

if TYPE_CHECKING:
    from coordspec.rollout.align import Aligned

_CONTRACT: Final = record_contract()
_DESC: Final = "desc"
STRING_FAULTS: Final = (
    DropReason.INVALID_UTF8,
    DropReason.CONTROL_CHAR,
    DropReason.BAD_ESCAPE,
    DropReason.LONE_SURROGATE,
)


@dataclass(slots=True)
class Candidate:
    """A complete entry that may be a prediction. ``number`` is the N of its key, None if the key has none.

    ``seen`` are the numbers of the entries before it, ``fields`` the values of its fields by what their keys say, of a
    repeated key the first. ``faults`` are those of the strings in its value.
    """

    rollout: Aligned
    key: Text
    number: int | None
    value: Node
    seen: Collection[int]
    fields: Mapping[str, Node]
    faults: Collection[DropReason | None]

    @property
    def geometries(self) -> list[str]:
        return [name for name in _CONTRACT.geometries if name in self.fields]

    @property
    def geometry(self) -> str:
        """The one geometry of an entry that passed the rules on their number."""
        return self.geometries[0]

    def text(self, node: Node) -> str | None:
        return read_string(self.rollout.data, node).value if node.shape == b'"' else None

    def bins(self) -> list[int | None]:
        """The bin of every coordinate, None for what is not one coord token."""
        return [self._bin(item) for item in self.fields[self.geometry].items]

    def _bin(self, item: Node) -> int | None:
        """The bin of a coordinate: a string of which all is one coord token's id."""
        coords = self.rollout.coords
        at = coords.between(item.start + 1, item.end).start
        alone = item.shape == b'"' and at < len(coords.starts) and coords.starts[at] == item.start + 1
        return BIN_OF_TOKEN.get(self.text(item) or "") if alone else None


def candidate(rollout: Aligned, key: Node, value: Node, seen: Collection[int]) -> Candidate:
    """The entry of this key and value."""
    data = rollout.data
    strings = [node for node in value.walk() if node.shape == b'"']
    faults = {read_string(data, node).fault for node in strings}
    fields: dict[str, Node] = {}
    for name, item in zip(value.keys, value.items, strict=False):  # only an object has keys
        fields.setdefault(read_string(data, name).shown, item)
    text = read_string(data, key)
    return Candidate(rollout, text, key_number(text), value, seen, fields, faults)


def key_number(key: Text) -> int | None:
    """The N of ``object_N``; None for any other key."""
    match = KEY.fullmatch(key.value or "")
    return int(match[1]) if match and len(match[1]) <= MAX_KEY_DIGITS else None


def bad_key(entry: Candidate) -> bool:
    return entry.number is None


def duplicate_key(entry: Candidate) -> bool:
    return entry.number in entry.seen


def not_an_object(entry: Candidate) -> bool:
    return entry.value.shape != b"{"


def too_deep(entry: Candidate) -> bool:
    """One level is the object around all entries."""
    return any(node.depth >= MAX_DEPTH for node in entry.value.walk() if node.shape in (b"{", b"["))


def string_fault(reason: DropReason) -> Callable[[Candidate], bool]:
    return lambda entry: reason in entry.faults


def duplicate_field(entry: Candidate) -> bool:
    return len(entry.fields) < len(entry.value.keys)


def missing_desc(entry: Candidate) -> bool:
    desc = entry.fields.get(_DESC)
    return desc is None or is_blank(entry.text(desc) or "")


def missing_geometry(entry: Candidate) -> bool:
    return not entry.geometries


def multiple_geometry(entry: Candidate) -> bool:
    return len(entry.geometries) > 1


def unexpected_key(entry: Candidate) -> bool:
    return not entry.fields.keys() <= {_DESC, *_CONTRACT.geometries}


def not_a_list(entry: Candidate) -> bool:
    return entry.fields[entry.geometry].shape != b"["


def wrong_arity(entry: Candidate) -> bool:
    return not right_arity(entry.geometry, len(entry.fields[entry.geometry].items))


def not_coord_token(entry: Candidate) -> bool:
    return None in entry.bins()


def inverted_box(entry: Candidate) -> bool:
    return is_inverted(entry.geometry, [k for k in entry.bins() if k is not None])


def right_arity(geometry: str, count: int) -> bool:
    """4 coordinates of a box, an even number from 6 of a polygon."""
    if geometry == "bbox_2d":
        return count == _CONTRACT.bbox_arity
    return count >= _CONTRACT.poly_min and count % 2 == 0


def is_inverted(geometry: str, bins: list[int]) -> bool:
    """A box of 4 bins whose second corner lies above or left of its first."""
    return geometry == "bbox_2d" and (bins[0] > bins[2] or bins[1] > bins[3])


CHECKS: Final[Mapping[DropReason, Callable[[Candidate], bool]]] = {
    DropReason.BAD_KEY: bad_key,
    DropReason.DUPLICATE_KEY: duplicate_key,
    DropReason.NOT_AN_OBJECT: not_an_object,
    DropReason.TOO_DEEP: too_deep,
    **{reason: string_fault(reason) for reason in STRING_FAULTS},
    DropReason.DUPLICATE_FIELD: duplicate_field,
    DropReason.MISSING_DESC: missing_desc,
    DropReason.MISSING_GEOMETRY: missing_geometry,
    DropReason.MULTIPLE_GEOMETRY: multiple_geometry,
    DropReason.UNEXPECTED_KEY: unexpected_key,
    DropReason.NOT_A_LIST: not_a_list,
    DropReason.WRONG_ARITY: wrong_arity,
    DropReason.NOT_COORD_TOKEN: not_coord_token,
    DropReason.INVERTED_BOX: inverted_box,
}
"""In the order of ``DropReason``: each may rely on those before it."""


def reason_to_drop(entry: Candidate) -> DropReason | None:
    """The first reason that holds, or None for a prediction."""
    return next((reason for reason, holds in CHECKS.items() if holds(entry)), None)


def prediction(entry: Candidate) -> DetObject:
    """The object that a sound entry says."""
    bins: dict[str, Any] = {entry.geometry: tuple(entry.bins())}
    desc = entry.text(entry.fields[_DESC])
    assert desc is not None, "a prediction has a desc"
    return DetObject(desc, **bins)
