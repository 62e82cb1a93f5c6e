"""Every refusal: the right status, one form, one clear sentence."""

import base64
import inspect
import json
import socket
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request

from superres import errors
from superres.access import Plan, Policy, Quota, Statement
from superres.errors import SuperresError
from superres.server.errors import ClientGone
from superres.server.v1.errors import STATUS, render
from tests.dialects.v1.conftest import error_of, picture

LEAVES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, SuperresError) and not cls.__subclasses__()
]


def made(error: Exception) -> tuple[int, dict, dict]:
    request = Request({"type": "http", "headers": [], "method": "GET", "path": "/v1/x"})
    response = render(request, error)
    return response.status_code, json.loads(bytes(response.body))["error"], response.headers


@pytest.mark.parametrize("leaf", [*LEAVES, ClientGone])
def test_every_error_has_its_own_line(leaf):
    assert leaf in STATUS
    status, error, _ = made(leaf("A sentence."))
    assert status == STATUS[leaf]
    assert (error["code"], error["message"]) == (leaf.code, "A sentence.")


def test_coming_again():
    for error in (errors.RateLimited("x.", 2.1), errors.QuotaExceeded("x.", 3)):
        status, told, headers = made(error)
        assert (status, headers["retry-after"], told["retry_after"]) == (429, "3", 3)
    status, _, headers = made(errors.Overloaded("x.", 0.2))
    assert (status, headers["retry-after"]) == (503, "1")
    assert made(errors.Unauthenticated("x."))[2]["www-authenticate"] == "Bearer"


def test_the_unforeseen_tells_nothing():
    status, error, _ = made(RuntimeError("/home/secret/path and a password"))
    assert (status, error["code"]) == (500, "internal")
    assert "secret" not in json.dumps(error)


# ---------------------------------------------------------------- who


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


GUARDED = [
    ("GET", "/v1/models"),
    ("GET", "/v1/estimate?width=10&height=10"),
    ("POST", "/v1/upscale"),
    ("GET", "/v1/requests/somebodys-request/events"),
]


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "pictures.example.com"},  # DNS rebinding
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Forwarded-For": "203.0.113.7"},
        bearer("srk_wrong"),
        {"Authorization": "Bearer"},
        {"Authorization": ""},
        {"Authorization": "Basic " + base64.b64encode(b"a:b").decode()},
    ],
)
def test_strangers_are_asked_for_a_token(client, method, path, headers):
    response = client.request(method, path, headers=headers, content=b"")
    assert response.status_code == 401
    assert error_of(response)["code"] == "unauthenticated"
    assert response.headers["www-authenticate"] == "Bearer"
    assert "srk_wrong" not in response.text


def test_a_token_opens_from_everywhere(client, server):
    token = server.access.create("remote").token
    headers = {**bearer(token), "Host": "pictures.example.com", "X-Forwarded-For": "203.0.113.7"}
    assert client.get("/v1/models", headers=headers).status_code == 200
    assert client.post("/v1/upscale", headers=headers, content=picture()).status_code == 200


def test_a_revoked_token_opens_nothing(client, server):
    credential = server.access.create("gone")
    assert client.get("/v1/models", headers=bearer(credential.token)).status_code == 200
    server.access.revoke("gone")
    assert client.get("/v1/models", headers=bearer(credential.token)).status_code == 401


def test_a_policy_is_asked(client, server):
    credential = server.access.create("lister")
    statement = Statement("allow", actions=("superres:ListModels",), resources=("v1/*",))
    server.access.set_policy("lister", Policy((statement,)))
    headers = bearer(credential.token)
    assert client.get("/v1/models", headers=headers).status_code == 200
    for method, path in GUARDED[1:3]:
        response = client.request(method, path, headers=headers)
        assert (response.status_code, error_of(response)["code"]) == (403, "permission_denied")


def test_buckets_are_asked_for_too(client, server):
    server.app.store.put("private", "a.png", picture())
    credential = server.access.create("narrow")
    statement = Statement("allow", actions=("superres:*",), resources=("*",))
    server.access.set_policy("narrow", Policy((statement,)))
    body = {"url": "s3://private/a.png"}
    for headers in (bearer(credential.token), {}):
        response = client.post("/v1/upscale", json=body, headers=headers)
        assert (response.status_code, error_of(response)["code"]) == (403, "permission_denied")
    server.access.set_policy("narrow", None)
    absent = {"url": "s3://private/b.png"}
    response = client.post("/v1/upscale", json=absent, headers=bearer(credential.token))
    assert (response.status_code, error_of(response)["code"]) == (404, "object_not_found")


def test_rates_and_quotas(client, server):
    hasty = server.access.create("hasty")
    server.access.set_plan("hasty", Plan(rate=0.1, burst=1))
    spent = server.access.create("spent")
    server.access.set_plan("spent", Plan(quota=Quota(day=1)))
    for token, code in ((hasty.token, "rate_limited"), (spent.token, "quota_exceeded")):
        first = client.post("/v1/upscale", content=picture(), headers=bearer(token))
        assert first.status_code == 200
        response = client.post("/v1/upscale", content=picture(), headers=bearer(token))
        error = error_of(response)
        assert (response.status_code, error["code"]) == (429, code)
        assert int(response.headers["retry-after"]) == error["retry_after"] >= 1


