"""Run one pass: the network over every tile of a picture, into a canvas."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.engines.base import TileResult
from superres.errors import BadOutput, OutOfMemory
from superres.imageio import Canvas
from superres.models.recipe import Recipe, alpha_recipe
from superres.pipeline import alpha as transparency
from superres.pipeline.ensemble import ORIENTATIONS, Mean, turned
from superres.pipeline.fitting import smaller_plan
from superres.pipeline.flat import keep_flat
from superres.pipeline.sessions import Sessions
from superres.pipeline.verify import fault
from superres.tiling.blend import Assembler
from superres.tiling.plan import Plan, Tile
from superres.tiling.window import read_window

_log = logging.getLogger("superres.pipeline")


@dataclass(frozen=True)
class _Job:
    """A tile on its way through the engine, in one orientation."""

    tile: Tile
    turn: int
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
        plan: from :func:`superres.pipeline.fitting.plan_pass`.
        sessions: where programs are loaded.
        precision: to run in; a tile that fails its checks is run again in f32.
        on_guard: told, at the end, of tiles whose colour the guard had to mend, and of where in
            their windows networks ran away, ``(h, w)``. Not with ``tta``.
        tta: compute each tile in all orientations and take the mean.
    """

    def __init__(
        self,
        source: NDArray[Any],
        recipe: Recipe,
        plan: Plan,
        sessions: Sessions,
        precision: str,
        on_guard: Callable[[Tile, NDArray[np.bool_]], None] | None = None,
        *,
        tta: bool = False,
    ) -> None:
        channels = source.shape[2]
        self._source, self._plan, self._sessions = source, plan, sessions
        self._precision, self._on_guard = precision, on_guard
        self._has_alpha = channels in (2, 4)
        self._turns = ORIENTATIONS if tta else 1
        levels = source.dtype == np.uint8 and not (recipe.ramp or self._has_alpha or tta)
        self._recipe = replace(
            recipe,
            grey=channels < 3,
            quantised=levels,
        )
        self._alpha_recipe = replace(alpha_recipe(recipe), quantised=False)
        self._top = {"uint8": 255.0, "uint16": 65535.0}.get(source.dtype.name, 1.0)
        self._far = np.zeros(0, np.float32)
        self._mended: list[tuple[Tile, NDArray[np.bool_]]] = []
        self._full = False

    def run(
        self,
        canvas: Canvas,
        on_tile: Callable[[float], None] | None = None,
        check: Callable[[], None] | None = None,
        on_rows: Callable[[int], None] | None = None,
    ) -> None:
        """Fill ``canvas``, ``scale`` times the source's size and of its channels and dtype.

        Where a tile does not fit in the device's memory, all is done again with smaller ones.

        Args:
            canvas: to write to.
            on_tile: called with the number of tiles finished, of the plan that was given; of one
                that is done in all orientations with eighths.
            check: called between tiles; what it raises stops the pass.
            on_rows: told how many rows of the canvas, from its top, are finished. Where all is
                done again, by so little different that they may be used, fewer than before.

        Raises:
            BadOutput: a tile failed its checks, in f32 as well.
            OutOfMemory: not even small tiles fit.
            EngineError: the engine failed.
        """
        if self._has_alpha:
            self._far = transparency.mean_colour(self._source) / np.float32(self._top)
        given = len(self._plan)
        while True:

            def counted(done: int) -> None:
                if on_tile is not None:
                    on_tile(done * given // len(self._plan) / self._turns)

            try:
                self._attempt(canvas, counted, check, on_rows)
                break
            except OutOfMemory:
                # A full scratch disk is none of the device's business.
                smaller = self._smaller() if self._full else None
                if smaller is None:
                    raise
            _log.warning(
                "Tiles of %d x %d do not fit in the memory of %s: %d x %d are tried.",
                *reversed(self._plan.window),
                self._sessions.engine.device,
                *reversed(smaller.window),
            )
            self._plan, self._full, self._mended = smaller, False, []
            self._sessions.close()
        if self._on_guard is not None:
            for tile, away in self._mended:
                self._on_guard(tile, away)

    def _smaller(self) -> Plan | None:
        engine, tta = self._sessions.engine, self._turns > 1
        return smaller_plan(self._recipe, self._source.shape, engine, self._plan, tta=tta)

    def _attempt(
        self,
        canvas: Canvas,
        on_result: Callable[[int], None],
        check: Callable[[], None] | None,
        on_rows: Callable[[int], None] | None,
    ) -> None:
        """Every tile of the plan, once."""
        assembler = Assembler(
            self._plan,
            self._recipe.scale,
            lambda y, x, block: canvas.write(y, x, self._quantised(block)),
        )
        jobs: deque[_Job] = deque()
        mean = Mean()
        done = 0
        depth = self._sessions.engine.streams + 1

        def finish() -> None:
            nonlocal done
            job = jobs.popleft()
            pixels = self._finished(job)
            if self._turns > 1:
                mean.add(pixels, job.turn)
                if mean.complete:
                    pixels = mean.take()
            done += 1
            if done % self._turns == 0:
                assembler.add(job.tile, pixels)
                y, x = job.tile.y, job.tile.x
                if on_rows is not None and x.hi == self._plan.width:
                    on_rows((y.hi - y.ramp_out) * self._recipe.scale)
            on_result(done)

        try:
            for tile in self._plan.tiles():
                values, alpha = self._read(tile)
                for turn in range(self._turns):
                    if check is not None:
                        check()
                    jobs.append(self._submit(tile, turn, values, alpha))
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

    def _read(self, tile: Tile) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """The colour ``(h, w, c)`` and the alpha ``(h, w)`` of a tile's window, in [0, 1]."""
        height, width = self._plan.window
        window = read_window(self._source, tile.y.start, tile.x.start, height, width)
        values = window.astype(np.float32)
        if self._top != 1.0:
            values *= np.float32(1 / self._top)
        if not self._has_alpha:
            return values, None
        values, alpha = values[..., :-1], values[..., -1]
        return transparency.bleed(values, alpha, self._far), alpha

    def _submit(
        self,
        tile: Tile,
        turn: int,
        values: NDArray[np.float32],
        alpha: NDArray[np.float32] | None,
    ) -> _Job:
        alpha_image = alpha_result = None
        if alpha is not None:
            alpha = turned(alpha, turn)
            if alpha.min() != alpha.max():
                alpha_image = _planes(alpha[..., None])
                alpha_result = self._begun(alpha_image, self._alpha_recipe)
        image = _planes(turned(values, turn))
        colour = self._begun(image, self._recipe)
        return _Job(tile, turn, image, colour, alpha, alpha_image, alpha_result)

    def _begun(
        self,
        image: NDArray[np.float32],
        recipe: Recipe,
        precision: str | None = None,
        *,
        guarded: bool = False,
    ) -> Future[TileResult]:
        """A tile, handed to the engine."""
        try:
            window = image.shape[1], image.shape[2]
            session = self._sessions.get(
                recipe, window, precision or self._precision, guarded=guarded
            )
            return session.submit(image)
        except OutOfMemory:
            self._full = True
            raise

    def _ended(self, result: Future[TileResult]) -> TileResult:
        try:
            return result.result()
        except OutOfMemory:
            self._full = True
            raise

    def _finished(self, job: _Job) -> NDArray[Any]:
        first = self._ended(job.colour)
        result = self._checked(job.image, self._recipe, first)
        if self._on_guard is not None and result.errors is None:
            self._mended.append((job.tile, _run_away(first, self._recipe)))
        pixels = result.pixels
        keep_flat(pixels, job.image)
        if job.alpha is None:
            return pixels
        scale = self._recipe.scale
        if job.alpha_result is None or job.alpha_image is None:
            alpha = np.full(pixels.shape[:2], job.alpha.flat[0], np.float32)
        else:
            result = self._checked(
                job.alpha_image, self._alpha_recipe, self._ended(job.alpha_result)
            )
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
                result = self._ended(self._begun(image, recipe, precision, guarded=guarded))
            if not guarded and _runs_away(result, recipe):
                guarded = True
                result = self._ended(self._begun(image, recipe, precision, guarded=True))
            may_be_plain = guarded or self._sessions.engine.resamples
            reason = fault(image, result, may_be_plain=may_be_plain)
            if reason is None:
                return result
        raise BadOutput(
            f"The network returned {reason} instead of the enlarged picture, twice, so nothing was "
            "written; try another model and report this with the picture if you can."
        )

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
