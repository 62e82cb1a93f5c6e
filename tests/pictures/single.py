"""One pass over a picture with a recipe and a plan of the test's own choice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from superres.imageio import Canvas, Scratch
from superres.models.recipe import Recipe
from superres.pipeline import Upscaler
from superres.pipeline import alpha as transparency
from superres.pipeline.passes import Pass
from superres.pipeline.sessions import Sessions
from superres.tiling.plan import Plan, Policy, make_plan

WHOLE = 1 << 30
"""An area that no tile exceeds."""


def plan_for(recipe: Recipe, picture: NDArray, max_area: int = WHOLE) -> Plan:
    """The plan that is shipped, but for the largest tile."""
    bleeds = max(transparency.BLEED_RADII) if picture.shape[2] in (2, 4) else 0
    quantum = 32 if recipe.ramp else 16
    policy = Policy(recipe.context + bleeds, recipe.ramp, max_area, quantum)
    return make_plan(*picture.shape[:2], policy)


def single_pass(picture: NDArray, recipe: Recipe, plan: Plan, upscaler: Upscaler) -> NDArray:
    """The enlarged picture."""
    height, width, channels = picture.shape
    size = height * recipe.scale, width * recipe.scale, channels
    sessions = Sessions(upscaler.engine, 1 << 30)
    with Scratch() as scratch, Canvas(*size, picture.dtype, scratch) as canvas:
        Pass(picture, recipe, plan, sessions, upscaler.precision).run(canvas)
        return np.array(canvas.array())
