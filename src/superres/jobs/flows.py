"""DBOS Transact in this process: there is one of it, and so one runner that it calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

from dbos import DBOS
from dbos._dbos import _get_dbos_instance
from sqlalchemy import Engine

from superres.errors import BadParameter
from superres.jobs.queue import ITEMS, TELL, configuration
from superres.settings import JobsSettings

# Besides those that run so many are claimed, to be at hand.
_SPARE = 2
# Between two looks for waiting work while there is some; small pictures take no longer.
_BUSY_S = 0.05
# Receivers that hang hold one each.
_TELLERS = 16
_THREADS = "dbos-executor"
# Our own count of attempts ends a picture that kills; this is for what dies before it counts.
_CLAIMS = 100


class Dropped(BaseException):
    """Left to whoever does it next. DBOS records the end of a workflow that returns or raises
    an Exception; this is none.
    """


class Runner(Protocol):
    """What DBOS calls, in threads of its own."""

    def do_item(self, job_id: str, position: int, urgency: int, created_at: float) -> None:
        """Do a picture."""

    def tell(self, job_id: str, attempt: int) -> None:
        """Try once to tell that a job has ended."""


_current: list[Runner] = []
_one_at_a_time = threading.Lock()


def claim(runner: Runner) -> None:
    """Make ``runner`` the one that DBOS calls.

    Raises:
        BadParameter: there is one already.
    """
    with _one_at_a_time:
        if _current:
            raise BadParameter(
                "Another service of this process does jobs already; start this one with [jobs] "
                "concurrency = 0, or as a process of its own."
            )
        _current.append(runner)


def release(runner: Runner) -> None:
    """Let another be the one. Safe to repeat, and without :func:`claim`."""
    with _one_at_a_time:
        if runner in _current:
            _current.remove(runner)


def launch(
    database: Engine, slot: str, settings: JobsSettings, is_busy: Callable[[], bool]
) -> None:
    """Begin to take what waits.

    Args:
        database: from :func:`superres.database.open_database`.
        slot: what this process is called there.
        settings: how much it does at once, and how often it looks.
        is_busy: whether it works; it looks more often then.
    """
    DBOS(config=configuration(database, slot))
    _register()
    DBOS.listen_queues([ITEMS, TELL])
    DBOS.launch()
    _adapt_queue(settings, is_busy)
    DBOS.register_queue(
        ITEMS,
        worker_concurrency=settings.concurrency + _SPARE,
        polling_interval_sec=settings.poll_interval,
        on_conflict="always_update",
    )
    DBOS.register_queue(
        TELL,
        worker_concurrency=_TELLERS,
        polling_interval_sec=1.0,
        on_conflict="always_update",
    )


def destroy(drain: int) -> None:
    """Take no more, and wait ``drain`` whole seconds for what runs."""
    DBOS.destroy(workflow_completion_timeout_sec=drain)


def left_over(patience: float) -> int:
    """How many threads of DBOS's are still there after ``patience`` seconds at most.

    A word to a database that is away is said again for ever.
    """
    until = time.monotonic() + patience
    while alive := [t for t in threading.enumerate() if t.name.startswith(_THREADS)]:
        if time.monotonic() > until:
            break
        time.sleep(0.05)
    return len(alive)


def _adapt_queue(settings: JobsSettings, is_busy: Callable[[], bool]) -> None:
    """Let this process claim as much as it can do, and look more often while it works.

    DBOS keeps both numbers in the database, for all processes together, and reads them again
    for each look; but machines differ. There is no public way to say them for one.
    """
    database = _get_dbos_instance()._sys_db
    get_queue = database.get_queue

    def get(name: str, **how: Any) -> Any:
        queue = get_queue(name, **how)
        if queue is not None and name == ITEMS:
            pause = settings.poll_interval
            queue._worker_concurrency = settings.concurrency + _SPARE
            queue._polling_interval_sec = min(pause, _BUSY_S) if is_busy() else pause
        return queue

    database.get_queue = get  # type: ignore[method-assign]


def _do_item(job_id: str, position: int, urgency: int, created_at: float) -> None:
    _only().do_item(job_id, position, urgency, created_at)


def _tell(job_id: str, attempt: int) -> None:
    _only().tell(job_id, attempt)


@cache
def _register() -> None:
    """Once for the process, whatever comes and goes in it."""
    DBOS.workflow(name=ITEMS, max_recovery_attempts=_CLAIMS)(_do_item)
    DBOS.workflow(name=TELL, max_recovery_attempts=_CLAIMS)(_tell)


def _only() -> Runner:
    with _one_at_a_time:
        if not _current:
            raise Dropped
        return _current[0]
