"""A connection to an address that was checked, under a fetch's deadline."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Sequence

from superres.errors import SourceUnreachable
from superres.sources.addresses import Address
from superres.sources.urls import Url
from superres.sources.watch import Watch

_MAX_TRIES = 4


class Connection:
    """Bytes to and from a web server; a context manager that hangs up."""

    def __init__(self, connected: socket.socket, host: str, watch: Watch) -> None:
        self._socket = connected
        self._host = host
        self._watch = watch

    def send(self, data: bytes) -> None:
        """Send all of ``data``; SourceUnreachable if that fails."""
        try:
            self._socket.settimeout(self._watch.remaining())
            self._socket.sendall(data)
        except OSError as exc:
            self._watch.remaining()  # late is said in other words
            raise unanswered(self._host) from exc

    def receive(self, most: int) -> bytes:
        """Return what comes, at most ``most`` bytes; nothing at the end."""
        while True:
            self._socket.settimeout(self._watch.glance())
            try:
                return self._socket.recv(most)
            except TimeoutError:
                continue
            except OSError as exc:
                raise unanswered(self._host) from exc

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def connect(
    url: Url, addresses: Sequence[Address], tls: ssl.SSLContext, watch: Watch
) -> Connection:
    """Connect to the first of ``addresses`` that answers; with TLS for https.

    The certificate must be the host's, whatever address it is reached at.

    Raises:
        SourceUnreachable: none answers, or not with a certificate that can be trusted.
    """
    tried = addresses[:_MAX_TRIES]
    for index, address in enumerate(tried):
        # One that swallows everything must leave time for the others.
        plain = _reached(address, url.port, watch.remaining() / (len(tried) - index))
        if plain is not None:
            stream = _secured(plain, url.host, tls, watch) if url.scheme == "https" else plain
            return Connection(stream, url.host, watch)
    watch.remaining()
    raise unanswered(url.host)


def _reached(address: Address, port: int, seconds: float) -> socket.socket | None:
    with contextlib.ExitStack() as undo:
        try:
            plain = undo.enter_context(socket.socket(_family(address), socket.SOCK_STREAM))
            plain.settimeout(seconds)
            plain.connect((str(address), port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            return None
        undo.pop_all()
        return plain


def _secured(
    plain: socket.socket, host: str, context: ssl.SSLContext, watch: Watch
) -> socket.socket:
    with contextlib.ExitStack() as undo:
        undo.enter_context(plain)
        try:
            plain.settimeout(watch.remaining())
            stream = context.wrap_socket(plain, server_hostname=host)
        except (OSError, ValueError) as exc:  # a name that no certificate can have
            watch.remaining()
            raise unanswered(host) from exc
        undo.pop_all()
        return stream


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def unanswered(host: str) -> SourceUnreachable:
    """Return the one error for all that can go wrong before there is an answer.

    Closed, mute, no web server, a wrong certificate: told apart, the words would say what
    listens where in a network that may be fetched from.
    """
    return SourceUnreachable(
        f"{host} cannot be reached, or does not answer as a web server should; check the "
        "address, and for https the certificate."
    )
