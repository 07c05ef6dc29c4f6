"""From a rollout and the ground truth to what is taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from coordspec.boxes import DEFAULT_IOU_GATE
from coordspec.contracts import NO_LOSS, Kind, MaskPolicy, Owner, TargetText, mask_policies
from coordspec.match import Match, match_objects
from coordspec.record import DetObject
from coordspec.rollout.parse import Entry, Rollout, parse_rollout
from coordspec.rollout.tokens import TokenTable, token_table
from coordspec.target.compose import CLOSE, OPEN, SEPARATOR, Composer
from coordspec.target.ground_truth import finish_target, written_slots, written_target
from coordspec.target.masks import CLASS_OF
from coordspec.target.objects import GroundTruth, box_of, geometry_of, ground_truth_objects
from coordspec.target.types import Report, Slot, Target

if TYPE_CHECKING:
    from coordspec.tokenizer import AnyTokenizer

INJECTED: Final = CLASS_OF[Owner.FN, Kind.STRUCT]

DEFAULT_POLICY: Final = mask_policies().default


def build_target(
    rollout: Sequence[int] | Rollout,
    gt: GroundTruth,
    tokenizer: AnyTokenizer | TokenTable,
    *,
    policy: str = DEFAULT_POLICY,
    iou_gate: float = DEFAULT_IOU_GATE,
) -> Target:
    """What one sample of Channel-B is trained on.

    The rollout is read strictly, its valid entries are matched with the ground truth, and what was missed is injected
    before its outermost closing brace. Under a policy whose ``target`` is ``rollout`` the ids before the cut are the
    generated ones; of the token in which the cut falls, the kept text is encoded anew, together with what is behind it.
    Under one whose ``target`` is ``ground_truth`` the rollout only says what is matched, and in which order. The same
    arguments always give the same target.

    Args:
        rollout: the ids that the model generated, with or without ``<|im_end|>`` and whatever stands behind it; or what
            ``parse_rollout`` has read from them with this tokenizer, for who needs that too.
        gt: a ``Record``, ``DetObject``s, or mappings in the form of a record's ``objects``.
        tokenizer: of ``tokenizers`` or a fast one of ``transformers``; a ``TokenTable`` made of it once is faster.
        policy: the name of a row set under ``policies`` in ``contracts/masks.yaml``.
        iou_gate: a pair whose IoU is below is no match.

    Raises:
        ContractError: a ground-truth object breaks a rule of the record.
        InputError: an id of the rollout is none of the tokenizer.
        ValueError: there is no such policy, the gate is not within 0..1, or the tokenizer cannot be used.
    """
    rows = mask_policies().find(policy)
    table = token_table(tokenizer)
    objects = ground_truth_objects(gt, table)
    read = rollout if isinstance(rollout, Rollout) else parse_rollout(rollout, table)
    match = match_objects(read.objects, objects, iou_gate)
    if rows.target is TargetText.GROUND_TRUTH:
        return written_target(objects, rows, _report(read, match, start_id=1), table)
    return _completed(read, objects, match, rows, table)


def _report(rollout: Rollout, match: Match, start_id: int) -> Report:
    return Report(
        start_id=start_id,
        matches=match.pairs,
        fp=match.fp,
        fn=match.fn,
        dropped=rollout.dropped,
        truncated=rollout.truncated,
        fallback=rollout.fallback,
    )


def _completed(
    rollout: Rollout, objects: Sequence[DetObject], match: Match, policy: MaskPolicy, table: TokenTable
) -> Target:
    """The retained prefix, the missed objects, and the end."""
    composer = Composer(table)
    _keep_prefix(composer, rollout, dict(match.pairs), injects=bool(match.fn))
    if rollout.entries and match.fn:
        composer.write(SEPARATOR, INJECTED)
    owners = [Owner.FN] * len(match.fn)
    written = composer.write_objects([objects[g] for g in match.fn], owners, rollout.start_id)
    slots = [
        *_matched_slots(rollout.predictions, objects, match.pairs, policy),
        *written_slots(objects, zip(match.fn, owners, written, strict=True), policy),
    ]
    return finish_target(composer, slots, policy, _report(rollout, match, rollout.start_id), table)


def _keep_prefix(composer: Composer, rollout: Rollout, matches: Mapping[int, int], *, injects: bool) -> None:
    """The ids before the cut, and to whom each of their bytes belongs."""
    if rollout.fallback is not None:
        composer.write(b"{", OPEN)
        return
    aligned = rollout.aligned
    whole = aligned.tokens_before(rollout.cut)
    composer.keep(aligned.ids[:whole], aligned.data[aligned.starts[whole] : rollout.cut])
    composer.own(rollout.opened, OPEN)
    valid = 0
    for entry in rollout.entries:
        owner = Owner.MATCHED if entry.reason is None and valid in matches else Owner.FP
        valid += entry.reason is None
        _own_entry(composer, entry, owner)
    # White space before the closing brace belongs to what follows it.
    behind = rollout.cut - (rollout.entries[-1].end if rollout.entries else rollout.opened)
    composer.own(behind, INJECTED if injects else CLOSE)


def _own_entry(composer: Composer, entry: Entry, owner: Owner) -> None:
    """Structure, but for the text of desc; of dropped entries too, where they have one."""
    struct = CLASS_OF[owner, Kind.STRUCT]
    start, end = entry.desc or (entry.end, entry.end)
    composer.own(start - entry.start, struct)
    composer.own(end - start, CLASS_OF[owner, Kind.DESC])
    composer.own(entry.end - end, struct)


def _matched_slots(
    predictions: Sequence[Entry], objects: Sequence[DetObject], pairs: Sequence[tuple[int, int]], policy: MaskPolicy
) -> list[Slot]:
    """Slots of the coord tokens that the model wrote, held to the ground truth."""
    row = policy.rows[Owner.MATCHED]
    slots = []
    for p, g in pairs:
        entry, wanted = predictions[p], objects[g]
        assert entry.item is not None, "a valid entry predicts an object"
        written_as = geometry_of(entry.item)
        bins = _bins_for(written_as, wanted)
        slots.append(
            Slot(
                group=Owner.MATCHED,
                gt=g,
                written_as=written_as,
                positions=entry.positions,
                bins=bins,
                box=box_of(wanted),
                geometry=row.geometry,
                coord_loss=row.coord_loss if bins else NO_LOSS,
            )
        )
    return slots


def _bins_for(written_as: str, wanted: DetObject) -> tuple[int, ...]:
    """The bins that the coordinates of a prediction should have had; none for a polygon.

    The points of two polygons have no common order or number, so that none of them stands for another.
    """
    return () if written_as == "poly" else box_of(wanted)
