"""From rows to jobs, and what the state of a job's pictures makes of the job."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from superres.jobs.job import Item, Job, State, outcome, result_from_json, stored_error
from superres.jobs.queue import JobQueue
from superres.jobs.request import FromBlob, source_from_json
from superres.jobs.tables import job_items, jobs
from superres.storage.tables import blobs


def load(connection: Connection, rows: Sequence[Any], now: float) -> list[Job]:
    """The jobs of ``rows``, with their pictures, in the same order."""
    items: dict[str, list[Item]] = defaultdict(list)
    query = (
        select(job_items)
        .where(job_items.c.job_id.in_([row.id for row in rows]))
        .order_by(job_items.c.job_id, job_items.c.position)
    )
    for row in connection.execute(query):
        items[row.job_id].append(_item(row))
    return [_job(row, items[row.id], now) for row in rows]


def lock(connection: Connection, job_id: str) -> Any:
    """The row of a job, which nobody else changes before the transaction ends; None if gone.

    Whoever changes a job's pictures takes this first: two that end at the same moment would
    each see the other unfinished.
    """
    return connection.execute(select(jobs).where(jobs.c.id == job_id).with_for_update()).first()


def settle(
    connection: Connection, queue: JobQueue, row: Any, now: float, why: State | None = None
) -> bool:
    """Bring a locked job up to date with its pictures.

    Args:
        connection: of the transaction that holds the lock.
        queue: told if somebody wants to know of the end.
        row: the job's.
        now: the moment.
        why: closed or timed out, if that is why its last pictures ended.

    Returns:
        Whether the job has ended just now.
    """
    changes: dict[str, Any] = {"version": jobs.c.version + 1}
    states = [
        State(state)
        for state in connection.scalars(
            select(job_items.c.state).where(job_items.c.job_id == row.id)
        )
    ]
    ended = all(state.final for state in states)
    if ended:
        expires = now + row.lifetime
        changes |= {"state": outcome(states, why), "finished_at": now, "expires_at": expires}
        results = select(job_items.c.blob_id).where(
            job_items.c.job_id == row.id, job_items.c.blob_id.is_not(None)
        )
        # In the same transaction, so that a job that is done has its results as long as it says.
        connection.execute(
            update(blobs).where(blobs.c.id.in_(results), blobs.c.ready).values(expires_at=expires)
        )
        # What was read is not needed any more, whether or not who did it could still say so.
        sources = connection.scalars(select(job_items.c.source).where(job_items.c.job_id == row.id))
        connection.execute(
            update(blobs)
            .where(blobs.c.id.in_(inputs(sources)), blobs.c.ready, blobs.c.expires_at > now)
            .values(expires_at=now)
        )
        if row.callback is not None:
            changes["callback_state"] = "waiting"
            queue.tell(connection, row.id, 1)
    elif any(state is not State.WAITING for state in states):
        changes["state"] = State.RUNNING
        if row.started_at is None:
            changes["started_at"] = now
    connection.execute(update(jobs).where(jobs.c.id == row.id).values(**changes))
    return ended


def inputs(sources: Iterable[str]) -> list[str]:
    """The blobs that pictures are read from, as it is written down."""
    found = [source_from_json(source) for source in sources]
    return [source.blob_id for source in found if isinstance(source, FromBlob)]


def _item(row: Any) -> Item:
    result = None if row.result is None else result_from_json(row.result)
    return Item(
        position=row.position,
        name=row.name,
        state=State(row.state),
        stage=row.stage,
        progress=row.progress,
        attempt=row.attempt,
        error=stored_error(row.error_code, row.error_message),
        result=result,
        work=row.work,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def _job(row: Any, items: Sequence[Item], now: float) -> Job:
    return Job(
        id=row.id,
        door=row.door,
        owner=row.owner,
        state=State(row.state),
        priority=row.priority,
        items=tuple(items),
        details=json.loads(row.details),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        expires_at=row.expires_at,
        version=row.version,
        now=now,
        callback_state=row.callback_state,
        callback_error=row.callback_error,
    )
