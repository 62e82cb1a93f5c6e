"""Removing jobs altogether: from the queue, from the store, from the tables, in this order.

What is cut short is found again by the job's row, which goes last.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, delete, select

from superres.database import reading, writing
from superres.jobs import rows
from superres.jobs.queue import JobQueue, item_id, tell_id
from superres.jobs.tables import job_items, jobs
from superres.storage.blobs import Blobs


def purge(database: Engine, queue: JobQueue, blobs: Blobs, job_ids: Sequence[str]) -> None:
    """Remove jobs of which nothing runs any more, and all that is theirs.

    Raises:
        StorageError, Overloaded: do it again; nothing is left unknown.
    """
    with reading(database) as connection:
        found = connection.execute(
            select(jobs.c.id, jobs.c.callback_attempts).where(jobs.c.id.in_(job_ids))
        ).all()
        items = connection.execute(select(job_items).where(job_items.c.job_id.in_(job_ids))).all()
    flows = [item_id(item.job_id, item.position) for item in items]
    for job in found:
        flows += [tell_id(job.id, attempt + 1) for attempt in range(job.callback_attempts + 1)]
    queue.forget(flows)
    results = [item.blob_id for item in items if item.blob_id is not None]
    blobs.delete(*results, *rows.inputs(item.source for item in items))
    with writing(database) as connection:
        connection.execute(delete(jobs).where(jobs.c.id.in_(job_ids)))
