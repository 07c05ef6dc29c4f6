"""The one place that runs a model for a loss: hidden states of a batch, and the head that reads them."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import torch
from peft.utils.other import TrainableTokensWrapper
from torch import nn

from coordspec.coords import CoordVocab
from coordspec.model.checkpoint import VisionLanguageModel, head_weight
from coordspec.train.collate import Batch

Rows: TypeAlias = Literal["full", "coord_rows", "frozen"]


class HeadWeights(NamedTuple):
    """The weight of the head, and the rows of the coord tokens where these alone are trained; see ``head_loss``."""

    head_VD: torch.Tensor
    coord_rows_KD: torch.Tensor | None


def hidden_states(model: VisionLanguageModel, batch: Batch) -> torch.Tensor:
    """Hidden states that go into the head, shape ``(B * T, D)``, row behind row. One forward of the model."""
    varlen = model.config._attn_implementation == "flash_attention_2"
    hidden_BTD: torch.Tensor = model.model(**batch.model_inputs(varlen=varlen)).last_hidden_state
    return hidden_BTD.flatten(0, 1)


def head_weights(model: VisionLanguageModel, vocab: CoordVocab, rows: Rows) -> HeadWeights:
    """The head as ``head_loss`` takes it. Where only coord rows are trained, no gradient of all rows is computed."""
    output: nn.Module = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if isinstance(output, TrainableTokensWrapper):  # peft's adapter of rows, in the order in which they were named
        adapter = output.token_adapter
        (name,) = adapter.active_adapters
        base = adapter.get_base_layer().weight
        assert isinstance(base, torch.Tensor)
        return HeadWeights(base, adapter.trainable_tokens_delta[name])
    weight = head_weight(model)
    if rows == "full":
        return HeadWeights(weight, None)
    coord_rows = None if rows == "frozen" else weight.index_select(0, torch.tensor(vocab.ids, device=weight.device))
    return HeadWeights(weight.detach(), coord_rows)
