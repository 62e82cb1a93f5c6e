"""One picture of a job, from where it is to its result in the store."""

from __future__ import annotations

import errno
import logging
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from superres.errors import (
    BucketNotFound,
    Cancelled,
    DeadlineExceeded,
    ObjectNotFound,
    OutputError,
    Overloaded,
    StorageError,
)
from superres.executors.base import Done, Executor, Running, Work
from superres.imageio import MEDIA_TYPES
from superres.jobs.job import ItemResult
from superres.jobs.ledger import Ticket
from superres.jobs.request import FromBlob, FromUrl
from superres.pipeline import Progress, UpscaleOptions
from superres.pipeline.options import result_name
from superres.sources import Sources
from superres.storage.blobs import Blob, Blobs
from superres.storage.checked import Damaged

_log = logging.getLogger("superres.jobs")

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Until it is written down that the picture is done: one that never is goes by itself.
_UNTIL_WRITTEN_DOWN_S = 3600.0
_MOST_PATIENCE_S = 5.0
_LONGEST_PAUSE_S = 15.0
T = TypeVar("T")


class Errand:
    """A picture that is being done. Its progress may be read, and it stopped, by any thread."""

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.told: tuple[str, float] = ("fetch", 0.0)
        self._until = time.monotonic() + ticket.max_run
        self._stopped = threading.Event()
        self._running: Running | None = None

    def stop(self) -> None:
        """Stop between tiles: it is not wanted any more. Safe to repeat."""
        self._stopped.set()
        if (running := self._running) is not None:
            running.cancel()

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped it."""
        return self._stopped.is_set()

    @property
    def left(self) -> float:
        """Seconds that it may still take."""
        return self._until - time.monotonic()

    def pause(self, seconds: float) -> bool:
        """Wait; True at once if it is stopped."""
        return self._stopped.wait(seconds)

    def progressed(self, progress: Progress) -> None:
        """How far the upscale is; leaves room for fetching and storing."""
        self.told = progress.stage, 0.05 + 0.9 * progress.fraction

    def start(self, executor: Executor, work: Work) -> Running:
        """Hand ``work`` in; waits for room as long as it may.

        Raises:
            Cancelled: it was stopped.
            DeadlineExceeded: there was no room before its deadline.
        """
        assert work.deadline is not None
        end = time.monotonic() + work.deadline
        while (running := self._submit(executor, work, end - time.monotonic())) is None:
            pass
        self._running = running
        if self.stopped:
            running.cancel()
        return running

    def _submit(self, executor: Executor, work: Work, left: float) -> Running | None:
        """Hand ``work`` in; None if there was no room, after a pause."""
        if left <= 0:
            raise DeadlineExceeded("There was no room for this picture in time.")
        try:
            return executor.submit(replace(work, deadline=left), on_progress=self.progressed)
        except Overloaded as exc:
            if self._stopped.wait(min(exc.retry_after, _MOST_PATIENCE_S, left)):
                raise Cancelled("The picture is not wanted any more.") from None
            return None


def _persist(errand: Errand, ask: Callable[[], T]) -> T:
    """Ask the store and the database as long as the picture may take: they may be away.

    Raises:
        Cancelled: the picture was stopped meanwhile.
        StorageError: it stayed away, or what is there is not what was kept.
    """
    pause = 0.25
    while True:
        try:
            return ask()
        except (ObjectNotFound, BucketNotFound, Damaged):
            raise
        except (StorageError, Overloaded) as exc:
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            if errand.left < pause:
                raise
            _log.warning("Trying again in %g s: %s", pause, exc.public_message)
        if errand.pause(pause):
            raise Cancelled("The picture is not wanted any more.")


def _second(file: Path) -> Path:
    """Another name for ``file``, in the same folder."""
    other = file.with_name(f"{file.name}-{uuid.uuid4().hex}")
    try:
        other.hardlink_to(file)
    except OSError:  # not every disk has links
        shutil.copyfile(file, other)
    return other


class Performer:
    """Does pictures. Thread-safe; blocks.

    Args:
        executor: enlarges.
        sources: fetches.
        blobs: keeps what comes in and goes out.
        folder: for the files in between.
    """

    def __init__(self, executor: Executor, sources: Sources, blobs: Blobs, folder: Path) -> None:
        self._executor, self._sources = executor, sources
        self._blobs, self._folder = blobs, folder

    def do(self, errand: Errand) -> tuple[ItemResult, str]:
        """Do a picture; returns what became of it and the model's name.

        Raises:
            Cancelled: it was stopped.
            SuperresError: why it failed.
        """
        folder: Path | None = None
        try:
            folder = Path(tempfile.mkdtemp(prefix="item-", dir=self._folder))
            return self._do(errand, folder)
        except OSError as exc:
            if exc.errno not in _FULL:
                raise
            raise OutputError(
                "The server has no room left on its disk for this picture; hand it in again later."
            ) from exc
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def _do(self, errand: Errand, folder: Path) -> tuple[ItemResult, str]:
        ticket, source, target = errand.ticket, folder / "source", folder / "target"
        begun = time.monotonic()
        self._fetch(errand, source)
        fetched = time.monotonic() - begun
        if errand.left <= 0:
            raise DeadlineExceeded(
                f"The picture took longer to come than all of it may ({ticket.max_run:g} s)."
            )
        work = Work(
            source,
            target,
            deadline=errand.left,
            request_id=f"{ticket.job_id}.{ticket.position}",
            recipe=ticket.recipe,
        )
        running = errand.start(self._executor, work)
        try:
            done = running.future.result()
        except CancelledError as exc:
            raise Cancelled("The picture was not done.") from exc
        errand.told = "store", 0.96
        return self._keep(errand, done, target, fetched)

    def _fetch(self, errand: Errand, target: Path) -> None:
        source = errand.ticket.source
        if isinstance(source, FromBlob):
            blob_id = source.blob_id
            try:
                _persist(errand, lambda: self._blobs.fetch(blob_id, target))
            except ObjectNotFound as exc:
                raise StorageError("The picture is not in the store any more.") from exc
            return
        assert isinstance(source, FromUrl)
        self._sources.fetch(
            source.url,
            target,
            # Asked when it was handed in.
            caller_may_read=(lambda _bucket, _key: None) if source.may_read else None,
            cancelled=lambda: errand.stopped,
            max_bytes=errand.ticket.recipe.rules.max_bytes,
            trusted=source.trusted,
            timeout=source.timeout,
        )

    def _keep(
        self, errand: Errand, done: Done, target: Path, fetched: float
    ) -> tuple[ItemResult, str]:
        report, ticket = done.report, errand.ticket
        options = ticket.recipe.options
        if ticket.recipe.ladder:
            options = UpscaleOptions(scale=round(report.out_width / report.width, 2))
        name = result_name(ticket.name, options, report)
        media_type = MEDIA_TYPES[report.format]

        def keep() -> Blob:
            # The store takes the file away, also if it fails after that.
            copy = _second(target)
            return self._blobs.keep(copy, name, media_type, _UNTIL_WRITTEN_DOWN_S, counted=False)

        blob = _persist(errand, keep)
        asked = ticket.recipe.options.with_faces
        result = ItemResult.of(done, blob, with_faces=asked, fetch_seconds=fetched)
        return result, report.model
