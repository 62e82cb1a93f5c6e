"""What a face changes beyond its mask where something follows the first pass.

Up to ×4 nothing: ``test_faces.py``. A second pass, or the reduction to a scale in between, sees a
few pixels around each, and so a little of the face from outside.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from superres.faces.region import mask, oval
from superres.models import FAITHFUL, get_model
from superres.models.recipe import make_recipe
from superres.pipeline import UpscaleOptions

LEVEL = 1 / 255
"""The most that a colour differs beyond the mask: measured 1/1024, which is one unit of half
precision where the second network works."""

SHARE = 0.03
"""Of the pixels beyond the mask those that differ at all, in 16 bits; measured 0.015."""


@pytest.fixture(scope="module")
def portrait(photos):
    """A face of 50 pixels and little around it, in 16 bits."""
    small = Image.fromarray(photos["astronaut"][20:260, 90:350]).reduce(2)
    return np.asarray(small).astype(np.uint16) * 257


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "second"), [(3, 0), (8, 2)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_beyond_the_mask_less_than_a_level_changes_and_far_from_it_nothing(
    upscaler, portrait, dtype, scale, second
):
    pixels, top = portrait, 65535
    if dtype == "uint8":
        pixels, top = (portrait // 257).astype(np.uint8), 255
    found = []
    plain = upscaler.upscale_pixels(pixels, UpscaleOptions(scale=scale))
    faced = upscaler.upscale_pixels(
        pixels, UpscaleOptions(scale=scale, face=True), on_faces=found.extend
    )
    assert [each.tier for each in found] == ["enhanced"]
    beyond = mask([oval(found[0].face)], 0, 0, *plain.shape[:2], scale) == 0
    changed = np.abs(faced.astype(np.int64) - plain).max(2)
    assert changed[~beyond].mean() > 1e-3 * top
    assert changed[beyond].max() <= max(1, LEVEL * top)
    assert (changed[beyond] > 0).mean() < SHARE
    # A reduction reaches three pixels of what it makes; a network its context, and the colour
    # lock somewhat further.
    reach = 2 * second * make_recipe(get_model(FAITHFUL), second, 1.0).context if second else 3
    far = ~_near(~beyond, reach + scale)
    assert far.mean() > 0.2
    assert not changed[far].any()


def _near(where, reach):
    """Where something of ``where`` is at most ``reach`` pixels away, sideways and up or down."""
    for _ in range(2):
        sums = np.cumsum(np.pad(where, [(reach + 1, reach), (0, 0)]).astype(int), 0)
        where = (sums[2 * reach + 1 :] > sums[: -2 * reach - 1]).T
    return where
