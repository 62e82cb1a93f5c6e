"""Flat areas keep their value exactly; everything else is left alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superres.pipeline.flat import RADIUS, flat_area, keep_flat

PICTURES = st.builds(
    lambda h, w, cells, seed: np.ascontiguousarray(
        np.kron(
            np.random.default_rng(seed).integers(0, 3, (3, h // cells + 1, w // cells + 1)) / 2,
            np.ones((1, cells, cells)),
        )[:, :h, :w].astype(np.float32)
    ),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 20),
    st.integers(0, 2**32 - 1),
)


def slowly(image):
    """The definition, pixel by pixel."""
    _, h, w = image.shape
    flat = np.zeros((h, w), bool)
    for y in range(h):
        for x in range(w):
            part = image[
                :, max(0, y - RADIUS) : y + RADIUS + 1, max(0, x - RADIUS) : x + RADIUS + 1
            ]
            flat[y, x] = (part == image[:, y, x][:, None, None]).all()
    return flat


@settings(max_examples=60)
@given(PICTURES)
def test_what_is_called_flat_is_flat(image):
    got, want = flat_area(image), slowly(image)
    assert got.shape == image.shape[1:]
    assert not (got & ~want).any()
    # Changes are seen on both of their sides, so it may be called flat one pixel later.
    eroded = np.pad(want, 1, mode="edge")
    eroded = np.lib.stride_tricks.sliding_window_view(eroded, (3, 3)).all((2, 3))
    assert not (eroded & ~got).any()


@settings(max_examples=60)
@given(PICTURES, st.sampled_from([1, 2, 4]), st.sampled_from([1, 3]), st.booleans())
def test_flat_pixels_take_the_input_value_and_others_do_not_change(image, scale, channels, bytes_):
    _, h, w = image.shape
    rng = np.random.default_rng(0)
    shape = (h * scale, w * scale, channels)
    pixels = rng.integers(0, 256, shape, np.uint8) if bytes_ else rng.random(shape, np.float32)
    before = pixels.copy()
    keep_flat(pixels, image)
    flat = flat_area(image).repeat(scale, 0).repeat(scale, 1)
    want = image.transpose(1, 2, 0)[..., :channels].repeat(scale, 0).repeat(scale, 1)
    if bytes_:
        want = np.rint(want * 255).astype(np.uint8)
    np.testing.assert_array_equal(pixels[flat], want[flat])
    np.testing.assert_array_equal(pixels[~flat], before[~flat])


@pytest.mark.parametrize("level", range(0, 256, 15))
def test_every_level_comes_out_as_itself(level):
    image = np.full((3, 16, 16), np.float32(level) * np.float32(1 / 255), np.float32)
    pixels = np.zeros((32, 32, 3), np.uint8)
    keep_flat(pixels, image)
    assert (pixels == level).all()


def test_a_slope_of_the_smallest_step_is_not_flat():
    image = np.broadcast_to(np.arange(64, dtype=np.float32) / 255, (3, 64, 64)).copy()
    assert not flat_area(image).any()
