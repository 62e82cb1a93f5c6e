"""The picture sheet: crops side by side, truth, input, bicubic and each model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from superres.imageio import Metadata, OutputOptions, encode
from superres.pipeline import Upscaler
from superres.scorecard import letters
from superres.scorecard.degrade import photo_of, small_file
from superres.scorecard.methods import Method
from superres.scorecard.metrics import luma, psnr
from superres.scorecard.resample import Photo
from superres.scorecard.truths import Truth, activity

CELL = 192
"""Side of a crop, pixels of the truth; shown one to one."""
MARGIN, GAP = 16, 8
CLEAN, DAMAGED = 3, 3
"""Lines of the sheet at most."""


@dataclass(frozen=True)
class Line:
    """One line of crops, all of the same size, with what is written below each."""

    title: str
    crops: tuple[tuple[str, Photo], ...]


def choose(names: Sequence[str], degradations: Sequence[str]) -> list[tuple[str, str]]:
    """Which pictures are shown, and how: clean ones, then each kind of damage, as named last."""
    kinds: dict[str, str] = {}
    for degradation in degradations:
        kinds[degradation.partition("-")[0]] = degradation
    damages = [name for kind, name in kinds.items() if kind != "clean"][:DAMAGED]
    clean = min(CLEAN, len(names)) if "clean" in kinds else 0
    wanted = ["clean"] * clean + damages
    return [(names[index % len(names)], each) for index, each in enumerate(wanted)]


def line(
    truth: Truth,
    scale: int,
    degradation: str,
    methods: Sequence[Method],
    upscaler: Upscaler,
    cancelled: Callable[[], bool] | None = None,
) -> Line:
    """One line: the most detailed part of a picture as every method makes it.

    Raises:
        EngineError, WeightsMissing, Cancelled: as the pipeline does.
    """
    file = small_file(truth.pixels, scale, degradation)
    small = photo_of(file)
    nearest = small.repeat(scale, 0).repeat(scale, 1)
    y, x = _part(truth.pixels, scale)
    part = (slice(y, y + CELL), slice(x, x + CELL))
    crops = [("truth", truth.pixels[part]), ("input", nearest[part])]
    for method in methods:
        made = method.enlarge(file, scale, upscaler, cancelled).pixels
        near = psnr(luma(made[part]), luma(truth.pixels[part]))
        name = method.label.removesuffix(" default")
        crops.append((f"{name}  {near:.1f} dB", made[part]))
    how = "clean" if degradation == "clean" else degradation.replace("-", " ")
    return Line(f"{truth.name}, x{scale}, {how}", tuple(crops))


def _part(photo: Photo, scale: int) -> tuple[int, int]:
    """Top and left, multiples of ``scale``, of the part with the most to see."""
    active = activity(photo).cumsum(0, dtype=np.float64).cumsum(1)
    sums = np.pad(active, ((1, 0), (1, 0)))
    h, w = (min(CELL, n - 1) for n in photo.shape[:2])
    boxes = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    boxes = boxes[::scale, ::scale]
    y, x = np.unravel_index(int(boxes.argmax()), boxes.shape)
    return int(y) * scale, int(x) * scale


def compose(lines: Sequence[Line], heading: str) -> Photo:
    """Lay the lines out on a white page."""
    columns = max(len(each.crops) for each in lines)
    wide = 2 * MARGIN + columns * CELL + (columns - 1) * GAP
    deep = 2 * letters.HEIGHT + CELL + 2 * GAP
    page = np.full((2 * MARGIN + letters.HEIGHT + GAP + len(lines) * deep, wide, 3), 255, np.uint8)
    letters.write(page, MARGIN, MARGIN, letters.fitted(heading, wide - 2 * MARGIN), ink=110)
    top = MARGIN + letters.HEIGHT + GAP
    for each in lines:
        letters.write(page, top, MARGIN, letters.fitted(each.title, wide - 2 * MARGIN), ink=0)
        for index, (label, crop) in enumerate(each.crops):
            left = MARGIN + index * (CELL + GAP)
            below = top + letters.HEIGHT
            page[below : below + crop.shape[0], left : left + crop.shape[1]] = crop
            letters.write(page, below + CELL, left, letters.fitted(label, CELL))
        top += deep
    return page


def stored(page: Photo) -> bytes:
    """The sheet as a JPEG file with colour at full resolution."""
    options = OutputOptions(format="jpeg", quality=91)
    return encode(page, Metadata(), None, "jpeg", options) or b""
