"""The two kinds of steps of Stage-2: from a batch to its loss.

B rows of T tokens · S coordinate slots · K coord tokens · N objects · D hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from coordspec.contracts import Kind
from coordspec.coords import CoordVocab
from coordspec.losses.expectation import expected_unit
from coordspec.losses.fused import CoordScores
from coordspec.losses.masked import CoordSlots, MaskedLoss, masked_loss
from coordspec.losses.rows import IGNORE_INDEX
from coordspec.model.checkpoint import VisionLanguageModel
from coordspec.model.forward import HeadWeights, head_weights, hidden_states, uses_varlen
from coordspec.samples.collate import Batch
from coordspec.samples.encode import KIND_CODES
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
    """The loss of a batch and its parts, each divided by its count; the parts are detached.

    ``coord`` is empty where the policy holds no coordinate to a bin.
    """

    loss: torch.Tensor
    ce: torch.Tensor
    geo_matched: torch.Tensor
    geo_fn: torch.Tensor
    coord: Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a model under the settings of its run."""

    model: VisionLanguageModel
    vocab: CoordVocab
    settings: Settings

    def channel_b(self, batch: Batch, boxes: BoxSlots, counts: Counts) -> Terms:
        """Masked cross entropy, coordinate terms where the policy has some, and the box loss, from one forward."""
        first = self._masked(hidden_states(self.model, batch), batch, boxes, counts)
        return self._terms(first, first.coord_logits_SK, boxes, counts)

    def channel_a(self, batch: Batch, boxes: BoxSlots, counts: Counts) -> Terms:
        """Cross entropy from the first forward on the ground truth, the box loss from the last one.

        Between two forwards the input embedding of every coord slot becomes the expected embedding of the coord tokens
        under the logits that predict the slot. Visual features and positions are computed once.
        """
        if self.settings.n_softctx_iter == 1:
            return self.channel_b(batch, boxes, counts)
        features = self.model.model.get_image_features(batch.pixels_ND, batch.grid_I3, return_dict=True)
        embed = self.model.get_input_embeddings()
        embeds_BTD = embed(batch.ids_BT)
        coord_KD = embed(torch.tensor(self.vocab.ids, device=batch.ids_BT.device))
        first = self._masked(self._hidden(batch, embeds_BTD, features), batch, boxes, counts)
        logits_SK = first.coord_logits_SK
        for _ in range(self.settings.n_softctx_iter - 1):
            soft_SD = expected_embedding(logits_SK, coord_KD, self.settings.softctx_temperature)
            if self.settings.softctx_grad_mode == "em_detach":
                soft_SD = soft_SD.detach()
            mixed_BTD = embeds_BTD.flatten(0, 1).index_copy(0, boxes.positions_S, soft_SD).view_as(embeds_BTD)
            logits_SK = self._slot_logits(self._hidden(batch, mixed_BTD, features), batch, boxes)
        return self._terms(first, logits_SK, boxes, counts)

    def _hidden(self, batch: Batch, embeds_BTD: torch.Tensor, features: Any) -> torch.Tensor:
        """``hidden_TD`` of a batch whose token embeddings and visual features are given."""
        inputs = batch.model_inputs(varlen=uses_varlen(self.model))
        del inputs["input_ids"], inputs["pixel_values"]
        encoded = {"image": features}
        hidden_BTD: torch.Tensor = self.model.model(
            inputs_embeds=embeds_BTD, mm_encoder_outputs=encoded, **inputs
        ).last_hidden_state
        return hidden_BTD.flatten(0, 1)

    def _masked(self, hidden_TD: torch.Tensor, batch: Batch, boxes: BoxSlots, counts: Counts) -> MaskedLoss:
        weights_BT = weigh_descs(batch, self.settings.desc_ce_weight)
        return self._from_head(
            hidden_TD,
            batch,
            boxes,
            weights_T=weights_BT.flatten(),
            denominator=counts.weights,
            coord=self._coords(batch, counts),
        )

    def _slot_logits(self, hidden_TD: torch.Tensor, batch: Batch, boxes: BoxSlots) -> torch.Tensor:
        nothing_T = torch.zeros_like(batch.weights_BT).flatten()
        return self._from_head(
            hidden_TD, batch, boxes, weights_T=nothing_T, denominator=1.0, coord=None
        ).coord_logits_SK

    def _from_head(
        self,
        hidden_TD: torch.Tensor,
        batch: Batch,
        boxes: BoxSlots,
        *,
        weights_T: torch.Tensor,
        denominator: torch.Tensor | float,
        coord: CoordSlots | None,
    ) -> MaskedLoss:
        head: HeadWeights = head_weights(self.model, self.vocab, self.settings.head_rows)
        return masked_loss(
            hidden_TD,
            head.head_VD,
            batch.ids_BT.flatten(),
            weights_T,
            self.vocab,
            ce_denominator=denominator,
            coord=coord,
            box_positions_S=boxes.positions_S,
            coord_rows_KD=head.coord_rows_KD,
            measure_gate=coord is not None,
        )

    def _coords(self, batch: Batch, counts: Counts) -> CoordSlots | None:
        if self.settings.coord is None:
            return None
        places_M = coord_places(batch).flatten().nonzero().squeeze(1)
        bins = [self.vocab.bin_of_id[label] for label in batch.labels_BT.flatten()[places_M].tolist()]
        bins_M = torch.tensor(bins, dtype=torch.int64, device=places_M.device)
        return CoordSlots(places_M, bins_M, self.settings.coord, counts.coords)

    def _terms(self, first: MaskedLoss, logits_SK: torch.Tensor, boxes: BoxSlots, counts: Counts) -> Terms:
        settings = self.settings
        loss_N = boxes.losses(
            expected_unit(logits_SK),
            smooth_l1_weight=settings.smooth_l1_weight,
            ciou_weight=settings.ciou_weight,
            beta=settings.beta,
        )
        matched = loss_N[boxes.matched_N].sum() / counts.matched
        fn = loss_N[~boxes.matched_N].sum() / counts.fn
        return Terms(
            loss=first.loss + settings.geo_weight * (matched + fn),
            ce=first.ce_sum / counts.weights,
            geo_matched=matched.detach(),
            geo_fn=fn.detach(),
            coord={} if settings.coord is None else _coord_means(first.coord, counts),
        )


