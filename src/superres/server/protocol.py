"""uvicorn's HTTP protocol with the limits that it lacks.

Without them a client that sends a byte a second, or takes one, holds a connection and its
files for ever ("slow loris", "slow read"), one whose header or trailer never ends fills the
memory, and one that asks ahead is not missed when it goes. Answers that have no end of their own
learn from ``request.state.stopping`` that the server waits for them.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from superres.server.capitals import Capitals

MAX_HEADER_BYTES = 64 << 10
_MAX_AHEAD = 16
"""Requests that a client may send before it has the answer to the first."""


def limited(header_timeout: float, stall_timeout: float) -> type[HttpToolsProtocol]:
    """The protocol class with these limits.

    Args:
        header_timeout: seconds for a request's header to arrive, and for the rest of a body
            whose request is answered already.
        stall_timeout: seconds in which a client must take something of an answer.
    """

    class Limited(HttpToolsProtocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._header_timer: asyncio.TimerHandle | None = None
            self._stall_timer: asyncio.TimerHandle | None = None
            self._in_header = False
            self._header_bytes = 0
            self._unparsed = 0
            self._unfinished: list[RequestResponseCycle] = []

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._limit_waiting()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_header_timer()
            self._stop_stall_timer()
            # uvicorn tells only the newest request, which is not the one under way if the
            # client asked ahead.
            for cycle in self._unfinished:
                if not cycle.response_complete:
                    cycle.disconnected = True
                    cycle.message_event.set()
            super().connection_lost(exc)

        def shutdown(self) -> None:
            for cycle in self._unfinished:
                cycle.scope["state"]["stopping"] = True
            super().shutdown()

        def data_received(self, data: bytes) -> None:
            self._unparsed += len(data)
            super().data_received(data)
            if self._unparsed > MAX_HEADER_BYTES:  # a line, or a chunk's extension, without end
                self._refuse(b"431 Request Header Fields Too Large")
            self._limit_waiting()

        # What the parser has understood. Lengths are counted as it goes.

        def on_message_begin(self) -> None:
            self._in_header, self._header_bytes = True, 0
            super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            self._count(url)
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self._count(name, value)
            if self._in_header:  # else it is a trailer, which nobody here reads
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._in_header, self._unparsed = False, 0
            self._stop_header_timer()
            before = self.cycle
            super().on_headers_complete()
            if self.cycle is not before:
                self.cycle.transport = Capitals(self.transport)  # type: ignore[assignment]
                self._unfinished = [c for c in self._unfinished if not c.response_complete]
                self._unfinished.append(self.cycle)
            if len(self.pipeline) > _MAX_AHEAD:
                self.transport.close()

        def on_chunk_header(self) -> None:
            self._unparsed = 0

        def on_body(self, body: bytes) -> None:
            self._unparsed = 0
            super().on_body(body)

        def _count(self, *parts: bytes) -> None:
            self._unparsed = 0
            self._header_bytes += sum(map(len, parts))
            if self._header_bytes > MAX_HEADER_BYTES:
                self._refuse(b"431 Request Header Fields Too Large")

        # Answers that are not taken.

        def pause_writing(self) -> None:
            super().pause_writing()
            self._watch_stall(self.transport.get_write_buffer_size())

        def resume_writing(self) -> None:
            super().resume_writing()
            self._stop_stall_timer()

        def _watch_stall(self, left: int) -> None:
            self._stall_timer = self.loop.call_later(stall_timeout, self._check_stall, left)

        def _check_stall(self, before: int) -> None:
            left = self.transport.get_write_buffer_size()
            if left < before:
                self._watch_stall(left)
            else:
                self.transport.abort()

        def _stop_stall_timer(self) -> None:
            if self._stall_timer is not None:
                self._stall_timer.cancel()
                self._stall_timer = None

        # Requests that do not come.

        def _limit_waiting(self) -> None:
            """Start the header's timer if nothing is under way and no other timer runs."""
            if (
                self._header_timer is None
                and self.timeout_keep_alive_task is None
                and not self._answer_is_due()
                and not self.transport.is_closing()
            ):
                self._header_timer = self.loop.call_later(
                    header_timeout, self._refuse, b"408 Request Timeout"
                )

        def _answer_is_due(self) -> bool:
            cycle: RequestResponseCycle | None = self.cycle  # None before the first request
            return cycle is not None and not cycle.response_complete

        def _stop_header_timer(self) -> None:
            if self._header_timer is not None:
                self._header_timer.cancel()
                self._header_timer = None

        def _refuse(self, status: bytes) -> None:
            self._stop_header_timer()
            if self.transport.is_closing():
                return
            if not self._answer_is_due():  # this would be read as that answer
                self.transport.write(
                    b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
            self.transport.close()

    return Limited
