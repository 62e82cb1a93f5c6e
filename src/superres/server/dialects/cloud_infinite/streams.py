"""Answers whose body is read from the store, or from a file, while it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import structlog
from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from superres.errors import StorageError, SuperresError
from superres.server.dialects.cloud_infinite.answers import headers
from superres.server.identity import request_id
from superres.server.work import disconnected, in_thread

log = structlog.get_logger("superres.server.cloud_infinite")

_PIECE = 1 << 18
_BATCH = 1 << 20


async def stream(
    request: Request,
    source: AbstractContextManager[Iterator[bytes]],
    length: int,
    more: Mapping[str, str],
    media_type: str,
    status: int = 200,
) -> Response:
    """Answer with what ``source`` gives, of which two megabytes at most are in memory.

    It is opened, and its first piece is read, before this returns, so that what is wrong with
    it can still be told. It is closed when all was sent or the client has gone. If reading
    fails later, the connection ends before the length that was promised.

    Args:
        request: its body is not needed any more.
        source: gives the body's pieces; opened, read and closed in threads.
        length: of the body, in bytes.
        more: headers of the answer beside those that every answer has.
        media_type: as it was stored; nothing is added to it.
        status: of HTTP.

    Raises:
        SuperresError: what ``source`` raises.
    """
    known = {
        **headers(request),
        **more,
        "Content-Type": media_type,
        "Content-Length": str(length),
    }
    reader = _Reader(source, length)
    first = await in_thread(reader.begin)
    if reader.left == 0:
        return Response(b"".join(first), status, known)
    return _Streamed(request, reader, first, status, known)


@contextlib.contextmanager
def file_pieces(path: Path) -> Iterator[Iterator[bytes]]:
    """A file's content, as :func:`stream` takes it."""
    with path.open("rb") as file:
        yield iter(lambda: file.read(_PIECE), b"")


class _Reader:
    """Reads in threads, some pieces at a time, and closes only when nobody reads.

    Attributes:
        left: how many bytes are still to be read.
    """

    def __init__(self, source: AbstractContextManager[Iterator[bytes]], length: int) -> None:
        self._source, self.left = source, length
        self._stack = contextlib.ExitStack()
        self._busy = threading.Lock()
        self._pieces: Iterator[bytes] = iter(())

    def begin(self) -> list[bytes]:
        """Open, and return the first pieces; closed again if there are no others."""
        if not self.left:
            return []
        with contextlib.ExitStack() as undo:
            undo.push(self._stack)
            self._pieces = self._stack.enter_context(self._source)
            some = self.some()
            if self.left:
                undo.pop_all()
        return some

    def some(self) -> list[bytes]:
        """The next pieces, about a batch together.

        Raises:
            StorageError: there is less, or more, than was promised.
        """
        found, size = [], 0
        with self._busy:
            while size < min(_BATCH, self.left):
                piece = next(self._pieces, None)
                if piece is None:
                    raise StorageError("An object's content is shorter than it was stored.")
                found.append(piece)
                size += len(piece)
            self.left -= size
            if self.left < 0:
                raise StorageError("An object's content is longer than it was stored.")
        return found

    def close(self) -> None:
        with self._busy:
            self._pieces = iter(())
            self._stack.close()


class _Streamed(Response):
    def __init__(
        self,
        request: Request,
        reader: _Reader,
        first: list[bytes],
        status: int,
        known: Mapping[str, str],
    ) -> None:
        super().__init__(None, status, known)
        self._request, self._reader, self._first = request, reader, first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(disconnected(self._request))
        coming: asyncio.Future[list[bytes]] | None = None
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            pieces, self._first = self._first, []
            while pieces and not gone.done():
                # Some are read while others are sent.
                left = self._reader.left > 0
                coming = asyncio.ensure_future(in_thread(self._reader.some)) if left else None
                while pieces:
                    more = bool(left or pieces[1:])
                    body = pieces.pop(0)
                    await send({"type": "http.response.body", "body": body, "more_body": more})
                if coming is not None:
                    pieces, coming = await coming, None
            if pieces:
                self._request.state.outcome = "client_gone"
        except SuperresError as exc:
            # The status has been sent: that the body ends too early is all that can be told.
            self._request.state.outcome = exc.code
            log.error(exc.public_message, request_id=request_id(self._request), exc_info=exc)
        finally:
            gone.cancel()
            gone.add_done_callback(_heard)
            if coming is not None:
                coming.add_done_callback(_heard)
            await asyncio.shield(in_thread(self._reader.close))


def _heard(done: asyncio.Future[Any]) -> None:
    """Nobody else asks how it ended."""
    if not done.cancelled():
        done.exception()
