"""What a web server can do to who fetches from it, with real ones."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time

import pytest

from superres.errors import (
    Cancelled,
    SourceRefused,
    SourceTooLarge,
    SourceUnreachable,
    StorageError,
)
from superres.sources import resolve
from tests.unit.sources.servers import Table, endless, redirect, reply, serve, silent

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\n\r\n"


def raw(data: bytes):
    return lambda stream, _: stream.sendall(data)


def test_what_is_asked_for(target, local, monkeypatch):
    """Nothing of ours goes along, and no proxy is asked, whatever the environment says."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with serve(reply(b"picture", Set_Cookie="a=b")) as server:
        sources = local()
        assert sources.fetch(server.url("/a b.png?c=ü#d"), target) == 7
        sources.fetch(server.url(), target)
    assert target.read_bytes() == b"picture"
    head, *lines = server.requests[0].decode().split("\r\n")
    assert head == "GET /a%20b.png?c=%C3%BC HTTP/1.1"
    assert sorted(line for line in lines if line) == [
        "Accept-Encoding: identity",
        "Accept: image/*, */*;q=0.5",
        "Connection: close",
        f"Host: 127.0.0.1:{server.port}",
        "User-Agent: superres",
    ]
    assert b"Cookie" not in server.requests[1]


@pytest.mark.parametrize(
    "answer",
    [
        raw(CHUNKED + b"3\r\npic\r\n4;a=b\r\nture\r\n0\r\nTrailer: x\r\n\r\n"),
        raw(UNTIL_CLOSED + b"picture"),
        raw(b"HTTP/1.0 200 OK\r\n\r\npicture"),
        raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + UNTIL_CLOSED + b"picture"),
        raw(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 7\r\n\r\npicture and more"),
        reply(b"picture", Content_Encoding="Identity"),
    ],
)
def test_ways_to_send_a_file(target, local, answer):
    with serve(answer) as server:
        assert local().fetch(server.url(), target) == 7
    assert target.read_bytes() == b"picture"


@pytest.mark.parametrize("status", [204, 304, 400, 401, 403, 404, 500, 503])
def test_other_statuses(target, local, status):
    with (
        serve(reply(b"", f"{status} x")) as server,
        pytest.raises(SourceUnreachable, match=str(status) if status > 299 else "empty"),
    ):
        local().fetch(server.url(), target)
    assert not target.exists()


@pytest.mark.parametrize(
    "answer",
    [
        raw(b""),
        raw(b"HTTP/1.1 200"),
        raw(b"SSH-2.0-OpenSSH_9\r\n"),
        raw(b"picture" * 1000),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Length: 8\r\n\r\npicture"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: -7\r\n\r\npicture"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\npicture"),
        raw(b"HTTP/1.1 200 OK\r\nBad Header: 1\r\n\r\npicture"),
        raw(b"HTTP/1.1 101 Switching Protocols\r\n\r\npicture"),
        raw(CHUNKED + b"nonsense\r\n"),
        raw(CHUNKED + b"7\r\npict"),
        raw(CHUNKED + b"7\r\npicture\r\n"),
        raw(UNTIL_CLOSED),
        reply(b"picture", length=8),
        reply(b""),
        reply(b"", "302 Found"),
        raw(b"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\n\r\n"),
    ],
)
def test_improper_answers(target, local, answer):
    with serve(answer) as server, pytest.raises(SourceUnreachable):
        local().fetch(server.url(), target)
    assert not target.exists()


def test_redirects_are_followed(target, local):
    with serve(reply(b"picture")) as last, serve(redirect(last.url("/b"), "307 Moved")) as first:
        assert local().fetch(first.url(), target) == 7
        assert last.requests[0].startswith(b"GET /b ")
        assert b"eferer" not in last.requests[0]


def test_redirects_that_never_end(target, local):
    with serve(redirect("/again")) as server:
        with pytest.raises(SourceUnreachable, match=r"\[sources\] max_redirects is 3"):
            local().fetch(server.url(), target)
        assert server.connections == 4
        with pytest.raises(SourceUnreachable, match="max_redirects"):
            local(max_redirects=0).fetch(server.url(), target)
        assert server.connections == 5


