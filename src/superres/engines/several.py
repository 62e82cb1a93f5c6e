"""Several devices as one engine: each tile goes to the one that has least to do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from superres.engines.base import Engine, Session, TileProgram, TileResult
from superres.engines.memory import TileMemory
from superres.errors import EngineError, EngineUnavailable, OutOfMemory

_log = logging.getLogger("superres.engines")


class _Together(TileMemory):
    """Tiles that fit on every device, for any of them may get any tile."""

    def __init__(self, parts: Sequence[TileMemory]) -> None:
        super().__init__(sum(part.tiles for part in parts))
        self._parts = parts

    def area(self, fast: int, bytes_per_pixel: int, scale: int, ceiling: int) -> int:
        """See :class:`superres.engines.memory.TileMemory`."""
        share = ceiling // len(self._parts)
        return min(part.area(fast, bytes_per_pixel, scale, share) for part in self._parts)

    def held(self, area: int, bytes_per_pixel: int, scale: int) -> int:
        """See :class:`superres.engines.memory.TileMemory`."""
        return sum(part.held(area, bytes_per_pixel, scale) for part in self._parts)

    def did_not_fit(self, area: int, bytes_per_pixel: int) -> None:
        """See :class:`superres.engines.memory.TileMemory`."""
        for part in self._parts:
            part.did_not_fit(area, bytes_per_pixel)


@dataclass(eq=False)
class _Device:
    """An engine, and the tiles that are on their way through it."""

    engine: Engine
    busy: int = 0


class SeveralEngine:
    """Engines that compute the tiles of one picture side by side.

    Tiles come out the same whichever computes them, within what precision allows: the engines
    are of one kind. One that fails is left out from then on; its tiles are computed by others.

    Args:
        engines: at least one; they share a precision.

    Raises:
        EngineUnavailable: there is no precision that all of them have.
    """

    name = "several"

    def __init__(self, engines: Sequence[Engine]) -> None:
        self.device = ",".join(engine.device for engine in engines)
        self.streams = sum(engine.streams for engine in engines)
        self.resamples = all(engine.resamples for engine in engines)
        self.memory: TileMemory = _Together([engine.memory for engine in engines])
        self._devices = [_Device(engine) for engine in engines]
        self._lock = threading.Lock()
        common = set.intersection(*(set(engine.precisions) for engine in engines))
        self._precisions = tuple(p for p in engines[0].precisions if p in common)
        if "f32" not in common:
            raise EngineUnavailable(f"{self.device} have no precision in common; choose one.")

    @property
    def precisions(self) -> Sequence[str]:
        """See :class:`superres.engines.base.Engine`: what all of them compute."""
        return self._precisions

    def load(self, program: TileProgram, precision: str) -> SeveralSession:
        """See :class:`superres.engines.base.Engine`; a device loads when it gets a tile."""
        if precision not in self._precisions:
            raise EngineUnavailable(
                f"{self.device} have no {precision} in common; choose one of "
                f"{', '.join(self._precisions)}."
            )
        return SeveralSession(self, program, precision)

    def take(self, without: set[int]) -> _Device:
        """The device with least to do, of those not in ``without`` by their ids.

        Raises:
            EngineUnavailable: none is left.
        """
        with self._lock:
            left = [device for device in self._devices if id(device) not in without]
            if not left:
                raise EngineUnavailable(f"None of {self.device} works any more; see the log.")
            return min(left, key=lambda device: device.busy / device.engine.streams)

    def count(self, device: _Device, tiles: int) -> None:
        """Note that ``tiles`` more, or fewer, are on their way through ``device``."""
        with self._lock:
            device.busy += tiles


class SeveralSession:
    """A program, loaded on one device at once, on others when they get their first tile.

    Raises:
        EngineError: none of them loads it.
    """

    def __init__(self, several: SeveralEngine, program: TileProgram, precision: str) -> None:
        self._several, self._program, self._precision = several, program, precision
        self._loaded: dict[int, Session] = {}
        self._lost: set[int] = set()
        self._loading = threading.Lock()
        refusal: EngineError | None = None
        while not self._loaded:
            try:
                device = several.take(self._lost)
            except EngineUnavailable as exc:
                raise refusal or exc from refusal
            try:
                self.on(device)
            except (EngineUnavailable, OutOfMemory) as exc:
                refusal = exc
                self._lose(device, exc)

    def submit(self, image: NDArray[np.float32]) -> Future[TileResult]:
        """See :class:`superres.engines.base.Session`."""
        outer: Future[TileResult] = Future()
        outer.set_running_or_notify_cancel()
        self._try(image, outer, set(), None)
        return outer

    def trim(self) -> None:
        """See :class:`superres.engines.base.Session`."""
        for session in list(self._loaded.values()):
            session.trim()

    def on(self, device: _Device) -> Session:
        """The program on ``device``.

        Raises:
            EngineError: it cannot be loaded there.
        """
        with self._loading:
            if id(device) not in self._loaded:
                loaded = device.engine.load(self._program, self._precision)
                self._loaded[id(device)] = loaded
            return self._loaded[id(device)]

    def _lose(self, device: _Device, error: EngineError) -> None:
        """Leave ``device`` out of this program."""
        if id(device) not in self._lost:
            self._lost.add(id(device))
            _log.warning("%s is left out: %s", device.engine.device, error)

    def _try(
        self,
        image: NDArray[np.float32],
        outer: Future[TileResult],
        failed: set[int],
        full: OutOfMemory | None,
    ) -> None:
        """Hand the tile to a device, and to another one if that fails."""
        try:
            device = self._several.take(failed | self._lost)
        except EngineUnavailable as exc:
            outer.set_exception(full or exc)
            return
        self._several.count(device, 1)
        try:
            inner = self.on(device).submit(image)
        except Exception as exc:  # noqa: BLE001 - is passed on
            self._ended(device, image, outer, failed, full, exc)
            return
        inner.add_done_callback(
            partial(self._done, device=device, image=image, outer=outer, failed=failed, full=full)
        )

    def _done(
        self,
        inner: Future[TileResult],
        *,
        device: _Device,
        image: NDArray[np.float32],
        outer: Future[TileResult],
        failed: set[int],
        full: OutOfMemory | None,
    ) -> None:
        error = CancelledError() if inner.cancelled() else inner.exception()
        if error is not None:
            self._ended(device, image, outer, failed, full, error)
            return
        self._several.count(device, -1)
        outer.set_result(inner.result())

    def _ended(
        self,
        device: _Device,
        image: NDArray[np.float32],
        outer: Future[TileResult],
        failed: set[int],
        full: OutOfMemory | None,
        error: BaseException,
    ) -> None:
        self._several.count(device, -1)
        if isinstance(error, EngineUnavailable):
            self._lose(device, error)
        elif isinstance(error, OutOfMemory):
            full = error  # it is only too full for this tile
        else:
            outer.set_exception(error)
            return
        self._try(image, outer, failed | {id(device)}, full)
