"""Request ids, and what counts as somebody sitting at this machine."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from starlette.requests import HTTPConnection

from superres.errors import Unauthenticated
from superres.server.identity import bearer, is_local, is_loopback, request_id
from superres.settings import ServerSettings

DEFAULT = ServerSettings()


def connection(
    client: str | None = "127.0.0.1",
    server: ServerSettings = DEFAULT,
    **headers: str,
) -> HTTPConnection:
    given = {"host": "127.0.0.1:8000", **headers}
    app = SimpleNamespace(
        state=SimpleNamespace(app=SimpleNamespace(settings=SimpleNamespace(server=server)))
    )
    return HTTPConnection(
        {
            "type": "http",
            "app": app,
            "client": (client, 40_000) if client else None,
            "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in given.items() if v],
        }
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "localhost:8000"},
        {"host": "[::1]:8000"},
        {"origin": "http://127.0.0.1:8000"},
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
    ],
)
def test_local(headers: dict[str, str]) -> None:
    assert is_local(connection(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"host": ""},
        {"host": "evil.example:8000"},  # DNS rebinding
        {"host": "127.0.0.1.evil.example"},
        {"host": "["},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},  # another server on this machine
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"x_forwarded_for": "203.0.113.9"},
        {"forwarded": "for=203.0.113.9"},
        {"via": "1.1 proxy"},
        {"x_forwarded_proto": "https"},
        {"cf_connecting_ip": "203.0.113.9"},
        {"true_client_ip": "203.0.113.9"},
        {"origin": "http://["},
    ],
)
def test_not_local(headers: dict[str, str]) -> None:
    assert not is_local(connection(**headers))


@pytest.mark.parametrize("client", [None, "192.0.2.1", "10.0.0.1", "testclient"])
def test_a_client_elsewhere_is_not_local(client: str | None) -> None:
    assert not is_local(connection(client))


def test_a_server_for_others_is_not_local() -> None:
    assert not is_local(connection(server=ServerSettings(host="0.0.0.0")))
    assert not is_local(connection(server=ServerSettings(public_url="https://sr.example")))
    assert is_local(connection(server=ServerSettings(public_url="http://localhost:8000")))


def test_a_bare_proxy_gives_itself_away() -> None:
    request = connection()
    request.scope["http_version"] = "1.0"
    assert not is_local(request)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "LOCALHOST"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "localhost.evil.example"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_a_request_keeps_the_id_it_was_given() -> None:
    assert request_id(connection(x_request_id="order-4711")) == "order-4711"


@pytest.mark.parametrize("given", ["", "short", "a" * 65, "new\tline-here", "<script>alert"])
def test_an_odd_id_is_replaced(given: str) -> None:
    request = connection(x_request_id=given)
    made = request_id(request)
    assert made != given
    assert len(made) == 36
    assert request_id(request) == made


def test_bearer() -> None:
    assert bearer(connection(authorization="bearer  abc ")) == "abc"
    for wrong in ("", "Bearer", "Bearer  ", "Basic abc"):
        with pytest.raises(Unauthenticated, match="superres keys create"):
            bearer(connection(authorization=wrong))
