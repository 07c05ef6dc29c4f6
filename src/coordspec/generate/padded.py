"""Prompts of different lengths as one batch, padded on the left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from coordspec.samples.prompt import Prompt, RopePositions


@dataclass(slots=True)
class Padded:
    """B prompts of up to T tokens, and where decoding stands.

    ``mask_BT`` is 1 at tokens and 0 at padding; it grows by one column with every token. ``next_B`` is the M-RoPE
    position of each row's next token, the same in all three dimensions, as an answer is text. ``prompts`` holds the
    arguments that the first forward takes beside these.
    """

    prompts: dict[str, Any]
    mask_BT: torch.Tensor
    positions_3BT: torch.Tensor
    next_B: torch.Tensor

    def first_inputs(self) -> dict[str, Any]:
        """Arguments of the forward over the prompts, of which only the last logits are wanted."""
        return {**self.prompts, **self._shared(self.positions_3BT)}

    def next_inputs(self, tokens_B: torch.Tensor, cache: Any) -> dict[str, Any]:
        """Arguments of the forward over the tokens that were just chosen."""
        self.mask_BT = torch.cat([self.mask_BT, torch.ones_like(self.mask_BT[:, :1])], dim=1)
        positions_3B1 = self.next_B[None, :, None].expand(3, -1, 1)
        self.next_B = self.next_B + 1
        return {"input_ids": tokens_B[:, None], "past_key_values": cache, **self._shared(positions_3B1)}

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows alone."""
        self.mask_BT, self.next_B = self.mask_BT[rows], self.next_B[rows]

    def _shared(self, positions_3BT: torch.Tensor) -> dict[str, Any]:
        return {"attention_mask": self.mask_BT, "position_ids": positions_3BT, "use_cache": True, "logits_to_keep": 1}


def pad_left(prompts: Sequence[Prompt], positions: RopePositions, pad_id: int, device: torch.device) -> Padded:
    """The prompts as a batch. Positions are those of every prompt alone, so padding changes none of them."""
    shape = len(prompts), max(len(prompt.ids_T) for prompt in prompts)
    ids_BT = torch.full(shape, pad_id)
    types_BT = torch.zeros(shape, dtype=torch.int64)
    mask_BT = torch.zeros(shape, dtype=torch.int64)
    positions_3BT = torch.zeros((3, *shape), dtype=torch.int64)
    for row, prompt in enumerate(prompts):
        start = shape[1] - len(prompt.ids_T)
        ids_BT[row, start:] = prompt.ids_T
        types_BT[row, start:] = prompt.types_T
        mask_BT[row, start:] = 1
        positions_3BT[:, row, start:] = positions.of(prompt.ids_T, prompt.types_T, prompt.grid_I3)
    inputs = {
        "input_ids": ids_BT,
        "mm_token_type_ids": types_BT,
        "pixel_values": torch.cat([prompt.pixels_ND for prompt in prompts]),
        "image_grid_thw": torch.cat([prompt.grid_I3 for prompt in prompts]),
    }
    next_B = positions_3BT.amax(dim=(0, 2)) + 1
    return Padded(
        {name: value.to(device) for name, value in inputs.items()},
        mask_BT.to(device),
        positions_3BT.to(device),
        next_B.to(device),
    )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """A model in evaluation mode, afterwards every module of it in the mode in which it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
