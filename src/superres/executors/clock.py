"""Alarms: one thread that calls functions when their time has come."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

_log = logging.getLogger("superres.executors")


class Alarm:
    """A call that is due at ``due`` (seconds of ``time.monotonic``)."""

    def __init__(self, due: float, action: Callable[[], None]) -> None:
        self.due = due
        self.action = action


class Clock:
    """Calls functions later, from a thread of its own. Thread-safe.

    A cancelled alarm is forgotten at once, so that a deadline of ten minutes does not hold
    on to a request that took a second. There are only as many alarms as works under way, so
    the next one is found by looking at all of them.
    """

    def __init__(self) -> None:
        self._alarms: set[Alarm] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._next = math.inf
        self._thread = threading.Thread(target=self._run, name="superres-clock", daemon=True)
        self._thread.start()

    def after(self, seconds: float, action: Callable[[], None]) -> Alarm:
        """Call ``action``, which must return quickly, in ``seconds``."""
        alarm = Alarm(time.monotonic() + seconds, action)
        with self._changed:
            self._alarms.add(alarm)
            if alarm.due < self._next:
                self._changed.notify()
        return alarm

    def cancel(self, alarm: Alarm) -> None:
        """Forget ``alarm``; nothing happens if it has rung."""
        with self._changed:
            self._alarms.discard(alarm)

    def close(self) -> None:
        """Forget all alarms. Safe to repeat."""
        with self._changed:
            self._closed = True
            self._alarms.clear()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                due = self._due()
                while not due and not self._closed:
                    pause = min(self._next - time.monotonic(), threading.TIMEOUT_MAX)
                    self._changed.wait(max(0.0, pause))
                    due = self._due()
                if self._closed:
                    return
            for alarm in due:
                try:
                    alarm.action()
                except Exception:  # noqa: BLE001 - later alarms must ring
                    _log.exception("An alarm failed")

    def _due(self) -> list[Alarm]:
        """Take the alarms that have come due and note when the next one will."""
        now = time.monotonic()
        due = sorted((a for a in self._alarms if a.due <= now), key=lambda alarm: alarm.due)
        self._alarms.difference_update(due)
        self._next = min((alarm.due for alarm in self._alarms), default=math.inf)
        return due
