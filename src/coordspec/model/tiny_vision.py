"""How the vision tower of the embedded default begins: with what a tower finds out slowly from drawn scenes alone.

From random weights the colour of a shape is learnt at once and its kind hardly at all, since a random projection of a
patch says little but its colour, and attention has to find out which patches touch. So the tower begins with

- filters that are a cosine transform of the patch, the finer the stronger, as the finer the weaker they are in images;
- heads that look at neighbours, as the kernel of a convolution does (d'Ascoli et al., "ConViT", 2021);
- layers that see each feature with both signs, so that how strong an edge is can be read whatever the two colours are;
- places that are waves over the grid of patches.

All of it is trained like any other weight.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from transformers.models.qwen3_vl.modeling_qwen3_vl import (
    Qwen3VLVisionAttention,
    Qwen3VLVisionMLP,
    Qwen3VLVisionModel,
    Qwen3VLVisionPatchMerger,
)

_PIXEL_GAIN: Final = 3.2
"""At this, the features of patches of drawn scenes have a deviation of about 1.5, beside places of 1."""
_FLAT: Final = 0.25
"""Strength of the mean of a patch, where a filter of one half wave has 1."""
_HUES: Final = ((1.0, 1.0, 1.0), (1.0, -1.0, 0.0), (0.5, 0.5, -1.0))
"""Brightness, red against green, yellow against blue."""
_NEIGHBOURS: Final = ((-1, -1), (1, 1), (-1, 1), (1, -1), (0, -1), (0, 1), (-1, 0), (1, 0))
"""Rows down and columns to the right."""
_CRESTS: Final = (8.7, 51.5)
"""Heights of the two waves: the fast one takes 1 from the score of a patch next to the right one, the slow one 2.5 from
that of a patch where the fast one has its next crest. Both are for heads of 16 features."""
_CONTENT: Final = 0.3
"""What is left at first of the weights by which the contents of patches decide who looks at whom."""


def initialise_vision(tower: Qwen3VLVisionModel, side: int, generator: torch.Generator) -> None:
    """Set patch filters, heads and places; ``side`` is the length of the grid of places. The rest stays as it is."""
    with torch.no_grad():
        filters = tower.patch_embed.proj.weight
        filters.copy_(_patch_filters(filters))
        for part in tower.modules():
            if isinstance(part, Qwen3VLVisionAttention):
                _look_at_neighbours(part)
            elif isinstance(part, Qwen3VLVisionMLP):
                part.linear_fc1.weight.copy_(_both_signs(_turned(part.hidden_size, generator)))
            elif isinstance(part, Qwen3VLVisionPatchMerger):
                part.linear_fc1.weight.copy_(_both_signs(_merged(part.hidden_size)))
        places = tower.pos_embed.weight
        places.copy_(_ordered_places(places.shape[1], side, generator))


def _patch_filters(filters: torch.Tensor) -> torch.Tensor:
    """The lowest frequencies of the two-dimensional cosine transform in each hue; ``(features, 3, frames, y, x)``."""
    count, _, frames, patch, _ = filters.shape
    centres = torch.arange(patch) + 0.5
    waves = torch.stack([torch.cos(math.pi * centres * cycles / patch) for cycles in range(patch)])
    waves = waves / waves.norm(dim=1, keepdim=True)
    hues = torch.tensor(_HUES)
    hues = hues / hues.norm(dim=1, keepdim=True)
    frequencies = sorted((math.hypot(y, x), y, x) for y in range(patch) for x in range(patch))
    rows = [
        (_FLAT + frequency) * torch.einsum("c,y,x->cyx", hue, waves[y], waves[x])
        for frequency, y, x in frequencies[: count // len(hues)]
        for hue in hues
    ]
    made = torch.stack(rows) * (_PIXEL_GAIN / frames)
    return made[:, :, None].expand_as(filters)


def _look_at_neighbours(attention: Qwen3VLVisionAttention) -> None:
    """Give each head one neighbour that it looks at before it has learnt anything.

    Rotary embedding turns pairs of features of queries and keys by angles that grow with the place, so the product of a
    constant query with a constant key is a wave of their distance. Biases hold both: of a wave of about six patches,
    which is sharp, and of a longer one, which tells its crests apart.
    """
    query, key, _ = attention.qkv.bias.view(3, -1)
    for weight in attention.qkv.weight.chunk(3)[:2]:
        weight.mul_(_CONTENT)
    attention.qkv.bias.zero_()
    size = attention.head_dim
    cycles = size // 4  # frequencies of an axis: rotary embedding has half of a head's pairs for each
    for head, neighbour in enumerate(_NEIGHBOURS[: attention.num_heads]):
        for axis, distance in enumerate(neighbour):
            for wave, height in enumerate(_CRESTS):
                angle = distance * 10000 ** (-wave / cycles)
                first = head * size + axis * cycles + wave
                query[first] = math.sqrt(height)
                key[first] = math.sqrt(height) * math.cos(angle)
                key[first + size // 2] = -math.sqrt(height) * math.sin(angle)


def _both_signs(rows: torch.Tensor) -> torch.Tensor:
    """Rows and their negatives: behind the nonlinearity, two of them give the input or its absolute value."""
    return torch.cat([rows, -rows])


def _turned(dim: int, generator: torch.Generator) -> torch.Tensor:
    """Each feature by itself, and turned in a random direction; ``(2 * dim, dim)``."""
    rotation, _ = torch.linalg.qr(torch.randn(dim, dim, generator=generator))
    return torch.cat([torch.eye(dim), rotation])


def _merged(dim: int) -> torch.Tensor:
    """Each feature of four patches in their mean, and upper against lower ones; ``(dim / 2, dim)``."""
    one = torch.eye(dim // 4) / 2
    return torch.cat([torch.cat([one, one, one, one], dim=1), torch.cat([one, one, -one, -one], dim=1)])


def _ordered_places(dim: int, side: int, generator: torch.Generator) -> torch.Tensor:
    """Waves over the rows and the columns of the grid, shape ``(side * side, dim)``, a mean square of about 1."""
    count = dim // 4
    cycles = 0.25 * (2 * side) ** (torch.arange(count) / (count - 1))  # up to half a cycle from one patch to the next
    angles = 2 * math.pi * torch.arange(side)[:, None] / (side - 1) * cycles
    waves = torch.cat([angles.sin(), angles.cos()], dim=1) * cycles.rsqrt().repeat(2)
    waves = waves / waves.square().mean().sqrt()
    grid = torch.cat([waves.repeat_interleave(side, dim=0), waves.repeat(side, 1)], dim=1)
    rotation, _ = torch.linalg.qr(torch.randn(dim, dim, generator=generator))
    places: torch.Tensor = grid @ rotation
    return places
