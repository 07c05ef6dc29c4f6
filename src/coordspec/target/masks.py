"""From the owner and kind of every byte to the weight, owner and kind of every token."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from coordspec.contracts import Kind, MaskPolicy, Owner
from coordspec.jsonl.parse import WHITE_SPACE

if TYPE_CHECKING:
    import numpy.typing as npt

    from coordspec.rollout.tokens import TokenTable

CLASSES: Final = tuple(product(Owner, Kind))
"""Every pair of an owner and a kind; its index is its class."""

CLASS_OF: Final = {pair: index for index, pair in enumerate(CLASSES)}

_WITH_COORD: Final = np.array([CLASS_OF[owner, Kind.COORD if kind is Kind.STRUCT else kind] for owner, kind in CLASSES])
_IS_SPACE: Final = np.isin(np.arange(256), np.frombuffer(WHITE_SPACE, np.uint8))
_OWNERS: Final = np.array([owner for owner, _ in CLASSES], object)
_KINDS: Final = np.array([kind for _, kind in CLASSES], object)


class Labels(NamedTuple):
    """Weight, owner and kind of every token."""

    ce_weight: tuple[float, ...]
    owner: tuple[Owner, ...]
    kind: tuple[Kind, ...]


class Spans(NamedTuple):
    """Numbers of bytes, and the class that each of these runs of bytes belongs to."""

    sizes: list[int]
    classes: list[int]


def label_tokens(ids: Sequence[int], spans: Spans, policy: MaskPolicy, table: TokenTable) -> Labels:
    """Labels of the tokens ``ids``, whose bytes belong to classes as ``spans`` says.

    A coord token that stands in structure is of kind coord; in a desc it is text like any other.

    A token's weight is the smallest of its characters that are no white space, so that a token which touches anything
    masked is masked; a token of white space alone has the smallest of these. Its owner and kind are those of the first
    character with that weight.
    """
    vector = np.asarray(ids, np.int64)
    lengths = table.lengths[vector]
    data = np.frombuffer(table.join(ids), np.uint8)
    class_of_byte = np.repeat(np.array(spans.classes, np.uint8), np.array(spans.sizes, np.int64))
    assert len(class_of_byte) == len(data), "every byte of a target has one owner and one kind"
    weights, rank_of_class = _ranks(policy)
    rank = rank_of_class[class_of_byte] + len(weights) * _IS_SPACE[data]
    starts = np.cumsum(lengths) - lengths
    first = np.minimum.reduceat(rank * len(data) + np.arange(len(data)), starts) % len(data)
    class_of_token = class_of_byte[first]
    is_coord = table.bin_of[vector] >= 0
    class_of_token[is_coord] = _WITH_COORD[class_of_token[is_coord]]
    return Labels(
        tuple(weights[rank_of_class[class_of_token]].tolist()),
        tuple(_OWNERS[class_of_token].tolist()),
        tuple(_KINDS[class_of_token].tolist()),
    )


def _ranks(policy: MaskPolicy) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The weights of a policy in ascending order, and which of them each class has.

    Classes that no text of a target can have get the lowest rank; nothing asks for it.
    """
    rows = policy.rows
    known = [rows[owner].weights.get(kind, 0.0) if owner in rows else 0.0 for owner, kind in CLASSES]
    weights, ranks = np.unique(np.array(known), return_inverse=True)
    return weights, ranks
