"""The one codec between bins, coord tokens, unit coordinates and pixels.

A *bin* is an integer 0..999 (norm1000), a *coord token* is ``<|coord_k|>`` for bin k, a *unit* coordinate is a float in
[0, 1], a *pixel* coordinate counts from 0 to side - 1, where side is the image's width for x and its height for y.
"""

from __future__ import annotations

from typing import Final

from coordspec.contracts import record_contract

MAX_BIN: Final = record_contract().max_bin
BINS: Final = MAX_BIN + 1

TOKENS: Final = tuple(f"<|coord_{k}|>" for k in range(BINS))
"""The coord tokens in the order of their bins."""

BIN_OF_TOKEN: Final = {token: k for k, token in enumerate(TOKENS)}
"""Bin by coord token. Whatever is not a key here is no coord token: no zero-padded, spaced or non-ASCII form is."""


def bin_from_pixel(pixel: float, side: int) -> int:
    """``round(999 * pixel / max(1, side - 1))``, clamped to 0..999: the border pixels get the first and last bin.

    The clamp is part of the definition (contract, section 1): annotations end at ``side``, one past the last pixel.
    """
    return min(MAX_BIN, max(0, round(MAX_BIN * pixel / max(1, side - 1))))


def pixel_from_bin(k: int, side: int) -> float:
    """The pixel coordinate that bin ``k`` stands for; ``bin_from_pixel`` of it is ``k`` again."""
    return k * max(1, side - 1) / MAX_BIN


def unit_from_bin(k: int) -> float:
    """``k / 999``"""
    return k / MAX_BIN
