"""Web servers that misbehave on purpose, and a resolver that says what it is told."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence

Answer = Callable[[socket.socket, bytes], None]


class Server:
    """One real server on a free port; ``requests`` holds every head that it was sent."""

    def __init__(
        self, answer: Answer | None, address: str, tls: ssl.SSLContext | None, greet: bytes
    ) -> None:
        self._greet = greet
        self._answer = answer
        self._tls = tls
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listening = socket.create_server((address, 0), family=family)
        self.port: int = self._listening.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self.error: BaseException | None = None  # what hung up on the last answer
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def url(self, path: str = "/a.png", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            with contextlib.closing(plain):
                plain.settimeout(10)
                with contextlib.suppress(OSError):
                    self._talk(plain)

    def _talk(self, plain: socket.socket) -> None:
        if self._answer is None:
            plain.sendall(self._greet)
            return
        stream = plain if self._tls is None else self._tls.wrap_socket(plain, server_side=True)
        with contextlib.closing(stream):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = stream.recv(65536)
                if not piece:
                    return
                head += piece
            self.requests.append(head)
            try:
                self._answer(stream, head)
            except OSError as exc:
                self.error = exc


@contextlib.contextmanager
def serve(
    answer: Answer | None = None,
    address: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
    greet: bytes = b"",
) -> Iterator[Server]:
    """Run a server; without ``answer`` it says ``greet`` and hangs up, as no web server does."""
    server = Server(answer, address, tls, greet)
    try:
        yield server
    finally:
        server.close()


def reply(
    body: bytes = b"picture", status: str = "200 OK", length: int | None = None, **headers: str
) -> Answer:
    """Answer with this; an underscore in a header's name is a hyphen."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    whole = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    return lambda stream, _: stream.sendall(whole)


def body_of(stream: socket.socket, head: bytes) -> bytes:
    """The body of a request; some of it may have come with the head."""
    head, _, body = head.partition(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"Content-Length"]):
        piece = stream.recv(65536)
        if not piece:
            raise OSError("hung up within the body")
        body += piece
    return body


def taking(bodies: list[bytes], answer: Answer) -> Answer:
    """Take a request's body in, then answer; a server that does not resets the connection."""

    def take(stream: socket.socket, head: bytes) -> None:
        bodies.append(body_of(stream, head))
        answer(stream, head)

    return take


def redirect(location: str, status: str = "302 Found") -> Answer:
    return reply(b"", status, Location=location)


def endless(head: bytes, piece: bytes, pause: float = 0.0) -> Answer:
    """Send ``head``, then ``piece`` until the client hangs up."""
    waiting = threading.Event()

    def answer(stream: socket.socket, _: bytes) -> None:
        stream.sendall(head)
        while True:
            stream.sendall(piece)
            waiting.wait(pause)

    return answer


def silent(head: bytes) -> Answer:
    """Send ``head``, then nothing until the client hangs up."""

    def answer(stream: socket.socket, _: bytes) -> None:
        stream.sendall(head)
        stream.recv(1)

    return answer


class Table:
    """A resolver of the test's own: each name has answers, one a lookup, the last for ever."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self._answers = {name.replace("_", "."): list(said) for name, said in answers.items()}
        self.asked: list[str] = []

    def resolve(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if host not in self._answers:
            raise OSError(f"no such host: {host}")
        said = self._answers[host]
        return said.pop(0) if len(said) > 1 else said[0]
