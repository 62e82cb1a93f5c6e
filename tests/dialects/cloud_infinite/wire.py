"""Requests as they are on the wire: made by the vendor's signers, or caught from its clients."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from superres.server.dialects.cloud_infinite import signature
from superres.server.dialects.cloud_infinite.addressing import key_of

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Wire:
    """The head of a request; ``headers`` with the host."""

    method: str
    path: bytes
    query: bytes
    headers: Headers

    @property
    def host(self) -> str:
        return dict(self.headers)[b"host"].decode("latin-1")

    def header(self, name: bytes) -> bytes | None:
        return dict(self.headers).get(name)

    def without(self, name: bytes) -> Wire:
        return replace(self, headers=[each for each in self.headers if each[0] != name])

    def having(self, name: bytes, value: bytes) -> Wire:
        return replace(self.without(name), headers=[*self.without(name).headers, (name, value)])


def head_of(raw: bytes) -> Wire:
    """A request's head, as it came."""
    first, *lines = raw.split(b"\r\n\r\n")[0].split(b"\r\n")
    method, target, _ = first.split(b" ")
    path, _, query = target.partition(b"?")
    headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        headers.append((name.lower(), value.strip()))
    return Wire(method.decode(), path, query, headers)


def read(wire: Wire, now: datetime | None = None) -> signature.Signature:
    """The signature of a request, as the door reads it."""
    return signature.read(
        wire.method,
        key_of(wire.path),
        wire.query,
        wire.headers,
        host=wire.host,
        now=now or datetime.now(UTC),
    )


def verify(wire: Wire, secret: str, now: datetime | None = None) -> None:
    """Raises Refused unless ``wire`` is signed with ``secret``."""
    read(wire, now).confirm(secret)


@contextmanager
def catcher() -> Iterator[tuple[int, list[Wire]]]:
    """A server that answers 200 to everything; its port, and what it was sent, in order."""
    caught: list[Wire] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(10)
                    _answer(connection, caught)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], caught
        finally:
            over.set()
            thread.join()


def _answer(connection: socket.socket, caught: list[Wire]) -> None:
    got = b""
    while b"\r\n\r\n" not in got:
        more = connection.recv(65536)
        if not more:
            return
        got += more
    wire = head_of(got)
    left = int(wire.header(b"content-length") or b"0") - len(got.split(b"\r\n\r\n", 1)[1])
    while left > 0:
        left -= len(connection.recv(65536)) or left
    caught.append(wire)
    connection.sendall(
        b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: "e"\r\nx-cos-request-id: r\r\n'
        b"Connection: close\r\n\r\n" + b"<a/>" * (wire.method != "HEAD")
    )
