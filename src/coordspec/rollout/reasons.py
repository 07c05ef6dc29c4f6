"""Why an entry of a rollout is no prediction, and why a rollout is not read at all."""

from __future__ import annotations

from enum import StrEnum

from coordspec.contracts import record_contract
from coordspec.rollout.grammar import MAX_KEY_DIGITS

_CONTRACT = record_contract()


class Fallback(StrEnum):
    """Why the retained prefix is a brace that the model did not write."""

    NO_OPENING_BRACE = "no_opening_brace"


class DropReason(StrEnum):
    """Why an entry is dropped, in the order in which they are asked: an entry has the first that holds."""

    BAD_KEY = "bad_key"
    DUPLICATE_KEY = "duplicate_key"
    NOT_AN_OBJECT = "not_an_object"
    TOO_DEEP = "too_deep"
    INVALID_UTF8 = "invalid_utf8"
    CONTROL_CHAR = "control_char"
    BAD_ESCAPE = "bad_escape"
    LONE_SURROGATE = "lone_surrogate"
    DUPLICATE_FIELD = "duplicate_field"
    MISSING_DESC = "missing_desc"
    MISSING_GEOMETRY = "missing_geometry"
    MULTIPLE_GEOMETRY = "multiple_geometry"
    UNEXPECTED_KEY = "unexpected_key"
    NOT_A_LIST = "not_a_list"
    WRONG_ARITY = "wrong_arity"
    NOT_COORD_TOKEN = "not_coord_token"  # noqa: S105 (a coord token is no secret)
    INVERTED_BOX = "inverted_box"

    @property
    def meaning(self) -> str:
        """The reason in words, for documentation and hover texts."""
        return _MEANINGS[self]


_MEANINGS = {
    DropReason.BAD_KEY: "the key is not `object_N`: N from 1, ASCII digits without a leading zero, "
    f"at most {MAX_KEY_DIGITS} of them",
    DropReason.DUPLICATE_KEY: "an entry before it has the same key, whether that one was valid or dropped",
    DropReason.NOT_AN_OBJECT: "the value is a string, number, list, `true`, `false` or `null`",
    DropReason.TOO_DEEP: "the value is nested deeper than any reader of the contract follows",
    DropReason.INVALID_UTF8: "a string holds bytes that are no character",
    DropReason.CONTROL_CHAR: "a string holds a control character below U+0020 that is not escaped",
    DropReason.BAD_ESCAPE: "a string holds a backslash that starts none of JSON's escapes",
    DropReason.LONE_SURROGATE: "a string holds an escape that is half of a surrogate pair",
    DropReason.DUPLICATE_FIELD: "a key stands twice inside the value",
    DropReason.MISSING_DESC: "there is no `desc`, it is no string, or it shows nothing",
    DropReason.MISSING_GEOMETRY: "there is neither `bbox_2d` nor `poly`",
    DropReason.MULTIPLE_GEOMETRY: "there are both `bbox_2d` and `poly`",
    DropReason.UNEXPECTED_KEY: "there is a key beside `desc` and the geometry",
    DropReason.NOT_A_LIST: "the geometry is no list",
    DropReason.WRONG_ARITY: f"a `bbox_2d` does not have {_CONTRACT.bbox_arity} coordinates, "
    f"or a `poly` an even number from {_CONTRACT.poly_min}",
    DropReason.NOT_COORD_TOKEN: "a coordinate is not one coord token: another value, or text that other tokens spell",
    DropReason.INVERTED_BOX: "x1 is above x2, or y1 above y2",
}
