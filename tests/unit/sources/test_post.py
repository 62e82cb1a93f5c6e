"""Handing something in at an address, with real servers that misbehave."""

from __future__ import annotations

import time

import pytest

from superres.errors import SourceRefused, SourceUnreachable
from tests.unit.sources.servers import Table, endless, redirect, reply, serve, silent, taking

JSON = {"Content-Type": "application/json", "webhook-id": "1"}
OK = b"HTTP/1.1 200 OK\r\n\r\n"


def post(sources, url, body=b"{}", headers=JSON, timeout=10.0, **more):
    return sources.post(url, body, headers, timeout=timeout, **more)


def test_what_is_sent(local, monkeypatch):
    """Nothing of ours goes along, and no proxy is asked, whatever the environment says."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    bodies: list[bytes] = []
    with serve(taking(bodies, reply(b"thanks"))) as server:
        assert post(local(), server.url("/a b?c=ü#d"), b'{"a": "\r\n\r\n"}') == 200
    head, *lines = server.requests[0].partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert head == "POST /a%20b?c=%C3%BC HTTP/1.1"
    assert sorted(lines, key=str.lower) == [
        "Connection: close",
        "Content-Length: 13",
        "Content-Type: application/json",
        f"Host: 127.0.0.1:{server.port}",
        "User-Agent: superres",
        "webhook-id: 1",
    ]
    assert bodies == [b'{"a": "\r\n\r\n"}']


@pytest.mark.parametrize("size", [0, 1, 5 << 20])
def test_all_of_a_body_arrives(local, size):
    bodies: list[bytes] = []
    with serve(taking(bodies, reply(b"", "202 x"))) as server:
        assert post(local(), server.url(), b"x" * size) == 202
    assert bodies == [b"x" * size]


@pytest.mark.parametrize("status", [200, 204, 304, 400, 401, 404, 410, 429, 500, 503])
def test_the_status_is_told_as_it_is(local, status):
    with serve(taking([], reply(b"", f"{status} x"))) as server:
        assert post(local(), server.url()) == status


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(local, status):
    with serve(reply()) as other:
        for where in (other.url(), "/again", "http://10.0.0.1/", "file:///etc/passwd"):
            with serve(taking([], redirect(where, f"{status} Moved"))) as server:
                assert post(local(), server.url()) == status
                assert server.connections == 1
        assert other.connections == 0


@pytest.mark.parametrize("address", ["", "a", "s3://bucket/key", "file:///a", "ftp://a/", "\x00"])
def test_other_kinds_of_addresses(local, address):
    with pytest.raises(SourceRefused):
        post(local(), address)


def test_an_allowed_network_is_allowed_to_whoever_is_trusted(local):
    resolver = Table(intranet=[["127.0.0.1"]])
    with serve(taking([], reply())) as server:
        for url in (server.url(), server.url(host="intranet")):
            assert post(local(resolver), url) == 200
            with pytest.raises(SourceRefused, match=r"\[sources\] allow_networks"):
                post(local(resolver), url, trusted=False)
            with pytest.raises(SourceRefused):
                post(local(resolver, allow_networks=()), url)
        assert server.connections == 2


def test_a_name_is_asked_for_once_and_what_it_said_is_connected_to(local):
    rebinding = Table(evil_example=[["127.0.0.1"], ["127.0.0.2"]])
    with serve(taking([], reply())) as outside, serve(reply(), "127.0.0.2") as other:
        assert post(local(rebinding), outside.url(host="evil.example")) == 200
        assert rebinding.asked == ["evil.example"]
        with pytest.raises(SourceRefused):
            post(local(rebinding), outside.url(host="evil.example"))
        assert other.connections == 0
    mixed = Table(mixed_example=[["127.0.0.1", "10.0.0.1"]])
    with serve(reply()) as outside, pytest.raises(SourceRefused):
        post(local(mixed), outside.url(host="mixed.example"))
    assert outside.connections == 0


@pytest.mark.parametrize(
    "answer",
    [
        silent(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
        endless(OK, b"x" * 65536),
        endless(OK, b"x", 0.05),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 99),
        reply(b"gzip", Content_Encoding="gzip"),
        reply(b"cut off", length=99),
    ],
)
def test_the_head_of_an_answer_is_the_answer(local, answer):
    """Whatever follows is not ours to wait for, beyond the time that there is."""
    started = time.monotonic()
    with serve(taking([], answer)) as server:
        assert post(local(), server.url(), timeout=1.0) == 200
    assert time.monotonic() - started < 5


def test_little_of_an_answer_is_read(local):
    with serve(taking([], endless(OK, b"x" * 65536))) as server:
        started = time.monotonic()
        assert post(local(), server.url(), timeout=60.0) == 200
        assert time.monotonic() - started < 5
    assert isinstance(server.error, OSError)  # hung up on


@pytest.mark.parametrize(
    "answer",
    [
        lambda stream, _: None,
        reply(b"", "what"),
        lambda stream, _: stream.sendall(b"SSH-2.0-OpenSSH_9\r\n"),
        lambda stream, _: stream.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 10_000),
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    ],
)
def test_improper_answers(local, answer):
    with (
        serve(taking([], answer)) as server,
        pytest.raises(SourceUnreachable, match="as a web server should"),
    ):
        post(local(), server.url())


@pytest.mark.parametrize(
    "answer",
    [
        silent(b""),
        endless(b"", b"H", 0.05),
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05),
        endless(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", 0.05),
    ],
)
def test_slow_answers(local, answer):
    started = time.monotonic()
    with serve(taking([], answer)) as server, pytest.raises(SourceUnreachable) as caught:
        post(local(timeout=60.0), server.url("/?secret"), timeout=0.6)
    assert caught.value.public_message == "There was no answer within 0.6 s."
    assert 0.5 < time.monotonic() - started < 5


def test_a_body_that_nobody_takes(local):
    with serve(lambda stream, _: time.sleep(2)) as server:
        started = time.monotonic()
        with pytest.raises(SourceUnreachable, match=r"within 0\.5 s"):
            post(local(), server.url(), b"x" * (64 << 20), timeout=0.5)
        assert time.monotonic() - started < 2


def test_nobody_there(local):
    with pytest.raises(SourceUnreachable, match=r"no host nowhere\.example"):
        post(local(), "http://nowhere.example/?secret")
    with serve(reply()) as gone:
        pass
    with pytest.raises(SourceUnreachable) as caught:
        post(local(), gone.url("/?secret"))
    assert "secret" not in caught.value.public_message
