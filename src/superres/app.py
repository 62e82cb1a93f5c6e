"""The composition root: builds what a service is made of, from its settings."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import sqlalchemy

from superres.access import Access, open_access
from superres.buckets import Buckets, open_buckets
from superres.database import open_database
from superres.errors import OutputError
from superres.executors.base import Executor
from superres.executors.pool import WorkerPool
from superres.jobs import JobService
from superres.jobs.queue import JobQueue
from superres.jobs.runner import JobRunner
from superres.models.catalog import attach
from superres.settings import Settings
from superres.sources import Sources
from superres.storage import ObjectStore, open_store
from superres.storage.blobs import Blobs
from superres.storage.links import Links
from superres.storage.spool import Spool

# What has no end must not keep other sweeping waiting; the next sweep goes on.
_SWEEP_S = 2.0


@dataclass(frozen=True)
class App:
    """What a running service is made of.

    Attributes:
        settings: what it was built from.
        database: credentials and counters.
        access: who may do what.
        executor: where pictures are enlarged.
        store: objects in buckets.
        sources: fetches pictures that are named, not sent.
        buckets: what clients keep here, and take from here.
        blobs: files that are kept for a while: results, and what jobs read.
        links: signs the addresses of results.
        jobs: hands jobs in, and looks at them.
        runner: does jobs in this process, once it is started.
        spooled: the folder for the files of requests in flight; removed by :meth:`close`.
    """

    settings: Settings
    database: sqlalchemy.Engine = field(repr=False)
    access: Access
    executor: Executor
    store: ObjectStore
    sources: Sources
    buckets: Buckets
    blobs: Blobs
    links: Links
    jobs: JobService
    runner: JobRunner
    spooled: Spool = field(repr=False)

    @property
    def spool(self) -> Path:
        """Folder for the files of requests in flight, this process's own."""
        return self.spooled.folder

    def close(self, drain: float = 0.0) -> None:
        """Let works end for ``drain`` seconds, then stop everything. Safe to repeat.

        Pictures of jobs that did not end wait again, for whoever comes next.
        """
        self.runner.close(drain)
        self.executor.close(drain)
        self.database.dispose()
        self.spooled.remove()


def build(settings: Settings, *, executor: Executor | None = None) -> App:
    """Build a service.

    Args:
        settings: see ``superres.settings``.
        executor: instead of the worker processes that the settings ask for.

    Raises:
        SuperresError: a folder, the database, the key file or the store cannot be used; the
            sentence says which setting it is about.
    """
    attach(settings.models.weights_dir)
    data_dir = settings.server.data_dir
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        spooled = Spool(data_dir / "spool")
    except OSError as exc:
        raise OutputError(
            f"The folder {data_dir} cannot be written ({exc.strerror}); choose another with "
            "--data-dir or [server] data_dir."
        ) from exc
    with contextlib.ExitStack() as undo:
        undo.callback(spooled.remove)
        database = open_database(settings)
        undo.callback(database.dispose)
        access = open_access(settings, database)
        access.check()
        store = open_store(settings)
        buckets = open_buckets(settings, database, store)
        blobs = Blobs(database, store, settings.server.max_results_bytes)
        sources = Sources(settings.sources, store)
        queue = JobQueue(database)
        executor = executor or WorkerPool(settings)
        undo.callback(executor.close)
        app = App(
            settings=settings,
            database=database,
            access=access,
            executor=executor,
            store=store,
            sources=sources,
            buckets=buckets,
            blobs=blobs,
            links=Links(database),
            jobs=JobService(settings, database, queue, blobs),
            runner=JobRunner(
                settings,
                database,
                access,
                queue,
                executor,
                sources,
                blobs,
                spooled.folder,
                also_sweep=[partial(buckets.sweep, budget=_SWEEP_S)],
            ),
            spooled=spooled,
        )
        undo.pop_all()
    return app
