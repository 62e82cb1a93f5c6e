"""A work from the moment it is taken to its end."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future

from superres.errors import Cancelled, SuperresError
from superres.executors.base import Done, Work
from superres.executors.clock import Alarm
from superres.pipeline import FileReport, Progress
from superres.pipeline.reporter import OnProgress

_log = logging.getLogger("superres.executors")


class Ticket:
    """What whoever handed in a work holds (:class:`superres.executors.base.Running`).

    Everything but the future belongs to the scheduler and is changed under its lock.

    Attributes:
        number: unique within the scheduler.
        begun: when it was given to a worker the last time.
        attempts: how often it was.
        deaths: of workers, that it may have to answer for.
        fraction: done of the whole, as last heard.
        stopping: what it will end with, once it has been told to stop.
        alarms: deadline and the like, to be cancelled at its end.
    """

    def __init__(
        self,
        number: int,
        work: Work,
        on_progress: OnProgress | None,
        stop: Callable[[Ticket, SuperresError], None],
    ) -> None:
        self.number = number
        self.work = work
        self.submitted = time.monotonic()
        self.begun = self.submitted
        self.attempts = 0
        self.deaths = 0
        self.fraction = 0.0
        self.stopping: SuperresError | None = None
        self.alarms: list[Alarm] = []
        self._on_progress = on_progress
        self._stop = stop
        self._future: Future[Done] = Future()
        # A future that "runs" cannot be cancelled behind the scheduler's back, as asyncio
        # does with the futures that it wraps.
        self._future.set_running_or_notify_cancel()

    @property
    def future(self) -> Future[Done]:
        """See :class:`superres.executors.base.Running`."""
        return self._future

    def cancel(self) -> None:
        """See :class:`superres.executors.base.Running`."""
        self._stop(self, Cancelled("Stopped on request; nothing was written."))

    def progressed(self, progress: Progress) -> None:
        """Pass progress on. What a listener raises is its own affair."""
        self.fraction = progress.fraction
        if self._on_progress is None or self._future.done():
            return
        try:
            self._on_progress(progress)
        except Exception:  # noqa: BLE001 - not the work's fault
            _log.exception("A listener to progress failed")

    def succeed(self, report: FileReport) -> None:
        """End with the result."""
        self._future.set_result(Done(report, self.begun - self.submitted, self.attempts))

    def fail(self, error: SuperresError) -> None:
        """End with ``error``; no file is left, not even a whole one."""
        with contextlib.suppress(OSError):
            self.work.target.unlink(missing_ok=True)
        self._future.set_exception(error)
