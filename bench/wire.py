"""A client that costs as little as one in Python can: requests made before, answers thrown away."""

from __future__ import annotations

import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

_BUFFER = 1 << 20


@dataclass(frozen=True)
class Ask:
    """A request.

    Attributes:
        head: all of it before the body, without Content-Length and the empty line.
        body: what follows; an iterable is sent piece by piece, ``length`` says how much it is.
        expect: the statuses that are right.
    """

    head: bytes
    body: bytes | memoryview | Iterable[bytes] = b""
    length: int | None = None
    expect: tuple[int, ...] = (200,)


@dataclass(frozen=True)
class Came:
    """What became of a request: the head of the answer, and how long its body was."""

    status: int
    head: bytes
    length: int
    body: bytes = b""


class Connection:
    """One connection to 127.0.0.1, kept for many requests."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = memoryview(bytearray(_BUFFER))

    def close(self) -> None:
        self._socket.close()

    def ask(self, ask: Ask, *, keep: bool = False) -> Came:
        """Send it, and read the answer to its end; ``keep`` its body.

        Raises:
            RuntimeError: the answer is not one of those that are right, or not whole.
        """
        body = ask.body
        whole = isinstance(body, bytes | memoryview)
        length = len(body) if isinstance(body, bytes | memoryview) else ask.length
        head = ask.head + b"\r\nContent-Length: %d\r\n\r\n" % length if length else ask.head
        if not length:
            head += b"\r\nContent-Length: 0\r\n\r\n" if _sends(ask.head) else b"\r\n\r\n"
        self._socket.sendall(head)
        for piece in [body] if whole else body:
            if piece:
                self._socket.sendall(piece)
        came = self._answer(no_body=ask.head.startswith(b"HEAD "), keep=keep)
        if came.status not in ask.expect:
            raise RuntimeError(f"{ask.head[:120]!r} was answered {came.head + came.body!r}")
        return came

    def _answer(self, *, no_body: bool, keep: bool) -> Came:
        received = b""
        while b"\r\n\r\n" not in received:
            piece = self._socket.recv(65536)
            if not piece:
                raise RuntimeError(f"the connection closed after {received!r}")
            received += piece
        head, _, rest = received.partition(b"\r\n\r\n")
        status = int(head.split(None, 2)[1])
        length = 0 if no_body or status in (204, 304) else _length(head)
        keep = keep or status >= 300
        kept = [rest] if keep else []
        left = length - len(rest)
        while left > 0:
            came = self._socket.recv_into(self._buffer)
            if not came:
                raise RuntimeError(f"the answer ended {left} bytes early")
            if keep:
                kept.append(bytes(self._buffer[:came]))
            left -= came
        return Came(status, head, length, b"".join(kept))


def _sends(head: bytes) -> bool:
    return head.startswith((b"PUT ", b"POST "))


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    raise RuntimeError(f"an answer without a length: {head!r}")


@contextlib.contextmanager
def connected(port: int) -> Iterator[Connection]:
    connection = Connection(port)
    try:
        yield connection
    finally:
        connection.close()


@dataclass
class Load:
    """What many requests took.

    Attributes:
        seconds: from the first to the last of them.
        times: seconds of each.
        received: bytes of all answers' bodies.
        processor: seconds of the server's, if somebody measured them.
    """

    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    received: int = 0
    processor: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.times) / self.seconds

    @property
    def median(self) -> float:
        return statistics.median(self.times)


def load(port: int, asks: Sequence[Ask], clients: int) -> Load:
    """Send all of ``asks`` over so many connections at once, each as soon as one is free.

    Raises:
        RuntimeError: one of them was not answered as it should be.
    """
    left, lock, failed = iter(asks), threading.Lock(), []
    made = Load()
    gate = threading.Barrier(clients + 1)

    def client() -> None:
        with connected(port) as connection:
            gate.wait(60)
            while True:
                with lock:
                    ask = next(left, None)
                if ask is None or failed:
                    return
                began = time.perf_counter()
                try:
                    came = connection.ask(ask)
                except Exception as exc:  # noqa: BLE001 -- told by who waits for the threads
                    failed.append(exc)
                    return
                with lock:
                    made.times.append(time.perf_counter() - began)
                    made.received += came.length

    pool = [threading.Thread(target=client) for _ in range(clients)]
    for thread in pool:
        thread.start()
    gate.wait(60)
    began = time.perf_counter()
    for thread in pool:
        thread.join()
    made.seconds = time.perf_counter() - began
    if failed:
        raise RuntimeError(f"{failed[0]}") from failed[0]
    return made
