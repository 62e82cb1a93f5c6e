"""What a process writes about the pictures that it does.

Each time a picture is begun its ``attempt`` goes up by one, and whoever writes about it says
which attempt that was: a process that was taken for dead and was not finds its words refused,
so that a picture never has two results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, and_, select, update

from superres.database import reading, writing
from superres.database.clock import Clock, now
from superres.errors import DeadlineExceeded, SuperresError, WorkerLost
from superres.executors.recipe import Recipe
from superres.jobs import request, rows
from superres.jobs.job import UNFINISHED, ItemResult, State, result_to_json
from superres.jobs.queue import JobQueue
from superres.jobs.tables import job_items, jobs
from superres.storage.tables import blobs

_UNTIL_THE_END_S = 30 * 86_400.0


@dataclass(frozen=True)
class Ticket:
    """A picture that this process has begun.

    Attributes:
        job_id, position: which one.
        attempt: how often it was begun, this time included.
        source: where it is.
        recipe: what to do.
        name: stem of the result's name.
        max_run: seconds that it may take.
        lifetime: seconds that its result is kept after the job has ended.
    """

    job_id: str
    position: int
    attempt: int
    source: request.Stored
    recipe: Recipe
    name: str
    max_run: float
    lifetime: float

    @property
    def key(self) -> tuple[str, int]:
        """Which picture."""
        return self.job_id, self.position


class Ledger:
    """Writes for one process. Thread-safe; blocks.

    Args:
        database: where.
        queue: told of jobs that end.
        slot: the process's, see :mod:`superres.jobs.slots`.
        attempts: how often a picture may be begun whose process dies.
        clock: seconds since 1970.
    """

    def __init__(
        self, database: Engine, queue: JobQueue, slot: str, attempts: int, clock: Clock = now
    ) -> None:
        self._database, self._queue, self._slot = database, queue, slot
        self._attempts, self._clock = attempts, clock

    def begin(self, job_id: str, position: int) -> Ticket | None:
        """Begin a picture; None if there is nothing to do (any more), or another has it.

        What this version cannot read, or has no model for, fails and says so.
        """
        with writing(self._database) as connection:
            job = rows.lock(connection, job_id)
            item = connection.execute(select(job_items).where(_is(job_id, position))).first()
            if job is None or item is None or State(item.state).final:
                return None
            if item.slot not in (None, self._slot):
                # What a dead process had is let go before it is given to others: that one lives.
                return None
            moment = self._clock(connection)
            if item.deaths >= self._attempts:
                times = "once" if item.deaths == 1 else f"{item.deaths} times"
                error = WorkerLost(
                    f"The process that did this picture died {times} before it was done; the "
                    "picture may be what kills it."
                )
                _end(connection, job_id, position, State.FAILED, moment, error)
                rows.settle(connection, self._queue, job, moment)
                return None
            try:
                recipe = request.recipe_from_json(item.recipe)
            except SuperresError as exc:  # left waiting, it would be claimed again and again
                _end(connection, job_id, position, State.FAILED, moment, exc)
                rows.settle(connection, self._queue, job, moment)
                return None
            values = {
                "state": State.RUNNING,
                "attempt": item.attempt + 1,
                "slot": self._slot,
                "stage": "fetch",
                "progress": 0.0,
                "started_at": moment,
            }
            connection.execute(update(job_items).where(_is(job_id, position)).values(**values))
            rows.settle(connection, self._queue, job, moment)
        return Ticket(
            job_id,
            position,
            item.attempt + 1,
            request.source_from_json(item.source),
            recipe,
            item.name,
            job.max_run,
            job.lifetime,
        )

    def more_urgent_waits(self, priority: int) -> bool:
        """Whether a picture of a higher priority has not been begun by anybody."""
        query = select(job_items.c.job_id).where(
            job_items.c.state == State.WAITING, job_items.c.priority > priority
        )
        with reading(self._database) as connection:
            return connection.execute(query.limit(1)).first() is not None

    def is_over(self, job_id: str, position: int) -> bool:
        """Whether nothing is left to do for a picture, by anybody."""
        query = select(job_items.c.state).where(_is(job_id, position))
        with reading(self._database) as connection:
            state = connection.scalar(query)
        return state is None or State(state).final

    def done(self, ticket: Ticket, result: ItemResult, work: float) -> bool:
        """The picture is done; False if it is somebody else's by now, or the result is gone.

        May be asked again if it raised: the answer to the commit may be what was lost.
        """
        values = {
            "result": result_to_json(result),
            "blob_id": result.blob_id,
            "work": work,
            "stage": "done",
            "progress": 1.0,
        }
        try:
            return self._finish(ticket, State.DONE, values)
        except _ResultGone:
            # It waited too long to be written down: nothing is, and the picture is done again.
            return False

    def failed(self, ticket: Ticket, error: SuperresError) -> bool:
        """The picture failed; False if it is somebody else's by now."""
        late = isinstance(error, DeadlineExceeded)
        return self._finish(ticket, State.TIMED_OUT if late else State.FAILED, _said(error))

    def progress(self, told: Mapping[tuple[str, int], tuple[str, float]]) -> None:
        """How far pictures of this process are: stage and fraction by picture."""
        with writing(self._database) as connection:
            # Jobs before their pictures, and in one order, as everybody: else two would wait
            # for each other.
            for job_id in sorted({job_id for job_id, _ in told}):
                connection.execute(
                    update(jobs).where(jobs.c.id == job_id).values(version=jobs.c.version + 1)
                )
            for (job_id, position), (stage, fraction) in sorted(told.items()):
                connection.execute(
                    update(job_items)
                    .where(_is(job_id, position), self._mine())
                    .values(stage=stage, progress=fraction)
                )

    def mine(self) -> dict[tuple[str, int], int]:
        """The pictures that this process still has, and the attempt of each."""
        columns = (job_items.c.job_id, job_items.c.position, job_items.c.attempt)
        with reading(self._database) as connection:
            found = connection.execute(select(*columns).where(self._mine())).all()
        return {(row.job_id, row.position): row.attempt for row in found}

    def _finish(self, ticket: Ticket, state: State, values: Mapping[str, Any]) -> bool:
        with writing(self._database) as connection:
            job = rows.lock(connection, ticket.job_id)
            if job is None:
                return False
            moment = self._clock(connection)
            written = connection.execute(
                update(job_items)
                .where(_is(*ticket.key), self._mine(), job_items.c.attempt == ticket.attempt)
                .values(state=state, slot=None, finished_at=moment, **values)
            )
            if not written.rowcount:
                return _is_written(connection, ticket, state, values)
            if (blob_id := values.get("blob_id")) is not None:
                # Until the job has ended, which sets the time that its results have.
                kept = connection.execute(
                    update(blobs)
                    .where(blobs.c.id == blob_id, blobs.c.ready)
                    .values(expires_at=moment + _UNTIL_THE_END_S)
                )
                if not kept.rowcount:
                    raise _ResultGone
            rows.settle(connection, self._queue, job, moment)
            return True

    def _mine(self) -> Any:
        return and_(job_items.c.state == State.RUNNING, job_items.c.slot == self._slot)


