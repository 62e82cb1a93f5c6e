"""Run one pass: the network over every tile of a picture, into a canvas."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.engines.base import Engine, TileResult
from superres.errors import BadOutput
from superres.imageio import Canvas
from superres.models.recipe import Recipe, alpha_recipe
from superres.pipeline import alpha as transparency
from superres.pipeline.flat import keep_flat
from superres.pipeline.sessions import Sessions
from superres.pipeline.verify import fault
from superres.tiling.blend import Assembler
from superres.tiling.plan import Plan, Policy, Tile, make_plan
from superres.tiling.window import read_window

MEMORY_SHARE = 0.42
"""Part of the memory ceiling that tiles in flight may take. A tile that needs its guard
takes as much again; the rest is for the runtime, weights, decoded input and encoder."""


def plan_pass(recipe: Recipe, shape: tuple[int, ...], engine: Engine, memory_ceiling: int) -> Plan:
    """Tiles for a picture of ``shape`` ``(h, w, c)`` under ``memory_ceiling`` bytes."""
    bleeds = max(transparency.BLEED_RADII) if shape[2] in (2, 4) else 0
    per_pixel = recipe.bytes_per_pixel
    if bleeds:
        per_pixel += alpha_recipe(recipe).bytes_per_pixel
    affordable = int(memory_ceiling * MEMORY_SHARE / (engine.streams * per_pixel))
    policy = Policy(
        context=recipe.context + bleeds,
        ramp=recipe.ramp,
        max_area=min(recipe.tile_area, affordable),
        quantum=32 if recipe.ramp else 16,
    )
    return make_plan(shape[0], shape[1], policy, engine.streams)


@dataclass(frozen=True)
class _Job:
    """A tile on its way through the engine."""

    tile: Tile
    image: NDArray[np.float32]
    colour: Future[TileResult]
    alpha: NDArray[np.float32] | None
    alpha_image: NDArray[np.float32] | None
    alpha_result: Future[TileResult] | None


class Pass:
    """One pass over one picture.

    Args:
        source: ``(h, w, c)`` pixels, see :data:`superres.imageio.Pixels`.
        recipe: what to do; its ``grey`` and ``quantised`` are set from ``source``.
        plan: from :func:`plan_pass`.
        sessions: where programs are loaded.
        precision: to run in; a tile that fails its checks is run again in f32.
        on_guard: told of tiles whose colour the guard had to mend, and of where in their
            windows networks ran away, ``(h, w)``.
    """

    def __init__(
        self,
        source: NDArray[Any],
        recipe: Recipe,
        plan: Plan,
        sessions: Sessions,
        precision: str,
        on_guard: Callable[[Tile, NDArray[np.bool_]], None] | None = None,
    ) -> None:
        channels = source.shape[2]
        self._source, self._plan, self._sessions = source, plan, sessions
        self._precision, self._on_guard = precision, on_guard
        self._has_alpha = channels in (2, 4)
        self._recipe = replace(
            recipe,
            grey=channels < 3,
            quantised=source.dtype == np.uint8 and not recipe.ramp and not self._has_alpha,
        )
        self._alpha_recipe = replace(alpha_recipe(recipe), quantised=False)
        self._top = {"uint8": 255.0, "uint16": 65535.0}.get(source.dtype.name, 1.0)
        self._far = np.zeros(0, np.float32)

    def run(
        self,
        canvas: Canvas,
        on_tile: Callable[[int], None] | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        """Fill ``canvas``, ``scale`` times the source's size and of its channels and dtype.

        Args:
            canvas: to write to.
            on_tile: called with the number of tiles finished.
            check: called between tiles; what it raises stops the pass.

        Raises:
            BadOutput: a tile failed its checks, in f32 as well.
            EngineError: the engine failed.
        """
        if self._has_alpha:
            self._far = transparency.mean_colour(self._source) / np.float32(self._top)
        assembler = Assembler(
            self._plan,
            self._recipe.scale,
            lambda y, x, block: canvas.write(y, x, self._quantised(block)),
        )
        jobs: deque[_Job] = deque()
        done = 0
        depth = self._sessions.engine.streams + 1

        def finish() -> None:
            nonlocal done
            job = jobs.popleft()
            assembler.add(job.tile, self._finished(job))
            done += 1
            if on_tile is not None:
                on_tile(done)

        try:
            for tile in self._plan.tiles():
                if check is not None:
                    check()
                jobs.append(self._submit(tile))
                if len(jobs) >= depth:
                    finish()
            while jobs:
                if check is not None:
                    check()
                finish()
        finally:
            # Tiles in flight still hold the engine's requests; let them end before leaving.
            # Those not begun never are.
            for job in jobs:
                for result in (job.colour, job.alpha_result):
                    if result is not None and not result.cancel():
                        result.exception()

    def _submit(self, tile: Tile) -> _Job:
        height, width = self._plan.window
        window = read_window(self._source, tile.y.start, tile.x.start, height, width)
        values = window.astype(np.float32)
        if self._top != 1.0:
            values *= np.float32(1 / self._top)
        alpha = alpha_image = alpha_result = None
        if self._has_alpha:
            values, alpha = values[..., :-1], values[..., -1]
            values = transparency.bleed(values, alpha, self._far)
            if alpha.min() != alpha.max():
                alpha_image = _planes(alpha[..., None])
                session = self._sessions.get(self._alpha_recipe, self._plan.window, self._precision)
                alpha_result = session.submit(alpha_image)
        image = _planes(values)
        session = self._sessions.get(self._recipe, self._plan.window, self._precision)
        return _Job(tile, image, session.submit(image), alpha, alpha_image, alpha_result)

    def _finished(self, job: _Job) -> NDArray[Any]:
        first = job.colour.result()
        result = self._checked(job.image, self._recipe, first)
        if self._on_guard is not None and result.errors is None:
            self._on_guard(job.tile, _run_away(first, self._recipe))
        pixels = result.pixels
        keep_flat(pixels, job.image)
        if job.alpha is None:
            return pixels
        scale = self._recipe.scale
        if job.alpha_result is None or job.alpha_image is None:
            alpha = np.full(pixels.shape[:2], job.alpha.flat[0], np.float32)
        else:
            result = self._checked(job.alpha_image, self._alpha_recipe, job.alpha_result.result())
            alpha = result.pixels[..., 0].astype(np.float32)
            transparency.snap(alpha, job.alpha, scale)
        return np.concatenate([pixels, alpha[..., None]], axis=2)

    def _checked(
        self, image: NDArray[np.float32], recipe: Recipe, result: TileResult
    ) -> TileResult:
        """``result`` if it is the picture; else the tile again, guarded or in f32."""
        guarded = False
        reason: str | None = None
        for precision in (self._precision, "f32"):
            if reason is not None:
                result = self._computed(image, recipe, precision, guarded=guarded)
            if not guarded and _runs_away(result, recipe):
                guarded = True
                result = self._computed(image, recipe, precision, guarded=True)
            may_be_plain = guarded or self._sessions.engine.resamples
            reason = fault(image, result, may_be_plain=may_be_plain)
            if reason is None:
                return result
        raise BadOutput(
            f"The network returned {reason} instead of the enlarged picture, twice, so nothing was "
            "written; try another model and report this with the picture if you can."
        )

    def _computed(
        self, image: NDArray[np.float32], recipe: Recipe, precision: str, *, guarded: bool
    ) -> TileResult:
        session = self._sessions.get(recipe, self._plan.window, precision, guarded=guarded)
        return session.submit(image).result()

    def _quantised(self, block: NDArray[Any]) -> NDArray[Any]:
        if block.dtype == self._source.dtype and self._top != 1.0:
            return block
        block = np.clip(block, 0, 1)
        if self._top == 1.0:
            return block
        block *= self._top
        rounded: NDArray[Any] = np.rint(block, out=block).astype(self._source.dtype)
        return rounded


def _planes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(h, w, c)`` to contiguous ``(3, h, w)``, grey three times over."""
    if values.shape[2] == 1:
        values = np.broadcast_to(values, (*values.shape[:2], 3))
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def _runs_away(result: TileResult, recipe: Recipe) -> bool:
    """Whether some network of the recipe needs its guard here."""
    return result.errors is not None and bool(_run_away(result, recipe).any())


def _run_away(result: TileResult, recipe: Recipe) -> NDArray[np.bool_]:
    """Where some network of the recipe needs its guard, ``(h, w)``. NaN counts as that."""
    assert result.errors is not None
    limits = np.array(recipe.guards, np.float32)[: len(result.errors), None, None]
    return np.asarray(~(result.errors <= limits).all(0))
