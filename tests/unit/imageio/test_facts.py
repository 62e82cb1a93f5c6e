"""What a file says of itself: how it was saved, how it is to be turned, its average colour."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import pyvips
from PIL import Image

from superres.imageio import SourceFacts, decode, read_header, source_facts

SIZE = 64, 48


def photo(seed: int = 0) -> Image.Image:
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    noise = np.random.default_rng(seed).integers(0, 60, (SIZE[1], SIZE[0]))
    pixels = np.stack([x * 3, y * 4, noise + 40], -1).clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


def saved(image: Image.Image, kind: str, **how: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


@pytest.fixture
def facts(limits, scratch):
    def of(file: bytes) -> SourceFacts:
        return source_facts(decode(file, limits, scratch))

    return of


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("writer", ["pillow", "progressive", "vips"])
def test_quality_of_a_jpeg_is_the_one_it_was_saved_with(limits, writer, grey):
    image = photo().convert("L") if grey else photo()
    vips = pyvips.Image.new_from_array(np.asarray(image))
    for quality in range(1, 101):
        if writer == "vips":
            file = vips.jpegsave_buffer(Q=quality)
        else:
            progressive = writer == "progressive"
            file = saved(image, "JPEG", quality=quality, progressive=progressive)
        told = read_header(file, limits).quality
        # Grey ones have half the numbers to go by, and at the bottom all of those are 255.
        assert told == quality or (quality < 4 and told <= 4), quality


def test_quality_of_a_jpeg_with_tables_of_its_writers_own(limits):
    image = photo()
    tables = [[min(255, 2 + at // 2) for at in range(64)] for _ in range(2)]
    finer = [[max(1, entry // 4) for entry in table] for table in tables]
    coarse, fine = (
        read_header(saved(image, "JPEG", qtables=each), limits).quality for each in (tables, finer)
    )
    assert 1 < coarse < fine < 100


def test_quality_of_a_jpeg_whose_tables_cannot_be_found(limits):
    plain = saved(photo(), "JPEG")
    # libjpeg passes over what stands between the segments, as far as that goes.
    misplaced = plain[:20] + bytes(1 << 17) + plain[20:]
    assert read_header(misplaced, limits).quality == 0


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_quality_behind_a_large_profile(limits, quality):
    file = saved(
        photo(), "JPEG", quality=quality, icc_profile=bytes(300_000), comment=b"x" * 60_000
    )
    assert read_header(file, limits).quality == quality


@pytest.mark.parametrize(
    ("kind", "how", "quality"),
    [
        ("PNG", {}, 100),
        ("GIF", {}, 100),
        ("BMP", {}, 100),
        ("TIFF", {}, 100),
        ("WEBP", {"lossless": True}, 100),
        ("WEBP", {"quality": 80}, 0),
        ("TIFF", {"compression": "jpeg"}, 0),
        ("AVIF", {"quality": 80}, 0),
    ],
)
def test_quality_of_other_formats(limits, kind, how, quality):
    assert read_header(saved(photo(), kind, **how), limits).quality == quality


@pytest.mark.parametrize("turned", range(9))
def test_sides_are_told_as_they_are_stored(facts, turned):
    exif = Image.Exif()
    if turned:
        exif[0x0112] = turned
    found = facts(saved(photo(), "JPEG", exif=exif))
    assert (found.width, found.height, found.orientation) == (*SIZE, turned)


def test_average(facts):
    left = Image.new("RGB", SIZE, (10, 20, 200))
    left.paste((30, 60, 100), (0, 0, SIZE[0] // 2, SIZE[1]))
    assert facts(saved(left, "PNG")).average == (20, 40, 150)
    assert facts(saved(left, "BMP")).average == (20, 40, 150)


def test_average_of_grey_and_alpha(facts):
    assert facts(saved(Image.new("L", SIZE, 90), "PNG")).average == (90, 90, 90)
    assert facts(saved(Image.new("LA", SIZE, (90, 3)), "PNG")).average == (90, 90, 90)
    assert facts(saved(Image.new("RGBA", SIZE, (1, 2, 3, 0)), "PNG")).average == (1, 2, 3)


def test_average_of_16_bits_and_of_many_bands(facts):
    pixels = np.zeros((3000, 1000, 3), np.uint16)
    pixels[:1500] = (65535, 2 * 257, 257)
    file = pyvips.Image.new_from_array(pixels).copy(interpretation="rgb16").pngsave_buffer()
    assert facts(file).average == (128, 1, 1)


def test_facts_of_a_file_travel_between_processes(facts):
    found = facts(saved(photo(), "JPEG", quality=80))
    assert pickle.loads(pickle.dumps(found)) == found
    assert (found.format, found.quality) == ("jpeg", 80)
