"""Slow and endless headers, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from superres.server.protocol import MAX_HEADER_BYTES, limited

TIMEOUT = 0.6


disconnected = threading.Event()
LARGE = b"x" * (32 << 20)


async def answer(scope, receive, send):
    if scope["path"] == "/wait":
        while (await receive())["type"] != "http.disconnect":
            pass
        disconnected.set()
        return
    if scope["path"] == "/slow":
        await asyncio.sleep(TIMEOUT * 2)
    if scope["path"] == "/large":
        length = str(len(LARGE)).encode()
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
        )
        await send({"type": "http.response.body", "body": LARGE})
        return
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"2"), (b"ETag", b"etag:"), (b"x-cos-b", b"c")],
        }
    )
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            answer, http=limited(TIMEOUT, TIMEOUT), ws="none", lifespan="off", log_config=None
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(10)
    listening.close()


@contextlib.contextmanager
def client(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        yield connection


def everything(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(4096):
            received += piece
    return received


def test_a_quick_header_is_answered_and_the_connection_lives(port: int) -> None:
    with client(port) as connection:
        for pause in (0, TIMEOUT * 1.5):  # idle between requests is not a slow header
            time.sleep(pause)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_a_header_that_does_not_come_ends_the_connection(port: int, start: bytes) -> None:
    with client(port) as connection:
        began = time.monotonic()
        connection.sendall(start)
        assert everything(connection).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < TIMEOUT * 4


def test_bytes_that_drip_do_not_put_it_off(port: int) -> None:
    with client(port) as connection:
        began = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 200:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
                if time.monotonic() - began > TIMEOUT * 6:
                    pytest.fail("still connected")
        assert time.monotonic() - began >= TIMEOUT * 0.9


def test_a_second_header_on_a_connection_is_timed_too(port: int) -> None:
    with client(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET / HT")
        assert everything(connection).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("line", [b"X: " + b"y" * 1000 + b"\r\n", b"y" * 1000])
def test_a_header_without_end_is_refused(port: int, line: bytes) -> None:
    with client(port) as connection:
        sent = 0
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-First: ")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < MAX_HEADER_BYTES * 400:
                connection.sendall(line)
                sent += len(line)
        assert sent < MAX_HEADER_BYTES * 400


REFUSED_EARLY = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\nx"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def ends(connection: socket.socket, within: float = TIMEOUT * 5) -> bool:
    connection.settimeout(within)
    try:
        everything(connection)
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n"),
        (REFUSED_EARLY, b"y"),
        (CHUNKED + b"0\r\n", b"a: b\r\n"),
    ],
    ids=["an empty line after an answer", "a body whose request is answered", "a trailer"],
)
def test_what_lingers_after_an_answer_is_ended(port: int, first: bytes, then: bytes) -> None:
    with client(port) as connection:
        connection.sendall(first)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        connection.sendall(then)
        assert ends(connection)


@pytest.mark.parametrize("endless", [b"a: b\r\n", b"c" * 100])
@pytest.mark.parametrize("before", [b"0\r\n", b"5;"], ids=["trailer", "chunk extension"])
def test_trailers_and_extensions_have_a_limit(port: int, before: bytes, endless: bytes) -> None:
    with client(port) as connection:
        connection.sendall(CHUNKED + before)
        most = 400 * MAX_HEADER_BYTES  # far beyond what sockets hold
        sent = 0
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while sent < most:
                connection.sendall(endless * 100)
                sent += 100 * len(endless)
        assert sent < most


def test_an_answer_that_is_not_taken_is_given_up(port: int) -> None:
    with client(port) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(TIMEOUT * 4)
        assert len(everything(connection)) < len(LARGE)


def test_an_answer_that_is_taken_slowly_arrives(port: int) -> None:
    received = 0
    with client(port) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        while received < len(LARGE):
            piece = connection.recv(1 << 21)
            assert piece, f"cut after {received}"
            received += len(piece)
            time.sleep(TIMEOUT / 20)


def test_no_time_out_is_written_before_an_answer_that_is_due(port: int) -> None:
    with client(port) as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET / HT")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_client_that_asked_ahead_is_missed(port: int) -> None:
    disconnected.clear()
    with client(port) as connection:
        connection.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        time.sleep(0.2)
        assert not disconnected.is_set()
    assert disconnected.wait(5)


def test_requests_far_ahead_are_refused(port: int) -> None:
    with client(port) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" * 1000)
        assert everything(connection).count(b"HTTP/1.1 200") <= 1


def test_header_names_are_written_as_is_usual(port):
    """The COS SDK for Python looks for ``Content-Length`` in a plain dictionary."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(
            b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n"
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        received = b""
        while more := connection.recv(4096):
            received += more
    first, second = received.partition(b"ok")[0::2]
    for head in (first, second):
        assert b"\r\nContent-Length: 2\r\n" in head
        assert b"\r\nDate: " in head
        assert b"\r\nETag: etag:\r\n" in head
        assert b"\r\nx-cos-b: c\r\n" in head
    assert b"\r\nConnection: close\r\n" in second
