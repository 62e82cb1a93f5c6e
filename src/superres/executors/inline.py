"""An executor in this process: for tests, and for those who want no other processes."""

from __future__ import annotations

import logging
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import psutil

from superres.errors import SuperresError
from superres.executors import perform
from superres.executors.base import ExecutorState, Work, WorkerState
from superres.executors.clock import Clock
from superres.executors.scheduler import Scheduler
from superres.executors.ticket import Ticket
from superres.pipeline import Estimate, UpscaleOptions, Upscaler
from superres.pipeline.reporter import OnProgress

_log = logging.getLogger("superres.executors")


class InlineExecutor:
    """Runs works in threads of this process (:class:`superres.executors.base.Executor`).

    What a picture does to the process, it does to this one; a work that hangs in native
    code keeps its thread.

    Args:
        upscaler: does the work; it stays the caller's.
        concurrency: pictures at a time.
        queue: works that may wait.
    """

    def __init__(self, upscaler: Upscaler, concurrency: int = 4, queue: int = 64) -> None:
        self._clock = Clock()
        self._scheduler = Scheduler(queue, self._clock, hang_timeout=None)
        self._threads = _Threads(upscaler, concurrency, self._scheduler)
        self._scheduler.add(self._threads)
        self._scheduler.ready(self._threads)
        self._upscaler = upscaler
        self._estimates = ThreadPoolExecutor(1, "superres-estimate")

    def submit(self, work: Work, *, on_progress: OnProgress | None = None) -> Ticket:
        """See :class:`superres.executors.base.Executor`."""
        return self._scheduler.submit(work, on_progress)

    def estimate(
        self, width: int, height: int, options: UpscaleOptions, file_format: str = "png"
    ) -> Future[Estimate]:
        """See :class:`superres.executors.base.Executor`."""
        return self._estimates.submit(
            perform.estimate, self._upscaler, width, height, options, file_format
        )

    def state(self) -> ExecutorState:
        """See :class:`superres.executors.base.Executor`."""
        running = self._scheduler.counts(self._threads)
        worker = WorkerState(
            device=self._upscaler.engine.device,
            pid=os.getpid(),
            ready=not self._scheduler.closed,
            running=running,
            restarts=0,
            rss_bytes=psutil.Process().memory_info().rss,
        )
        return ExecutorState(self._scheduler.queued, running, (worker,))

    def close(self, drain: float = 0.0) -> None:
        """See :class:`superres.executors.base.Executor`."""
        self._scheduler.close(drain)
        self._threads.close()
        self._estimates.shutdown()
        self._clock.close()


class _Threads:
    """Threads as a :class:`superres.executors.scheduler.Runner`."""

    def __init__(self, upscaler: Upscaler, slots: int, scheduler: Scheduler) -> None:
        self.slots = slots
        self._upscaler, self._scheduler = upscaler, scheduler
        self._pool = ThreadPoolExecutor(slots, "superres-work")
        self._stops: dict[int, threading.Event] = {}

    def begin(self, number: int, work: Work) -> None:
        self._stops[number] = threading.Event()
        self._pool.submit(self._run, number, work)

    def interrupt(self, number: int) -> None:
        stop = self._stops.get(number)
        if stop is not None:
            stop.set()

    def kill(self) -> None:
        """Threads cannot be killed."""

    def close(self) -> None:
        self._pool.shutdown()

    def _run(self, number: int, work: Work) -> None:
        try:
            report = perform.perform(
                self._upscaler,
                work,
                lambda progress: self._scheduler.progressed(self, number, progress),
                self._stops[number].is_set,
            )
        except Exception as exc:  # noqa: BLE001 - is passed on
            if not isinstance(exc, SuperresError):
                _log.exception("Work %s failed unexpectedly", work.request_id)
            self._scheduler.finished(self, number, perform.expected(exc))
        else:
            self._scheduler.finished(self, number, report)
        finally:
            del self._stops[number]
