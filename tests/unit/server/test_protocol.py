"""Slow and endless headers, over real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from superres.server.protocol import MAX_HEADER_BYTES, limited

TIMEOUT = 0.6


async def answer(scope, receive, send):
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(answer, http=limited(TIMEOUT), ws="none", lifespan="off", log_config=None)
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
            while sent < MAX_HEADER_BYTES * 40:
                connection.sendall(line)
                sent += len(line)
        assert sent < MAX_HEADER_BYTES * 40
