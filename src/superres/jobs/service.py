"""Handing jobs in, looking at them, closing and deleting them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine

from superres.database.clock import Clock, now
from superres.jobs.job import Job, State
from superres.jobs.request import NewJob
from superres.settings import Settings
from superres.storage.blobs import Blobs


class JobService:
    """Jobs as their owners see them. Thread-safe; blocks: for a thread.

    ``owner`` is a credential's id, empty for callers without one; another owner's job is
    answered as none. ``door`` narrows to jobs that were handed in there.
    """

    def __init__(
        self, settings: Settings, database: Engine, blobs: Blobs, *, clock: Clock = now
    ) -> None:
        self._settings, self._database, self._blobs = settings, database, blobs
        self._clock = clock

    def submit(self, new: NewJob) -> Job:
        """Take a job; once this returns it is never lost.

        Files are moved into the store. Handed in again with the same idempotency key, the
        first job is given back.

        Raises:
            BadParameter: no pictures or too many, or the same key with another request.
            Overloaded: too many pictures wait.
            StorageError, OutputError: it could not be kept; nothing was taken.
        """
        raise NotImplementedError

    def get(self, job_id: str, *, owner: str, door: str | None = None) -> Job:
        """A job as it stands.

        Raises:
            JobNotFound: there is none of that id, or it is not this owner's.
            JobExpired: it is finished and its results are gone.
        """
        raise NotImplementedError

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
            owner: whose; None: everybody's, for the keeper of the server.
            door: only those handed in there.
            state: only those in it.
            limit: at most so many.
            before: a job's id: only older ones.

        Raises:
            JobNotFound: ``before`` is not one.
        """
        raise NotImplementedError

    def cancel(self, job_id: str, *, owner: str | None, door: str | None = None) -> Job:
        """Close a job: what waits is not begun, what runs stops between tiles. Pictures that
        are done stay. Safe to repeat; a finished job stays as it is.

        Raises:
            JobNotFound, JobExpired: as :meth:`get`.
        """
        raise NotImplementedError

    def delete(self, job_id: str, *, owner: str | None, door: str | None = None) -> None:
        """Close a job and forget it, its files included.

        Raises:
            JobNotFound: as :meth:`get`; an expired job can be deleted.
        """
        raise NotImplementedError

    def wait_seconds(self, job: Job) -> float:
        """An honest guess, in seconds, of when an unfinished job will be done; 0 if it is.

        From the work queued ahead at the same or a higher priority and its own, and the
        measured pace of all processes together.
        """
        raise NotImplementedError
