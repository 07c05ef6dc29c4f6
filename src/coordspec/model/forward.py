"""The one place that runs a model for a loss: hidden states of a batch, and the head that reads them.

B rows of T tokens · D hidden size · V vocabulary · K coord tokens.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from peft.utils.other import TrainableTokensWrapper
from torch import nn

from coordspec.coords import CoordVocab
from coordspec.model.checkpoint import VisionLanguageModel, head_weight
from coordspec.model.parts import Head


class ModelInputs(Protocol):
    """What a batch is to a model."""

    def model_inputs(self, *, varlen: bool) -> dict[str, Any]:
        """Keyword arguments for the model's forward."""


class HeadWeights(NamedTuple):
    """The weight of the head, and the rows of the coord tokens where these alone are trained; see ``head_loss``."""

    head_VD: torch.Tensor
    coord_rows_KD: torch.Tensor | None


def hidden_states(model: VisionLanguageModel, batch: ModelInputs) -> torch.Tensor:
    """Hidden states that go into the head, shape ``(B * T, D)``, row behind row. One forward of the model."""
    hidden_BTD: torch.Tensor = model.model(**batch.model_inputs(varlen=uses_varlen(model))).last_hidden_state
    return hidden_BTD.flatten(0, 1)


def hidden_states_of_embeds(
    model: VisionLanguageModel, batch: ModelInputs, embeds_BTD: torch.Tensor, features: Any
) -> torch.Tensor:
    """``hidden_TD`` of a batch whose token embeddings and visual features are given, as ``get_image_features`` does."""
    inputs = batch.model_inputs(varlen=uses_varlen(model))
    del inputs["input_ids"], inputs["pixel_values"]
    hidden_BTD: torch.Tensor = model.model(
        inputs_embeds=embeds_BTD, mm_encoder_outputs={"image": features}, **inputs
    ).last_hidden_state
    return hidden_BTD.flatten(0, 1)


def uses_varlen(model: VisionLanguageModel) -> bool:
    """Whether the borders between samples go to the attention kernel itself; see ``samples.collate.Batch``."""
    return str(model.config._attn_implementation) == "flash_attention_2"


def head_weights(model: VisionLanguageModel, vocab: CoordVocab | None, trained: Head) -> HeadWeights:
    """The head as ``head_loss`` takes it; ``trained`` says which of its rows are.

    Where coord rows alone are trained and a vocabulary is given, no gradient of all rows is computed. Without a
    vocabulary the whole weight has one, of which adapters or the mask of ``freeze_parts`` keep the coord rows.
    """
    if trained == "frozen":
        return HeadWeights(head_weight(model).detach(), None)
    if trained == "full" or vocab is None:
        return HeadWeights(head_weight(model), None)
    output: nn.Module = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if isinstance(output, TrainableTokensWrapper):  # peft's adapter of rows, in the order in which they were named
        adapter = output.token_adapter
        (name,) = adapter.active_adapters
        base = adapter.get_base_layer().weight
        assert isinstance(base, torch.Tensor)
        return HeadWeights(base, adapter.trainable_tokens_delta[name])
    weight = head_weight(model)
    return HeadWeights(weight.detach(), weight.index_select(0, torch.tensor(vocab.ids, device=weight.device)))
