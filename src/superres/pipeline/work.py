"""What will be done to a picture, and the doing: its passes, and its faces after the first."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from numpy.typing import NDArray

from superres.engines.base import Engine
from superres.imageio import Canvas, Header, Limits, Scratch, release_pages
from superres.models import FAITHFUL, get_model
from superres.models.recipe import Recipe, make_recipe, pass_scales
from superres.pipeline.faces import Faces
from superres.pipeline.options import UpscaleOptions, target_size
from superres.pipeline.passes import Pass, plan_pass
from superres.pipeline.reporter import Reporter
from superres.pipeline.sessions import Sessions
from superres.tiling.plan import Plan

DECODED, ENCODE_FROM = 0.01, 0.9
"""Shares of the progress bar: decoding ends at the first, encoding starts at the second."""


@dataclass(frozen=True)
class Work:
    """What will be done to a picture, decided before it starts."""

    out_width: int
    out_height: int
    fidelity: float
    recipes: tuple[Recipe, ...]
    plans: tuple[Plan, ...]

    @property
    def passes(self) -> tuple[int, ...]:
        """Scale of each pass."""
        return tuple(recipe.scale for recipe in self.recipes)

    @property
    def costs(self) -> list[float]:
        """Million multiply-accumulates of each pass."""
        return [
            plan.cost * recipe.mmac_per_pixel
            for plan, recipe in zip(self.plans, self.recipes, strict=True)
        ]


def plan(
    header: Header, options: UpscaleOptions, limits: Limits, engine: Engine, memory_ceiling: int
) -> Work:
    """The passes over a picture with this header.

    Args:
        header: of the picture.
        options: what was asked for.
        limits: of what may be made.
        engine: that computes the tiles.
        memory_ceiling: bytes, see :func:`superres.pipeline.passes.plan_pass`.

    Raises:
        BadParameter: a size that cannot be had.
        InputError: a limit would be exceeded.
    """
    out_width, out_height, scale = target_size(header.width, header.height, options)
    limits.check_output(out_width, out_height)
    fidelity = options.effective_fidelity
    recipes: list[Recipe] = []
    plans: list[Plan] = []
    height, width = header.height, header.width
    for step in pass_scales(options.descriptor, fidelity, scale):
        model, share = options.descriptor, fidelity
        if recipes and fidelity > 0:
            # What the first pass made is clean: the faithful network alone enlarges it as well
            # as the model would, without inventing upon invention, and cheaply.
            model, share = get_model(FAITHFUL), 1.0
        recipes.append(make_recipe(model, step, share, colour_lock=options.colour_lock))
        shape = height, width, header.channels
        plans.append(plan_pass(recipes[-1], shape, engine, memory_ceiling))
        height, width = height * step, width * step
    limits.check_output(width, height)
    return Work(out_width, out_height, fidelity, tuple(recipes), tuple(plans))


def run(
    pixels: NDArray[Any],
    work: Work,
    faces: Faces | None,
    sessions: Sessions,
    precision: str,
    scratch: Scratch,
    stack: ExitStack,
    report: Reporter,
) -> Canvas:
    """All passes; returns the canvas of the last one, open until ``stack`` ends.

    Raises:
        EngineError, Cancelled: as for :meth:`superres.pipeline.Upscaler.upscale_file`.
    """
    total, before = sum(work.costs) + (faces.cost if faces else 0.0), 0.0

    def advanced(before: float, done: float) -> None:
        report("upscale", DECODED + (ENCODE_FROM - DECODED) * (before + done) / total)

    canvas: Canvas | None = None
    for recipe, tiles, cost in zip(work.recipes, work.plans, work.costs, strict=True):
        height, width = tiles.height * recipe.scale, tiles.width * recipe.scale
        result = stack.enter_context(Canvas(height, width, pixels.shape[2], pixels.dtype, scratch))

        def on_tile(
            done: int,
            *,
            source: NDArray[Any] = pixels,
            tiles: Plan = tiles,
            cost: float = cost,
            before: float = before,
        ) -> None:
            if done % len(tiles.columns) == 0:
                release_pages(source)
            advanced(before, cost * done / len(tiles))

        Pass(pixels, recipe, tiles, sessions, precision).run(result, on_tile, report.check)
        before += cost
        if faces is not None and canvas is None:
            faces.run(result, scratch, partial(advanced, before), report.check)
            before += faces.cost
        if canvas is not None:
            canvas.close()
        canvas, pixels = result, result.array()
    assert canvas is not None
    return canvas
