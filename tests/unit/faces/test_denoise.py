"""Noise and JPEG's damage: taken off before a face is enlarged, and measured."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from superres.faces.damage import jpeg_loss, noise
from superres.faces.denoise import denoised
from tests.pictures.measures import psnr


@pytest.fixture(scope="module")
def portrait(photos):
    """The astronaut's head, reduced to half: a face of 50 pixels."""
    head = photos["astronaut"][20:212, 120:312]
    return np.asarray(Image.fromarray(head).resize((96, 96), Image.Resampling.BICUBIC))


def noisy(picture, sigma, seed=0):
    added = np.random.default_rng(seed).normal(0, sigma, picture.shape)
    return np.clip(np.rint(picture + added), 0, 255).astype(np.uint8)


def saved(picture, quality, **how):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, **how)
    return np.asarray(Image.open(buffer).convert("RGB"))


def whole(picture, sigma):
    return denoised(picture, 0, 0, *picture.shape[:2], sigma)


# ------------------------------------------------------------------------ taking off


@pytest.mark.parametrize("sigma", [3, 6, 10])
def test_noise_goes_and_the_face_stays(portrait, sigma):
    damaged = noisy(portrait, sigma)
    gained = psnr(whole(damaged, sigma / 2), portrait) - psnr(damaged, portrait)
    assert gained > {3: 2, 6: 3.5, 10: 4.5}[sigma]


def test_jpeg_comes_closer_to_the_truth(portrait):
    damaged = saved(portrait, 80)
    assert psnr(whole(damaged, 3), portrait) > psnr(damaged, portrait) + 0.2


def test_without_noise_nothing_changes(portrait):
    assert np.abs(whole(portrait, 0) - portrait).max() < 1e-3


def test_what_is_flat_stays_as_it_is():
    flat = np.full((40, 50, 3), (200, 30, 90), np.uint8)
    assert np.abs(whole(flat, 5) - flat).max() < 1e-2


def test_grey_is_colour_without_colour(portrait):
    grey = noisy(portrait, 5)[..., :1]
    colour = np.repeat(grey, 3, 2)
    difference = np.abs(whole(colour, 5) - whole(grey, 5))
    # A coefficient that lies on the threshold may fall on either side of it.
    assert difference.max() < 0.5
    assert difference.mean() < 0.01


@given(
    st.integers(0, 80), st.integers(0, 80), st.integers(1, 40), st.integers(1, 40), st.booleans()
)
def test_windows_fit_together_without_seams(top, left, height, width, grey):
    rng = np.random.default_rng(7)
    picture = rng.integers(0, 256, (90, 85, 1 if grey else 3)).astype(np.uint8)
    height, width = min(height, 90 - top), min(width, 85 - left)
    part = denoised(picture, top, left, height, width, 20)
    expected = whole(picture, 20)[top : top + height, left : left + width]
    np.testing.assert_allclose(part, expected, atol=2e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (5, 3)])
def test_pictures_smaller_than_a_block(shape):
    picture = noisy(np.full((*shape, 3), 128, np.uint8), 4)
    made = whole(picture, 4)
    assert made.shape == picture.shape
    assert np.abs(made - 128).max() <= np.abs(picture.astype(int) - 128).max() + 1


# ------------------------------------------------------------------------- measuring


def test_noise_is_told_from_the_detail_of_a_clean_face(portrait):
    clean, *rest = (noise(noisy(portrait, sigma)) for sigma in (0, 3, 6, 10))
    assert clean < 0.8
    assert rest == pytest.approx([1.3, 2.5, 4.0], rel=0.25)


def test_noise_is_measured_between_frames_of_black(portrait):
    framed = np.pad(noisy(portrait, 6), ((24, 24), (24, 24), (0, 0)))
    assert noise(framed) == pytest.approx(noise(noisy(portrait, 6)), rel=0.2)


@pytest.mark.parametrize("measured", [noise, jpeg_loss])
def test_every_kind_of_picture_measures_the_same(portrait, measured):
    damaged = saved(noisy(portrait, 4), 90)
    expected = measured(damaged)
    assert expected > 0
    assert measured(damaged.astype(np.uint16) * 257) == pytest.approx(expected, rel=1e-3)
    assert measured(damaged.astype(np.float32) / 255) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("measured", [noise, jpeg_loss])
@pytest.mark.parametrize("shape", [(1, 1, 3), (9, 9, 1), (12, 200, 3), (31, 31, 3)])
def test_too_little_or_nothing_to_see_tells_nothing(measured, shape):
    assert measured(np.full(shape, 255, np.uint8)) == 0


def test_what_was_no_jpeg_has_no_loss(portrait, photos):
    for picture in (portrait, noisy(portrait, 4), photos["astronaut"], photos["chelsea"]):
        assert jpeg_loss(picture) == 0


@pytest.mark.parametrize("cut", [(0, 0), (3, 5), (7, 1)])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_the_loss_of_a_jpeg_is_told_from_its_pixels(portrait, cut, subsampling):
    losses = [
        jpeg_loss(saved(portrait, quality, subsampling=subsampling)[cut[0] :, cut[1] :])
        for quality in (95, 90, 80, 50)
    ]
    assert losses == sorted(losses)
    assert losses[0] == pytest.approx(5, abs=2.5)
    assert losses[1] == pytest.approx(10, abs=3)
    assert losses[2] > 10
    assert losses[3] > 18
