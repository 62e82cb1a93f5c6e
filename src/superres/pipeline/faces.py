"""The faces of one picture, kept recognisable on the canvas of its first pass.

Each face's rectangle of the source goes through the faithful network once more, by itself; what
comes of it is blended into the canvas through the face's mask. So memory is bounded as in any
pass, tiles share nothing, and outside the masks no byte changes. See ``superres.faces``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.faces.damage import jpeg_loss, noise
from superres.faces.enhance import Care, blend, care, clean
from superres.faces.face import Face, FaceReport, Tier
from superres.faces.paste import restorable
from superres.faces.region import Region, mask, oval, regions
from superres.imageio import Canvas, Scratch, release_pages
from superres.models import FAITHFUL, get_model
from superres.models.recipe import Recipe, make_recipe
from superres.pipeline.alpha import BLEED_RADII
from superres.pipeline.fitting import plan_pass
from superres.pipeline.options import looked_for
from superres.pipeline.passes import Pass
from superres.pipeline.sessions import Sessions
from superres.tiling.plan import Plan, Tile

__all__ = ["Faces", "Restore", "looked_for", "recipe_of"]

_SIDE = 64
"""Sides of rectangles are multiples of it, so that compiled shapes are reused."""

_MENDED = 0.02
"""Share of a face's mask that the faithful network's guard may have had to mend. Where it mended
more, in dither or halftone, that network is at a loss, and the face is left to the chosen one."""

MEMORY = 16 << 20
"""Bytes of a rectangle up to which it is held in memory, else on scratch disk."""

Check = Callable[[], None]
Restore = Callable[[Canvas, int, Sequence[Face], Check, Callable[[], None]], tuple[Tier, ...]]
"""Restores faces on a canvas of a scale, and says what became of each; calls the last argument
after each that the network is done with."""


@dataclass(frozen=True)
class _Job:
    """A rectangle of the source, its faces, and how it is done."""

    region: Region
    how: Care
    plan: Plan


class Faces:
    """The faces of one picture.

    Args:
        found: the faces.
        source: the picture, ``(h, w, c)``.
        first: recipe of its first pass.
        quality: that the picture was saved with, see :class:`superres.imageio.Header`.
        sessions: where programs are loaded.
        precision: to run in.
        memory_ceiling: bytes, see :func:`superres.pipeline.fitting.plan_pass`.
        restore: tier 2, if it was asked for.
        restore_cost: of a face, in million multiply-accumulates that take the engine as long.

    Attributes:
        cost: million multiply-accumulates of :meth:`run`, the restoring included.
        seconds: that :meth:`run` has taken.
        enhance_seconds: of these, all but the restoring.
    """

    def __init__(
        self,
        found: Sequence[Face],
        source: NDArray[Any],
        first: Recipe,
        quality: int,
        sessions: Sessions,
        precision: str,
        memory_ceiling: int,
        restore: Restore | None = None,
        restore_cost: float = 0.0,
    ) -> None:
        self._found, self._source, self._restore = tuple(found), source, restore
        self._sessions, self._precision = sessions, precision
        self._recipe = recipe_of(first)
        self._ovals = [oval(face) for face in found]
        self._tiers: list[Tier] = ["unchanged"] * len(found)
        height, width, channels = source.shape
        colours = channels - 1 if channels in (2, 4) else channels
        margin = self._recipe.context + (max(BLEED_RADII) if channels in (2, 4) else 0)
        self._jobs: list[_Job] = []
        for region in regions(self._ovals, height, width):
            region = _grown(region, margin, height, width)
            part = _part(source, region)
            seen = part[..., :colours]
            # What is stored without loss, or lies in an array, may have been a JPEG before.
            loss = 100 - quality if 0 < quality < 100 else jpeg_loss(seen)
            how = care(first.scale, loss, noise(seen))
            if not _opaque(part):
                # What transparent pixels hide would be smeared over what is seen.
                how = Care(0.0, how.share)
            if first.parts == self._recipe.parts and how == Care():
                continue  # the canvas has that already
            plan = plan_pass(self._recipe, part.shape, sessions.engine, memory_ceiling)
            self._jobs.append(_Job(region, how, plan))
        self._each = restore_cost if restore is not None else 0.0
        enhancing = sum(job.plan.cost for job in self._jobs) * self._recipe.mmac_per_pixel
        self.cost = enhancing + self._each * restorable(found, first.scale)
        self.seconds = self.enhance_seconds = 0.0

    @property
    def reports(self) -> tuple[FaceReport, ...]:
        """What was done to each, in the order they were given."""
        return tuple(map(FaceReport, self._found, self._tiers))

    def run(
        self,
        canvas: Canvas,
        scratch: Scratch,
        on_cost: Callable[[float], None],
        check: Check,
    ) -> None:
        """Change the faces on ``canvas``, the first pass's result.

        Args:
            canvas: to change.
            scratch: for rectangles too large for memory.
            on_cost: called with how much of ``cost`` is done.
            check: called between tiles; what it raises stops the work.

        Raises:
            BadOutput, EngineError: as for :meth:`superres.pipeline.passes.Pass.run`.
        """
        begun, before = time.perf_counter(), 0.0
        for job in self._jobs:
            each = self._recipe.mmac_per_pixel * job.plan.cost / len(job.plan)

            def on_tile(done: float, before: float = before, each: float = each) -> None:
                on_cost(before + each * done)

            for number in self._enhance(job, canvas, scratch, on_tile, check):
                self._tiers[number] = "enhanced"
            release_pages(self._source)
            before += each * len(job.plan)
        self.enhance_seconds = time.perf_counter() - begun
        if self._restore is not None and self._found:
            self._sessions.trim()  # that network takes as much as all of these

            def on_face() -> None:
                nonlocal before
                before = min(before + self._each, self.cost)
                on_cost(before)

            tiers = self._restore(canvas, self._recipe.scale, self._found, check, on_face)
            for number, tier in enumerate(tiers):
                if tier == "restored":
                    self._tiers[number] = tier
        self.seconds = time.perf_counter() - begun

    def _enhance(
        self,
        job: _Job,
        canvas: Canvas,
        scratch: Scratch,
        on_tile: Callable[[float], None],
        check: Check,
    ) -> list[int]:
        """Tier 1 for the faces of one rectangle; which of them it changed."""
        region, scale = job.region, self._recipe.scale
        mended = dict.fromkeys(region.faces, 0)

        def on_guard(tile: Tile, away: NDArray[np.bool_]) -> None:
            y, x = tile.y, tile.x
            away = away[y.lo - y.start : y.hi - y.start, x.lo - x.start : x.hi - x.start]
            height, width = away.shape
            for number in mended:
                place = region.top + y.lo, region.left + x.lo
                shown = mask([self._ovals[number]], *place, height, width, 1) > 0
                mended[number] += int((shown & away).sum())

        with ExitStack() as stack:
            source = _part(self._source, region)
            if job.how.sigma:
                copy = stack.enter_context(_canvas(source.shape, source.dtype, scratch))
                clean(self._source, region, job.how.sigma, copy.write, check)
                source = copy.array()
            height, width, channels = source.shape
            shape = height * scale, width * scale, channels
            result = stack.enter_context(_canvas(shape, source.dtype, scratch))
            Pass(source, self._recipe, job.plan, self._sessions, self._precision, on_guard).run(
                result, on_tile, check
            )
            area = (region.bottom - region.top) * (region.right - region.left)
            faces = [
                number
                for number, count in mended.items()
                if count <= _MENDED * min(self._ovals[number].area, area)
            ]
            ovals = [self._ovals[number] for number in faces]
            blend(canvas, result, source, region, ovals, job.how, check)
        return faces


def recipe_of(first: Recipe) -> Recipe:
    """What faces go through, after a first pass by ``first``."""
    return make_recipe(get_model(FAITHFUL), first.scale, 1.0, colour_lock=first.colour_lock)


def _canvas(shape: tuple[int, ...], dtype: np.dtype[Any], scratch: Scratch) -> Canvas:
    height, width, channels = shape
    return Canvas(height, width, channels, dtype, scratch, memory_limit=MEMORY)


def _part(pixels: NDArray[Any], region: Region) -> NDArray[Any]:
    return pixels[region.top : region.bottom, region.left : region.right]


def _opaque(part: NDArray[Any]) -> bool:
    if part.shape[2] not in (2, 4):
        return True
    top = {"uint8": 255, "uint16": 65535}.get(part.dtype.name, 1.0)
    return bool((part[..., -1] == top).all())


def _grown(region: Region, margin: int, height: int, width: int) -> Region:
    """``region`` with the context that its pixels need, and sides that are used again."""
    top, bottom = _span(region.top - margin, region.bottom + margin, height)
    left, right = _span(region.left - margin, region.right + margin, width)
    return Region(top, left, bottom, right, region.faces)


def _span(start: int, end: int, length: int) -> tuple[int, int]:
    start, end = max(0, start), min(length, end)
    side = min(math.ceil((end - start) / _SIDE) * _SIDE, length)
    start = min(max(0, start - (side - (end - start)) // 2), length - side)
    return start, start + side
