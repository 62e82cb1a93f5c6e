"""How much work a picture is, and how fast it goes: for honest guesses of waiting times.

The unit of work is a million pixels of result by the default model; a model that costs ten
times as much makes ten of each.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from superres.errors import EngineError
from superres.executors.recipe import Recipe
from superres.models import get_model

# Of a picture that nobody has seen: half a million pixels come in.
_GUESSED_PIXELS = 0.5e6
_DEFAULT_SCALE = 4.0
# Older work counts less: that of this many seconds of computing ago counts 1/e.
_MEMORY_S = 120.0


def work_of(out_width: int, out_height: int, model: str) -> float:
    """The work of a result of that size in pixels."""
    return out_width * out_height / 1e6 * _cost(model)


def expected(recipe: Recipe) -> float:
    """The work of a picture that nobody has seen yet."""
    options = recipe.options
    if options.megapixels is not None:
        return options.megapixels * _cost(options.model)
    if options.width is not None or options.height is not None:
        side = options.width or options.height or 1
        return side * (options.height or side) / 1e6 * _cost(options.model)
    scale = options.scale or _DEFAULT_SCALE
    if recipe.ladder:
        scale = max(rung for _, rung in recipe.ladder)
    pixels = _GUESSED_PIXELS
    if recipe.rules.min_side and recipe.rules.max_side:
        pixels = min(pixels, recipe.rules.min_side * recipe.rules.max_side)
    return pixels / 1e6 * scale * scale * _cost(options.model)


def _cost(model: str) -> float:
    try:
        return get_model(model).mmac_per_pixel / get_model("general").mmac_per_pixel
    except EngineError:  # removed since the job was handed in, which then fails at once
        return 1.0


class Pace:
    """Work per second of one process while it is busy, of late. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._at = clock()
        self._busy = self._work = 0.0

    def begun(self) -> None:
        """A picture was begun."""
        with self._lock:
            self._advance()
            self._running += 1

    def ended(self, work: float) -> None:
        """A picture ended, after that much work; 0 if it failed."""
        with self._lock:
            self._advance()
            self._running -= 1
            self._work += work

    @property
    def value(self) -> float:
        """Work per second; 0 while unknown."""
        with self._lock:
            return self._work / self._busy if self._busy > 0 and self._work > 0 else 0.0

    def _advance(self) -> None:
        now = self._clock()
        if self._running:
            passed = now - self._at
            fading = math.exp(-passed / _MEMORY_S)
            self._busy, self._work = self._busy * fading + passed, self._work * fading
        self._at = now
