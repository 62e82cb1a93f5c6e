"""Handing jobs in, looking at them, closing and deleting them."""

from __future__ import annotations

import builtins
import contextlib
import json
import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from superres.database import reading, writing
from superres.database.clock import Clock, now
from superres.errors import (
    BadParameter,
    JobCancelled,
    JobExpired,
    JobNotFound,
    Overloaded,
    StorageError,
)
from superres.jobs import pace, request, rows
from superres.jobs.forecast import Forecast, Load
from superres.jobs.job import Job, State
from superres.jobs.ledger import close_items
from superres.jobs.purge import purge
from superres.jobs.queue import JobQueue, item_id
from superres.jobs.request import FromBlob, FromFile, NewItem, NewJob, Stored
from superres.jobs.tables import job_items, jobs
from superres.settings import Settings
from superres.storage.blobs import Blobs
from superres.storage.tables import blobs

# Seconds that a file is kept which came with a job: until the job is taken, and from then on.
# The end of the job ends it sooner; one that nobody does for so long has timed out.
_UNTIL_TAKEN, _UNTIL_DONE = 3600.0, 365 * 86_400.0
_GONE = "There is no such job."
# As the moment that a job expires at.
_DELETED = 0.0


class JobService:
    """Jobs as their owners see them. Thread-safe; blocks: for a thread.

    ``owner`` is a credential's id, empty for callers without one; another owner's job is
    answered as none. None stands for the keeper of the server, who sees all. ``door`` narrows
    to jobs that were handed in there.

    Args:
        settings: see ``superres.settings``.
        database: from :func:`superres.database.open_database`.
        queue: from the same database.
        blobs: where files that are handed in are kept.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        settings: Settings,
        database: Engine,
        queue: JobQueue,
        blobs: Blobs,
        *,
        clock: Clock = now,
    ) -> None:
        self._settings, self._database = settings, database
        self._queue, self._blobs, self._clock = queue, blobs, clock
        self._forecast = Forecast(database, settings.jobs.slot_timeout, clock)

    def submit(self, new: NewJob) -> Job:
        """Take a job; once this returns it is never lost.

        Files are moved into the store. Handed in again with the same idempotency key, the
        first job is given back.

        Raises:
            BadParameter: no pictures or too many, or the same key with another request.
            Overloaded: too many pictures wait.
            StorageError, OutputError: it could not be kept; nothing was taken.
        """
        most = self._settings.jobs.max_items
        if not 1 <= len(new.items) <= most:
            raise BadParameter(
                f"A job has 1 to {most} pictures ([jobs] max_items), not {len(new.items)}."
            )
        if (found := self._same(new)) is not None:
            return found
        taken: builtins.list[str] = []
        try:
            sources = [self._take(new, item, taken) for item in new.items]
        except BaseException:
            self._blobs.delete(*taken)
            raise
        job_id = str(uuid.uuid4())
        try:
            with writing(self._database) as connection:
                job = self._insert(connection, job_id, new, sources)
        except IntegrityError:
            # Somebody was quicker with the same key.
            self._blobs.delete(*taken)
            if (found := self._same(new)) is None:
                raise
            return found
        except Overloaded:
            self._blobs.delete(*taken)
            raise
        except StorageError:
            # The answer to the commit may be what was lost. If nobody can tell, the files stay
            # until they expire.
            with contextlib.suppress(JobNotFound):
                return self.get(job_id, owner=None)
            raise
        self._forecast.forget()
        return job

    def handed_in(self, new: NewJob) -> Job | None:
        """The job that :meth:`submit` would give back instead of taking ``new``; None: none.

        Raises:
            BadParameter: the same idempotency key with another request.
        """
        return self._same(new)

    def get(self, job_id: str, *, owner: str | None, door: str | None = None) -> Job:
        """A job as it stands.

        Raises:
            JobNotFound: there is none of that id, or it is not this owner's.
            JobExpired: it is finished and its results are gone.
        """
        with reading(self._database) as connection:
            row = self._find(connection, job_id, owner, door)
            moment = self._clock(connection)
            if row.expires_at is not None and row.expires_at <= moment:
                raise JobExpired("The time of this job's results is over; hand it in again.")
            return rows.load(connection, [row], moment)[0]

    def list(
        self,
        *,
        owner: str | None,
        door: str | None = None,
        state: State | None = None,
        limit: int = 50,
        before: str | None = None,
    ) -> Sequence[Job]:
        """Jobs, the newest first; expired ones are left out.

        Args:
            owner: whose.
            door: only those handed in there.
            state: only those in it.
            limit: at most so many.
            before: a job's id: only older ones.

        Raises:
            JobNotFound: ``before`` is not one.
        """
        with reading(self._database) as connection:
            moment = self._clock(connection)
            query = select(jobs).where(or_(jobs.c.expires_at.is_(None), jobs.c.expires_at > moment))
            if owner is not None:
                query = query.where(jobs.c.owner == owner)
            if door is not None:
                query = query.where(jobs.c.door == door)
            if state is not None:
                query = query.where(jobs.c.state == state)
            if before is not None:
                last = self._find(connection, before, owner, door)
                query = query.where(
                    or_(
                        jobs.c.created_at < last.created_at,
                        (jobs.c.created_at == last.created_at) & (jobs.c.id < last.id),
                    )
                )
            query = query.order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit)
            return rows.load(connection, connection.execute(query).all(), moment)

    def cancel(self, job_id: str, *, owner: str | None, door: str | None = None) -> Job:
        """Close a job: what waits is not begun, what runs stops between tiles. Pictures that
        are done stay. Safe to repeat; a finished job stays as it is.

        Raises:
            JobNotFound, JobExpired: as :meth:`get`.
        """
        with reading(self._database) as connection:
            self._find(connection, job_id, owner, door)
        with writing(self._database) as connection:
            row = rows.lock(connection, job_id)
            closed = row is not None and not State(row.state).final
            if row is not None and closed:
                moment = self._clock(connection)
                error = JobCancelled("The job was closed before this picture was done.")
                close_items(connection, job_id, State.CLOSED, moment, error)
                rows.settle(connection, self._queue, row, moment, State.CLOSED)
        job = self.get(job_id, owner=owner, door=door)
        if closed:
            self._queue.cancel([item_id(job_id, item.position) for item in job.items])
            self._drop_inputs(job_id)
        return job

    def delete(self, job_id: str, *, owner: str | None, door: str | None = None) -> None:
        """Close a job and forget it, its files included.

        Raises:
            JobNotFound: as :meth:`get`; an expired job can be deleted.
        """
        with reading(self._database) as connection:
            self._find(connection, job_id, owner, door)
        with writing(self._database) as connection:
            row = rows.lock(connection, job_id)
            if row is None:
                return
            moment = self._clock(connection)
            error = JobCancelled("The job was deleted before this picture was done.")
            close_items(connection, job_id, State.CLOSED, moment, error)
            ended = {} if State(row.state).final else {"state": State.CLOSED, "finished_at": moment}
            # From now on it is none; the sweeper ends what is cut short here.
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id)
                .values(expires_at=_DELETED, callback=None, idempotency_key=None, **ended)
            )
        purge(self._database, self._queue, self._blobs, [job_id])

    def wait_seconds(self, job: Job) -> float:
        """An honest guess, in seconds, of when an unfinished job will be done; 0 if it is.

        From the work queued ahead at the same or a higher priority and its own, and the
        measured pace of all processes together.
        """
        return self._forecast.wait_seconds(job)

    def load(self) -> Load:
        """How much there is to do, by all processes together.

        Raises:
            StorageError, Overloaded: the database cannot be asked.
        """
        return self._forecast.load()

    def _same(self, new: NewJob) -> Job | None:
        """The job that was handed in with the same idempotency key."""
        if new.idempotency_key is None:
            return None
        with reading(self._database) as connection:
            row = connection.execute(
                select(jobs).where(
                    jobs.c.idempotency_key == new.idempotency_key,
                    jobs.c.door == new.door,
                    jobs.c.owner == new.owner,
                )
            ).first()
            if row is None:
                return None
            if row.fingerprint != new.fingerprint:
                raise BadParameter(
                    "Another request came with the same idempotency key; choose a new key for "
                    "each new job."
                )
            return rows.load(connection, [row], self._clock(connection))[0]

    def _take(self, new: NewJob, item: NewItem, taken: builtins.list[str]) -> Stored:
        if not isinstance(item.source, FromFile):
            return item.source
        blob = self._blobs.keep(
            item.source.path, item.name, "application/octet-stream", _UNTIL_TAKEN, counted=False
        )
        taken.append(blob.id)
        return FromBlob(blob.id)

    def _insert(
        self, connection: Connection, job_id: str, new: NewJob, sources: Sequence[Stored]
    ) -> Job:
        # A number that is a little old does no harm; the limit is there for the disk's sake.
        waiting = connection.scalar(
            select(func.count()).select_from(job_items).where(job_items.c.state == State.WAITING)
        )
        if (waiting or 0) + len(sources) > self._settings.jobs.max_waiting:
            raise Overloaded(
                f"{waiting:,} pictures wait already ([jobs] max_waiting is "
                f"{self._settings.jobs.max_waiting:,}); try again later.",
                60.0,
            )
        moment = self._clock(connection)
        files = [source.blob_id for source in sources if isinstance(source, FromBlob)]
        kept = connection.execute(
            update(blobs)
            .where(blobs.c.id.in_(files), blobs.c.ready, blobs.c.expires_at > moment)
            .values(expires_at=moment + _UNTIL_DONE)
        )
        if kept.rowcount != len(files):
            raise StorageError("Handing this job in took too long; hand it in again.")
        lifetime = new.lifetime
        connection.execute(
            insert(jobs).values(
                id=job_id,
                door=new.door,
                owner=new.owner,
                state=State.WAITING,
                priority=new.priority,
                details=json.dumps(dict(new.details)),
                callback=None if new.callback is None else request.callback_to_json(new.callback),
                callback_attempts=0,
                idempotency_key=new.idempotency_key,
                fingerprint=new.fingerprint,
                max_wait=self._max_wait(new),
                max_run=self._max_run(new),
                lifetime=self._settings.server.result_lifetime if lifetime is None else lifetime,
                version=1,
                created_at=moment,
            )
        )
        guesses = self._forecast.typical(connection, new.door)
        connection.execute(
            insert(job_items),
            [
                {
                    "job_id": job_id,
                    "position": position,
                    "state": State.WAITING,
                    "priority": new.priority,
                    "name": item.name,
                    "source": request.source_to_json(source),
                    "recipe": request.recipe_to_json(item.recipe),
                    "work": pace.expected(item.recipe) if guesses is None else guesses,
                    "attempt": 0,
                    "deaths": 0,
                    "stage": "queued",
                    "progress": 0.0,
                    "created_at": moment,
                }
                for position, (item, source) in enumerate(zip(new.items, sources, strict=True))
            ],
        )
        self._queue.add(connection, job_id, range(len(sources)), new.priority, moment)
        row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one()
        return rows.load(connection, [row], moment)[0]

    def _find(
        self, connection: Connection, job_id: str, owner: str | None, door: str | None
    ) -> Any:
        query = select(jobs).where(
            jobs.c.id == job_id, jobs.c.expires_at.is_distinct_from(_DELETED)
        )
        if owner is not None:
            query = query.where(jobs.c.owner == owner)
        if door is not None:
            query = query.where(jobs.c.door == door)
        row = None
        if job_id.isascii() and job_id.isprintable():  # else it is none, and no database takes it
            row = connection.execute(query).first()
        if row is None:
            raise JobNotFound(_GONE)
        return row

    def _drop_inputs(self, job_id: str) -> None:
        query = select(job_items.c.source).where(job_items.c.job_id == job_id)
        with reading(self._database) as connection:
            read = rows.inputs(connection.scalars(query))
        self._blobs.delete(*read)

    def _max_wait(self, new: NewJob) -> float:
        return self._settings.jobs.max_wait if new.max_wait is None else new.max_wait

    def _max_run(self, new: NewJob) -> float:
        return self._settings.jobs.max_run if new.max_run is None else new.max_run
