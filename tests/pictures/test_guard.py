"""Networks that run away are caught, and pictures that are none of that are left alone."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from PIL import Image

from bench.published import pairs
from superres.errors import BadOutput
from superres.models import get_model
from superres.models.recipe import Recipe, make_recipe
from superres.pipeline import UpscaleOptions
from superres.pipeline.fitting import plan_pass
from tests.pictures.measures import enlarged, psnr
from tests.pictures.patterns import NAMES, patterns
from tests.pictures.single import plan_for, single_pass

FLOOR = 15
"""Least PSNR in dB against bicubic enlargement of the same input."""

QUICK = [
    ("general", None, 4),
    ("general", 0.0, 4),
    ("general", 0.0, 2),
    ("anime-video", None, 2),
    ("anime-video", None, 3),
    ("anime-video", None, 4),
    ("anime-video", 0.5, 4),
    ("faithful", None, 2),
    ("faithful", None, 4),
]
SLOW = [("photo", None, 4), ("photo", 0.0, 4), ("anime", None, 4), ("anime", 0.5, 4)]
SLOW_NAMES = ("noise", "checkerboard", "stripes-vertical", "dither-random", "fax")


def test_names_are_the_patterns():
    assert set(NAMES) == set(patterns())


def check(upscaler, name, model, fidelity, scale, side):
    picture = patterns()[name][:side, :side]
    options = UpscaleOptions(model=model, fidelity=fidelity, scale=scale)
    result = upscaler.upscale_pixels(picture, options)
    assert psnr(result, enlarged(picture, scale)) >= FLOOR


@pytest.mark.parametrize(("model", "fidelity", "scale"), QUICK)
@pytest.mark.parametrize("name", NAMES)
def test_patterns_stay_plausible(upscaler, name, model, fidelity, scale):
    check(upscaler, name, model, fidelity, scale, 96)


@pytest.mark.parametrize(("model", "fidelity", "scale"), SLOW)
@pytest.mark.parametrize("name", SLOW_NAMES)
def test_patterns_stay_plausible_in_large_networks(upscaler, name, model, fidelity, scale):
    check(upscaler, name, model, fidelity, scale, 64)


@pytest.mark.parametrize("name", ["checkerboard", "dither-random"])
def test_patterns_that_need_the_guard_need_it(upscaler, name):
    """Without the guard the result is garbage: these pictures do test it."""
    picture = patterns()[name]
    recipe = unguarded(make_recipe(get_model("faithful"), 4, 1.0))
    try:
        result = single_pass(picture, recipe, plan_for(recipe, picture), upscaler)
    except BadOutput:
        return
    assert psnr(result, enlarged(picture, 4)) < FLOOR


def unguarded(recipe: Recipe) -> Recipe:
    """``recipe`` with no error large enough for the guard to step in."""
    parts = [replace(part, model=replace(part.model, guard=(inf, inf))) for part in recipe.parts]
    return replace(recipe, parts=tuple(parts))


def assert_untouched(upscaler, picture, model, scale):
    fidelity = get_model(model).fidelity
    recipe = make_recipe(get_model(model), scale, fidelity)
    # The very tiles that are shipped: other tiles may differ by a level.
    memory = upscaler.settings.engine.memory_ceiling
    plan = plan_pass(recipe, picture.shape, upscaler.engine, memory)
    free = single_pass(picture, unguarded(recipe), plan, upscaler)
    options = UpscaleOptions(model=model, scale=scale, fidelity=fidelity)
    shipped = upscaler.upscale_pixels(picture, options)
    assert np.array_equal(shipped, free)


@pytest.mark.parametrize(("model", "scale"), [("faithful", 2), ("faithful", 4), ("general", 4)])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_clean_photographs_do_not_change_by_one_level(
    upscaler, photos, small_photos, name, model, scale
):
    assert_untouched(upscaler, small_photos[name], model, scale)
    # As they come, not reduced: the other kind of sharpness.
    assert_untouched(upscaler, photos[name][:192, -256:], model, scale)


@pytest.mark.benchmark_data
@pytest.mark.parametrize("name", ["Set5", "Set14"])
@pytest.mark.parametrize("scale", [2, 4])
def test_the_papers_pictures_do_not_change_by_one_level(upscaler, benchmarks, name, scale):
    for small, _ in pairs(benchmarks, name, scale):
        picture = np.asarray(Image.open(small).convert("RGB"))
        assert_untouched(upscaler, picture, "faithful", scale)


def test_a_pattern_in_a_corner_leaves_the_rest_alone(upscaler, photos):
    """The guard works by region: far from the checkerboard the picture is the network's."""
    photo = np.ascontiguousarray(photos["coffee"][100:292, 200:392])
    spoiled = photo.copy()
    spoiled[:32, :32] = patterns()["checkerboard"][:32, :32]
    options = UpscaleOptions(model="faithful", scale=4)
    clean, result = (upscaler.upscale_pixels(p, options) for p in (photo, spoiled))
    far = (slice(80 * 4, None), slice(80 * 4, None))
    assert psnr(result[far], clean[far]) > 50
    assert psnr(result, enlarged(spoiled, 4)) >= FLOOR
