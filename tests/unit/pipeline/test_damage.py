"""Noise and JPEG blocks lower the default fidelity; clean pictures keep it."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from superres.pipeline.damage import adapted_fidelity, measure


def noisy(picture, sigma):
    noise = np.random.default_rng(0).normal(0, sigma, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def compressed(picture, quality, shift=(0, 0)):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))[shift[0] :, shift[1] :]


PHOTOS = ["astronaut", "coffee", "chelsea"]  # rocket is a JPEG to begin with


@pytest.mark.parametrize("name", PHOTOS)
def test_clean_photographs_keep_the_default(photos, name):
    assert adapted_fidelity(0.5, photos[name]) == 0.5


@pytest.mark.parametrize("name", PHOTOS)
def test_the_noisier_the_lower(photos, name):
    found = [adapted_fidelity(0.5, noisy(photos[name], sigma)) for sigma in (0, 8, 15, 30)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == 0.1
    assert measure(noisy(photos[name], 15)).noise > 4


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("shift", [(0, 0), (3, 5)])
def test_the_more_compressed_the_lower(photos, name, shift):
    found = [adapted_fidelity(0.5, compressed(photos[name], q, shift)) for q in (95, 60, 10)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.3


@pytest.mark.parametrize("quality", [10, 20, 40, 60])
def test_a_compressed_night_picture_is_noticed(photos, quality):
    assert adapted_fidelity(0.5, compressed(photos["rocket"], quality)) <= 0.3


@pytest.mark.parametrize("default", [0.0, 1.0])
def test_none_and_all_stay_what_they_are(photos, default):
    assert adapted_fidelity(default, noisy(photos["coffee"], 30)) == default


def test_fidelity_is_a_round_figure(photos):
    """Few different graphs, and nothing like 0.30000000000000004 in a report."""
    for sigma in np.linspace(0, 20, 12):
        found = adapted_fidelity(0.5, noisy(photos["coffee"], sigma))
        assert found == round(found, 1)


def test_it_does_not_matter_how_a_picture_is_stored(photos):
    picture = noisy(photos["coffee"], 8)
    want = measure(picture)
    for same in (picture.astype(np.uint16) * 257, (picture / 255).astype(np.float32)):
        found = measure(same)
        assert found.noise == pytest.approx(want.noise, rel=1e-3)
    alpha = np.random.default_rng(0).integers(0, 256, (*picture.shape[:2], 1), np.uint8)
    assert measure(np.concatenate([picture, alpha], 2)) == want


@settings(max_examples=60)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(1, 4),
    st.sampled_from(["uint8", "uint16", "float32"]),
)
def test_any_picture_can_be_measured(height, width, channels, dtype):
    top = 1 if dtype == "float32" else np.iinfo(dtype).max
    pixels = (np.random.default_rng(0).random((height, width, channels)) * top).astype(dtype)
    found = measure(pixels)
    assert 0 <= found.degree <= 1
    assert np.isfinite([found.noise, found.blocking]).all()
    assert measure(np.zeros_like(pixels)).degree == 0


@pytest.mark.parametrize("shape", [(1, 5000, 3), (5000, 1, 1), (300, 300, 3), (257, 9, 4)])
def test_long_and_large_pictures_can_be_measured(shape):
    assert measure(np.zeros(shape, np.uint8)).degree == 0
