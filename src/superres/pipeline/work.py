"""What will be done to a picture, and the doing: its passes, and its faces after the first."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from numpy.typing import NDArray

from superres.engines.base import Engine
from superres.imageio import Canvas, Header, Limits, Scratch, release_pages
from superres.models.recipe import Recipe, make_recipe, pass_steps
from superres.pipeline.ahead import Ahead
from superres.pipeline.damage import adapted_fidelity, grain
from superres.pipeline.denoise import cleaned, may_clean, strength_of
from superres.pipeline.ensemble import ORIENTATIONS
from superres.pipeline.faces import Faces
from superres.pipeline.fitting import plan_pass
from superres.pipeline.options import UpscaleOptions, target_size
from superres.pipeline.passes import Pass
from superres.pipeline.reporter import Reporter
from superres.pipeline.sessions import Sessions
from superres.tiling.plan import Plan

DECODED, ENCODE_FROM = 0.01, 0.9
"""Shares of the progress bar: decoding ends at the first, encoding starts at the second."""


@dataclass(frozen=True)
class Work:
    """What will be done to a picture, decided before it starts.

    ``tta`` is for the first pass: a later one, mostly the faithful network's, would gain a
    twentieth of a decibel.
    """

    out_width: int
    out_height: int
    fidelity: float
    recipes: tuple[Recipe, ...]
    plans: tuple[Plan, ...]
    tta: bool = False

    @property
    def passes(self) -> tuple[int, ...]:
        """Scale of each pass."""
        return tuple(recipe.scale for recipe in self.recipes)

    @property
    def costs(self) -> list[float]:
        """Million multiply-accumulates of each pass."""
        times = [ORIENTATIONS if self.tta else 1] + [1] * (len(self.plans) - 1)
        return [
            plan.cost * recipe.mmac_per_pixel * each
            for plan, recipe, each in zip(self.plans, self.recipes, times, strict=True)
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
        memory_ceiling: bytes, see :func:`superres.pipeline.fitting.plan_pass`.

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
    faces = options.with_faces
    for step in pass_steps(options.descriptor, fidelity, scale, faces=faces):
        recipes.append(
            make_recipe(step.model, step.scale, step.fidelity, colour_lock=options.colour_lock)
        )
        shape = height, width, header.channels
        tta = options.tta and not plans
        plans.append(plan_pass(recipes[-1], shape, engine, memory_ceiling, tta=tta))
        height, width = height * step.scale, width * step.scale
    limits.check_output(width, height)
    return Work(out_width, out_height, fidelity, tuple(recipes), tuple(plans), tta=options.tta)


def prepared(
    work: Work,
    pixels: NDArray[Any],
    options: UpscaleOptions,
    scratch: Scratch,
    stack: ExitStack,
    report: Reporter,
    on_cleaned: Callable[[int, float], None],
) -> tuple[Work, NDArray[Any]]:
    """What is decided on the pixels: noise is taken off, a default fidelity lowered.

    This concerns the first pass. Faces take care of their noise themselves.

    Args:
        work: from :func:`plan`.
        pixels: of the picture.
        options: what was asked for.
        scratch, stack: where a copy without noise is kept, and until when.
        report: asked whether to go on.
        on_cleaned: told how many values were cleaned, and in how many seconds.

    Returns:
        The work, and the pixels to do it on.

    Raises:
        OutOfMemory: no room for the copy.
    """
    asked, begun = options.fidelity is not None, time.perf_counter()
    noise = 0.0 if asked and not may_clean(options) else grain(pixels)
    clean = cleaned(pixels, noise, strength_of(options, noise), scratch, stack, report.check)
    if clean is not pixels:
        on_cleaned(pixels.size, time.perf_counter() - begun)
    if asked:
        return work, clean
    fidelity, step = adapted_fidelity(work.fidelity, clean, noise), work.passes[0]
    first = make_recipe(options.descriptor, step, fidelity, colour_lock=options.colour_lock)
    return replace(work, fidelity=fidelity, recipes=(first, *work.recipes[1:])), clean


def run(
    pixels: NDArray[Any],
    work: Work,
    faces: Faces | None,
    sessions: Sessions,
    precision: str,
    scratch: Scratch,
    stack: ExitStack,
    report: Reporter,
    ahead: Ahead | None = None,
) -> Canvas:
    """All passes; returns the canvas of the last one, open until ``stack`` ends.

    With ``ahead`` that canvas is encoded while it is filled, unless it is changed afterwards.

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
        on_rows = None
        if ahead is not None and recipe is work.recipes[-1] and (faces is None or canvas):
            stack.callback(ahead.stop)
            ahead.begin(result)
            on_rows = ahead.grown

        def on_tile(
            done: float,
            *,
            source: NDArray[Any] = pixels,
            tiles: Plan = tiles,
            cost: float = cost,
            before: float = before,
        ) -> None:
            if done % len(tiles.columns) == 0:
                release_pages(source)
            advanced(before, cost * done / len(tiles))

        tta = work.tta and canvas is None
        Pass(pixels, recipe, tiles, sessions, precision, tta=tta).run(
            result, on_tile, report.check, on_rows
        )
        before += cost
        if faces is not None and canvas is None:
            faces.run(result, scratch, partial(advanced, before), report.check)
            before += faces.cost
        if canvas is not None:
            canvas.close()
        canvas, pixels = result, result.array()
    assert canvas is not None
    return canvas
