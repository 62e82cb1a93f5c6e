"""Encoding that begins with the first finished rows, while tiles below are still computed.

Large pictures take about as long to filter and deflate as a fast GPU takes to make them, and each
needs what the other leaves idle. Only a canvas on scratch disk is read in this way; a small
picture is encoded in no time once it is done.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeAlias

from superres.errors import Cancelled
from superres.imageio import Canvas, Growing

Image: TypeAlias = Any
"""A libvips picture."""

Save = Callable[[Image, Callable[[float], None]], bytes | None]
"""Encodes a libvips picture and tells fractions; what it is told may raise to stop it. It tells 1
when all is encoded, and replaces an older file only then."""

_POLL_SECONDS = 0.05


class Ahead:
    """Encodes a canvas while it is filled, or else when it is full.

    Args:
        save: encodes.
    """

    def __init__(self, save: Save) -> None:
        self._save = save
        self._growing: Growing | None = None
        self._result: Future[bytes | None] | None = None
        self._fraction = 0.0
        self._stopped = False
        self._may_end = threading.Event()

    def begin(self, canvas: Canvas) -> None:
        """Start, if the canvas lies on disk. :meth:`stop` before it is closed."""
        if not canvas.on_disk:
            return
        self._growing = canvas.growing()
        # Its one thread is joined by whoever waits for the result.
        pool = ThreadPoolExecutor(1, "superres-encode")
        self._result = pool.submit(self._encode, self._growing)
        pool.shutdown(wait=False)

    def grown(self, rows: int) -> None:
        """The first ``rows`` rows of the canvas are finished.

        Raises: as the ``save`` that was given, if that has failed meanwhile.
        """
        if self._growing is None or self._result is None:
            return
        self._growing.grown(rows)
        if self._result.done():
            self._result.result()

    def finish(self, canvas: Canvas, on_progress: Callable[[float], None]) -> bytes | None:
        """Wait for the end of the encoding, or do it now.

        Args:
            canvas: full.
            on_progress: called on this thread with fractions in 0…1; may raise to stop.

        Returns, raises: as the ``save`` that was given.
        """
        if self._result is None:
            return self._save(canvas.image(), on_progress)
        self.grown(canvas.height)
        while self._fraction < 1 and not wait([self._result], _POLL_SECONDS).done:
            on_progress(self._fraction)
        if not self._result.done():
            on_progress(1.0)
        # From here on it is too late to stop.
        self._may_end.set()
        return self._result.result()

    def stop(self) -> None:
        """Give up what is not finished; nothing is left of it, and nothing runs any more."""
        if self._growing is None or self._result is None:
            return
        self._stopped = True
        self._may_end.set()
        self._growing.stop()
        with contextlib.suppress(Exception):
            self._result.result()

    def _encode(self, growing: Growing) -> bytes | None:
        return self._save(growing.image(), self._note)

    def _note(self, fraction: float) -> None:
        self._fraction = fraction
        if fraction >= 1:
            # The passes may fail yet, or be stopped, after the last rows.
            self._may_end.wait()
        if self._stopped:
            raise Cancelled("Stopped on request; nothing was written.")
