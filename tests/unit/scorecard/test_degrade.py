"""Small pictures: as MATLAB reduces them, damaged the same way every time."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from superres.errors import BadParameter
from superres.scorecard.degrade import blurred, described, photo_of, small_file
from superres.scorecard.resample import resample


@pytest.fixture(scope="module")
def truth(photos):
    return photos["astronaut"][:192, :256]


def opened(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.benchmark_data
@pytest.mark.parametrize("scale", [2, 4])
def test_reduced_as_the_literature_does(benchmarks, scale) -> None:
    for small in sorted((benchmarks / "Set5" / f"x{scale}").glob("*_LR.png")):
        expected = opened(small.read_bytes())
        whole = opened(small.with_name(small.name.replace("_LR", "_HR")).read_bytes())
        apart = np.abs(resample(whole, *expected.shape[:2]).astype(int) - expected)
        assert (apart > 0).mean() < 0.04
        assert apart.mean() < 0.05


def test_resampling_keeps_what_is_flat_and_where_things_are(truth) -> None:
    flat = np.full((40, 52, 3), 137, np.uint8)
    for kernel in ("bicubic", "lanczos"):
        for size in ((10, 13), (80, 104), (17, 90)):
            assert (resample(flat, *size, kernel) == 137).all()
        turned = resample(truth[::-1, ::-1], 48, 64, kernel)[::-1, ::-1]
        assert np.abs(turned.astype(int) - resample(truth, 48, 64, kernel)).max() <= 1
    assert (resample(truth, *truth.shape[:2]) == truth).all()


def test_near_pillow_inside(truth) -> None:
    """Another implementation of the same kernels; it treats the borders differently."""
    for kernel, same in (("bicubic", 3), ("lanczos", 1)):
        theirs = np.asarray(Image.fromarray(truth).resize((128, 96), Image.Resampling(same)))
        ours = resample(truth, 96, 128, kernel)
        apart = np.abs(ours[8:-8, 8:-8].astype(int) - theirs[8:-8, 8:-8])
        assert apart.max() <= 3, kernel
        assert apart.mean() < 0.3, kernel


def test_the_same_every_time(truth) -> None:
    for degradation in ("clean", "jpeg-50", "noise-10", "blur-1"):
        assert small_file(truth, 4, degradation) == small_file(truth, 4, degradation)
    one, other = (opened(small_file(truth, 4, f"noise-{n}")).astype(int) for n in (10, 25))
    assert (one != other).mean() > 0.8


def test_what_each_does(truth) -> None:
    clean = photo_of(small_file(truth, 2, "clean")).astype(float)
    assert (clean == resample(truth, 96, 128)).all()
    noisy = photo_of(small_file(truth, 2, "noise-10")) - clean
    inside = (clean > 40) & (clean < 215)
    assert noisy[inside].std() == pytest.approx(10, abs=0.4)
    assert noisy[inside].mean() == pytest.approx(0, abs=0.4)
    softer = photo_of(small_file(truth, 2, "blur-1.5"))
    expected = np.stack([gaussian_filter(clean[..., c], 1.5) for c in range(3)], -1)
    assert np.abs(softer - expected).max() <= 0.51
    jpeg = small_file(truth, 2, "jpeg-50")
    with Image.open(io.BytesIO(jpeg)) as image:
        assert image.format == "JPEG"
        assert image.layer[0][1:3] == (2, 2)  # colour at half resolution
    assert (photo_of(jpeg) == opened(jpeg)).mean() > 0.99


def test_blurring_keeps_flat_areas() -> None:
    assert (blurred(np.full((20, 30, 3), 200, np.uint8), 2.5) == 200).all()


@pytest.mark.parametrize("name", ["", "rain", "jpeg", "jpeg-0", "noise-x", "blur--1", "clean-2"])
def test_unknown_ones(truth, name) -> None:
    with pytest.raises(BadParameter, match="degradation"):
        small_file(truth, 4, name)


def test_in_words() -> None:
    assert described("jpeg-75") == "saved as JPEG of quality 75, colour at half resolution"
    assert "σ = 2.5" in described("noise-2.5")