def test_a_length_that_is_announced_is_refused_before_it_comes(target, local):
    with (
        serve(silent(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")) as server,
        pytest.raises(SourceTooLarge, match=r"99 bytes .*\[sources\] max_bytes"),
    ):
        local(max_bytes=99).fetch(server.url(), target)
    assert not target.exists()


def test_the_callers_limit_can_only_be_lower(target, local):
    with serve(reply(b"picture")) as server:
        assert local(max_bytes=7).fetch(server.url(), target, max_bytes=7) == 7
        with pytest.raises(SourceTooLarge, match="6 bytes"):
            local(max_bytes=7).fetch(server.url(), target, max_bytes=6)
        with pytest.raises(SourceTooLarge, match="6 bytes"):
            local(max_bytes=6).fetch(server.url(), target, max_bytes=7)


@pytest.mark.parametrize(
    "answer",
    [
        endless(UNTIL_CLOSED, b"x" * 65536),
        endless(CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        endless(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"1000\r\n" + b"x" * 4096 + b"\r\n"),
    ],
)  # fmt: skip
def test_a_body_without_end_stops_at_the_limit(target, local, answer):
    with serve(answer) as server, pytest.raises(SourceTooLarge):
        local(max_bytes=1 << 20).fetch(server.url(), target)
    assert isinstance(server.error, OSError)  # hung up on
    assert not target.exists()


def test_more_than_was_announced_is_not_read(target, local):
    with serve(reply(b"picture and more", length=7)) as server:
        assert local(max_bytes=7).fetch(server.url(), target) == 7
    assert target.read_bytes() == b"picture"


@pytest.mark.parametrize(
    "answer",
    [
        endless(b"HTTP/1.1 200 OK\r\n", b"X-Header: " + b"x" * 1000 + b"\r\n"),
        endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 10_000),
        endless(b"", b"HTTP/1.1 100 Continue\r\nX: " + b"x" * 1000 + b"\r\n\r\n"),
        endless(b"", b"\r\n" * 1000),
        endless(CHUNKED + b"1;", b"x" * 1000),
        endless(CHUNKED + b"1\r\nx\r\n0\r\n", b"Trailer: x\r\n" * 100),
        endless(CHUNKED, b"1\r\nx\r\n" * 1000),
    ],
)
def test_endless_packing(target, local, answer):
    started = time.monotonic()
    with serve(answer) as server, pytest.raises(SourceUnreachable, match="as a web server should"):
        local(timeout=60.0).fetch(server.url(), target)
    assert time.monotonic() - started < 30
    assert not target.exists()


def test_nothing_is_unpacked(target, local):
    bomb = gzip.compress(bytes(10 << 20))
    with serve(reply(bomb, Content_Encoding="gzip")) as server:
        with pytest.raises(SourceUnreachable, match="compressed"):
            local().fetch(server.url(), target)
        assert not target.exists()
    with serve(reply(bomb, Content_Type="application/gzip")) as server:
        assert local().fetch(server.url(), target) == len(bomb)


@pytest.mark.parametrize(
    "answer",
    [
        silent(b""),
        endless(b"", b"H", 0.05),
        endless(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", 0.05),
        endless(UNTIL_CLOSED, b"x", 0.05),
        endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x", 0.05),
    ],
)
def test_slow_servers(target, local, answer):
    """Every byte comes in time, and all of them would take for ever."""
    started = time.monotonic()
    with serve(answer) as server, pytest.raises(SourceUnreachable, match=r"\[sources\] timeout"):
        local(timeout=0.6).fetch(server.url(), target)
    assert 0.5 < time.monotonic() - started < 5
    assert not target.exists()


def test_the_time_is_for_all_redirects_together(target, local):
    def slowly(stream: socket.socket, _: bytes) -> None:
        time.sleep(0.3)
        redirect("/again")(stream, b"")

    with serve(slowly) as server, pytest.raises(SourceUnreachable, match=r"\[sources\] timeout"):
        local(timeout=0.8, max_redirects=100).fetch(server.url(), target)
    assert server.connections <= 4


def test_a_slow_lookup(target, local):
    class Slow(Table):
        def resolve(self, host):
            time.sleep(2)
            return super().resolve(host)

    started = time.monotonic()
    with pytest.raises(SourceUnreachable, match=r"\[sources\] timeout"):
        local(Slow(), timeout=0.3).fetch("http://slow.example/", target)
    assert time.monotonic() - started < 1.5


def test_lookups_that_hang_are_bounded_and_given_back(target, local, monkeypatch):
    monkeypatch.setattr(resolve, "_LOOKUPS", threading.BoundedSemaphore(1))
    go = threading.Event()

    class Hanging(Table):
        def resolve(self, host):
            go.wait(10)
            return super().resolve(host)

    hanging = Hanging()
    for _ in range(2):  # the second does not even start one
        with pytest.raises(SourceUnreachable, match=r"\[sources\] timeout"):
            local(hanging, timeout=0.3).fetch("http://a.example/", target)
    go.set()
    with pytest.raises(SourceUnreachable, match="no host"):
        local(hanging, timeout=10.0).fetch("http://a.example/", target)
    assert len(hanging.asked) == 2


def test_a_server_that_accepts_nothing(target, local):
    """A listening socket whose queue is full swallows what knocks."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        address = deaf.getsockname()
        with contextlib.ExitStack() as knocking:
            for _ in range(4):
                knock = knocking.enter_context(socket.socket())
                knock.setblocking(False)
                knock.connect_ex(address)
            started = time.monotonic()
            with pytest.raises(SourceUnreachable):
                local(timeout=0.5).fetch(f"http://127.0.0.1:{address[1]}/", target)
            assert time.monotonic() - started < 5


def test_a_closed_port_says_no_more_than_one_where_something_else_listens(target, local):
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/"
    with serve(greet=b"SSH-2.0-OpenSSH_9\r\n") as other, serve(raw(b"")) as mute:
        said = set()
        for address in (closed, other.url(), other.url(scheme="https"), mute.url()):
            with pytest.raises(SourceUnreachable) as caught:
                local().fetch(address, target)
            said.add(caught.value.public_message)
    assert len(said) == 1


def test_the_second_address_is_tried(target, local):
    with serve(reply(b"picture")) as server:
        resolver = Table(two_example=[["127.0.0.9", "127.0.0.1"]])
        sources = local(resolver, allow_networks=("127.0.0.0/8",))
        assert sources.fetch(server.url(host="two.example"), target) == 7


def test_version_6(target, local):
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serve(reply(b"picture"), "::1") as server:
        sources = local(Table(six_example=[["::1"]]), allow_networks=("::1/128",))
        assert sources.fetch(server.url(host="[::1]"), target) == 7
        assert sources.fetch(server.url(host="six.example"), target) == 7
    assert f"Host: [::1]:{server.port}".encode() in server.requests[0]


def test_it_can_be_cancelled(target, local):
    stop = threading.Event()
    with serve(endless(UNTIL_CLOSED, b"x", 0.02)) as server:
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(Cancelled):
            local(timeout=30.0).fetch(server.url(), target, cancelled=stop.is_set)
    assert not target.exists()
    with pytest.raises(Cancelled):
        local().fetch("http://nobody.example/", target, cancelled=lambda: True)


def test_no_room_on_the_disk(tmp_path, local):
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    with serve(reply(b"picture")) as server:
        for path in (full, tmp_path / "no folder" / "file"):
            with pytest.raises(StorageError, match="make room"):
                local().fetch(server.url(), path)
    assert not full.is_symlink()


def test_messages_hold_nothing_of_the_address_but_the_host(target, local):
    """Addresses that are signed have their secret behind the question mark."""
    with serve(reply(b"", "403 Forbidden")) as server, pytest.raises(SourceUnreachable) as caught:
        local().fetch(server.url("/path?X-Amz-Signature=secret"), target)
    assert caught.value.public_message == "127.0.0.1 answered with 403."
    with pytest.raises(SourceRefused) as refused:
        local().fetch("http://user:secret@127.0.0.1/", target)
    assert "secret" not in refused.value.public_message
