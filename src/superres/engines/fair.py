"""Several pictures on one device: their tiles take turns, and short ones need not wait.

Fair queueing after Demers, Keshav and Shenker (SIGCOMM 1989): a virtual clock runs at the
rate at which each of the pictures under way would be served if the device could be divided,
and the tile goes next that would then be finished first. Service is measured in seconds, so
that a picture with long tiles gets no more of the device than one with short ones, and a
small picture that has just come is soon done.

A tile under way cannot be interrupted, and may take seconds. So while every stream is busy
with long tiles, one much shorter tile at a time is computed beside them; the operating
system shares the processors out, which costs the long ones next to nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from superres.engines.base import Engine, Session, TileProgram, TileResult
from superres.errors import Cancelled

EXPRESS = 1
"""Tiles at a time that may be computed beside those on the streams."""

_SHORT = 0.25
"""A tile is short if it takes less than this part of each that is under way."""

_SMOOTHING = 0.3

_PATIENCE, _FIRST_TILE = 4.0, 300.0
"""A tile may take so many times what it took before; and the first one so many seconds."""

_STOPPED = "Stopped on request; nothing was written."


@dataclass(eq=False)
class _Item:
    """A tile on its way."""

    session: FairSession
    image: NDArray[np.float32]
    future: Future[TileResult]
    flow: _Flow
    charged: float = 0.0
    begun: float = 0.0
    express: bool = False


@dataclass(eq=False)
class _Flow:
    """A picture: the tiles of one thread. ``tag`` is what it had, by the virtual clock."""

    tag: float
    waiting: deque[_Item] = field(default_factory=deque)
    running: int = 0


class FairEngine:
    """Shares an engine between pictures, each of which is computed from a thread of its own.

    Loading does not hold up others: a program is loaded by the thread that first submits a
    tile to it.

    Args:
        inner: computes. It must take ``streams + EXPRESS`` tiles at the same time.
        now: the time in seconds.
    """

    def __init__(self, inner: Engine, now: Callable[[], float] = time.monotonic) -> None:
        self.name, self.device = inner.name, inner.device
        self.streams, self.resamples = inner.streams, inner.resamples
        self.memory = inner.memory
        self._inner = inner
        self._lock = threading.Lock()
        self._flows: dict[int, _Flow] = {}
        self._running: list[_Item] = []
        self._given_up: set[int] = set()
        self._clock = 0.0
        self._now = now
        self._slowest = 0.0
        self._pumping = threading.local()

    @property
    def precisions(self) -> Sequence[str]:
        """See :class:`superres.engines.base.Engine`."""
        return self._inner.precisions

    def load(self, program: TileProgram, precision: str) -> FairSession:
        """See :class:`superres.engines.base.Engine`; errors come with the first tile."""
        return FairSession(self, self._inner, program, precision)

    def submit(self, session: FairSession, image: NDArray[np.float32]) -> Future[TileResult]:
        """Put a tile of a loaded session in the line of the calling thread's picture."""
        future: Future[TileResult] = Future()
        thread = threading.get_ident()
        with self._lock:
            given_up = thread in self._given_up
            if not given_up:
                flow = self._flows.setdefault(thread, _Flow(self._clock))
                flow.waiting.append(_Item(session, image, future, flow))
        if given_up:
            future.set_exception(Cancelled(_STOPPED))
        else:
            self._pump()
        return future

    @contextmanager
    def picture(self) -> Iterator[Callable[[], float]]:
        """A block in which the calling thread works on one picture.

        Yields:
            A function to give the picture up, from any thread: tiles of it that wait fail
            with Cancelled, and so do those that are yet submitted. It returns how many
            seconds the tiles on the device, which cannot be stopped, may take at most.
        """
        thread, active = threading.get_ident(), True

        def give_up() -> float:
            with self._lock:
                if not active:
                    return 0.0
                self._given_up.add(thread)
                flow = self._flows.get(thread)
                if flow is None:
                    return 0.0
                dropped, flow.waiting = flow.waiting, deque()
                self._drop_idle()
                on_device = [item.session for item in self._running if item.flow is flow]
            for item in dropped:
                if item.future.set_running_or_notify_cancel():
                    item.future.set_exception(Cancelled(_STOPPED))
            times = [_PATIENCE * s.seconds if s.seconds else _FIRST_TILE for s in on_device]
            return max(times, default=0.0)

        try:
            yield give_up
        finally:
            with self._lock:
                active = False
                self._given_up.discard(thread)

    def _pump(self) -> None:
        """Hand tiles to the device while it takes them."""
        if getattr(self._pumping, "on", False):
            return  # an engine that answers at once calls back from within submit
        self._pumping.on = True
        try:
            while (item := self._next()) is not None:
                try:
                    inner = item.session.loaded().submit(item.image)
                except Exception as exc:  # noqa: BLE001 - is passed on
                    self._done(item, exc)
                    continue
                inner.add_done_callback(lambda f, item=item: self._done(item, f))  # type: ignore[misc]
        finally:
            self._pumping.on = False

    def _next(self) -> _Item | None:
        with self._lock:
            while True:
                item = self._choose()
                if item is None:
                    return None
                flow = item.flow
                flow.waiting.popleft()
                if item.future.set_running_or_notify_cancel():
                    break
                self._drop_idle()
            item.charged = item.session.seconds or 0.0
            item.begun = self._now()
            self._charge(flow, item.charged)
            flow.running += 1
            self._running.append(item)
            return item

    def _choose(self) -> _Item | None:
        """The tile that goes next, if one may."""
        # Among equals the newest goes first; it may be small.
        newest_first = reversed(self._flows.values())
        flows = sorted((f for f in newest_first if f.waiting), key=self._finish)
        ordinary = [item for item in self._running if not item.express]
        if len(ordinary) < self.streams:
            return flows[0].waiting[0] if flows else None
        if len(self._running) - len(ordinary) < EXPRESS:
            limit = _SHORT * min(self._expected(item.session) for item in ordinary)
            for flow in flows:
                if self._expected(flow.waiting[0].session) < limit:
                    flow.waiting[0].express = True
                    return flow.waiting[0]
        return None

    def _finish(self, flow: _Flow) -> float:
        """When the next tile of ``flow`` would end, by the virtual clock."""
        return flow.tag + self._expected(flow.waiting[0].session)

    def _expected(self, session: FairSession) -> float:
        """Seconds for a tile; a guess by its size, rather too long, if none was computed yet."""
        return session.seconds or session.area * (self._slowest or 1.0)

    def _charge(self, flow: _Flow, seconds: float) -> None:
        """Account for service: a picture's own moves on by it, the clock by its share."""
        self._clock += max(0.0, seconds) / max(1, len(self._flows))
        flow.tag += seconds

    def _done(self, item: _Item, outcome: Future[TileResult] | Exception) -> None:
        now = self._now()
        with self._lock:
            taken = now - item.begun
            item.session.took(taken, _SMOOTHING)
            self._slowest = max(self._slowest, taken / item.session.area)
            self._charge(item.flow, taken - item.charged)
            item.flow.running -= 1
            self._running.remove(item)
            self._drop_idle()
        self._pump()
        error = outcome if isinstance(outcome, Exception) else outcome.exception()
        if error is not None:
            item.future.set_exception(error)
        else:
            assert isinstance(outcome, Future)
            item.future.set_result(outcome.result())

    def _drop_idle(self) -> None:
        """Forget pictures that have nothing here; one that comes back starts at the clock."""
        for key in [k for k, f in self._flows.items() if not f.waiting and not f.running]:
            del self._flows[key]


