"""What every door does with a request: take its body in, have it upscaled, say how long."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from anyio.to_thread import run_sync
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from superres.app import App
from superres.errors import Cancelled, Overloaded, SourceTooLarge, StorageError
from superres.executors.base import Done, Work
from superres.pipeline.reporter import OnProgress
from superres.server.errors import ClientGone
from superres.server.identity import is_foreign

P = ParamSpec("P")
R = TypeVar("R")

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run what blocks (a database, a file, a fetch) beside the event loop."""
    return await run_in_threadpool(function, *args, **kwargs)


@asynccontextmanager
async def scratch_folder(app: App) -> AsyncIterator[Path]:
    """A folder for one request's files, removed at the end whatever happens.

    Raises:
        StorageError: the disk is full.
    """
    folder: Path | None = None
    try:
        folder = Path(tempfile.mkdtemp(prefix="request-", dir=app.spool))
        yield folder
    except OSError as exc:
        if exc.errno not in _FULL:
            raise
        raise StorageError(
            "The server has no room left on its disk for this picture; try again later."
        ) from exc
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


async def save_body(
    request: Request,
    target: Path,
    max_bytes: int,
    on_chunk: Callable[[bytes], None] | None = None,
    limit: str = "[server] max_body_bytes",
) -> int:
    """Stream the request's body to ``target``.

    Args:
        request: its body is not read yet.
        target: written to.
        max_bytes: counted on what really arrives; a larger Content-Length is refused unread.
        on_chunk: sees every piece, for a hash.
        limit: the setting to name.

    Returns:
        Number of bytes.

    Raises:
        SourceTooLarge: more than ``max_bytes``.
        SourceUnreachable: it arrived too slowly (see ``superres.server.observe``).
        ClientDisconnect: the client went away.
    """
    too_large = SourceTooLarge(
        f"The request's body is larger than {max_bytes:,} bytes ({limit}); send a smaller file."
    )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise too_large
    size = 0
    # Pieces are some tens of kilobytes and go to the page cache: faster than asking a thread.
    with target.open("wb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > max_bytes:
                raise too_large
            if on_chunk is not None:
                on_chunk(chunk)
            file.write(chunk)
    return size


async def fetch(
    request: Request,
    app: App,
    address: str,
    target: Path,
    may_read: Callable[[str, str], None] | None,
) -> None:
    """Fetch the picture at ``address`` to ``target``; a client that goes away stops it.

    Args:
        request: its body must have been read before.
        app: whose sources.
        address: http, https or s3.
        target: written whole or not at all.
        may_read: asked for the bucket and key of s3; None for callers without a credential.

    Raises:
        ClientGone: the client closed the connection.
        Overloaded: too many wait for slow sites.
        SuperresError: see :class:`superres.sources.Sources`.
    """
    limiter = request.app.state.fetchers
    if limiter.statistics().tasks_waiting >= limiter.total_tokens:
        raise Overloaded(
            "Too many pictures are being fetched; try again soon, or send the picture itself.",
            app.settings.sources.timeout,
        )
    # Without a credential any page of the web may ask, from the browser of somebody inside.
    trusted = may_read is not None or not is_foreign(request)
    gone = threading.Event()
    watch = asyncio.ensure_future(disconnected(request))
    watch.add_done_callback(lambda _: gone.set())
    try:
        await run_sync(
            partial(
                app.sources.fetch,
                address,
                target,
                caller_may_read=may_read,
                cancelled=gone.is_set,
                trusted=trusted,
            ),
            limiter=limiter,
        )
    except Cancelled as exc:
        raise ClientGone("The client closed the connection.") from exc
    finally:
        watch.cancel()


async def upscale(
    request: Request, app: App, work: Work, on_progress: OnProgress | None = None
) -> Done:
    """Have ``work`` done and wait for it; a client that goes away cancels it.

    The body must have been read before. Fills ``request.state.done`` for :func:`times`.

    Raises:
        ClientGone: the client closed the connection.
        SuperresError: see :class:`superres.executors.base.Executor`.
    """
    async with _running(app, work, on_progress) as finished:
        gone = asyncio.ensure_future(disconnected(request))
        try:
            either: set[asyncio.Future[Any]] = {finished, gone}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not finished.done():
                raise ClientGone("The client closed the connection before the answer was ready.")
            done = finished.result()
        finally:
            gone.cancel()
    request.state.done = done
    request.app.state.metrics.upscaled(done)
    return done


async def upscale_for_all(app: App, work: Work) -> Done:
    """Have ``work`` done, whoever asked for it; stopping to wait cancels it.

    Raises:
        SuperresError: see :class:`superres.executors.base.Executor`.
    """
    async with _running(app, work) as finished:
        await asyncio.wait({finished})
        return finished.result()


@asynccontextmanager
async def _running(
    app: App, work: Work, on_progress: OnProgress | None = None
) -> AsyncIterator[asyncio.Future[Done]]:
    """The end of ``work``; it is cancelled if that did not come before the block's."""
    running = app.executor.submit(work, on_progress=on_progress)
    finished = asyncio.wrap_future(running.future)
    # An error that nobody is left to hear of is no reason for asyncio to complain.
    finished.add_done_callback(lambda f: f.cancelled() or f.exception())
    try:
        yield finished
    finally:
        if not finished.done():
            running.cancel()
            # The files may go only when nobody writes them any more.
            with contextlib.suppress(Exception):
                await asyncio.shield(asyncio.wait({finished}))


async def unless_gone(request: Request, doing: Coroutine[Any, Any, R]) -> R:
    """What ``doing`` returns; a client that goes away cancels it, and its end is waited for.

    The body must have been read before.

    Raises:
        ClientGone: the client closed the connection.
    """
    task = asyncio.ensure_future(doing)
    task.add_done_callback(lambda t: t.cancelled() or t.exception())
    gone = asyncio.ensure_future(disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone("The client closed the connection before the answer was ready.")
        return task.result()
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.shield(asyncio.wait({task}))


async def disconnected(request: Request) -> None:
    """Ends when the client has gone. The body must have been read before."""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return


def times(request: Request) -> dict[str, str]:
    """Headers that tell how long it waited and how long the network ran, in milliseconds."""
    done: Done | None = getattr(request.state, "done", None)
    if done is None:
        return {}
    return {
        "X-Queue-Time": str(round(done.queue_seconds * 1000)),
        "X-Inference-Time": str(round(done.report.inference_seconds * 1000)),
    }
