"""One request and its answer, by HTTP/1.1 (RFC 9110, RFC 9112)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import h11

from superres.errors import SourceUnreachable
from superres.sources.connect import Connection, unanswered
from superres.sources.urls import Url

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_HEADER_BYTES = 64 << 10
_READ = 64 << 10
# What is read of an answer that nobody wants, so that its sender is not hung up on.
_POLITE = 4 << 10
# Chunked transfer may pack every byte by itself, which costs us far more than the sender:
# beyond this much, the packing may be half as large as what is in it.
_FREE_PACKING = 256 << 10


class Exchange:
    """Asks for a file, or hands something in, over a connection that is used for nothing else
    afterwards.

    Sends no cookies, no credentials and no address of where it was found. All methods raise
    SourceUnreachable where the answer is not a proper one.
    """

    def __init__(self, connection: Connection, url: Url) -> None:
        self._connection = connection
        self._url = url
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEADER_BYTES)
        self._received = 0

    def ask(self) -> h11.Response:
        """Ask for the file and return the head of the answer."""
        wanted = {"Accept": "image/*, */*;q=0.5", "Accept-Encoding": "identity"}
        return self._head("GET", wanted, b"")

    def hand_in(self, body: bytes, headers: Mapping[str, str]) -> h11.Response:
        """Post ``body`` with ``headers`` beside our own; return the head of the answer."""
        return self._head("POST", {**headers, "Content-Length": str(len(body))}, body)

    def _head(self, method: str, headers: Mapping[str, str], body: bytes) -> h11.Response:
        ours = {"Host": self._url.authority, "User-Agent": "superres", "Connection": "close"}
        request = h11.Request(
            method=method, target=self._url.target, headers=list({**ours, **headers}.items())
        )
        events = (request, h11.Data(body), h11.EndOfMessage())
        self._connection.send(b"".join(self._http.send(event) or b"" for event in events))
        while not isinstance(event := self._next(4096), h11.Response):
            # Any number of "100 Continue" may come before.
            fine = isinstance(event, h11.InformationalResponse)
            if not fine or self._received > _MAX_HEADER_BYTES:
                raise unanswered(self._url.host)
        return event

    def redirect(self, response: h11.Response) -> str | None:
        """Return where ``response`` redirects to, as it is written there; None if nowhere."""
        if response.status_code not in _REDIRECTS:
            return None
        locations = [value for name, value in response.headers if name == b"location"]
        if len(locations) != 1:
            raise unanswered(self._url.host)
        # Beyond ASCII it should be escaped; where it is not, it is UTF-8 nowadays.
        return locations[0].decode("utf-8", "replace")

    def announced(self, response: h11.Response) -> int:
        """Return the length that ``response``, which is no redirect, announces; 0 if none."""
        if not 200 <= response.status_code < 300:
            raise SourceUnreachable(f"{self._url.host} answered with {response.status_code}.")
        headers = dict(response.headers)
        if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
            # Unpacking is how a small file becomes an endless one; it was not asked for.
            raise SourceUnreachable(
                f"{self._url.host} sent the file compressed, which is not taken; give the address "
                "of the file as it is."
            )
        return int(headers.get(b"content-length", b"0"))  # h11 has checked it

    def content(self, most: int = _READ) -> Iterator[bytes]:
        """Yield the body, by pieces of at most ``most`` bytes."""
        size = 0
        while isinstance(event := self._next(most), h11.Data):
            size += len(event.data)
            if self._received - size > _FREE_PACKING + size // 2:
                raise unanswered(self._url.host)
            yield bytes(event.data)
        if not isinstance(event, h11.EndOfMessage):
            raise unanswered(self._url.host)

    def discard(self) -> None:
        """Read the beginning of the body, if one comes, and throw it away; never fails."""
        size = 0
        with contextlib.suppress(SourceUnreachable):
            for piece in self.content(_POLITE):
                size += len(piece)
                if size >= _POLITE:
                    return

    def _next(self, most: int) -> object:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                data = self._connection.receive(most)
                self._received += len(data)
                self._http.receive_data(data)
        except h11.RemoteProtocolError as exc:
            raise unanswered(self._url.host) from exc
        return event
