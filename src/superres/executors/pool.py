"""The server's executor: worker processes, one per device."""

from __future__ import annotations

import atexit
import threading
from concurrent.futures import Future
from dataclasses import replace

from superres.engines.select import worker_devices
from superres.executors.base import ExecutorState, Work
from superres.executors.clock import Clock
from superres.executors.scheduler import Scheduler
from superres.executors.supervisor import Supervisor
from superres.executors.ticket import Ticket
from superres.pipeline import Estimate, UpscaleOptions
from superres.pipeline.reporter import OnProgress
from superres.settings import Settings

_GRACE = 5.0
"""Seconds that workers get to stop between tiles when the pool is closed."""


def devices(settings: Settings) -> tuple[str, ...]:
    """The devices that get a worker each.

    Raises:
        BadParameter: an unknown device.
    """
    return worker_devices(settings.engine.device)


class WorkerPool:
    """Runs works in supervised processes (:class:`superres.executors.base.Executor`).

    Returns quickly; :meth:`state` tells when a worker has loaded its model. Works may be
    handed in before that.

    Args:
        settings: ``[engine]``, ``[limits]``, ``[models]`` and ``[workers]`` are looked at,
            and nothing else is told to the workers.

    Raises:
        BadParameter: an unknown device.
    """

    def __init__(self, settings: Settings) -> None:
        workers = settings.workers
        names = devices(settings)
        self._clock = Clock()
        self._scheduler = Scheduler(workers.queue, self._clock, workers.hang_timeout)
        self._supervisors = [
            Supervisor(_worker_settings(settings, name), self._scheduler, self._clock)
            for name in names
        ]
        self._closing = threading.Lock()
        for supervisor in self._supervisors:
            self._scheduler.add(supervisor)
        for supervisor in self._supervisors:
            supervisor.start()
        atexit.register(self.close)

    def submit(self, work: Work, *, on_progress: OnProgress | None = None) -> Ticket:
        """See :class:`superres.executors.base.Executor`."""
        return self._scheduler.submit(work, on_progress)

    def estimate(
        self, width: int, height: int, options: UpscaleOptions, file_format: str = "png"
    ) -> Future[Estimate]:
        """See :class:`superres.executors.base.Executor`."""
        return self._supervisors[0].questions.ask(width, height, options, file_format)

    def state(self) -> ExecutorState:
        """See :class:`superres.executors.base.Executor`."""
        workers = tuple(supervisor.state() for supervisor in self._supervisors)
        running = sum(worker.running for worker in workers)
        return ExecutorState(self._scheduler.queued, running, workers)

    def close(self, drain: float = 0.0) -> None:
        """See :class:`superres.executors.base.Executor`."""
        with self._closing:
            self._scheduler.close(drain)
            for supervisor in self._supervisors:
                supervisor.close(_GRACE)
            self._scheduler.abandon()
            self._clock.close()
            atexit.unregister(self.close)


def _worker_settings(settings: Settings, device: str) -> Settings:
    """What a worker needs to know, and nothing secret."""
    return Settings(
        engine=replace(settings.engine, device=device),
        limits=settings.limits,
        models=settings.models,
        workers=settings.workers,
    )
