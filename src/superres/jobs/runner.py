"""Doing jobs: one runner for each process, over DBOS Transact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy import Engine

from superres.access import Access
from superres.executors.base import Executor
from superres.jobs.job import Job
from superres.settings import Settings
from superres.sources import Sources
from superres.storage.blobs import Blobs

Tell = Callable[[Job], bytes]
"""What is posted when a job has ended: JSON in the words of its door."""


class JobRunner:
    """Takes waiting pictures of jobs and does them, sweeps, and tells those who want to know.

    Of one process only one can be started at a time (DBOS is one for a process).
    """

    def __init__(
        self,
        settings: Settings,
        database: Engine,
        access: Access,
        executor: Executor,
        sources: Sources,
        blobs: Blobs,
        folder: Path,
    ) -> None:
        self._settings = settings
        self.tellers: dict[str, Tell] = {}

    def start(self) -> None:
        """Begin. With ``[jobs] concurrency`` 0 this process sweeps and tells, and does none."""

    def close(self, drain: float = 0.0) -> None:
        """Take no more, give what runs ``drain`` seconds, then stop; what did not end waits
        again. Safe to repeat, and without :meth:`start`.
        """

    def tell_with(self, tellers: Mapping[str, Tell]) -> None:
        """Which door says it how, by the door's name."""
        self.tellers.update(tellers)
