"""The contract as types that msgspec decodes at C speed; every type is at least as strict as the rules."""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from coordspec.checks.finding import CoordSpace
from coordspec.contracts import record_contract
from coordspec.coords import BIN_OF_TOKEN, MAX_BIN, TOKENS

_CONTRACT = record_contract()

Side: TypeAlias = Annotated[int, Meta(ge=_CONTRACT.min_side)]
Bin: TypeAlias = Annotated[int, Meta(ge=_CONTRACT.min_bin, le=MAX_BIN)]


def _token_type() -> Any:
    """A type that msgspec reads from a coord token and gives out as its bin, at C speed.

    msgspec reads an enum by looking the string up in ``_value2member_map_``. With bins in the place of members, the
    decoder itself turns tokens into integers. A test holds msgspec to it.
    """
    members: Any = {f"BIN_{k}": text for k, text in enumerate(TOKENS)}
    make: Any = enum.Enum
    token = make("CoordToken", members)
    token._value2member_map_ = dict(BIN_OF_TOKEN)
    return token


def _struct(name: str, fields: list[Any]) -> Any:
    return msgspec.defstruct(name, fields, forbid_unknown_fields=True, gc=False)


def _record_type(item: Any, more_fields: list[Any]) -> Any:
    fields = [("images", list[str]), ("width", Side), ("height", Side), ("objects", list[item])]
    return _struct("Record", [*fields, *more_fields])


def _plain_type(coord: Any) -> Any:
    """Records of nothing but the four required fields, whose objects have a desc and a box."""
    item = _struct("Object", [("desc", str), ("bbox_2d", _box(coord))])
    return _record_type(item, [])


def _full_type(coord: Any) -> Any:
    """Records with every field the contract knows."""
    poly = Annotated[list[coord], Meta(min_length=_CONTRACT.poly_min)]
    geometry = [("bbox_2d", _box(coord) | UnsetType, UNSET), ("poly", poly | UnsetType, UNSET)]
    item = _struct("Object", [("desc", str), *geometry, ("poly_points", int | UnsetType, UNSET)])
    more = [("summary", str | UnsetType, UNSET), ("metadata", dict[str, Any] | UnsetType, UNSET)]
    return _record_type(item, more)


def _box(coord: Any) -> Any:
    return tuple[(coord,) * _CONTRACT.bbox_arity]  # type: ignore[misc]


Decode: TypeAlias = Callable[[bytes], Any]


@cache
def decoders(space: CoordSpace) -> tuple[tuple[Decode, ...], tuple[Decode, ...]]:
    """Decoders of plain and of full records, each for integers and for tokens; for pixels there are only numbers.

    Making the types takes milliseconds, so they are made once in a process.
    """
    coords = (float,) if space is CoordSpace.PIXEL else (Bin, _token_type())
    plain = tuple(msgspec.json.Decoder(_plain_type(coord)).decode for coord in coords)
    return plain, tuple(msgspec.json.Decoder(_full_type(coord)).decode for coord in coords)
