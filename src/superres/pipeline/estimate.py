"""What an upscale will take, known from the picture's header alone; and learning from those done.

Where faces are, and whether there are any, a header does not tell. Memory and scratch disk are
told for the worst: all of the picture is a face. The time is a usual one: what looking for faces
and keeping them took on this machine of late, by the picture's size, or else, a tenth of the
picture being faces; and two faces that are restored.
"""

from __future__ import annotations

from superres.engines.base import Engine
from superres.imageio import Header
from superres.models.recipe import Recipe
from superres.pipeline.denoise import MEMORY as CLEANED
from superres.pipeline.denoise import may_clean
from superres.pipeline.faces import MEMORY, Faces, recipe_of
from superres.pipeline.fitting import MEMORY_SHARE, plan_pass
from superres.pipeline.options import UpscaleOptions
from superres.pipeline.speed import Speed
from superres.pipeline.work import Work

BASE_MEMORY = 200 << 20
"""Resident size of the process with its libraries loaded and nothing done, measured."""

RESTORE_MEMORY = 1400 << 20
"""What restoring adds: PyTorch 0.3 GB, weights 0.3 to 0.4, and the rest while a face is in work.
Measured with GFPGAN and CodeFormer."""

RESTORE_COST = 1e6
"""Million multiply-accumulates that take the engine about as long as a face to be restored, while
nothing is known. It is PyTorch that does it, so that machines differ."""

_FACES_SHARE = 0.1
_FACES_RESTORED = 2

_LEAST_SECONDS = 0.2
"""Of a look for faces, or of cleaning; shorter ones say more about loading."""

_CLEANING = "cpu:denoise"


class Forecast:
    """Expects, and learns.

    Args:
        engine: that computes the tiles.
        precision: it runs in.
        memory_ceiling: bytes, see :func:`superres.pipeline.fitting.plan_pass`.
        most_faces: of a picture.
        speed: what is remembered.
    """

    def __init__(
        self, engine: Engine, precision: str, memory_ceiling: int, most_faces: int, speed: Speed
    ) -> None:
        self._engine, self._precision, self._ceiling = engine, precision, memory_ceiling
        self._most, self._speed = most_faces, speed

    def seconds(self, header: Header, options: UpscaleOptions, work: Work) -> float:
        """Expected time; 0 if some part of it was never done here."""
        key = self._model_key(options)
        passes = self._speed.seconds(key, sum(work.costs))
        if passes and options.denoise:  # else it depends on the picture
            values = header.width * header.height * header.channels
            passes += self._speed.seconds(_CLEANING, values)
        if not passes or not options.with_faces:
            return passes
        pixels = header.width * header.height
        faces = self._speed.seconds(self._faces_key, pixels)
        if not faces:
            cost = recipe_of(work.recipes[0]).mmac_per_pixel * pixels * _FACES_SHARE
            faces = self._speed.seconds(key, cost)
        if not options.restores:
            return passes + faces
        wanted = min(_FACES_RESTORED, self._most)
        restoring = self._speed.seconds(_restore_key(options), wanted)
        return passes + faces + restoring if restoring else 0.0

    def restore_cost(self, options: UpscaleOptions) -> float:
        """Million multiply-accumulates that take the engine as long as a face to be restored."""
        seconds = self._speed.seconds(_restore_key(options), 1)
        once = self._speed.seconds(self._model_key(options), 1)
        return seconds / once if seconds and once else RESTORE_COST

    def memory(self, header: Header, options: UpscaleOptions, work: Work) -> int:
        """Expected peak of working memory, in bytes."""
        tiles = [
            self._held(recipe, plan.window)
            for plan, recipe in zip(work.plans, work.recipes, strict=True)
        ]
        if work.tta:
            tiles[0] *= 2  # windows that are turned have a program of their own
        copy = min(_size(header), CLEANED) if may_clean(options) else 0
        if not options.with_faces:
            return BASE_MEMORY + max(tiles) + copy
        recipe = recipe_of(work.recipes[0])
        shape = header.height, header.width, header.channels
        window = plan_pass(recipe, shape, self._engine, self._ceiling).window
        tiles.append(self._held(recipe, window))
        # Both keep their working memory, as far as there is room for both.
        shared = min(tiles[0] + tiles[-1], int(self._ceiling * MEMORY_SHARE))
        copies = copy + sum(min(each, MEMORY) for each in _copies(header, work))
        restoring = RESTORE_MEMORY if options.restores else 0
        return BASE_MEMORY + max(*tiles, shared) + copies + restoring

    def _held(self, recipe: Recipe, window: tuple[int, int]) -> int:
        """Bytes of the computer's memory that tiles of ``window`` take."""
        area = window[0] * window[1]
        return self._engine.memory.held(area, recipe.bytes_per_pixel, recipe.scale)

    def scratch(self, header: Header, options: UpscaleOptions, work: Work) -> int:
        """Room needed on the scratch disk, in bytes, at most."""
        size = _size(header)
        canvases, scale = [], 1
        for recipe in work.recipes:
            scale *= recipe.scale
            canvases.append(size * scale**2)
        if may_clean(options):
            canvases[0] += size
        if not options.with_faces:
            return sum(canvases)
        # Faces are done, and their copies gone, before a second pass begins.
        return max(sum(canvases), canvases[0] + sum(_copies(header, work)))

    def learn(
        self,
        options: UpscaleOptions,
        work: Work,
        inference: float,
        found: tuple[Faces | None, float],
        pixels: int,
    ) -> None:
        """Take note of a picture that is done.

        Args:
            options: of it.
            work: that was done.
            inference: seconds of all passes, those of the faces included.
            found: the faces, and how many seconds it took to find them.
            pixels: of the picture.
        """
        faces, finding = found
        kept = faces.enhance_seconds if faces else 0.0
        inference -= faces.seconds if faces else 0.0
        self._speed.record(self._model_key(options), sum(work.costs), inference)
        if options.with_faces:
            self._speed.record(self._faces_key, pixels, finding + kept, _LEAST_SECONDS)

    def learn_cleaning(self, values: int, seconds: float) -> None:
        """Take note of a picture of so many values that noise was taken off."""
        self._speed.record(_CLEANING, values, seconds, _LEAST_SECONDS)

    def learn_restoring(self, options: UpscaleOptions, faces: int, seconds: float) -> None:
        """Take note of faces that were restored."""
        if faces:
            self._speed.record(_restore_key(options), faces, seconds)

    def _model_key(self, options: UpscaleOptions) -> str:
        fidelity = options.effective_fidelity
        return f"{self._engine.device}:{self._precision}:{options.model}:{0 < fidelity < 1}"

    @property
    def _faces_key(self) -> str:
        return f"{self._engine.device}:{self._precision}:faces"


def _restore_key(options: UpscaleOptions) -> str:
    return f"cpu:restore:{options.restore}"


def _size(header: Header) -> int:
    """Bytes of a picture's pixels."""
    return header.width * header.height * header.channels * header.bits // 8


def _copies(header: Header, work: Work) -> tuple[int, int]:
    """Bytes of a picture that is cleaned, and of what is made of it, if all of it is a face."""
    size = _size(header)
    return size, size * work.recipes[0].scale ** 2
