"""An engine that enlarges by repeating pixels: fast, exact, for testing all that is above."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from superres.engines.base import TileProgram, TileResult
from superres.engines.memory import TileMemory
from superres.errors import EngineUnavailable


class FakeSession:
    """Answers at once, in the caller's thread."""

    def __init__(self, program: TileProgram) -> None:
        self._program = program

    def submit(self, image: NDArray[np.float32]) -> Future[TileResult]:
        program = self._program
        source = image.transpose(1, 2, 0)
        pixels = source if program.channels == 3 else source.mean(axis=2, keepdims=True)
        pixels = pixels.repeat(program.scale, axis=0).repeat(program.scale, axis=1)
        future: Future[TileResult] = Future()
        errors = None if program.guarded else np.zeros((1, *program.window), np.float32)
        if program.quantised:
            result = TileResult(np.rint(pixels * 255).astype(np.uint8), source.copy(), errors)
        else:
            result = TileResult(pixels.astype(np.float32), source.copy(), errors)
        future.set_result(result)
        return future

    def trim(self) -> None:
        """Nothing to give back."""


class FakeEngine:
    """Nearest-neighbour enlargement of whatever program it is given."""

    name = "fake"
    device = "fake"
    streams = 1
    resamples = True

    @cached_property
    def memory(self) -> TileMemory:
        """See :class:`superres.engines.base.Engine`."""
        return TileMemory(self.streams)

    @property
    def precisions(self) -> Sequence[str]:
        return ("f32",)

    def load(self, program: TileProgram, precision: str) -> FakeSession:
        if precision not in self.precisions:
            raise EngineUnavailable(f"The fake engine has no {precision}; choose f32.")
        return FakeSession(program)
