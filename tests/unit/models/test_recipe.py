"""Recipes: which passes, which networks in which shares, and when a graph is another one."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.errors import BadParameter
from superres.models import FAITHFUL, ModelDescriptor, get_model, list_models
from superres.models.recipe import alpha_recipe, make_recipe, pass_scales, pass_steps

NAMES = [m.name for m in list_models()]


@pytest.mark.parametrize(
    ("name", "fidelity", "scale", "passes"),
    [
        *[(name, 0.0, 1, (1,)) for name in NAMES],
        *[(name, 0.0, 2, (2,)) for name in NAMES],
        *[(name, 0.0, 4, (4,)) for name in NAMES],
        *[(name, 0.0, 8, (4, 2)) for name in NAMES],
        *[(name, 0.0, 16, (4, 4)) for name in NAMES],
        ("anime-video", 0.0, 3, (3,)),
        ("anime-video", 0.0, 2.5, (3,)),
        ("anime-video", 0.5, 3, (4,)),
        ("anime-video", 0.0, 12, (4, 3)),
        ("anime-video", 0.5, 12, (4, 4)),
        ("general", 0.5, 1, (1,)),
        ("general", 0.5, 1.01, (2,)),
        ("general", 0.5, 2, (2,)),
        ("general", 0.5, 2.01, (4,)),
        ("general", 0.5, 3, (4,)),
        ("general", 0.5, 4.01, (4, 2)),
        ("general", 0.5, 5, (4, 2)),
        ("general", 0.5, 6, (4, 2)),
        ("general", 0.5, 7.99, (4, 2)),
        ("general", 0.5, 8.01, (4, 4)),
        ("general", 0.5, 9, (4, 4)),
        ("faithful", 1.0, 3, (4,)),
    ],
)
def test_passes(name, fidelity, scale, passes):
    assert pass_scales(get_model(name), fidelity, scale) == passes


@given(st.sampled_from(NAMES), st.sampled_from([0.0, 0.3, 1.0]), st.floats(1, 16))
def test_passes_reach_the_scale_with_scales_that_every_network_has(name, fidelity, scale):
    model = get_model(name)
    passes = pass_scales(model, fidelity, scale)
    assert math.prod(passes) >= scale
    assert math.prod(passes[:-1]) < scale or len(passes) == 1
    for step in passes:
        recipe = make_recipe(model, step, fidelity)
        assert sum(part.share for part in recipe.parts) == pytest.approx(1)
        assert all(part.weights.scale % step == 0 for part in recipe.parts)
        assert all(part.share > 0 for part in recipe.parts)


@pytest.mark.parametrize("scale", [0, 0.99, -4, 16.01, math.inf, -math.inf, math.nan])
def test_scales_out_of_range_are_refused(scale):
    with pytest.raises(BadParameter, match="from 1 to 16"):
        pass_scales(get_model("general"), 0.5, scale)


@pytest.mark.parametrize(
    ("name", "fidelity", "shares"),
    [
        ("general", 0.0, {"general": 1}),
        ("general", 1.0, {"faithful": 1}),
        ("general", 0.25, {"general": 0.75, "faithful": 0.25}),
        ("faithful", 0.0, {"faithful": 1}),
        ("faithful", 0.7, {"faithful": 1}),
    ],
)
def test_shares(name, fidelity, shares):
    parts = make_recipe(get_model(name), 4, fidelity).parts
    assert {part.model.name: part.share for part in parts} == shares


def test_alpha_is_enlarged_by_the_faithful_network_alone_in_one_channel():
    recipe = alpha_recipe(make_recipe(get_model("photo"), 4, 0.3))
    assert [part.model.name for part in recipe.parts] == [FAITHFUL]
    assert recipe.grey
    assert recipe.scale == 4


@pytest.mark.parametrize("name", NAMES)
def test_alpha_can_be_enlarged_at_every_scale_of_every_model(name):
    for scale in get_model(name).scales:
        (part,) = alpha_recipe(make_recipe(get_model(name), scale, 0.0)).parts
        assert part.weights.scale % scale == 0
        assert part.model.name == (FAITHFUL if scale != 3 else name)


def test_a_recipe_sums_up_its_networks():
    recipe = make_recipe(get_model("general"), 4, 0.5)
    general, faithful = get_model("general"), get_model("faithful")
    assert recipe.context == max(general.context, faithful.context)
    assert recipe.ramp == 0
    assert recipe.mmac_per_pixel == general.mmac_per_pixel + faithful.mmac_per_pixel
    assert recipe.guards == (general.guard[0], faithful.guard[0])
    soft = make_recipe(get_model("photo"), 4, 0.5)
    assert (soft.context, soft.ramp) == (get_model("photo").context, get_model("photo").ramp)
    assert soft.tile_area == get_model("photo").tile_area


def changed(recipe, **fields):
    """``recipe`` with the first part's model or weights changed."""
    part = recipe.parts[0]
    model = replace(part.model, **{k: v for k, v in fields.items() if hasattr(part.model, k)})
    weights = replace(part.weights, **{k: v for k, v in fields.items() if hasattr(part.weights, k)})
    parts = (replace(part, model=model, weights=weights), *recipe.parts[1:])
    return replace(recipe, parts=parts)


