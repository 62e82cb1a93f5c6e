"""What a file says of itself that an enlargement does not need to know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superres.imageio.canvas import release_pages
from superres.imageio.orient import swaps_sides
from superres.imageio.picture import Picture, Pixels

_BAND_BYTES = 8 << 20


@dataclass(frozen=True)
class SourceFacts:
    """A picture file as it is stored.

    Attributes:
        format, orientation, quality: as in :class:`superres.imageio.Header`.
        width, height: in pixels, not turned upright.
        average: red, green and blue of all pixels' average, 0…255, alpha left aside.
    """

    format: str
    width: int
    height: int
    orientation: int
    quality: int
    average: tuple[int, int, int]


def source_facts(picture: Picture) -> SourceFacts:
    """Facts of the file that ``picture`` was decoded from."""
    header = picture.header
    width, height = header.width, header.height
    if swaps_sides(header.orientation):
        width, height = height, width
    return SourceFacts(
        format=header.format,
        width=width,
        height=height,
        orientation=header.orientation,
        quality=header.quality,
        average=_average(picture.pixels),
    )


def _average(pixels: Pixels) -> tuple[int, int, int]:
    height, width, channels = pixels.shape
    # Large pictures are on disk: a band at a time.
    rows = max(1, _BAND_BYTES // (width * channels * pixels.itemsize))
    total = np.zeros(channels)
    for top in range(0, height, rows):
        # Columns first, four times as fast; a side has at most 65,535 pixels.
        columns = pixels[top : top + rows].sum(axis=0, dtype=np.uint32)
        total += columns.sum(axis=0, dtype=np.uint64)
        release_pages(pixels)
    scale = width * height * (257 if pixels.dtype == np.uint16 else 1)
    mean = [int(value / scale + 0.5) for value in total]
    red, green, blue = mean[:3] if channels >= 3 else mean[:1] * 3
    return red, green, blue
