"""Lets so many pictures run at a time, the most urgent first.

DBOS claims a few more than run, so that the next one is at hand when one ends and nobody waits
for the next look at the queue; here those wait.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

Turn = tuple[float, ...]


class Closed(Exception):
    """The gate was closed while somebody waited."""


class Impatient(Exception):
    """It took longer than somebody would wait."""


class Gate:
    """Thread-safe.

    Args:
        width: how many may be inside.
    """

    def __init__(self, width: int) -> None:
        self._free = width
        self._changed = threading.Condition()
        self._count = itertools.count()
        self._waiting: list[tuple[float, ...]] = []
        self._closed = False

    @contextmanager
    def inside(self, turn: Turn, patience: float | None = None) -> Iterator[None]:
        """Wait until there is room and nobody waits whose turn is before.

        Args:
            turn: of who wants in; the lowest is first.
            patience: seconds to wait; None waits for ever.

        Raises:
            Closed: the gate is closed.
            Impatient: it took longer than ``patience``.
        """
        self._enter(turn, patience)
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()

    def close(self) -> None:
        """Let nobody in any more; who is inside stays until done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _enter(self, turn: Turn, patience: float | None) -> None:
        place = (*turn, next(self._count))
        with self._changed:
            heapq.heappush(self._waiting, place)
            let_in = self._changed.wait_for(
                lambda: self._closed or (self._free > 0 and self._waiting[0] == place), patience
            )
            self._waiting.remove(place)
            heapq.heapify(self._waiting)
            self._changed.notify_all()
            if self._closed:
                raise Closed
            if not let_in:
                raise Impatient
            self._free -= 1
