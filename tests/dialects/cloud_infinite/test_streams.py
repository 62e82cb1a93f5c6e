"""Large bodies in and out: little memory, nothing left behind, never a short answer."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3

from superres.errors import StorageError
from tests.dialects.cloud_infinite.client import Client, head
from tests.dialects.cloud_infinite.conftest import new_name, somebody
from tests.dialects.conftest import RunningServer, StartServer
from tests.e2e.service import Service

SIZE = 300_000_000


def comes_true(condition: Callable[[], object], patience: float = 30.0) -> bool:
    until = time.monotonic() + patience
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def pieces(size: int) -> Iterator[bytes]:
    piece = bytes(range(256)) * 4096
    for start in range(0, size, len(piece)):
        yield piece[: size - start]


def peak(pid: int) -> int:
    """The most resident memory that a process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024


def open_files(folder: Path) -> list[str]:
    """Files below ``folder`` that this process has open."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            target = str(each.readlink())
        except OSError:
            continue
        if target.startswith(str(folder)):
            found.append(target)
    return found


def test_a_client_that_takes_no_more_lets_the_file_go(
    client: Client, server: RunningServer
) -> None:
    store = server.app.settings.server.data_dir
    client("PUT", "big", body=b"x" * 20_000_000)
    before = len(open_files(store))
    with client.connection() as there:
        there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        there.sendall(head("GET", "/big", client.signed("GET", "big")))
        there.recv(1000)
        assert comes_true(lambda: len(open_files(store)) > before)
    assert comes_true(lambda: len(open_files(store)) <= before)


def test_an_object_that_breaks_in_the_middle_is_no_short_answer(
    client: Client, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client("PUT", "breaks", body=b"x" * 5_000_000)
    store = server.app.buckets.objects
    read = type(store).read

    class Broken:
        def __init__(self, inner) -> None:
            self._inner = inner

        def __enter__(self) -> Iterator[bytes]:
            found = self._inner.__enter__()

            def some() -> Iterator[bytes]:
                yield from itertools.islice(found, 12)
                raise StorageError("The disk is on fire.")

            return some()

        def __exit__(self, *args) -> None:
            self._inner.__exit__(*args)

    monkeypatch.setattr(type(store), "read", lambda *args, **how: Broken(read(*args, **how)))
    with pytest.raises(urllib3.exceptions.HTTPError):
        client("GET", "breaks")
    monkeypatch.undo()
    assert len(client("GET", "breaks").body) == 5_000_000


def test_what_is_wrong_at_the_beginning_is_still_told(
    client: Client, server: RunningServer
) -> None:
    client("PUT", "vanishes", body=b"x" * 100)
    bucket = client.host.partition(".")[0]
    assert server.app.buckets.objects.get(bucket, "vanishes").size == 100
    folder = server.app.settings.server.data_dir
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_size == 100 and file.read_bytes() == b"x" * 100:
            file.unlink()
    assert client("GET", "vanishes").refusal == (500, "InternalError")


def test_a_body_may_take_longer_than_the_deadline_at_a_hundred_kilobytes_a_second(
    start_server: StartServer,
) -> None:
    hasty = start_server({"server.deadline": 1.0})
    owner = somebody(hasty)
    there = owner.on(hasty.app.buckets.create(new_name(), owner.id).name)

    def slowly(rate: int) -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * (rate // 10)
            time.sleep(0.1)

    for rate, status in ((400_000, 200), (20_000, 400)):
        size = rate // 10 * 20
        headers = there.signed("PUT", f"at {rate}", content_length=str(size))
        with there.connection() as connection:
            connection.sendall(head("PUT", f"/at%20{rate}", headers))
            with contextlib.suppress(OSError):
                for piece in slowly(rate):
                    connection.sendall(piece)
            assert connection.recv(1000).startswith(b"HTTP/1.1 %d" % status)


@pytest.mark.slow
def test_an_object_of_300_mb_needs_little_memory(tmp_path: Path) -> None:
    service = Service(tmp_path)
    try:
        service.start()
        made = service.new_credential()
        owner = Client(service.url.removeprefix("http://"), made["id"], made["secret"])
        client = owner.on("large-1")
        assert client("PUT").status == 200
        expected = hashlib.md5(usedforsecurity=False)
        assert client("PUT", "warm", body=b"x" * 3_000_000).status == 200
        assert client("GET", "warm").status == 200
        before = peak(service.process.pid)
        headers = client.signed("PUT", "large", content_length=str(SIZE))
        with client.connection() as there:
            there.sendall(head("PUT", "/large", headers))
            for piece in pieces(SIZE):
                expected.update(piece)
                there.sendall(piece)
            assert there.recv(1000).startswith(b"HTTP/1.1 200")
        got = client.pool.urlopen(
            "GET", "/large", None, client.signed("GET", "large"), preload_content=False
        )
        content = hashlib.md5(usedforsecurity=False)
        for piece in got.stream(1 << 20):
            content.update(piece)
        assert content.hexdigest() == expected.hexdigest() == got.headers["etag"].strip('"')
        assert client("PUT", "copy", **{"x-cos-copy-source": f"{client.host}/large"}).status == 200
        grown = peak(service.process.pid) - before
        assert grown < 50_000_000, f"{grown:,} bytes"
        assert service.in_flight() == []
    finally:
        service.stop()