def expected_embedding(logits_SK: torch.Tensor, coord_KD: torch.Tensor, temperature: float) -> torch.Tensor:
    """``soft_SD``: the mean of the coord tokens' embeddings under the distribution over the bins of each slot."""
    soft_SD = (logits_SK / temperature).softmax(1).to(coord_KD.dtype) @ coord_KD
    return soft_SD.to(coord_KD.dtype)  # autocast multiplies in its own type


def weigh_descs(batch: Batch, factor: float) -> torch.Tensor:
    """``weights_BT`` with those of desc tokens multiplied by ``factor``."""
    return torch.where(batch.kinds_BT == KIND_CODES[Kind.DESC], batch.weights_BT * factor, batch.weights_BT)


def coord_places(batch: Batch) -> torch.Tensor:
    """``(B, T)`` booleans: coordinates that the policy holds to a bin, which is their label."""
    return (batch.kinds_BT == KIND_CODES[Kind.COORD]) & (batch.labels_BT != IGNORE_INDEX)


def _coord_means(scores: CoordScores, counts: Counts) -> dict[str, torch.Tensor]:
    assert scores.gate_M is not None, "the gate is measured"
    sums = {"soft_ce": scores.soft_ce_M, "w1": scores.w1_M, "hard_ce": scores.hard_ce_M, "gate": scores.gate_M}
    return {name: value_M.sum() / counts.coords for name, value_M in sums.items()}
