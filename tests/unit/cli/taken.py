"""Jobs in a data folder, handed in and looked at without a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from superres.access import open_access
from superres.database import open_database
from superres.jobs import FromFile, FromUrl, Job, JobService, NewItem, NewJob, Recipe
from superres.jobs.queue import JobQueue
from superres.pipeline import UpscaleOptions
from superres.settings import load
from superres.storage import open_store
from superres.storage.blobs import Blobs
from tests.e2e.service import until
from tests.unit.cli.calls import draw

NOWHERE = "http://127.0.0.1:9/none.png"
"""An address that no server of these tests fetches from."""


class Taken:
    """The jobs of one data folder.

    Attributes:
        data: the folder.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        self._drawn = 0

    @contextmanager
    def open(self) -> Iterator[tuple[JobService, Blobs]]:
        settings = load(None, {"server.data_dir": self.data}, {})
        database = open_database(settings)
        blobs = Blobs(database, open_store(settings), settings.server.max_results_bytes)
        queue = JobQueue(database)
        try:
            yield JobService(settings, database, queue, blobs), blobs
        finally:
            queue.close()
            database.dispose()

    def credential(self, name: str) -> str:
        """The id of a new one."""
        settings = load(None, {"server.data_dir": self.data}, {})
        database = open_database(settings)
        try:
            return open_access(settings, database).create(name).id
        finally:
            database.dispose()

    def picture(self, name: str = "photo", side: int = 8) -> NewItem:
        """A picture that came along, to be enlarged twice."""
        self._drawn += 1
        file = draw(self.data.parent / "drawn" / f"{self._drawn}.png", side, side)
        return NewItem(FromFile(file), Recipe(UpscaleOptions(scale=2)), name)

    def unreachable(self, name: str = "bad") -> NewItem:
        """A picture that cannot be had."""
        return NewItem(FromUrl(NOWHERE), Recipe(), name)

    def submit(self, items: Sequence[NewItem] | None = None, **more: object) -> Job:
        new = NewJob(**{"door": "v1", "owner": "", "items": items or [self.picture()], **more})
        with self.open() as (jobs, _):
            return jobs.submit(new)

    def look(self, job: Job) -> Job:
        with self.open() as (jobs, _):
            return jobs.get(job.id, owner=None)

    def when(self, job: Job, *states: str) -> Job:
        """``job`` once it is in one of ``states``."""
        seen = [job]
        with self.open() as (jobs, _):

            def there() -> bool:
                seen.append(jobs.get(job.id, owner=None))
                return seen[-1].state in states

            until(there, lambda: str(seen[-1]))
        return seen[-1]

    def content(self, blob_id: str) -> bytes:
        with self.open() as (_, blobs), blobs.read(blobs.open(blob_id)) as pieces:
            return b"".join(pieces)
