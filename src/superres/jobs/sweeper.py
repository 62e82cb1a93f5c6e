"""Setting right what nobody else does: dead processes, time limits, old jobs and files.

Every step is safe to repeat, and to be done by two at once; so it does not matter who sweeps,
and a sweep that fails half-way is done again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import Engine, case, select, update

from superres.database import reading, writing
from superres.database.clock import Clock, now
from superres.errors import DeadlineExceeded, SuperresError
from superres.jobs import rows
from superres.jobs.job import UNFINISHED, State
from superres.jobs.ledger import close_items
from superres.jobs.purge import purge
from superres.jobs.queue import UNFINISHED as QUEUED
from superres.jobs.queue import JobQueue, item_id
from superres.jobs.slots import Slots
from superres.jobs.tables import job_items, jobs
from superres.settings import JobsSettings
from superres.storage.blobs import Blobs

_log = logging.getLogger("superres.jobs")
_RECONCILE_S = 60.0
_AT_ONCE = 200
# What has no end must not keep the dead waiting; the next sweep goes on.
_BUDGET_S = 2.0


class Sweeper:
    """Sweeps for all processes on one database. For one thread.

    Args:
        settings: of jobs.
        database: where they are.
        queue: where pictures wait.
        slots: who does them.
        blobs: files that expire.
        slot: this process's.
        also: done in every sweep.
        rarely: done now and then, with :meth:`reconcile`.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        settings: JobsSettings,
        database: Engine,
        queue: JobQueue,
        slots: Slots,
        blobs: Blobs,
        slot: str,
        *,
        also: Sequence[Callable[[], object]] = (),
        rarely: Sequence[Callable[[], object]] = (),
        clock: Clock = now,
    ) -> None:
        self._settings, self._database, self._queue = settings, database, queue
        self._slots, self._blobs, self._slot = slots, blobs, slot
        self._also, self._rarely, self._clock = also, rarely, clock
        self._nameless: set[str] = set()
        self._reconciled = time.monotonic()

    def sweep(self, *, trust_silence: bool = True) -> None:
        """Do every step once; one that fails does not keep the others from theirs.

        Args:
            trust_silence: False: a process of another machine that said nothing may live.
        """
        steps: list[Callable[[], object]] = [
            partial(self.give_away, trust_silence=trust_silence),
            self.end_late,
            self.forget_old,
            partial(self._blobs.expire, budget=_BUDGET_S),
            *self._also,
        ]
        if time.monotonic() - self._reconciled > _RECONCILE_S:
            self._reconciled = time.monotonic()
            steps += [self.reconcile, *self._rarely]
        for step in steps:
            try:
                step()
            except SuperresError as exc:
                _log.warning("A sweep could not be finished: %s", exc.public_message)
            except Exception:  # noqa: BLE001 - the others must have their turn
                _log.exception("A sweep failed")

    def give_away(self, *, trust_silence: bool = True) -> int:
        """Give the work of dead processes to the others; returns how many were dead."""
        dead = self._slots.dead(self._slot, trust_silence=trust_silence)
        # Who lived on after having been given up, and died before it said so. One that lives
        # says so within a moment: it is looked at twice.
        nameless = self._queue.holders() - self._slots.every() - {self._slot}
        dead += sorted((nameless & self._nameless) - set(dead))
        self._nameless = nameless
        for slot in dead:
            self._slots.release(slot, died=True)
            given = self._queue.give_back(slot)
            # Last: what was not given back is found by this again.
            self._slots.forget(slot)
            _log.warning("Process %s is no more; %d of its pictures wait again", slot, given)
        return len(dead)

    def end_late(self) -> None:
        """End what waited longer than it may. What runs too long ends the process that runs it,
        which needs no clock that somebody may set.
        """
        for late in self._late():
            with writing(self._database) as connection:
                row = rows.lock(connection, late)
                if row is None or State(row.state).final:
                    continue
                moment = self._clock(connection)
                error = DeadlineExceeded(
                    f"The picture waited longer than it may ({row.max_wait:g} s)."
                )
                waiting = [State.WAITING]
                close_items(connection, late, State.TIMED_OUT, moment, error, of=waiting)
                rows.settle(connection, self._queue, row, moment)

    def forget_old(self) -> int:
        """Remove jobs whose time and history are over; returns how many."""
        until, gone = time.monotonic() + _BUDGET_S, 0
        while time.monotonic() < until:
            with reading(self._database) as connection:
                before = self._clock(connection) - self._settings.history
                query = select(jobs.c.id).where(jobs.c.expires_at < before).limit(_AT_ONCE)
                old = connection.scalars(query).all()
            if not old:
                break
            purge(self._database, self._queue, self._blobs, old)
            gone += len(old)
        return gone

    def reconcile(self) -> int:
        """Queue unfinished pictures again that the queue has lost; returns how many.

        None should be: a job and its place in the queue are written together. But a picture
        that nobody will ever do must not wait for ever.
        """
        with reading(self._database) as connection:
            before = self._clock(connection) - _RECONCILE_S
            query = (
                select(job_items.c.job_id, job_items.c.position)
                .where(job_items.c.state.in_(UNFINISHED), job_items.c.created_at < before)
                .order_by(job_items.c.created_at)
                .limit(10 * _AT_ONCE)
            )
            keys = [(row.job_id, row.position) for row in connection.execute(query)]
        states = self._queue.states([item_id(*key) for key in keys])
        # A picture's row is final before its workflow is, so those that end now are no matter.
        lost = [key for key in keys if states.get(item_id(*key), "") not in QUEUED]
        return sum(self._queue_again(*key) for key in lost)

    def _queue_again(self, job_id: str, position: int) -> bool:
        flow = item_id(job_id, position)
        self._queue.forget([flow])
        with writing(self._database) as connection:
            row = rows.lock(connection, job_id)
            found = connection.execute(
                update(job_items)
                .where(
                    job_items.c.job_id == job_id,
                    job_items.c.position == position,
                    job_items.c.state.in_(UNFINISHED),
                )
                .values(
                    state=State.WAITING,
                    slot=None,
                    stage="queued",
                    progress=0.0,
                    # One that was begun and came to no end, not even a bad one, may be to blame.
                    deaths=job_items.c.deaths + case((job_items.c.slot.is_not(None), 1), else_=0),
                )
            )
            if row is None or not found.rowcount:
                return False
            self._queue.add(connection, job_id, [position], row.priority, row.created_at)
        _log.error(
            "Picture %d of job %s was lost from the queue, and waits again", position, job_id
        )
        return True

    def _late(self) -> Sequence[str]:
        with reading(self._database) as connection:
            moment = self._clock(connection)
            query = (
                select(jobs.c.id)
                .join(job_items, job_items.c.job_id == jobs.c.id)
                .where(
                    jobs.c.state.in_(UNFINISHED),
                    job_items.c.state == State.WAITING,
                    jobs.c.created_at + jobs.c.max_wait < moment,
                )
                .distinct()
                .limit(_AT_ONCE)
            )
            return connection.scalars(query).all()
