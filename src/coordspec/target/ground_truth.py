"""The target without a rollout: the ground truth in its own order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from coordspec.contracts import MaskPolicy, Owner, mask_policies
from coordspec.record import DetObject
from coordspec.rollout.tokens import TokenTable, token_table
from coordspec.target.compose import CLOSE, END, OPEN, Composer
from coordspec.target.objects import GroundTruth, bins_of, box_of, geometry_of, ground_truth_objects
from coordspec.target.types import Report, Slot, Target

if TYPE_CHECKING:
    from coordspec.tokenizer import AnyTokenizer

STAGE1: Final = "stage1"


def ground_truth_target(gt: GroundTruth, tokenizer: AnyTokenizer | TokenTable, *, rows: str = STAGE1) -> Target:
    """What Stage-1 (``rows="stage1"``) and Channel-A (``"channel_a"``) teach: the payload, then ``<|im_end|>``.

    The ids are those that the tokenizer gives for the payload of the objects in their order. Every object is owned by
    ``fn``, since we write it, and has its slots; structure, desc, braces and the end of the turn are supervised. The
    row sets stand under ``ground_truth`` in ``contracts/masks.yaml`` and differ in what the slots are held to.

    Args:
        gt: a ``Record``, ``DetObject``s, or mappings in the form of a record's ``objects``.
        tokenizer: of ``tokenizers`` or a fast one of ``transformers``; a ``TokenTable`` made of it once is faster.
        rows: the name of the row set.

    Raises:
        ContractError: an object breaks a rule of the record.
        ValueError: the tokenizer cannot be used (see ``TokenTable``), or there is no such row set.
    """
    policy = mask_policies().find_ground_truth(rows)
    table = token_table(tokenizer)
    objects = ground_truth_objects(gt, table)
    report = Report(start_id=1, fn=tuple(range(len(objects))))
    return written_target(objects, policy, report, table)


def written_target(objects: Sequence[DetObject], policy: MaskPolicy, report: Report, table: TokenTable) -> Target:
    """A target of which all is written by us: matched objects in the order of their predictions, then missed ones."""
    order = [*(g for _, g in report.matches), *report.fn]
    owners = [Owner.MATCHED] * len(report.matches) + [Owner.FN] * len(report.fn)
    composer = Composer(table)
    composer.write(b"{", OPEN)
    positions = composer.write_objects([objects[index] for index in order], owners, report.start_id)
    slots = written_slots(objects, zip(order, owners, positions, strict=True), policy)
    return finish_target(composer, slots, policy, report, table)


def written_slots(
    objects: Sequence[DetObject], written: Iterable[tuple[int, Owner, tuple[int, ...]]], policy: MaskPolicy
) -> list[Slot]:
    """Slots of objects that stand in the target as annotated: index, owner and positions of each."""
    return [
        Slot(
            group=owner,
            gt=index,
            written_as=geometry_of(objects[index]),
            positions=positions,
            bins=bins_of(objects[index]),
            box=box_of(objects[index]),
            geometry=policy.rows[owner].geometry,
            coord_loss=policy.rows[owner].coord_loss,
        )
        for index, owner, positions in written
    ]


def finish_target(
    composer: Composer, slots: Iterable[Slot], policy: MaskPolicy, report: Report, table: TokenTable
) -> Target:
    """The closing brace, the end of the turn, and the labels of all of it."""
    composer.write(b"}", CLOSE)
    composer.token(table.end_id, END)
    labels = composer.finish(policy)
    return Target(policy.name, tuple(composer.ids), *labels, tuple(slots), report)