class _ResultGone(Exception):
    """There is no file of that result any more; the transaction is rolled back."""


def _is_written(
    connection: Connection, ticket: Ticket, state: State, values: Mapping[str, Any]
) -> bool:
    """Whether that very end was written down before."""
    query = select(job_items).where(_is(*ticket.key))
    row = connection.execute(query).first()
    return (
        row is not None
        and (row.state, row.attempt) == (state, ticket.attempt)
        and row.blob_id == values.get("blob_id")
        and row.error_code == values.get("error_code")
    )


def close_items(
    connection: Connection,
    job_id: str,
    state: State,
    moment: float,
    error: SuperresError,
    *,
    of: Iterable[State] = UNFINISHED,
) -> None:
    """End the pictures of a locked job that are in one of the states ``of``."""
    connection.execute(
        update(job_items)
        .where(job_items.c.job_id == job_id, job_items.c.state.in_(list(of)))
        .values(state=state, slot=None, finished_at=moment, **_said(error))
    )


def _end(
    connection: Connection,
    job_id: str,
    position: int,
    state: State,
    moment: float,
    error: SuperresError,
) -> None:
    connection.execute(
        update(job_items)
        .where(_is(job_id, position))
        .values(state=state, slot=None, finished_at=moment, **_said(error))
    )


def _said(error: SuperresError) -> dict[str, str]:
    # PostgreSQL takes no NUL, and no database lone surrogates.
    message = error.public_message.replace("\0", "").encode("utf-8", "replace").decode()
    return {"error_code": error.code, "error_message": message}


def _is(job_id: str, position: int) -> Any:
    return and_(job_items.c.job_id == job_id, job_items.c.position == position)
