"""Tiles leave no trace: exact for the small networks, invisible for the large ones."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from superres.imageio import Canvas, Scratch
from superres.models import get_model
from superres.models.recipe import Recipe, make_recipe
from superres.pipeline import UpscaleOptions
from superres.pipeline import alpha as transparency
from superres.pipeline.passes import Pass
from superres.pipeline.sessions import Sessions
from superres.tiling.plan import Plan, Policy, make_plan
from tests.pictures.measures import levels_apart

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
WHOLE = 1 << 30


@pytest.fixture(scope="module")
def sessions(upscaler) -> Sessions:
    return Sessions(upscaler.engine)


def plan_for(recipe: Recipe, picture: NDArray, max_area: int) -> Plan:
    bleeds = max(transparency.BLEED_RADII) if picture.shape[2] in (2, 4) else 0
    quantum = 32 if recipe.ramp else 16
    policy = Policy(recipe.context + bleeds, recipe.ramp, max_area, quantum)
    return make_plan(*picture.shape[:2], policy)


def render(picture: NDArray, recipe: Recipe, plan: Plan, sessions: Sessions, precision: str):
    height, width, channels = picture.shape
    with Scratch() as scratch:
        canvas = Canvas(
            height * recipe.scale, width * recipe.scale, channels, picture.dtype, scratch
        )
        Pass(picture, recipe, plan, sessions, precision).run(canvas)
        return np.array(canvas.array())


def with_alpha(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A soft-edged disc in a transparent surrounding, seams through both."""
    h, w = picture.shape[:2]
    y, x = np.mgrid[:h, :w]
    radius = np.hypot((y - h / 2) / h, (x - w / 2) / w)
    alpha = np.clip((0.42 - radius) * 600, 0, 255).astype(np.uint8)
    return np.dstack([picture, alpha])


@pytest.mark.parametrize("kind", ["rgb", "rgba", "grey"])
@pytest.mark.parametrize(("model", "fidelity", "scale"), SMALL)
def test_tiled_equals_untiled(sessions, upscaler, photos, model, fidelity, scale, kind):
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
    results = [render(picture, recipe, p, sessions, upscaler.precision) for p in (whole, tiled)]
    assert levels_apart(*results) <= 1


@pytest.mark.parametrize(("model", "fidelity", "scale"), [("general", 0.5, 4), ("faithful", 1.0, 4)])
def test_tiled_equals_untiled_in_text(sessions, upscaler, model, fidelity, scale):
    """Strong contrast carries further than a photograph's."""
    from skimage import data

    picture = np.ascontiguousarray(np.repeat(data.page()[:151, 20:199, None], 3, 2))
    recipe = make_recipe(get_model(model), scale, fidelity)
    whole, tiled = (plan_for(recipe, picture, area) for area in (WHOLE, 112 * 112))
    results = [render(picture, recipe, p, sessions, upscaler.precision) for p in (whole, tiled)]
    assert levels_apart(*results) <= 1


def seam_energy(tiled: NDArray, whole: NDArray, plan: Plan, scale: int) -> float:
    """How much stronger the tiled picture's steps are along seams than the whole picture's.

    For every column and row: mean absolute step to the one before, tiled over whole. A seam
    that shows is a column whose ratio stands out from those between the seams. Returned is
    the largest ratio within the seams, over the largest elsewhere.
    """
    at_seam, elsewhere = [], []
    for axis, spans in ((1, plan.columns), (0, plan.rows)):
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
    return float(max(at_seam) / max(*elsewhere, 1.0))


@pytest.mark.parametrize(("model", "fidelity"), [("photo", 0.0), ("photo", 0.5), ("anime", 0.0)])
def test_large_networks_show_no_seam(sessions, upscaler, photos, model, fidelity):
    picture = np.ascontiguousarray(photos["coffee"][200:328, 230:374])
    recipe = make_recipe(get_model(model), 4, fidelity)
    whole, tiled = (plan_for(recipe, picture, area) for area in (WHOLE, 96 * 96))
    assert len(tiled) >= 4
    results = [render(picture, recipe, p, sessions, upscaler.precision) for p in (tiled, whole)]
    energy = seam_energy(*results, tiled, 4)
    assert energy < 1.15


def test_seam_energy_sees_a_seam(sessions, upscaler, photos):
    """The measure is worth something: hard cuts without context fail it."""
    picture = np.ascontiguousarray(photos["coffee"][200:328, 230:374])
    recipe = make_recipe(get_model("anime"), 4, 0.0)
    whole = plan_for(recipe, picture, WHOLE)
    butted = make_plan(*picture.shape[:2], Policy(0, 0, 96 * 96, 32))
    results = [render(picture, recipe, p, sessions, upscaler.precision) for p in (butted, whole)]
    assert seam_energy(*results, butted, 4) > 1.3


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
