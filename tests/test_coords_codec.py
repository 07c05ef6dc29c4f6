"""The array forms of the codec against its scalar forms, which stay the definition."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from coordspec.coords import (
    BINS,
    bin_from_pixel,
    pixel_from_bin,
    pixels_from_bins,
    units_from_bins,
)

ALL = np.arange(BINS)
BELOW = 2**43
SIDES = [0, 1, 2, 3, 4, 101, 333, 334, 640, 999, 1000, 1001, 1999, 4001, BELOW]


def scalar(function, first, *rest):
    """The scalar function of every element of the broadcast arguments, as Python numbers."""
    arrays = np.broadcast_arrays(first, *rest)
    values = [function(*(item.item() for item in items)) for items in zip(*(a.ravel() for a in arrays), strict=True)]
    return np.array(values).reshape(arrays[0].shape)


@pytest.mark.parametrize("side", SIDES)
def test_every_bin_on_many_sides(side):
    pixels = pixels_from_bins(ALL, side)
    assert pixels.dtype == np.float64
    assert pixels.tolist() == [pixel_from_bin(k, side) for k in range(BINS)]
    assert [bin_from_pixel(pixel, side) for pixel in pixels.tolist()] == list(range(BINS))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float16, np.float32])
def test_the_type_of_the_input_does_not_wrap_or_round(dtype):
    bins = np.array([0, 1, 100, 255]).astype(dtype)
    assert pixels_from_bins(bins, np.array(4001, np.int16)).tolist() == [
        pixel_from_bin(k, 4001) for k in (0, 1, 100, 255)
    ]
    assert units_from_bins(bins).tolist() == [k / 999 for k in (0, 1, 100, 255)]


@given(hnp.arrays(np.int64, hnp.array_shapes(max_dims=2), elements=st.integers(0, 999)), st.integers(0, BELOW))
def test_any_bins(bins, side):
    assert pixels_from_bins(bins, side).tolist() == scalar(pixel_from_bin, bins, side).tolist()


def test_units_of_all_bins():
    assert units_from_bins(ALL).tolist() == [k / 999 for k in range(BINS)]
    assert units_from_bins(ALL)[[0, 500, 999]].tolist() == [0.0, 500 / 999, 1.0]


def test_sides_broadcast_over_boxes():
    sides = [101, 51, 101, 51]
    assert pixels_from_bins([[0, 0, 999, 333]], sides).tolist() == [[0.0, 0.0, 100.0, 333 * 50 / 999]]


@pytest.mark.parametrize("shape", [(), (0,), (0, 4), (2, 3, 4)])
def test_shapes(shape):
    for made in (
        pixels_from_bins(np.zeros(shape), 9),
        units_from_bins(np.zeros(shape)),
    ):
        assert made.shape == shape


def test_the_codec_needs_neither_numpy_nor_torch():
    code = (
        "import sys\n"
        "from coordspec.coords import bin_from_pixel\n"
        "assert bin_from_pixel(639, 640) == 999\n"
        "print(sorted({'numpy', 'torch', 'tokenizers', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
