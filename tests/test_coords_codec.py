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
    bins_from_pixels,
    pixel_from_bin,
    pixels_from_bins,
    unit_from_bin,
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
    assert bins_from_pixels(pixels, side).tolist() == list(range(BINS))


@pytest.mark.parametrize("side", SIDES)
def test_every_edge_between_two_bins_and_its_neighbours(side):
    edges = (ALL + 0.5) * max(1, side - 1) / 999
    for pixels in (edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf), -edges, edges + side):
        bins = bins_from_pixels(pixels, side)
        assert bins.dtype == np.int64
        assert bins.tolist() == [bin_from_pixel(pixel, side) for pixel in pixels.tolist()]


def test_every_whole_pixel_of_some_images():
    for side in range(1, 400):
        pixels = np.arange(-1, side + 2)
        assert bins_from_pixels(pixels, side).tolist() == [bin_from_pixel(p, side) for p in pixels.tolist()]


def test_halves_go_to_the_even_bin():
    # 999 pixels wide would make every pixel one bin; with 1999 every odd pixel lies between two
    assert (
        bins_from_pixels([1, 3, 5, 7], 1999).tolist() == [0, 2, 2, 4] == [bin_from_pixel(p, 1999) for p in (1, 3, 5, 7)]
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float16, np.float32])
def test_the_type_of_the_input_does_not_wrap_or_round(dtype):
    bins = np.array([0, 1, 100, 255]).astype(dtype)
    assert pixels_from_bins(bins, np.array(4001, np.int16)).tolist() == [
        pixel_from_bin(k, 4001) for k in (0, 1, 100, 255)
    ]
    assert bins_from_pixels(bins, np.array(200, np.uint8)).tolist() == [
        bin_from_pixel(p, 200) for p in (0, 1, 100, 255)
    ]
    assert units_from_bins(bins).tolist() == [unit_from_bin(k) for k in (0, 1, 100, 255)]


@given(
    hnp.arrays(
        np.float64,
        hnp.array_shapes(max_dims=2),
        elements=st.floats(-BELOW, BELOW) | st.integers(-BELOW, BELOW).map(float),
    ),
    st.integers(0, 5000) | st.integers(0, BELOW),
)
def test_any_pixels(pixels, side):
    assert bins_from_pixels(pixels, side).tolist() == scalar(bin_from_pixel, pixels, side).tolist()


@given(hnp.arrays(np.int64, hnp.array_shapes(max_dims=2), elements=st.integers(0, 999)), st.integers(0, BELOW))
def test_any_bins(bins, side):
    assert pixels_from_bins(bins, side).tolist() == scalar(pixel_from_bin, bins, side).tolist()
    assert units_from_bins(bins).tolist() == scalar(unit_from_bin, bins).tolist()


def test_units_of_all_bins():
    assert units_from_bins(ALL).tolist() == [unit_from_bin(k) for k in range(BINS)]
    assert units_from_bins(ALL)[[0, 500, 999]].tolist() == [0.0, 500 / 999, 1.0]


def test_sides_broadcast_over_boxes():
    sides = [101, 51, 101, 51]
    boxes = [[0, 0, 100, 50], [10, 10, 101, 51]]
    assert bins_from_pixels(boxes, sides).tolist() == [[0, 0, 999, 999], [100, 200, 999, 999]]
    assert pixels_from_bins([[0, 0, 999, 333]], sides).tolist() == [[0.0, 0.0, 100.0, 333 * 50 / 999]]


@pytest.mark.parametrize("shape", [(), (0,), (0, 4), (2, 3, 4)])
def test_shapes(shape):
    for made in (
        bins_from_pixels(np.zeros(shape), 9),
        pixels_from_bins(np.zeros(shape), 9),
        units_from_bins(np.zeros(shape)),
    ):
        assert made.shape == shape


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_no_bin(bad):
    with pytest.raises(ValueError, match=f"^{bad} is no pixel coordinate$"):
        bins_from_pixels([[1.0, bad]], 640)


def test_the_codec_needs_neither_numpy_nor_torch():
    code = (
        "import sys\n"
        "from coordspec.coords import bin_from_pixel\n"
        "assert bin_from_pixel(639, 640) == 999\n"
        "print(sorted({'numpy', 'torch', 'tokenizers', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
