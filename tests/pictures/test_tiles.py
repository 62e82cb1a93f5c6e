"""Tiles leave no trace: exact for the small networks, invisible for the large ones."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from superres.models import get_model
from superres.models.recipe import make_recipe
from superres.pipeline import UpscaleOptions
from superres.tiling.plan import Plan, Policy, make_plan
from tests.pictures.measures import levels_apart
from tests.pictures.single import WHOLE, plan_for, single_pass

SMALL = [
    ("general", 0.0, 4),
    ("general", 0.5, 4),
    ("general", 0.5, 2),
    ("faithful", 1.0, 2),
    ("faithful", 1.0, 4),
    ("anime-video", 0.0, 2),
    ("anime-video", 0.0, 3),
    ("anime-video", 0.0, 4),
]


def with_alpha(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A soft-edged disc in a transparent surrounding, seams through both."""
    h, w = picture.shape[:2]
    y, x = np.mgrid[:h, :w]
    radius = np.hypot((y - h / 2) / h, (x - w / 2) / w)
    alpha = np.clip((0.42 - radius) * 600, 0, 255).astype(np.uint8)
    return np.dstack([picture, alpha])


@pytest.mark.parametrize("kind", ["rgb", "rgba", "grey"])
@pytest.mark.parametrize(("model", "fidelity", "scale"), SMALL)
def test_tiled_equals_untiled(upscaler, photos, model, fidelity, scale, kind):
    # Prime sides; a whisker and a hard rim cross seams.
    picture = np.ascontiguousarray(photos["chelsea"][90:241, 150:329])
    if kind == "rgba":
        picture = with_alpha(picture)
    elif kind == "grey":
        picture = picture[..., 1:2].copy()
    recipe = make_recipe(get_model(model), scale, fidelity)
    whole, tiled = (plan_for(recipe, picture, area) for area in (WHOLE, 112 * 112))
    assert len(whole) == 1
    assert len(tiled) >= 4
    results = [single_pass(picture, recipe, p, upscaler) for p in (whole, tiled)]
    assert levels_apart(*results) <= 1


@pytest.mark.parametrize(
    ("model", "fidelity", "scale"), [("general", 0.5, 4), ("faithful", 1.0, 4)]
)
def test_tiled_equals_untiled_in_text(upscaler, model, fidelity, scale):
    """Strong contrast carries further than a photograph's."""
    from skimage import data

    picture = np.ascontiguousarray(np.repeat(data.page()[:151, 20:199, None], 3, 2))
    recipe = make_recipe(get_model(model), scale, fidelity)
    whole, tiled = (plan_for(recipe, picture, area) for area in (WHOLE, 112 * 112))
    results = [single_pass(picture, recipe, p, upscaler) for p in (whole, tiled)]
    assert levels_apart(*results) <= 1


def seam_energy(tiled: NDArray, whole: NDArray, plan: Plan, scale: int) -> float:
    """How much stronger the tiled picture's steps are along seams than the whole picture's.

    For every column and row: mean absolute step to the one before, tiled over whole. A seam
    that shows is a column whose ratio stands out from those between the seams. Returned is
    the largest ratio within the seams, over the largest elsewhere.
    """
    at_seam, elsewhere = [], []
    for axis, spans in ((1, plan.columns), (0, plan.rows)):
        if len(spans) == 1:
            continue
        steps = [
            np.abs(np.diff(p.astype(np.float64), axis=axis)).mean((1 - axis, 2))
            for p in (tiled, whole)
        ]
        ratio = (steps[0] + 0.05) / (steps[1] + 0.05)
        seam = np.zeros(len(ratio), bool)
        for span in spans[1:]:
            first, last = span.lo * scale, (span.lo + span.ramp_in) * scale
            seam[max(0, first - 2) : last + 2] = True
        at_seam.append(ratio[seam].max())
        elsewhere.append(ratio[~seam].max())
    return float(max(at_seam) / max(elsewhere))


@pytest.mark.parametrize(("model", "fidelity"), [("photo", 0.0), ("photo", 0.5), ("anime", 0.0)])
def test_large_networks_show_no_seam(upscaler, photos, model, fidelity):
    picture = np.ascontiguousarray(photos["coffee"][190:350, 220:380])
    recipe = make_recipe(get_model(model), 4, fidelity)
    whole, tiled = (plan_for(recipe, picture, area) for area in (WHOLE, 96 * 96))
    assert min(len(tiled.rows), len(tiled.columns)) > 1
    results = [single_pass(picture, recipe, p, upscaler) for p in (tiled, whole)]
    energy = seam_energy(*results, tiled, 4)
    assert energy < 1.15


def test_seam_energy_sees_a_seam(upscaler, photos):
    """The measure is worth something: the same tiles, cut instead of blended, fail it."""
    picture = np.ascontiguousarray(photos["coffee"][190:350, 220:380])
    recipe = make_recipe(get_model("anime"), 4, 0.0)
    whole = plan_for(recipe, picture, WHOLE)
    cut = make_plan(*picture.shape[:2], Policy(recipe.context, 0, 96 * 96, 32))
    results = [single_pass(picture, recipe, p, upscaler) for p in (cut, whole)]
    assert seam_energy(*results, cut, 4) > 1.5


@pytest.mark.parametrize("model", ["general", "faithful", "anime-video"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 37), (41, 1), (2, 3), (7, 5), (17, 211)])
@pytest.mark.parametrize("channels", [3, 4])
def test_any_size_comes_out(upscaler, photos, model, shape, channels):
    h, w = shape
    picture = np.ascontiguousarray(photos["coffee"][150 : 150 + h, 200 : 200 + w])
    if channels == 4:
        picture = np.dstack([picture, np.full((h, w), 255, np.uint8)])
    result = upscaler.upscale_pixels(picture, UpscaleOptions(model=model, scale=4))
    assert result.shape == (4 * h, 4 * w, channels)
    # Also here it is the picture, not just some of the right size.
    means = result.reshape(h, 4, w, 4, channels).mean((1, 3))
    assert np.abs(means - picture).mean() < 8
    if channels == 4:
        assert (result[..., 3] == 255).all()
