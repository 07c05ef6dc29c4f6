"""The one way in which a target grows: text, its ids, and what it belongs to, always together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from coordspec.contracts import Kind, Owner, payload_contract
from coordspec.record import DetObject, render_payload
from coordspec.rollout.grammar import ENTRY, SPECIAL
from coordspec.target.masks import CLASS_OF, Spans, label_tokens
from coordspec.target.objects import bins_of

if TYPE_CHECKING:
    from coordspec.contracts import MaskPolicy
    from coordspec.rollout.tokens import TokenTable
    from coordspec.target.masks import Labels

OPEN, CLOSE, END = (CLASS_OF[Owner.FRAME, kind] for kind in (Kind.OPEN, Kind.CLOSE, Kind.END))
"""The classes of the frame."""

SEPARATOR: Final = payload_contract().item_separator.encode()
"""What stands between two entries."""


class Composer:
    """Ids of a target, and the owner and kind of every byte of them.

    New text is encoded where it ends or a coord token interrupts it, so that the ids are those that the tokenizer gives
    for the whole of it.
    """

    def __init__(self, table: TokenTable) -> None:
        self.ids: list[int] = []
        self._table = table
        self._spans = Spans([], [])
        self._pending: list[bytes] = []

    def keep(self, ids: Sequence[int], rest: bytes) -> None:
        """Take over generated ids, and ``rest``, the kept bytes of the one token in which the cut falls.

        What follows says by ``own`` to whom these bytes belong.
        """
        self.ids.extend(ids)
        self._pending.append(rest)

    def own(self, size: int, whose: int) -> None:
        """The next ``size`` bytes that were taken over are of the class ``whose``, one of ``CLASS_OF``."""
        self._spans.sizes.append(size)
        self._spans.classes.append(whose)

    def write(self, text: bytes, whose: int) -> None:
        """Add ordinary text of that class."""
        self._pending.append(text)
        self.own(len(text), whose)

    def token(self, token_id: int, whose: int) -> int:
        """Add one token that is no ordinary text; returns its position."""
        self._flush()
        self.own(len(self._table.bytes_of[token_id]), whose)
        self.ids.append(token_id)
        return len(self.ids) - 1

    def write_objects(self, objects: Sequence[DetObject], owners: Sequence[Owner], start: int) -> list[tuple[int, ...]]:
        """Add entries with the keys ``object_<start>`` and up, as the payload has them without its braces.

        Returns the positions of the coord tokens of each object. What goes into the text between two coord tokens goes
        through the tokenizer in one piece.

        Raises:
            ContractError: an object breaks a rule of the record; see ``render_payload``.
        """
        payload = render_payload(objects, start).encode()
        id_of_bin, written = self._table.coords.ids, []
        for entry, item, owner in zip(ENTRY.finditer(payload, 1), objects, owners, strict=True):
            struct = CLASS_OF[owner, Kind.STRUCT]
            self.write(payload[entry.start() : entry.start("desc")], struct)
            self.write(entry["desc"], CLASS_OF[owner, Kind.DESC])
            at, positions = entry.end("desc"), []
            for token, k in zip(SPECIAL.finditer(payload, *entry.span("coords")), bins_of(item), strict=True):
                self.write(payload[at : token.start()], struct)
                positions.append(self.token(id_of_bin[k], struct))
                at = token.end()
            self.write(payload[at : entry.end()], struct)
            written.append(tuple(positions))
        return written

    def finish(self, policy: MaskPolicy) -> Labels:
        """Encode what is pending, and label every token."""
        self._flush()
        return label_tokens(self.ids, self._spans, policy, self._table)

    def _flush(self) -> None:
        if self._pending:
            self.ids.extend(self._table.encode_bytes(b"".join(self._pending)))
            self._pending.clear()
