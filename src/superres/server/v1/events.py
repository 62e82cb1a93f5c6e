"""Progress as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from superres.access import Caller
from superres.pipeline import Progress

HEARTBEAT = 10.0
"""Seconds of silence after which a comment is sent, so that no proxy hangs up."""

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

_MEMORY = 4.0  # seconds over which the rate is smoothed
_FIRST_FRACTION = 0.02  # below, only the picture was decoded
_FIRST_SECONDS = 0.3


class Eta:
    """How long it will still take, from how fast it went of late."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._restart(0.0)

    def _restart(self, fraction: float) -> None:
        self._begun = self._at = self._clock()
        self._first = self._fraction = fraction
        self._rate: float | None = None

    def seconds(self, fraction: float) -> float | None:
        """Seconds left when ``fraction`` of the whole (0…1) is done; None if unknown yet."""
        now = self._clock()
        if fraction < self._fraction or self._fraction < _FIRST_FRACTION <= fraction:
            # Begun anew, or the first sign of the network at work: loading it is not counted.
            self._restart(fraction)
        passed, step = now - self._at, fraction - self._fraction
        if passed > 0 and step > 0:
            share = 1 - math.exp(-passed / _MEMORY)
            rate = step / passed
            self._rate = rate if self._rate is None else self._rate + share * (rate - self._rate)
            self._at, self._fraction = now, fraction
        if fraction >= 1:
            return 0.0
        if self._rate is None or now - self._begun < _FIRST_SECONDS:
            return None
        return (1 - fraction) / self._rate


class Channel:
    """What is known of one request: its latest progress, then how it ended.

    Only the latest progress is kept, so that a slow reader costs nothing. To be made on the
    event loop; :meth:`post` may be called from any thread.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._eta = Eta()
        self._changed = asyncio.Event()
        self._version = 0
        self._latest = _event("progress", _progress("queued", 0.0, None))
        self._last: str | None = None

    def post(self, progress: Progress) -> None:
        """Tell how far it is."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(self._progressed, progress)

    def finish(self, kind: str, data: object) -> None:
        """Tell how it ended; what comes after is not heard. On the event loop."""
        if self._last is None:
            self._last = _event(kind, data)
            self._change()

    async def follow(self) -> AsyncIterator[str]:
        """Events from now to the end, ready to be sent, with comments in long pauses."""
        version = -1
        while True:
            if self._version != version and self._last is None:
                version = self._version
                yield self._latest
            if self._last is not None:
                yield self._last
                return
            if self._version == version:
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        await self._changed.wait()
                except TimeoutError:
                    yield ": still there\n\n"

    def _progressed(self, progress: Progress) -> None:
        if self._last is None:
            left = self._eta.seconds(progress.fraction)
            data = _progress(progress.stage, progress.fraction, left)
            self._latest = _event("progress", data)
            self._change()

    def _change(self) -> None:
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()


class Channels:
    """The channels of the requests that are running. On the event loop."""

    def __init__(self) -> None:
        self._open: dict[tuple[str | None, str], Channel] = {}

    @contextmanager
    def open(
        self, caller: Caller, request_id: str, describe: Callable[[Exception], object]
    ) -> Iterator[Channel]:
        """A channel that can be found while the block runs.

        Args:
            caller: whose request it is; others do not find it.
            request_id: if another request has the same, the newer is found.
            describe: what to tell of an error that ends the block.
        """
        key = caller.id, request_id
        channel = self._open[key] = Channel()
        try:
            yield channel
        except Exception as exc:
            channel.finish("error", describe(exc))
            raise
        finally:
            channel.finish("done", {})
            if self._open.get(key) is channel:
                del self._open[key]

    async def find(self, caller: Caller, request_id: str, patience: float) -> Channel | None:
        """The channel of a running request; waits up to ``patience`` seconds for it to begin."""
        until = time.monotonic() + patience
        while (found := self._open.get((caller.id, request_id))) is None:
            if time.monotonic() >= until:
                return None
            await asyncio.sleep(0.05)
        return found


def _progress(stage: str, fraction: float, left: float | None) -> dict[str, Any]:
    return {
        "stage": stage,
        "fraction": round(fraction, 4),
        "eta_seconds": None if left is None else round(left, 1),
    }


def _event(kind: str, data: object) -> str:
    # JSON has no line breaks of its own, so one data line is enough.
    return f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
