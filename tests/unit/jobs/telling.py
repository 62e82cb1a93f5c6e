"""What deliveries are made of, on a database of the test's own, and a process that does them."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from dbos import DBOS
from sqlalchemy import select

from superres.access import open_access
from superres.database import open_database, reading
from superres.jobs import Callback, FromUrl, Job, JobService, NewItem, NewJob, Recipe
from superres.jobs.deliveries import Deliveries
from superres.jobs.queue import TELL, JobQueue, configuration, tell_id
from superres.jobs.tables import jobs
from superres.settings import JobsSettings, Settings, SourcesSettings
from superres.sources import Sources
from superres.storage import open_store
from superres.storage.blobs import Blobs
from tests.unit.database.places import settings_at

HERE = SourcesSettings(allow_networks=("127.0.0.1/32",))


def say(job: Job) -> bytes:
    return json.dumps({"id": job.id, "state": job.state, "é": "ü"}, ensure_ascii=False).encode()


class Service:
    """As much of a service as ends jobs and tells of it."""

    def __init__(self, settings: Settings) -> None:
        self.database = open_database(settings)
        self.access = open_access(settings, self.database)
        self.queue = JobQueue(self.database)
        blobs = Blobs(self.database, open_store(settings), 1 << 20)
        self.jobs = JobService(settings, self.database, self.queue, blobs)

    def close(self) -> None:
        self.queue.close()
        self.database.dispose()

    def ended(self, url: str, door: str = "test", **callback: Any) -> str:
        """Have a job end whose owner wants to know; returns its id."""
        item = NewItem(FromUrl("http://example.com/a.png"), Recipe())
        new = NewJob(door=door, owner="", items=[item], callback=Callback(url, **callback))
        job = self.jobs.submit(new)
        return self.jobs.cancel(job.id, owner="").id

    def deliveries(
        self, *, attempts: int = 3, timeout: float = 10.0, sources: Sources | None = None, **more
    ) -> Deliveries:
        given = {"tellers": {"test": say}, "queue": self.queue, "pauses": (100.0, 200.0)} | more
        limits = JobsSettings(webhook_attempts=attempts, webhook_timeout=timeout)
        sources = sources or Sources(HERE, None)
        return Deliveries(limits, self.database, self.access, sources, **given)

    def row(self, job_id: str) -> Any:
        with reading(self.database) as connection:
            return connection.execute(select(jobs).where(jobs.c.id == job_id)).one()

    def outcome(self, job_id: str) -> tuple[str, int, str | None]:
        """State, number of tries and why, as they are written down."""
        row = self.row(job_id)
        return row.callback_state, row.callback_attempts, row.callback_error

    def tries(self, job_id: str) -> list[str]:
        """The state, in the queue, of the first try and those that follow."""
        found = self.queue.states([tell_id(job_id, n) for n in range(1, 20)])
        assert found
        assert set(found) == {tell_id(job_id, n + 1) for n in range(len(found))}
        return [found[tell_id(job_id, n + 1)] for n in range(len(found))]


def run(folder: Path, url: str | None, name: str) -> None:
    """Make the tries that are due until this process is killed."""
    service = Service(settings_at(folder, url))
    deliveries = service.deliveries(attempts=8, pauses=(1.0,))
    DBOS(config=configuration(service.database, name))

    @DBOS.workflow(name=TELL)
    def tell(job_id: str, attempt: int) -> None:
        deliveries.attempt(job_id, attempt)

    DBOS.launch()
    DBOS.register_queue(TELL, polling_interval_sec=0.1, on_conflict="always_update")
    threading.Event().wait()
