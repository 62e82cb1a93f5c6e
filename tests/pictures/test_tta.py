"""All eight orientations: closer to the truth with real networks, on every kind of picture."""

from __future__ import annotations

import numpy as np
import pytest

from superres.pipeline import UpscaleOptions
from tests.pictures.measures import cropped, psnr, psnr_y

# PSNR-Y that the mean gains on a quarter of a photograph, in dB, at least.
GAINS = [("general", 0.0, 0.4), ("general", 0.5, 0.2), ("faithful", 1.0, 0.02)]


@pytest.mark.parametrize(("model", "fidelity", "least"), GAINS)
def test_the_mean_is_closer_to_the_truth(upscaler, photos, small_photos, model, fidelity, least):
    truth = cropped(photos["astronaut"])[:256, 128:384]
    small = np.ascontiguousarray(small_photos["astronaut"][:64, 32:96])
    plain, mean = (
        psnr_y(
            upscaler.upscale_pixels(
                small, UpscaleOptions(4, model=model, fidelity=fidelity, tta=tta)
            ),
            truth,
            4,
        )
        for tta in (False, True)
    )
    assert mean > plain + least


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_kind_of_picture(upscaler, small_photos, dtype, channels):
    colour = small_photos["chelsea"][10:43, 20:70]
    alpha = np.zeros((33, 50, 1), np.uint8)
    alpha[8:, 12:] = 255
    source = {
        1: colour[..., 1:2],
        2: np.dstack([colour[..., 1:2], alpha]),
        3: colour,
        4: np.dstack([colour, alpha]),
    }[channels]
    source = source.astype(dtype)
    if dtype == np.uint16:
        source *= 257
    elif dtype == np.float32:
        source /= 255
    peak = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    plain, mean = (
        upscaler.upscale_pixels(source, UpscaleOptions(4, model="general", fidelity=0.5, tta=tta))
        for tta in (False, True)
    )
    assert (mean.shape, mean.dtype) == (plain.shape, plain.dtype)
    colours = channels - 1 if channels in (2, 4) else channels
    shown = (slice(40, None), slice(56, None), slice(0, colours))
    assert 25 < psnr(mean[shown], plain[shown], peak) < 60
    if channels in (2, 4):
        assert (mean[:24, :, -1] == 0).all()
        assert (mean[44:, 60:, -1] == peak).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 21), (17, 5)])
def test_tiny_pictures(upscaler, small_photos, size):
    source = np.ascontiguousarray(small_photos["coffee"][: size[0], : size[1]])
    result = upscaler.upscale_pixels(source, UpscaleOptions(3, model="general", tta=True))
    assert result.shape == (3 * size[0], 3 * size[1], 3)
    assert np.abs(result.mean((0, 1)) - source.mean((0, 1))).max() < 12


def test_a_network_with_soft_seams(upscaler, small_photos):
    source = np.ascontiguousarray(small_photos["rocket"][:40, :56])
    options = UpscaleOptions(2, model="photo", tta=True)
    results = [upscaler.upscale_pixels(source, options) for _ in range(2)]
    np.testing.assert_array_equal(*results)
    plain = upscaler.upscale_pixels(source, UpscaleOptions(2, model="photo"))
    assert 30 < psnr(results[0], plain) < 60
