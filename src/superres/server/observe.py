"""The outermost layer: watches every request come and go.

It counts and logs each request once, at its end, and sees to it that a body does not arrive
for ever: no pause may be long, and all together may take the deadline's time. Where a door notes
in ``request.state.slowest_body`` how many bytes a second will do, what has arrived may have taken
that much longer. Paths are logged without their query, which may hold a signature; a route whose
path itself is a secret notes in ``request.state.shown_path`` what may be logged.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from superres.errors import Overloaded, SourceUnreachable
from superres.server.identity import HEADER, request_id_of
from superres.server.metrics import Metrics
from superres.settings import ServerSettings

log = structlog.get_logger("superres.server")
_TOO_MANY = "The server has as many requests as it takes at the same time; try again soon."
_MOST_SHOWN = 200
_QUIET = ("/healthz", "/readyz", "/metrics")


class Observe:
    """ASGI middleware: request id, time limits of the body, one log line, the counters."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            watched = _Request(scope, receive, send, self._settings)
            self._active += 1
            if self._active > self._settings.max_requests:
                # Each door says it in its own words.
                scope["state"]["refused"] = Overloaded(_TOO_MANY)
            try:
                await self._app(scope, watched.receive, watched.send)
            except Exception as exc:  # noqa: BLE001 -- the client gets an answer all the same
                await watched.failed(exc)
            finally:
                self._active -= 1
                watched.finish(self._metrics)
        else:
            await self._app(scope, receive, send)


class _Request:
    def __init__(
        self, scope: Scope, receive: Receive, send: Send, settings: ServerSettings
    ) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        # Made here, so that what the doors note in request.state can be read here.
        self._state: dict[str, Any] = scope.setdefault("state", {})
        self._id = request_id_of(scope)
        self._pause, self._whole = settings.body_timeout, settings.deadline
        self._started = time.perf_counter()
        self._status = self._received = self._sent = 0
        self._arrived = False

    async def receive(self) -> Message:
        if self._arrived:
            return await self._receive()
        whole = self._whole
        if slowest := self._state.get("slowest_body"):
            whole += self._received / slowest
        left = self._started + whole - time.perf_counter()
        try:
            async with asyncio.timeout(min(self._pause, left)):
                message = await self._receive()
        except TimeoutError:
            raise SourceUnreachable(
                "The request's body arrived too slowly ([server] body_timeout); send it again."
            ) from None
        self._arrived = not message.get("more_body", False)
        self._received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            extra = [
                (HEADER.lower().encode(), self._id.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
            message = {**message, "headers": [*message.get("headers", ()), *extra]}
        else:
            self._sent += len(message.get("body", b""))
        await self._send(message)

    async def failed(self, exc: Exception) -> None:
        """Answer for a route that has no words of its own for ``exc``, or broke in mid-answer."""
        self._state["outcome"] = "unexpected"
        log.error("unexpected error", request_id=self._id, exc_info=exc)
        if not self._status:
            message = "Something went wrong in the server; its log says more under this id."
            error = {"code": "unexpected", "message": message, "request_id": self._id}
            await JSONResponse({"error": error}, 500)(self._scope, self._receive, self.send)

    def finish(self, metrics: Metrics) -> None:
        state = self._state
        seconds = time.perf_counter() - self._started
        door = state.get("door", "server")
        outcome = state.get("outcome") or ("ok" if 0 < self._status < 400 else "refused")
        metrics.answered(door, outcome, seconds, self._received, self._sent)
        path = self._scope["path"]
        known = {name: state[name] for name in ("caller", "bucket", "picture") if name in state}
        write = log.debug if path in _QUIET else log.info
        write(
            "request",
            method=self._scope["method"],
            path=state.get("shown_path") or _shown(path),
            status=self._status,
            door=door,
            outcome=outcome,
            seconds=round(seconds, 3),
            bytes_in=self._received,
            bytes_out=self._sent,
            request_id=self._id,
            **known,
        )


def _shown(path: str) -> str:
    """``path`` for the log: nothing that a terminal would obey, and not too much."""
    safe = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in path[:_MOST_SHOWN])
    return safe if len(path) <= _MOST_SHOWN else f"{safe}…"
