"""Tiles of a pass that fit in memory."""

from __future__ import annotations

from superres.engines.base import Engine
from superres.errors import ImageTooLarge
from superres.models.recipe import Recipe, alpha_recipe
from superres.pipeline.alpha import BLEED_RADII
from superres.tiling.plan import Plan, Policy, make_plan

MEMORY_SHARE = 0.42
"""Part of the memory ceiling that tiles in flight may take. A tile that needs its guard
takes as much again; the rest is for the runtime, weights, decoded input and encoder."""

_MEAN_BYTES = 8 + 4 + 4
"""Of a result's value: in the sum, in the mean, and in the result itself, which is then float."""

SMALLEST = 64 * 64
"""Windows of this area, in pixels, are not made smaller when memory is short."""


def plan_pass(
    recipe: Recipe,
    shape: tuple[int, ...],
    engine: Engine,
    memory_ceiling: int,
    *,
    tta: bool = False,
) -> Plan:
    """Tiles for a picture of ``shape`` ``(h, w, c)`` under ``memory_ceiling`` bytes.

    Args:
        recipe: what is done to each.
        shape: of the picture.
        engine: that computes them.
        memory_ceiling: bytes.
        tta: whether it does so in all orientations, see ``superres.pipeline.ensemble``.

    Raises:
        ImageTooLarge: the network takes no tiles, and the picture does not fit.
    """
    per_pixel = _bytes_per_pixel(recipe, shape, tta=tta)
    share = int(memory_ceiling * MEMORY_SHARE)
    area = engine.memory.area(recipe.tile_area, per_pixel, recipe.scale, share)
    policy = _policy(recipe, shape, area)
    plan = make_plan(shape[0], shape[1], policy, engine.memory.tiles)
    if recipe.whole and plan.window[0] * plan.window[1] > policy.max_area:
        raise ImageTooLarge(
            f"{recipe.parts[0].model.name} has to see a picture whole, and this one has "
            f"{shape[0] * shape[1]:,} pixels; at most {policy.max_area:,} fit in the memory that "
            "[engine] memory_ceiling allows. Make the picture smaller, or choose another model."
        )
    return plan


def smaller_plan(
    recipe: Recipe, shape: tuple[int, ...], engine: Engine, plan: Plan, *, tta: bool = False
) -> Plan | None:
    """Tiles of half the size of ``plan``'s, which did not fit; None if there are none.

    The engine remembers it, so that pictures to come are planned for what fits.
    """
    area = plan.window[0] * plan.window[1]
    if area <= SMALLEST or recipe.whole:
        return None
    engine.memory.did_not_fit(area, _bytes_per_pixel(recipe, shape, tta=tta))
    policy = _policy(recipe, shape, area // 2)
    smaller = make_plan(shape[0], shape[1], policy, engine.memory.tiles)
    return smaller if smaller.window[0] * smaller.window[1] < area else None


def _bytes_per_pixel(recipe: Recipe, shape: tuple[int, ...], *, tta: bool = False) -> int:
    """Working memory of a tile per window pixel, with its transparency's.

    In all orientations as much again for windows that are turned, and the mean.
    """
    own = recipe.bytes_per_pixel
    if shape[2] in (2, 4):
        own += alpha_recipe(recipe).bytes_per_pixel
    return 2 * own + _MEAN_BYTES * shape[2] * recipe.scale**2 if tta else own


def _policy(recipe: Recipe, shape: tuple[int, ...], max_area: int) -> Policy:
    bleeds = max(BLEED_RADII) if shape[2] in (2, 4) else 0
    return Policy(
        context=recipe.context + bleeds,
        ramp=recipe.ramp,
        max_area=max_area,
        quantum=32 if recipe.ramp else 16,
        multiple=recipe.multiple,
        minimum=recipe.minimum,
        whole=recipe.whole,
    )
