"""The composition root: builds what a service is made of, from its settings."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy

from superres.access import Access, open_access
from superres.database import open_database
from superres.errors import OutputError
from superres.executors.base import Executor
from superres.executors.pool import WorkerPool
from superres.settings import Settings
from superres.sources import Sources
from superres.storage import ObjectStore, open_store
from superres.storage.results import Results
from superres.storage.spool import Spool


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
        results: finished pictures with links, for a while.
        spooled: the folder for the files of requests in flight; removed by :meth:`close`.
    """

    settings: Settings
    database: sqlalchemy.Engine = field(repr=False)
    access: Access
    executor: Executor
    store: ObjectStore
    sources: Sources
    results: Results
    spooled: Spool = field(repr=False)

    @property
    def spool(self) -> Path:
        """Folder for the files of requests in flight, this process's own."""
        return self.spooled.folder

    def close(self, drain: float = 0.0) -> None:
        """Let works end for ``drain`` seconds, then stop everything. Safe to repeat."""
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
        results = Results(
            data_dir / "results", settings.server.result_lifetime, settings.server.max_results_bytes
        )
        app = App(
            settings=settings,
            database=database,
            access=access,
            executor=executor or WorkerPool(settings),
            store=store,
            sources=Sources(settings.sources, store),
            results=results,
            spooled=spooled,
        )
        undo.pop_all()
    return app
