"""Transparency: hidden colour is replaced, visible colour is not, extremes are kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superres.pipeline.alpha import BLEED_RADII, bleed, mean_colour, snap

SIDES = st.integers(1, 40)
SEEDS = st.integers(0, 2**32 - 1)


def drawn(height, width, seed, share=0.5):
    """Colour, and alpha that is often exactly 0 or 1."""
    rng = np.random.default_rng(seed)
    alpha = np.where(rng.random((height, width)) < share, 0, rng.random((height, width)))
    alpha = np.where(alpha > 0.7, 1, alpha).astype(np.float32)
    return rng.random((height, width, 3), np.float32), alpha


@given(SIDES, SIDES, SEEDS, st.sampled_from([0.0, 0.5, 0.99, 1.0]))
def test_bleeding_leaves_visible_pixels_and_fills_hidden_ones_from_around(h, w, seed, share):
    colour, alpha = drawn(h, w, seed, share)
    far = np.float32([0.25, 0.5, 0.75])
    before = colour.copy(), alpha.copy()
    out = bleed(colour, alpha, far)
    np.testing.assert_array_equal(colour, before[0])
    np.testing.assert_array_equal(alpha, before[1])
    seen = alpha > 0
    np.testing.assert_array_equal(out[seen], colour[seen])
    assert out.dtype == np.float32
    reach = max(BLEED_RADII)
    for y, x in np.argwhere(~seen):
        window = np.s_[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        around = colour[window][seen[window]]
        if len(around):
            assert (out[y, x] >= around.min(0) - 1e-4).all()
            assert (out[y, x] <= around.max(0) + 1e-4).all()
        else:
            np.testing.assert_array_equal(out[y, x], far)


def test_what_is_hidden_does_not_matter():
    colour, alpha = drawn(30, 40, 0)
    other = colour.copy()
    other[alpha == 0] = 1 - other[alpha == 0]
    far = mean_colour(np.concatenate([colour, alpha[..., None]], 2))
    np.testing.assert_array_equal(far, mean_colour(np.concatenate([other, alpha[..., None]], 2)))
    np.testing.assert_allclose(bleed(colour, alpha, far), bleed(other, alpha, far), atol=1e-6)


def test_nearer_colour_beats_farther():
    colour = np.zeros((1, 21, 1), np.float32)
    colour[0, 0], colour[0, 20] = 0.2, 0.8
    alpha = np.zeros((1, 21), np.float32)
    alpha[0, 0] = alpha[0, 20] = 1
    out = bleed(colour, alpha, np.float32([0.5]))[0, :, 0]
    assert out[1] == out[8] == np.float32(0.2)
    assert out[19] == out[12] == np.float32(0.8)
    assert out[10] == 0.5  # beyond every radius: the same for every tile


def test_what_is_near_is_not_mixed_with_what_is_far():
    colour, alpha = np.zeros((1, 8, 1), np.float32), np.zeros((1, 8), np.float32)
    colour[0, 0], colour[0, 7] = 0.2, 0.8
    alpha[0, 0] = alpha[0, 7] = 1
    out = bleed(colour, alpha, np.float32([0.5]))[0, :, 0]
    np.testing.assert_array_equal(out, np.float32([0.2] * 4 + [0.8] * 4))


def test_bleeding_does_not_depend_on_the_tile():
    colour, alpha = drawn(60, 60, 3, share=0.97)
    far = np.float32([0.1, 0.2, 0.3])
    whole, part = bleed(colour, alpha, far), bleed(colour[20:], alpha[20:], far)
    reach = max(BLEED_RADII)
    np.testing.assert_allclose(whole[20 + reach :], part[reach:], atol=1e-6)


@settings(max_examples=50)
@given(SIDES, SIDES, SEEDS, st.sampled_from([np.uint8, np.uint16, np.float32]), st.booleans())
def test_mean_colour_is_weighted_by_alpha(h, w, seed, dtype, few):
    rng = np.random.default_rng(seed)
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    pixels = (rng.random((h, w, 4)) * top).astype(dtype)
    if few:
        pixels[..., 3] = 0
    got = mean_colour(pixels, rows=7)
    exact = pixels.astype(np.float64)
    weight = exact[..., 3].sum()
    want = (exact[..., :3] * exact[..., 3:]).sum((0, 1)) / weight if weight else np.zeros(3)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    assert got.dtype == np.float32


@given(SIDES, SIDES, SEEDS, st.sampled_from([1, 2, 4]))
def test_snapping_is_exact_well_inside_and_does_nothing_elsewhere(h, w, seed, scale):
    rng = np.random.default_rng(seed)
    alpha = np.kron(rng.integers(0, 3, (h // 6 + 1, w // 6 + 1)) / 2, np.ones((6, 6)))
    alpha = alpha[:h, :w].astype(np.float32)
    enlarged = rng.random((h * scale, w * scale), np.float32)
    out = enlarged.copy()
    snap(out, alpha, scale)
    padded = np.pad(alpha, 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    for value in (0.0, 1.0):
        solid = (windows == value).all((2, 3)).repeat(scale, 0).repeat(scale, 1)
        assert (out[solid] == value).all()
        enlarged[solid] = value
    np.testing.assert_array_equal(out, enlarged)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_one_pixel_of_alpha_is_snapped(value):
    out = np.full((4, 4), 0.5, np.float32)
    snap(out, np.full((1, 1), value, np.float32), 4)
    assert (out == value).all()