class FairSession:
    """A program that will be loaded when it is first used.

    Attributes:
        area: of its window, in pixels.
        seconds: that one of its tiles takes, smoothed; None before the first.
    """

    def __init__(
        self, fair: FairEngine, inner: Engine, program: TileProgram, precision: str
    ) -> None:
        self.area = program.window[0] * program.window[1]
        self.seconds: float | None = None
        self._fair, self._inner = fair, inner
        self._program, self._precision = program, precision
        self._session: Session | None = None
        self._loading = threading.Lock()

    def submit(self, image: NDArray[np.float32]) -> Future[TileResult]:
        """See :class:`superres.engines.base.Session`.

        Raises:
            EngineUnavailable, OutOfMemory, WeightsMissing: the program cannot be loaded.
        """
        self.loaded()
        return self._fair.submit(self, image)

    def trim(self) -> None:
        """See :class:`superres.engines.base.Session`."""
        if self._session is not None:
            self._session.trim()

    def loaded(self) -> Session:
        """The inner session; loads it if this is the first call, or the last one failed."""
        if self._session is None:
            with self._loading:
                if self._session is None:
                    self._session = self._inner.load(self._program, self._precision)
        return self._session

    def took(self, seconds: float, smoothing: float) -> None:
        """Learn from a tile."""
        if self.seconds is None:
            self.seconds = seconds
        else:
            self.seconds += smoothing * (seconds - self.seconds)
