"""A step of Stage-2, in the order in which it happens, as functions of their arguments.

    channel_of         which channel the step is
    rollouts.py        its targets. Channel-B: write_rollouts → build_target (align, parse_rollout, pairwise_iou,
                       match_objects, inject, label_tokens) → require_sound; Channel-A: the ground truth → require_sound
    box_slots          which coordinates of a batch have a box loss, and what they should be
    channel_a_loss     forwards → loss
    channel_b_loss     forward → loss

B rows of T tokens · S coordinate slots · K coord tokens · P decoded points · G points of the ground truth · N objects ·
D hidden size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

import torch

from coordspec.config.training import Stage2Ab
from coordspec.contracts import NO_LOSS, Kind, Owner
from coordspec.coords import CoordVocab, units_from_bins
from coordspec.losses.box import object_terms
from coordspec.losses.expectation import expected_unit
from coordspec.losses.fused import CoordScores
from coordspec.losses.masked import CoordSlots, MaskedLoss, masked_loss
from coordspec.losses.rows import IGNORE_INDEX
from coordspec.model.checkpoint import VisionLanguageModel
from coordspec.model.forward import head_weights, hidden_states, hidden_states_of_embeds
from coordspec.samples.batch import Batch
from coordspec.samples.encode import KIND_CODES
from coordspec.target import Slot, Target
from coordspec.train.stage2.settings import Settings


class Channel(StrEnum):
    """What a step trains on: the ground truth, or rollouts."""

    A = "a"
    B = "b"


def channel_of(step: int, b_ratio: float) -> Channel:
    """Channel-B if and only if ``floor((step + 1) ρ) > floor(step ρ)``; steps count from 0.

    ρ is taken as the decimal number that the config shows, so that no rounding of binary fractions shifts a step. The
    answer depends on the step alone: all ranks and batches of a step agree, and a resumed run goes on as it began.

    Raises:
        ValueError: ``b_ratio`` is not within 0..1.
    """
    if not 0 <= b_ratio <= 1:
        raise ValueError(f"b_ratio is a share from 0 to 1, not {b_ratio}")
    ratio = Fraction(repr(b_ratio))
    return Channel.B if (step + 1) * ratio // 1 > step * ratio // 1 else Channel.A


# ---------------------------------------------------------------- boxes


@dataclass(frozen=True, slots=True)
class BoxSlots:
    """Where the coordinates of N objects stand in a batch, and what they should be.

    positions_S    places among the tokens of all rows, one behind the other; x and y in turn, object by object
    object_P       the object of every two of them
    gt_G2          points of the ground truth in unit coordinates: all of a polygon that was injected, else the two
                   corners of the box around the object
    gt_object_G    the object of each of these
    pointwise_N    the points of an object and of its ground truth correspond
    matched_N      the object is a matched one, and not one that was injected
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

    def losses(self, units_S: torch.Tensor, section: Stage2Ab) -> torch.Tensor:
        """``loss_N``: the box loss of every object under the section's weights, from the decoded coordinates."""
        terms = object_terms(
            units_S.view(-1, 2),
            self.object_P,
            self.gt_G2,
            self.gt_object_G,
            self.pointwise_N,
            smoothl1_beta=section.smoothl1_beta,
        )
        return section.bbox_smoothl1_weight * terms.smooth_l1_N + section.bbox_ciou_weight * terms.ciou_N


