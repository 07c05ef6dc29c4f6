"""The two kinds of steps of Stage-2, as plain functions of a model and a batch.

B rows of T tokens · S coordinate slots · K coord tokens · N objects · D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from coordspec.contracts import Kind
from coordspec.coords import CoordVocab
from coordspec.losses.coord import expected_unit
from coordspec.losses.masked import CoordSlots, MaskedLoss, masked_loss
from coordspec.losses.rows import IGNORE_INDEX
from coordspec.model.checkpoint import VisionLanguageModel
from coordspec.train.collate import Batch
from coordspec.train.encode import KIND_CODES
from coordspec.train.forward import HeadWeights, head_weights, hidden_states, uses_varlen
from coordspec.train.stage2.boxes import BoxSlots
from coordspec.train.stage2.settings import Settings


class Counts(NamedTuple):
    """What the sums of a step are divided by: weights of cross entropy, coordinates, matched and written objects."""

    weights: torch.Tensor
    coords: torch.Tensor
    matched: torch.Tensor
    fn: torch.Tensor


@dataclass(frozen=True, slots=True)
class Terms:
    """The loss of a batch and its parts, each divided by its count; the parts are detached."""

    loss: torch.Tensor
    ce: torch.Tensor
    geo_matched: torch.Tensor
    geo_fn: torch.Tensor
    coord: Mapping[str, torch.Tensor]


def channel_b(
    model: VisionLanguageModel, vocab: CoordVocab, batch: Batch, boxes: BoxSlots, counts: Counts, settings: Settings
) -> Terms:
    """Masked cross entropy, coordinate terms where the policy has some, and the box loss, from one forward."""
    head = head_weights(model, vocab, settings.head_rows)
    first = _masked(hidden_states(model, batch), head, vocab, batch, boxes, counts, settings)
    return _terms(first, first.coord_logits_SK, boxes, counts, settings)


def channel_a(
    model: VisionLanguageModel, vocab: CoordVocab, batch: Batch, boxes: BoxSlots, counts: Counts, settings: Settings
) -> Terms:
    """Cross entropy from the first forward on the ground truth, the box loss from the last one.

    Between two forwards the input embedding of every coord slot becomes the expected embedding of the coord tokens
    under the logits that predict the slot. Visual features and positions are computed once.
    """
    if settings.n_softctx_iter == 1:
        return channel_b(model, vocab, batch, boxes, counts, settings)
    head = head_weights(model, vocab, settings.head_rows)
    features = model.model.get_image_features(batch.pixels_ND, batch.grid_I3, return_dict=True)
    embed = model.get_input_embeddings()
    embeds_BTD = embed(batch.ids_BT)
    coord_KD = embed(torch.tensor(vocab.ids, device=batch.ids_BT.device))
    first = _masked(_hidden_of(model, batch, embeds_BTD, features), head, vocab, batch, boxes, counts, settings)
    logits_SK = first.coord_logits_SK
    for _ in range(settings.n_softctx_iter - 1):
        soft_SD = (logits_SK / settings.softctx_temperature).softmax(1).to(coord_KD.dtype) @ coord_KD
        if settings.softctx_grad_mode == "em_detach":
            soft_SD = soft_SD.detach()
        mixed_BTD = embeds_BTD.flatten(0, 1).index_copy(0, boxes.positions_S, soft_SD).view_as(embeds_BTD)
        hidden_TD = _hidden_of(model, batch, mixed_BTD, features)
        logits_SK = _slot_logits(hidden_TD, head, vocab, batch, boxes)
    return _terms(first, logits_SK, boxes, counts, settings)


def weigh_descs(batch: Batch, factor: float) -> torch.Tensor:
    """``weights_BT`` with those of desc tokens multiplied by ``factor``."""
    return torch.where(batch.kinds_BT == KIND_CODES[Kind.DESC], batch.weights_BT * factor, batch.weights_BT)


def coord_places(batch: Batch) -> torch.Tensor:
    """``(B, T)`` booleans: coordinates that the policy holds to a bin, which is their label."""
    return (batch.kinds_BT == KIND_CODES[Kind.COORD]) & (batch.labels_BT != IGNORE_INDEX)


def _hidden_of(model: VisionLanguageModel, batch: Batch, embeds_BTD: torch.Tensor, features: Any) -> torch.Tensor:
    """``hidden_TD`` of a batch whose token embeddings and visual features are given."""
    inputs = batch.model_inputs(varlen=uses_varlen(model))
    del inputs["input_ids"], inputs["pixel_values"]
    encoded = {"image": features}
    hidden_BTD: torch.Tensor = model.model(
        inputs_embeds=embeds_BTD, mm_encoder_outputs=encoded, **inputs
    ).last_hidden_state
    return hidden_BTD.flatten(0, 1)


def _masked(
    hidden_TD: torch.Tensor,
    head: HeadWeights,
    vocab: CoordVocab,
    batch: Batch,
    boxes: BoxSlots,
    counts: Counts,
    settings: Settings,
) -> MaskedLoss:
    places = coord_places(batch).flatten().nonzero().squeeze(1)
    coord = None
    if settings.coord is not None:
        bins = torch.tensor([vocab.bin_of_id[label] for label in batch.labels_BT.flatten()[places].tolist()])
        coord = CoordSlots(places, bins.long().to(places.device), settings.coord, counts.coords)
    return masked_loss(
        hidden_TD,
        head.head_VD,
        batch.ids_BT.flatten(),
        weigh_descs(batch, settings.desc_ce_weight).flatten(),
        vocab,
        ce_denominator=counts.weights,
        coord=coord,
        box_positions_S=boxes.positions_S,
        coord_rows_KD=head.coord_rows_KD,
    )


def _slot_logits(
    hidden_TD: torch.Tensor, head: HeadWeights, vocab: CoordVocab, batch: Batch, boxes: BoxSlots
) -> torch.Tensor:
    ids_T = batch.ids_BT.flatten()
    nothing = torch.zeros(len(ids_T), device=ids_T.device)
    return masked_loss(
        hidden_TD,
        head.head_VD,
        ids_T,
        nothing,
        vocab,
        ce_denominator=1.0,
        coord=None,
        box_positions_S=boxes.positions_S,
        coord_rows_KD=head.coord_rows_KD,
    ).coord_logits_SK


def _terms(first: MaskedLoss, logits_SK: torch.Tensor, boxes: BoxSlots, counts: Counts, settings: Settings) -> Terms:
    loss_N = boxes.losses(
        expected_unit(logits_SK),
        smooth_l1_weight=settings.smooth_l1_weight,
        ciou_weight=settings.ciou_weight,
        beta=settings.beta,
    )
    matched = loss_N[boxes.matched_N].sum() / counts.matched
    fn = loss_N[~boxes.matched_N].sum() / counts.fn
    coord = first.coord
    sums = {"soft_ce": coord.soft_ce_M, "w1": coord.w1_M, "hard_ce": coord.hard_ce_M}
    return Terms(
        loss=first.loss + settings.geo_weight * (matched + fn),
        ce=first.ce_sum / counts.weights,
        geo_matched=matched.detach(),
        geo_fn=fn.detach(),
        coord={name: value_M.sum() / counts.coords for name, value_M in sums.items()},
    )