BASE = make_recipe(get_model("general"), 4, 0.5)


def test_a_key_tells_apart_whatever_computes_something_else(monkeypatch):
    keys = [
        BASE.key(64, 64, False),
        BASE.key(64, 80, False),
        BASE.key(80, 64, False),
        BASE.key(64, 64, True),
        replace(BASE, grey=True).key(64, 64, False),
        replace(BASE, quantised=False).key(64, 64, False),
        replace(BASE, colour_lock=False).key(64, 64, False),
        changed(BASE, guard=(0.1, 0.2)).key(64, 64, True),
        changed(BASE, sha256="0" * 64).key(64, 64, False),
        changed(BASE, param_sha256="0" * 64).key(64, 64, False),
        make_recipe(get_model("general"), 2, 0.5).key(64, 64, False),
        make_recipe(get_model("general"), 4, 0.4).key(64, 64, False),
        make_recipe(get_model("general"), 4, 0.0).key(64, 64, False),
        make_recipe(get_model("photo"), 4, 0.5).key(64, 64, False),
        alpha_recipe(BASE).key(64, 64, False),
        *[make_recipe(get_model("anime-video"), s, 0.0).key(64, 64, False) for s in (1, 2, 3, 4)],
    ]
    monkeypatch.setattr("superres.models.recipe._graph_version", lambda: "another source")
    keys.append(BASE.key(64, 64, False))
    assert len(set(keys)) == len(keys)


def test_a_key_does_not_change_with_words():
    assert BASE.key(64, 64, False) == make_recipe(get_model("general"), 4, 0.5).key(64, 64, False)
    words = changed(BASE, title="x", purpose="y", provenance="z", source="s", mmac_per_pixel=9.0)
    assert BASE.key(64, 64, True) == words.key(64, 64, True)


def test_the_same_recipe_builds_the_same_bytes():
    recipe = make_recipe(get_model("faithful"), 2, 1.0)
    assert recipe.build(32, 48, False) == recipe.build(32, 48, False)
    assert recipe.build(32, 48, False) != recipe.build(48, 32, False)


def added(scale: int) -> ModelDescriptor:
    """A model that enlarges ``scale`` times, as people may add one."""
    general = get_model("general")
    weights = (replace(general.weights[0], scale=scale),)
    return replace(general, name=f"x{scale}", weights=weights, fidelity=0.0, added=True)


@pytest.mark.parametrize(
    ("native", "scale", "steps"),
    [
        (1, 1, ["x1 1"]),
        (1, 2, ["x1 1", "faithful 2"]),
        (1, 2.5, ["x1 1", "faithful 4"]),
        (1, 4, ["x1 1", "faithful 4"]),
        (1, 16, ["x1 1", "faithful 4", "faithful 4"]),
        (2, 2, ["x2 2"]),
        (2, 4, ["x2 2", "x2 2"]),
        (2, 8, ["x2 2", "faithful 4"]),
        (2, 16, ["x2 2", "faithful 4", "faithful 2"]),
        (3, 2, ["x3 3"]),
        (3, 4, ["x3 3", "x3 3"]),
        (3, 16, ["x3 3", "faithful 4", "faithful 2"]),
        (8, 4, ["x8 4"]),
        (8, 7, ["x8 8"]),
        (8, 16, ["x8 8", "x8 2"]),
        (16, 16, ["x16 16"]),
        (16, 3, ["x16 4"]),
    ],
)
def test_passes_of_models_with_other_scales(native, scale, steps):
    found = pass_steps(added(native), 0.0, scale)
    assert [f"{step.model.name} {step.scale}" for step in found] == steps
    for step in found:
        recipe = make_recipe(step.model, step.scale, step.fidelity)
        assert [part.model.name for part in recipe.parts] == [step.model.name]


def test_the_faithful_share_of_other_scales():
    found = pass_steps(added(8), 0.5, 16)
    assert [(s.model.name, s.fidelity, s.scale) for s in found] == [
        ("x8", 0.5, 4),
        ("faithful", 1.0, 4),
    ]
    (step,) = pass_steps(added(1), 0.5, 1)
    assert len(make_recipe(step.model, 1, 0.5).parts) == 2
    with pytest.raises(BadParameter, match="set fidelity to 0"):
        pass_steps(added(3), 0.5, 3)
    with pytest.raises(BadParameter, match="leave face"):
        pass_steps(added(3), 0.0, 3, faces=True)
    assert [s.scale for s in pass_steps(added(8), 0.0, 8, faces=True)] == [4, 2]


def test_a_recipe_wants_what_any_of_its_networks_wants():
    one = replace(added(4), multiple=8, minimum=50, half=False)
    recipe = make_recipe(one, 4, 0.5)
    assert (recipe.multiple, recipe.minimum, recipe.half, recipe.whole) == (8, 50, False, False)
    plain = make_recipe(get_model("general"), 4, 0.5)
    assert (plain.multiple, plain.minimum, plain.half, plain.whole) == (1, 1, True, False)
    assert make_recipe(replace(one, whole=True), 4, 0.0).whole
