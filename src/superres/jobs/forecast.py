"""When a job will be done, as far as anybody can tell."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, select

from superres.database import reading
from superres.database.clock import Clock
from superres.jobs.job import UNFINISHED, Job, State
from superres.jobs.tables import job_items, jobs, slots

# Clients poll; the queue is looked at for all of them together this often.
_REFRESH_S = 1.0
# Work per second of a process that has not done anything yet.
_GUESSED_PACE = 4.0
# Nobody is there to do it: somebody has to be started first.
_NOBODY_S = 60.0
_TYPICAL_JOBS = 5


@dataclass(frozen=True)
class Load:
    """How much there is to do, for /metrics.

    Attributes:
        waiting, running: pictures.
        processes: that do jobs.
        pace: work per second of all together, see :mod:`superres.jobs.pace`; 0 if unknown.
    """

    waiting: int
    running: int
    processes: int
    pace: float


@dataclass(frozen=True)
class _Queued:
    job_id: str
    priority: int
    created_at: float
    work: float


@dataclass(frozen=True)
class _Seen:
    at: float
    queued: tuple[_Queued, ...]
    pace: float
    processes: int


def _left(job: Job) -> list[float]:
    """The work that is left of each picture that is not done; those that are tell the size."""
    known = [item.work for item in job.items if item.state is State.DONE]
    usual = sum(known) / len(known) if known else None
    return [
        (item.work if usual is None else usual) * (1 - item.progress)
        for item in job.items
        if not item.state.final
    ]


class Forecast:
    """Guesses waiting times. Thread-safe; blocks.

    Args:
        database: where jobs and processes are.
        slot_timeout: silence in seconds after which a process does not count.
        clock: seconds since 1970.
    """

    def __init__(self, database: Engine, slot_timeout: float, clock: Clock) -> None:
        self._database, self._slot_timeout, self._clock = database, slot_timeout, clock
        self._lock = threading.Lock()
        self._seen: _Seen | None = None

    def forget(self) -> None:
        """Look again: the queue has changed."""
        with self._lock:
            self._seen = None

    def wait_seconds(self, job: Job) -> float:
        """Seconds until ``job`` is done; 0 if it is."""
        if job.state.final:
            return 0.0
        seen = self._look()
        left = _left(job)
        own = sum(left)
        ahead = sum(
            each.work
            for each in seen.queued
            if each.job_id != job.id
            and (-each.priority, each.created_at) < (-job.priority, job.created_at)
        )
        # A picture is not done faster by many processes.
        longest = max(left) / seen.pace * max(1, seen.processes)
        guess = max((ahead + own) / seen.pace, longest)
        return guess if seen.processes else guess + _NOBODY_S

    def load(self) -> Load:
        """How much there is to do now."""
        counted = (
            select(job_items.c.state, func.count())
            .where(job_items.c.state.in_(UNFINISHED))
            .group_by(job_items.c.state)
        )
        with reading(self._database) as connection:
            paces = self._paces(connection)
            counts: dict[str, int] = {row[0]: row[1] for row in connection.execute(counted)}
        return Load(
            counts.get(State.WAITING, 0), counts.get(State.RUNNING, 0), len(paces), sum(paces)
        )

    def typical(self, connection: Connection, door: str) -> float | None:
        """The work of a picture from that door of late; None if there was none."""
        latest = (
            select(jobs.c.id)
            .where(jobs.c.state == State.DONE, jobs.c.door == door)
            .order_by(jobs.c.created_at.desc())
            .limit(_TYPICAL_JOBS)
        )
        query = select(func.avg(job_items.c.work)).where(
            job_items.c.job_id.in_(latest), job_items.c.state == State.DONE
        )
        found: float | None = connection.scalar(query)
        return found

    def _look(self) -> _Seen:
        with self._lock:
            if self._seen is None or time.monotonic() - self._seen.at > _REFRESH_S:
                self._seen = self._load()
            return self._seen

    def _load(self) -> _Seen:
        left = func.sum(job_items.c.work * (1 - job_items.c.progress))
        queued = (
            select(job_items.c.job_id, job_items.c.priority, job_items.c.created_at, left)
            .where(job_items.c.state.in_(UNFINISHED))
            .group_by(job_items.c.job_id, job_items.c.priority, job_items.c.created_at)
        )
        with reading(self._database) as connection:
            paces = self._paces(connection)
            rows = connection.execute(queued).all()
        known = [pace for pace in paces if pace > 0]
        usual = sum(known) / len(known) if known else _GUESSED_PACE
        total = sum(pace if pace > 0 else usual for pace in paces) or usual
        return _Seen(time.monotonic(), tuple(_Queued(*row) for row in rows), total, len(paces))

    def _paces(self, connection: Connection) -> Sequence[float]:
        """Of the processes that live and do jobs."""
        alive = self._clock(connection) - self._slot_timeout
        query = select(slots.c.pace).where(slots.c.seen_at > alive, slots.c.concurrency > 0)
        return connection.scalars(query).all()
