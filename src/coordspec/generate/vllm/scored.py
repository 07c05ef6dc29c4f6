"""What the model in training thinks of a server's answer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from coordspec.generate.padded import evaluating
from coordspec.samples.positions import RopePositions
from coordspec.samples.prompt import Prompt


def logprobs_of(model: nn.Module, prompt: Prompt, ids: Sequence[int]) -> list[float]:
    """The log-probability of every id of an answer under a model of transformers, in one forward without gradients.

    Over the whole vocabulary, at temperature 1, before penalties and filters.
    """
    device = next(model.parameters()).device
    ids_T = torch.cat([prompt.ids_T, torch.tensor(list(ids[:-1]), dtype=torch.int64)])
    types_T = torch.cat([prompt.types_T, torch.zeros(len(ids) - 1, dtype=torch.int64)])
    positions = RopePositions(model.config)  # type: ignore[arg-type]
    inputs = {
        "input_ids": ids_T[None],
        "attention_mask": torch.ones_like(ids_T)[None],
        "mm_token_type_ids": types_T[None],
        "position_ids": positions.of(ids_T, types_T, prompt.grid_I3)[:, None],
        "pixel_values": prompt.pixels_ND,
        "image_grid_thw": prompt.grid_I3,
    }
    with torch.no_grad(), evaluating(model):
        output = model(**{name: value.to(device) for name, value in inputs.items()}, logits_to_keep=len(ids))
    scores_SV = output.logits[0].float().log_softmax(-1)
    chosen_S1 = torch.tensor(list(ids), device=device)[:, None]
    found: list[float] = scores_SV.gather(-1, chosen_S1)[:, 0].tolist()
    return found
