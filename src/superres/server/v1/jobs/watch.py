"""Jobs as server-sent events: all who watch the same one share one look at the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from superres.app import App
from superres.errors import JobExpired, JobNotFound, SuperresError
from superres.jobs import Job
from superres.server.errors import answer
from superres.server.v1 import events
from superres.server.v1.errors import render
from superres.server.v1.jobs.answers import described
from superres.server.work import in_thread

PERIOD = 0.5
"""Seconds between two looks at a job that changes, and so between two events."""

_LONGEST_PERIOD = 2.0  # between two looks at one that does not
_SLOWER = 1.3
_LOOK = 0.5  # whether the server stops


def event(app: App, job: Job) -> str:
    """The event that tells ``job`` as it stands. Blocks: for a thread."""
    data = json.dumps(described(app, job).model_dump(mode="json"), separators=(",", ":"))
    # JSON has no line breaks of its own, so one data line is enough.
    return f"event: job\nid: {job.version}\ndata: {data}\n\n"


class Watched:
    """A job that somebody watches. On the event loop.

    Attributes:
        job: as it stood when it was last looked at.
        latest: what tells that; a watcher that is slow misses what was between.
        error: why there is nothing more to see, though the job is not finished.
    """

    def __init__(self, app: App, job: Job, latest: str) -> None:
        self._app = app
        self.job, self.latest = job, latest
        self.error: Exception | None = None
        self.watchers = 0
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._look())

    def close(self) -> None:
        """Nobody watches any more."""
        self._task.cancel()

    async def changed(self, seconds: float) -> None:
        """Wait until there is something new, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _look(self) -> None:
        pause = PERIOD
        while not self.job.state.final and self.error is None:
            await asyncio.sleep(pause)
            pause = min(pause * _SLOWER, _LONGEST_PERIOD)
            try:
                if await in_thread(self._load):
                    pause = PERIOD
            except (JobNotFound, JobExpired) as exc:
                self.error = exc
            except SuperresError:
                continue  # the database has its moments; the job goes on
            except Exception as exc:  # noqa: BLE001 -- whoever waits is told
                self.error = exc
            self._changed.set()
            self._changed = asyncio.Event()

    def _load(self) -> bool:
        job = self._app.jobs.get(self.job.id, owner=self.job.owner, door=self.job.door)
        if job.version == self.job.version:
            return False
        latest = event(self._app, job)
        self.job, self.latest = job, latest
        return True


class Watches:
    """The jobs that are being watched. On the event loop."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._watched: dict[str, Watched] = {}

    def __len__(self) -> int:
        return len(self._watched)

    @contextmanager
    def watch(self, job: Job, latest: str) -> Iterator[Watched]:
        """Watch ``job``, which stands as ``latest`` tells, while the block runs."""
        watched = self._watched.get(job.id)
        if watched is None:
            watched = self._watched[job.id] = Watched(self._app, job, latest)
        watched.watchers += 1
        try:
            yield watched
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                del self._watched[job.id]
                watched.close()


class Followed(StreamingResponse):
    """The events of a job, from now until it is finished.

    A stream that ends before that, because the server stops, is to be asked for again.

    Args:
        watches: of the application.
        request: whose answer it is.
        job: as it stands.
        latest: what tells that.
        known: the version that the client has; None: it has none.
    """

    def __init__(
        self, watches: Watches, request: Request, job: Job, latest: str, known: int | None
    ) -> None:
        super().__init__(self._stream(), headers=events.HEADERS, media_type=events.MEDIA_TYPE)
        self._watches, self._request = watches, request
        self._job, self._latest, self._known = job, latest, known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Here and not in the stream, which nobody need ever begin or end.
        with self._watches.watch(self._job, self._latest) as self._watched:
            await super().__call__(scope, receive, send)

    async def _stream(self) -> AsyncIterator[str]:
        sent, watched = self._job.version, self._watched
        if self._known != sent:
            yield self._latest
        silent = 0.0
        while not getattr(self._request.state, "stopping", False):
            job, latest = watched.job, watched.latest
            if job.version > sent:
                sent, silent = job.version, 0.0
                yield latest
            if watched.error is not None:
                yield f"event: error\ndata: {_refusal(self._request, watched.error)}\n\n"
                return
            if job.state.final:
                return
            if watched.job.version <= sent:
                await watched.changed(_LOOK)
                silent += _LOOK
            if silent >= events.HEARTBEAT:
                silent = 0.0
                yield ": still there\n\n"


def _refusal(request: Request, error: Exception) -> str:
    body: Any = json.loads(bytes(answer(request, error, render).body))
    return json.dumps(body, separators=(",", ":"))
