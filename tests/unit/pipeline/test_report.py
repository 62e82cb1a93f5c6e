"""What an upscale says of the file it was given, and of the one it wrote."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from superres.imageio import OutputOptions, SourceFacts
from superres.pipeline import UpscaleOptions
from tests.unit.pipeline.doubles import Place


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory):
    with Place(tmp_path_factory.mktemp("fake")).upscaler() as made:
        yield made


def saved(kind: str, **how: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((10, 16, 3), (10, 20, 30), np.uint8)).save(out, kind, **how)
    return out.getvalue()


def test_the_source_as_it_is_stored(upscaler):
    exif = Image.Exif()
    exif[0x0112] = 8
    report = upscaler.upscale_file(saved("PNG", exif=exif), None, UpscaleOptions(scale=2))
    assert report.facts == SourceFacts("png", 16, 10, 8, 100, (10, 20, 30))
    assert (report.width, report.height) == (10, 16)


@pytest.mark.parametrize(
    ("source", "output", "quality"),
    [
        ("PNG", OutputOptions(format="png"), 100),
        ("PNG", OutputOptions(format="tiff"), 100),
        ("PNG", OutputOptions(format="jpeg"), 92),
        ("PNG", OutputOptions(format="jpeg", quality=40), 40),
        ("PNG", OutputOptions(format="webp"), 90),
        ("PNG", OutputOptions(format="webp", lossless=True), 100),
        ("WEBP", OutputOptions(format="webp"), 100),
    ],
)
def test_the_quality_that_the_result_has(upscaler, source, output, quality):
    sent = saved(source, lossless=True)
    report = upscaler.upscale_file(sent, None, UpscaleOptions(scale=2, output=output))
    assert report.quality == quality
    if output.format == "jpeg":
        again = upscaler.upscale_file(report.data, None, UpscaleOptions(scale=1))
        assert again.facts.quality == quality
