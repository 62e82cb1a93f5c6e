"""The figures of the model table, on four public photographs reduced to a quarter."""

from __future__ import annotations

import numpy as np
import pytest

from superres.pipeline import UpscaleOptions
from superres.scorecard.degrade import blurred
from superres.scorecard.resample import resample
from tests.pictures.measures import cropped, enlarged, psnr_y, sharpness

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")
BICUBIC = (26.83, 27.29, 31.43, 30.00)

# PSNR-Y in dB on PHOTOS: met or beaten, less TOLERANCE.
TABLE = {
    "faithful": (UpscaleOptions(model="faithful"), (30.31, 29.55, 32.45, 31.34)),
    "general raw": (
        UpscaleOptions(model="general", fidelity=0, colour_lock=False),
        (25.21, 27.34, 30.00, 29.59),
    ),
    "general locked": (
        UpscaleOptions(model="general", fidelity=0),
        (25.57, 27.60, 30.33, 29.74),
    ),
    "general default": (UpscaleOptions(model="general"), (28.34, 28.87, 31.69, 30.76)),
    "photo raw": (
        UpscaleOptions(model="photo", fidelity=0, colour_lock=False),
        (25.58, 27.73, 28.90, 28.87),
    ),
    "photo locked": (UpscaleOptions(model="photo", fidelity=0), (25.81, 27.95, 29.83, 29.14)),
    "photo default": (UpscaleOptions(model="photo"), (28.51, 29.01, 31.26, 30.50)),
}
TOLERANCE = 0.05


def test_the_protocol_is_the_tables(photos, small_photos):
    """If bicubic's figures differ, none of the others can be compared."""
    found = [psnr_y(enlarged(small_photos[name], 4), cropped(photos[name]), 4) for name in PHOTOS]
    assert found == pytest.approx(BICUBIC, abs=TOLERANCE)


@pytest.mark.parametrize("row", TABLE)
@pytest.mark.parametrize("name", PHOTOS)
def test_figures_are_met_or_beaten(upscaler, photos, small_photos, row, name):
    options, expected = TABLE[row]
    result = upscaler.upscale_pixels(small_photos[name], options)
    found = psnr_y(result, cropped(photos[name]), 4)
    assert found >= expected[PHOTOS.index(name)] - TOLERANCE


@pytest.mark.parametrize("name", PHOTOS)
def test_default_beats_bicubic_and_is_sharper(upscaler, photos, small_photos, name):
    small, truth = small_photos[name], cropped(photos[name])
    plain = enlarged(small, 4)
    result = upscaler.upscale_pixels(small)
    assert psnr_y(result, truth, 4) > psnr_y(plain, truth, 4)
    assert sharpness(result) > 1.3 * sharpness(plain)


@pytest.mark.parametrize("model", ["general", "photo", "anime", "anime-video", "faithful"])
@pytest.mark.parametrize("name", PHOTOS)
def test_colours_do_not_drift(upscaler, small_photos, model, name):
    small = small_photos[name]
    if model in ("photo", "anime"):
        small = small[-80:, -80:]
    result = upscaler.upscale_pixels(small, UpscaleOptions(model=model))
    drift = result.mean((0, 1)) - small.mean((0, 1))
    assert np.abs(drift).max() <= 0.5


@pytest.mark.parametrize("name", PHOTOS)
def test_colours_do_not_drift_with_the_model_alone(upscaler, small_photos, name):
    small = small_photos[name]
    result = upscaler.upscale_pixels(small, UpscaleOptions(model="general", fidelity=0))
    assert np.abs(result.mean((0, 1)) - small.mean((0, 1))).max() <= 0.5


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0])
def test_pictures_out_of_focus_are_enlarged(photos, upscaler, scale, sigma):
    """On edges as smooth as these the faithful network answers what cubic does, to a level."""
    for name in PHOTOS:
        truth = cropped(photos[name])[:384, :384]
        soft = blurred(resample(truth, truth.shape[0] // scale, truth.shape[1] // scale), sigma)
        result = upscaler.upscale_pixels(soft, UpscaleOptions(scale=scale, model="faithful"))
        plain = psnr_y(enlarged(soft, scale), truth, scale)
        assert psnr_y(result, truth, scale) > plain - 0.1
