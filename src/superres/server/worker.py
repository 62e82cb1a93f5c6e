"""A process that does jobs and opens no door, until a signal says stop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import structlog

from superres import __version__, app
from superres.errors import BadParameter
from superres.server import logs
from superres.server.tellers import tellers
from superres.settings import Settings

log = structlog.get_logger("superres.worker")
_LOOK = 0.1
"""Seconds between two looks whether a signal came."""


class _Stop:
    """Hears SIGINT and SIGTERM; the second one ends the process at once.

    A flag and not an Event: a handler runs inside whatever the main thread does, and must not
    wait for a lock that it holds itself.
    """

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _: object) -> None:
        if self.asked:
            # Whoever asks twice will not wait. What ran here waits again once this process is
            # taken for dead.
            os._exit(128 + number)
        self.asked = True

    def wait(self) -> None:
        """Until somebody asks."""
        while not self.asked:
            time.sleep(_LOOK)


def work(settings: Settings, *, on_ready: Callable[[], None] | None = None) -> None:
    """Do jobs until SIGINT or SIGTERM, then finish what runs.

    What is not finished after ``[server] shutdown_timeout`` waits again, for other processes
    on the same database and store, or for the next start.

    Args:
        settings: see ``superres.settings``.
        on_ready: called once jobs are being taken.

    Raises:
        BadParameter: ``[jobs] concurrency`` is 0.
        SuperresError: from :func:`superres.app.build`.
    """
    if settings.jobs.concurrency == 0:
        raise BadParameter(
            "A worker with [jobs] concurrency 0 would do nothing; set it to 1 or more, for "
            "example with --concurrency 3."
        )
    logs.set_up(settings.server)
    stop = _Stop()
    built = app.build(settings)
    try:
        built.runner.tell_with(tellers(built))
        built.runner.start()
        log.info("doing jobs", concurrency=settings.jobs.concurrency, version=__version__)
        if on_ready is not None:
            on_ready()
        stop.wait()
        log.info("stopping", timeout=settings.server.shutdown_timeout)
        built.close(settings.server.shutdown_timeout)
    finally:
        built.close()
        log.info("stopped")
    if built.runner.hangs():
        os._exit(0)
