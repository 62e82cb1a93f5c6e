"""Every scale from 1 to 16, also fractions: exact sizes, and still the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superres.pipeline import UpscaleOptions
from tests.pictures.measures import bicubic, psnr


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as file:
        return file.size


@pytest.fixture(scope="module")
def crop(photos):
    return np.ascontiguousarray(photos["coffee"][120:153, 330:377])


@pytest.mark.parametrize(
    ("model", "scale"),
    [
        *(("general", s) for s in (1, 1.5, 2, 2.37, 3, 4, 5, 8, 11.3, 16)),
        *(("faithful", s) for s in (1, 1.5, 2, 3, 4, 8, 16)),
        *(("anime-video", s) for s in (1, 1.5, 2, 3, 4, 6, 8)),
        *(("photo", s) for s in (1, 2, 4)),
    ],
)
def test_scale(upscaler, crop, model, scale):
    h, w = crop.shape[:2]
    result = upscaler.upscale_pixels(crop, UpscaleOptions(model=model, scale=scale))
    assert result.shape == (int(h * scale + 0.5), int(w * scale + 0.5), 3)
    back = bicubic(np.ascontiguousarray(result), w, h)
    assert psnr(back, crop) >= 28
    assert np.abs(back.mean((0, 1)) - crop.mean((0, 1))).max() <= 1


def test_eight_is_four_then_two(upscaler, crop, tmp_path):
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    Image.fromarray(crop).save(source)
    report = upscaler.upscale_file(source, target, UpscaleOptions(scale=8))
    assert report.passes == (4, 2)
    assert size_of(target) == (47 * 8, 33 * 8)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (13, 7), (31, 47), (64, 37)])
@pytest.mark.parametrize("scale", [1, 1.1, 1.5, 2.5, 3.7, 4, 7.77])
def test_sizes_of_files_are_exact(upscaler, photos, tmp_path: Path, size, scale):
    w, h = size
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    Image.fromarray(photos["rocket"][100 : 100 + h, 200 : 200 + w]).save(source)
    options = UpscaleOptions(model="faithful", scale=scale)
    estimate = upscaler.estimate(source, target, options)
    upscaler.upscale_file(source, target, options)
    expected = int(w * scale + 0.5), int(h * scale + 0.5)
    assert size_of(target) == expected
    assert (estimate.out_width, estimate.out_height) == expected


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"width": 100}, (100, 70)),
        ({"height": 99}, (141, 99)),
        ({"width": 100, "height": 99}, (100, 70)),
    ],
)
def test_sizes_in_pixels_are_exact(upscaler, crop, how, expected):
    result = upscaler.upscale_pixels(crop, UpscaleOptions(**how))
    assert result.shape[1::-1] == expected


def test_megapixels(upscaler, crop):
    result = upscaler.upscale_pixels(crop, UpscaleOptions(megapixels=0.02))
    assert result.shape[0] * result.shape[1] == pytest.approx(20_000, rel=0.02)