@pytest.mark.parametrize("path", ["/v1/models", "/v1/estimate?width=10&height=10"])
def test_looking_counts_for_the_rate_and_not_for_the_quota(client, server, path):
    name = f"looker {path}"
    looker = server.access.create(name)
    server.access.set_plan(name, Plan(rate=0.1, burst=3, quota=Quota(day=1)))
    headers = bearer(looker.token)
    for _ in range(2):
        assert client.get(path, headers=headers).status_code == 200
    assert [usage.used for usage in server.access.usage(name)] == [0]
    assert client.post("/v1/upscale", content=picture(), headers=headers).status_code == 200
    response = client.get(path, headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (429, "rate_limited")
    assert int(response.headers["retry-after"]) >= 1


def test_who_may_not_is_told_before_the_body_is_read(server):
    host, port = server.host.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(
            b"POST /v1/upscale HTTP/1.1\r\nHost: x.example\r\nContent-Type: image/png\r\n"
            b"Content-Length: 50000000\r\n\r\n"
        )
        assert wire.recv(100).startswith(b"HTTP/1.1 401 ")


# ---------------------------------------------------------------- where and how


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/nothing", "/v1/models/", "/v1//models", "/v1/upscale/x"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_nothing_here(client, method, path):
    response = client.request(method, path)
    assert (response.status_code, error_of(response)["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/upscale", "POST"),
        ("OPTIONS", "/v1/upscale", "POST"),
        ("POST", "/v1/models", "GET"),
        ("TRACE", "/v1/models", "GET"),
        ("DELETE", "/v1/results/" + "0" * 32, "GET, HEAD"),
        ("PATCH", "/v1/estimate", "GET"),
    ],
)
def test_not_this_method(client, method, path, allowed):
    response = client.request(method, path)
    assert (response.status_code, error_of(response)["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize(
    "accept", ["text/html", "image/avif", "video/*", "image/*;q=0", "*/*; q=0.000", "nonsense"]
)
def test_nothing_of_what_is_accepted(client, accept):
    response = client.post("/v1/upscale", content=picture(), headers={"Accept": accept})
    assert (response.status_code, error_of(response)["code"]) == (406, "not_acceptable")


def test_the_format_asked_for_is_not_accepted(client):
    response = client.post(
        "/v1/upscale?format=png", content=picture(), headers={"Accept": "image/webp"}
    )
    assert response.status_code == 406
    assert "png" in error_of(response)["message"]


# ---------------------------------------------------------------- what


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("scal=2", "did you mean 'scale'?"),
        ("Scale=2", "did you mean 'scale'?"),
        ("color_lock=true", "did you mean 'colour_lock'?"),
        ("xyz=1", "scale, width, height, megapixels, model"),
        ("scale=2&scale=3", "given twice"),
        ("scale=99", "16"),
        ("scale=0.5", "1"),
        ("scale=", "scale is ''"),
        ("scale=four", "number"),
        ("scale=nan", "finite"),
        ("scale=inf", "finite"),
        ("scale=1e400", "finite"),
        ("width=1.5", "integer"),
        ("width=0", "1"),
        ("width=" + "9" * 6000, "width"),
        ("fidelity=2", "1"),
        ("denoise=1.5", "denoise is"),
        ("tta=perhaps", "boolean"),
        ("model=genral", "Did you mean 'general'?"),
        ("format=gif", "png, jpeg, webp or tiff"),
        ("quality=0", "1"),
        ("lossless=yes", "boolean"),
        ("strip=gps", "'none', 'location' or 'all'"),
        ("scale=2&width=100", "only one of"),
        ("format=jpeg&lossless=true", "JPEG cannot be lossless"),
        ("width=20", "times the input's"),
        ("model=%ff%00", "There is no model"),
        ("%00=1", "There is no parameter"),
    ],
)
@pytest.mark.parametrize("form", ["query", "multipart", "json"])
def test_values_that_do_not_fit(client, query, hint, form):
    if form == "query":
        response = client.post(f"/v1/upscale?{query}", content=picture())
    else:
        from urllib.parse import parse_qsl

        pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
        if form == "json":
            if "twice" in hint:
                return  # httpx cannot send it; test_parsers.py does
            fields = {name: typed(value) for name, value in pairs}
            body = {"img": base64.b64encode(picture()).decode(), **fields}
            response = client.post("/v1/upscale", json=body)
            hint = "" if name_of(query) in ("scale", "width", "fidelity", "quality") else hint
        else:
            files = [("file", ("a.png", picture())), *((n, (None, v)) for n, v in pairs)]
            response = client.post("/v1/upscale", files=files)
    assert response.status_code == 400, response.text
    error = error_of(response)
    assert error["code"] in ("bad_parameter", "model_not_found")
    assert hint in error["message"]
    assert len(error["message"]) < 400