def box_slots(batch: Batch, targets: Sequence[Target]) -> BoxSlots:
    """The slots of all targets whose policy gives them a box loss; ``targets`` in the order of the batch's spans."""
    length = batch.ids_BT.shape[1]
    positions: list[int] = []
    decoded: list[int] = []
    gt: list[int] = []
    gt_of: list[int] = []
    chosen: list[Slot] = []
    for span, target in zip(batch.spans, targets, strict=True):
        start = span.row * length + span.answer
        for slot in target.slots:
            if slot.geometry == NO_LOSS:
                continue
            number = len(chosen)
            points = slot.bins if _is_pointwise(slot) else slot.box
            positions += [start + position for position in slot.positions]
            decoded += [number] * (len(slot.positions) // 2)
            gt += points
            gt_of += [number] * (len(points) // 2)
            chosen.append(slot)
    return BoxSlots(
        positions_S=_ints(positions),
        object_P=_ints(decoded),
        gt_G2=torch.from_numpy(units_from_bins(gt)).float().view(-1, 2),
        gt_object_G=_ints(gt_of),
        pointwise_N=torch.tensor([_is_pointwise(slot) for slot in chosen], dtype=torch.bool),
        matched_N=torch.tensor([slot.geometry == Owner.MATCHED for slot in chosen], dtype=torch.bool),
    )


def _is_pointwise(slot: Slot) -> bool:
    return slot.written_as == "poly" and slot.group is Owner.FN


def _ints(values: Iterable[int]) -> torch.Tensor:
    return torch.tensor(list(values), dtype=torch.int64)


# ---------------------------------------------------------------- losses


class StepCounts(NamedTuple):
    """What the sums of a step are divided by: weights of cross entropy, coordinates, matched and injected objects."""

    weights: torch.Tensor
    coords: torch.Tensor
    matched: torch.Tensor
    fn: torch.Tensor


@dataclass(frozen=True, slots=True)
class Terms:
    """The loss of a batch and its parts, each divided by its count; the parts are detached.

    ``coord`` is empty where the policy holds no coordinate to a bin.
    """

    loss: torch.Tensor
    ce: torch.Tensor
    geo_matched: torch.Tensor
    geo_fn: torch.Tensor
    coord: Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Stage2Model:
    """A model, its coord tokens, and the settings of its run."""

    model: VisionLanguageModel
    vocab: CoordVocab
    settings: Settings


def channel_b_loss(of: Stage2Model, batch: Batch, boxes: BoxSlots, counts: StepCounts) -> Terms:
    """Masked cross entropy, coordinate terms where the policy has some, and the box loss, from one forward."""
    hidden_TD = hidden_states(of.model, batch)
    first = supervised_head(of, hidden_TD, batch, boxes, counts)
    return _terms(of.settings, first, first.coord_logits_SK, boxes, counts)


def channel_a_loss(of: Stage2Model, batch: Batch, boxes: BoxSlots, counts: StepCounts) -> Terms:
    """Cross entropy from the first forward on the ground truth, the box loss from the last one.

    Between two forwards the input embedding of every coord slot becomes the expected embedding of the coord tokens
    under the logits that predict the slot. Visual features and positions are computed once.
    """
    section = of.settings.stage2_ab
    if section.n_softctx_iter == 1:
        return channel_b_loss(of, batch, boxes, counts)
    # the vision tower runs once: all forwards of a step see the same images
    features = of.model.model.get_image_features(batch.pixels_ND, batch.grid_I3, return_dict=True)
    embed = of.model.get_input_embeddings()
    embeds_BTD = embed(batch.ids_BT)
    coord_KD = embed(torch.tensor(of.vocab.ids, device=batch.ids_BT.device))
    first = supervised_head(of, hidden_states_of_embeds(of.model, batch, embeds_BTD, features), batch, boxes, counts)
    logits_SK = first.coord_logits_SK
    for _ in range(section.n_softctx_iter - 1):
        soft_SD = expected_embedding(logits_SK, coord_KD, section.softctx_temperature)
        if section.softctx_grad_mode == "em_detach":
            soft_SD = soft_SD.detach()
        mixed_BTD = embeds_BTD.flatten(0, 1).index_copy(0, boxes.positions_S, soft_SD).view_as(embeds_BTD)
        logits_SK = slot_logits(of, hidden_states_of_embeds(of.model, batch, mixed_BTD, features), batch, boxes)
    return _terms(of.settings, first, logits_SK, boxes, counts)


def supervised_head(
    of: Stage2Model, hidden_TD: torch.Tensor, batch: Batch, boxes: BoxSlots, counts: StepCounts
) -> MaskedLoss:
    """All that is read off the head in the first forward: cross entropy, coordinate terms, logits of box slots."""
    head = head_weights(of.model, of.vocab, of.settings.head)
    coord = _coord_slots(of, batch, counts)
    return masked_loss(
        hidden_TD,
        head.head_VD,
        batch.ids_BT.flatten(),
        weigh_descs(batch, of.settings.stage2_ab.desc_ce_weight).flatten(),
        of.vocab,
        ce_denominator=counts.weights,
        coord=coord,
        box_positions_S=boxes.positions_S,
        coord_rows_KD=head.coord_rows_KD,
        measure_gate=coord is not None,
    )


def slot_logits(of: Stage2Model, hidden_TD: torch.Tensor, batch: Batch, boxes: BoxSlots) -> torch.Tensor:
    """``logits_SK`` of box slots alone, as later forwards of Channel-A need them."""
    head = head_weights(of.model, of.vocab, of.settings.head)
    return masked_loss(
        hidden_TD,
        head.head_VD,
        batch.ids_BT.flatten(),
        torch.zeros_like(batch.weights_BT).flatten(),
        of.vocab,
        ce_denominator=1.0,
        coord=None,
        box_positions_S=boxes.positions_S,
        coord_rows_KD=head.coord_rows_KD,
    ).coord_logits_SK


def _coord_slots(of: Stage2Model, batch: Batch, counts: StepCounts) -> CoordSlots | None:
    """The coordinates that the policy holds to a bin, None where it holds none."""
    if of.settings.coord_soft_ce_w1 is None:
        return None
    places_M = coord_places(batch).flatten().nonzero().squeeze(1)
    bins = [of.vocab.bin_of_id[label] for label in batch.labels_BT.flatten()[places_M].tolist()]
    bins_M = torch.tensor(bins, dtype=torch.int64, device=places_M.device)
    return CoordSlots(places_M, bins_M, of.settings.coord_soft_ce_w1, counts.coords)


def _terms(
    settings: Settings, first: MaskedLoss, logits_SK: torch.Tensor, boxes: BoxSlots, counts: StepCounts
) -> Terms:
    """The loss of what the first forward and the slots of the last one say."""
    loss_N = boxes.losses(expected_unit(logits_SK), settings.stage2_ab)
    matched = loss_N[boxes.matched_N].sum() / counts.matched
    fn = loss_N[~boxes.matched_N].sum() / counts.fn
    return Terms(
        loss=first.loss + settings.stage2_ab.geo_weight * (matched + fn),
        ce=first.ce_sum / counts.weights,
        geo_matched=matched.detach(),
        geo_fn=fn.detach(),
        coord={} if settings.coord_soft_ce_w1 is None else _coord_means(first.coord, counts),
    )


def _coord_means(scores: CoordScores, counts: StepCounts) -> dict[str, torch.Tensor]:
    assert scores.gate_M is not None, "the gate is measured"
    sums = {"soft_ce": scores.soft_ce_M, "w1": scores.w1_M, "hard_ce": scores.hard_ce_M, "gate": scores.gate_M}
    return {name: value_M.sum() / counts.coords for name, value_M in sums.items()}


def expected_embedding(logits_SK: torch.Tensor, coord_KD: torch.Tensor, temperature: float) -> torch.Tensor:
    """``soft_SD``: the mean of the coord tokens' embeddings under the distribution over the bins of each slot."""
    soft_SD = (logits_SK / temperature).softmax(1).to(coord_KD.dtype) @ coord_KD
    return soft_SD.to(coord_KD.dtype)  # autocast multiplies in its own type


def weigh_descs(batch: Batch, desc_ce_weight: float) -> torch.Tensor:
    """``weights_BT`` with those of desc tokens multiplied by ``desc_ce_weight``."""
    return torch.where(batch.kinds_BT == KIND_CODES[Kind.DESC], batch.weights_BT * desc_ce_weight, batch.weights_BT)


def coord_places(batch: Batch) -> torch.Tensor:
    """``(B, T)`` booleans: coordinates that the policy holds to a bin, which is their label."""
    return (batch.kinds_BT == KIND_CODES[Kind.COORD]) & (batch.labels_BT != IGNORE_INDEX)
