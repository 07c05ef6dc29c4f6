"""The objects of a batch that have a box loss, as tensors.

T tokens of all rows, one behind the other · S coordinate slots · P decoded points · G points of the ground truth ·
N objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import torch

from coordspec.contracts import NO_LOSS, Owner
from coordspec.coords import units_from_bins
from coordspec.losses.box import object_terms
from coordspec.samples.collate import Batch
from coordspec.target import Slot, Target


@dataclass(frozen=True, slots=True)
class BoxSlots:
    """Where the coordinates of N objects stand, and what they should be.

    positions_S    places among the T tokens, x and y in turn, object by object
    object_P       the object of every two of them
    gt_G2          points of the ground truth in unit coordinates: all of a polygon that was written by us, else the two
                   corners of the box around the object
    gt_object_G    the object of each of these
    pointwise_N    the points of an object and of its ground truth correspond
    matched_N      the object is a matched one, and not one that was written by us
    """

    positions_S: torch.Tensor
    object_P: torch.Tensor
    gt_G2: torch.Tensor
    gt_object_G: torch.Tensor
    pointwise_N: torch.Tensor
    matched_N: torch.Tensor

    def to(self, device: torch.device) -> BoxSlots:
        """The same on another device."""
        return replace(self, **{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    def losses(
        self, units_S: torch.Tensor, *, smooth_l1_weight: float, ciou_weight: float, beta: float
    ) -> torch.Tensor:
        """``loss_N``: the weighted box loss of every object, from the decoded coordinates of the slots."""
        terms = object_terms(
            units_S.view(-1, 2), self.object_P, self.gt_G2, self.gt_object_G, self.pointwise_N, beta=beta
        )
        return smooth_l1_weight * terms.smooth_l1_N + ciou_weight * terms.ciou_N


def box_slots(batch: Batch, targets: Sequence[Target]) -> BoxSlots:
    """The slots of all targets whose policy gives them a box loss; ``targets`` in the order of the batch's spans."""
    length = batch.ids_BT.shape[1]
    positions: list[int] = []
    decoded: list[int] = []
    wanted: list[int] = []
    wanted_of: list[int] = []
    chosen: list[Slot] = []
    for span, target in zip(batch.spans, targets, strict=True):
        start = span.row * length + span.answer
        for slot in target.slots:
            if slot.geometry == NO_LOSS:
                continue
            number = len(chosen)
            points = _wanted(slot)
            positions += [start + position for position in slot.positions]
            decoded += [number] * (len(slot.positions) // 2)
            wanted += points
            wanted_of += [number] * (len(points) // 2)
            chosen.append(slot)
    return BoxSlots(
        positions_S=_ints(positions),
        object_P=_ints(decoded),
        gt_G2=torch.from_numpy(units_from_bins(wanted)).float().view(-1, 2),
        gt_object_G=_ints(wanted_of),
        pointwise_N=torch.tensor([_is_pointwise(slot) for slot in chosen], dtype=torch.bool),
        matched_N=torch.tensor([slot.geometry == Owner.MATCHED for slot in chosen], dtype=torch.bool),
    )


def _wanted(slot: Slot) -> Sequence[int]:
    return slot.bins if _is_pointwise(slot) else slot.box


def _is_pointwise(slot: Slot) -> bool:
    return slot.written_as == "poly" and slot.group is Owner.FN


def _ints(values: Iterable[int]) -> torch.Tensor:
    return torch.tensor(list(values), dtype=torch.int64)