def typed(text: str) -> object:
    """As JSON would have it."""
    if text == "true":
        return True
    return float(text) if text.replace(".", "").isdigit() and len(text) < 5 else text


def name_of(query: str) -> str:
    return query.partition("=")[0]


def test_said_twice(client):
    for sent in (
        {"files": {"file": ("a.png", picture())}, "data": {"scale": "2"}},
        {"json": {"img": "AAAA", "scale": 2}},
    ):
        response = client.post("/v1/upscale?scale=2", **sent)
        assert response.status_code == 400
        assert "in the address and in the body" in error_of(response)["message"]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "bad_parameter"),
        (b"hello", 415, "unsupported_format"),
        (b"<html></html>", 415, "unsupported_format"),
        (picture()[:60], 422, "corrupt_image"),
        (b"\xff\xd8\xff" + bytes(100), 422, "corrupt_image"),
    ],
)
@pytest.mark.parametrize("accept", ["image/*", "application/json"])
def test_no_pictures(client, content, status, code, accept):
    response = client.post("/v1/upscale", content=content, headers={"Accept": accept})
    assert (response.status_code, error_of(response)["code"]) == (status, code)


def test_a_picture_with_too_many_pixels(client):
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    bomb += struct.pack(">I", zlib.crc32(chunk)) + picture()[33:]
    response = client.post("/v1/upscale", content=bomb)
    assert (response.status_code, error_of(response)["code"]) == (413, "image_too_large")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": None},
        {"url": "https://example.com/a.png", "img": "AAAA"},
        {"img": ""},
        {"img": "no base64 at all!"},
        {"img": 7},
        {"url": 7},
        {"url": ""},
        {"url": "file:///etc/passwd"},
        {"url": "ftp://example.com/a.png"},
        {"url": "http://127.0.0.1/a.png"},
        {"url": "http://[::ffff:169.254.169.254]/latest"},
        {"url": "x" * 9000},
        {"url": "https://example.com/\ud800"},
        {"img": "AAAA", "scale": "2"},
        {"img": "AAAA", "scale": True},
        {"img": "AAAA", "lossless": 1},
        {"img": "AAAA", "lossless": "true"},
        {"img": "AAAA", "model": 5},
        {"img": "AAAA", "scale": [2]},
        {"img": "AAAA", "file": "x"},
    ],
)
def test_json_that_does_not_fit(client, body):
    response = client.post(
        "/v1/upscale",
        content=json.dumps(body).encode(),
        headers={"Content-Type": "application/json; charset=utf-8"},
    )
    assert response.status_code == 400, response.text
    assert error_of(response)["code"] in ("bad_parameter", "source_refused")


@pytest.mark.parametrize(
    "query",
    [
        *("", "width=10", "width=0&height=5", "width=a&height=5", "width=5&height=5&file=x"),
        *("width=5&height=5&scale=17", "width=5&width=5&height=5", "width=5&height=5&quality=3"),
    ],
)
def test_estimates_that_do_not_fit(client, query):
    response = client.get(f"/v1/estimate?{query}")
    assert (response.status_code, error_of(response)["code"]) == (400, "bad_parameter")


def test_estimates_beyond_the_limits(client):
    response = client.get("/v1/estimate?width=70000&height=10")
    assert (response.status_code, error_of(response)["code"]) == (413, "image_too_large")


# ---------------------------------------------------------------- how much


@pytest.fixture(scope="module")
def small(start_server):
    """A server that takes 20,000 bytes."""
    server = start_server({"server.max_body_bytes": 20_000})
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client, server


def pieces(total: int):
    for _ in range(total // 1000):
        yield bytes(1000)


def test_bodies_that_are_too_large(small):
    client, server = small
    big = picture() + bytes(21_000)
    encoded = base64.b64encode(big).decode()
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

    def endless_form():
        yield start
        yield from pieces(500_000)

    for sent in (
        {"content": big},
        {"content": pieces(500_000)},  # chunked: no Content-Length
        {"files": {"file": ("a.png", big)}},
        {"content": endless_form(), "headers": form},
        {"json": {"img": encoded}},
        {"content": pieces(500_000), "headers": {"Content-Type": "application/json"}},
    ):
        response = client.post("/v1/upscale", **sent)
        assert (response.status_code, error_of(response)["code"]) == (413, "source_too_large")
        assert "[server] max_body_bytes" in error_of(response)["message"]
    assert list(server.app.spool.iterdir()) == []


def test_a_body_of_just_the_limit(small):
    client, _ = small
    data = picture()
    assert client.post("/v1/upscale", content=data.ljust(20_000, b"\0")).status_code == 200
    assert client.post("/v1/upscale", content=data.ljust(20_001, b"\0")).status_code == 413


def test_where_the_disk_has_no_room(client, server, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    response = client.post("/v1/upscale", content=picture(), headers={"Accept": "application/json"})
    assert (response.status_code, error_of(response)["code"]) == (500, "output_error")
    assert str(server.app.settings.server.data_dir) not in response.text
