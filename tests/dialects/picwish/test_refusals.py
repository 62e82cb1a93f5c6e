"""What is refused before there is a task: HTTP errors, all in one form, on a real server."""

from __future__ import annotations

import http.client
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
import urllib3

from superres.access import Plan, Policy, Quota
from superres.access.policy import statement
from superres.errors import BadParameter
from superres.server.dialects import picwish
from superres.settings import load
from tests.dialects.picwish.conftest import (
    MAX_BYTES,
    PATIENCE,
    Client,
    Native,
    base64_of,
    picture,
    refused,
    unfinished,
)

TAKING = {"picwish.max_bytes": MAX_BYTES, "picwish.rate": 10_000}


@pytest.fixture(scope="module")
def server(start_server):
    """Takes tasks in and does none: nothing here comes that far."""
    return start_server(TAKING)


def both(server, token) -> list[Client]:
    return [Native(server.url, token), Client(server.url, token, market=True)]


# --- who is asking ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "APPCODE"},
        {"Authorization": "APPCODE  "},
        {"Authorization": "APPCODE wrong"},
        {"Authorization": "APPCODE " + "x" * 5000},
        {"Authorization": "Bearer {token}"},
        {"Authorization": "{token}"},
        {"X-API-KEY": "{token}"},
        {"Authorization": "APPCODE {secret}"},
        {"Authorization": "APPCODE {id}"},
        {"Authorization": "APPCODE \xe9"},
    ],
)
def test_appcode_refused(server, headers):
    made = server.access.create(f"appcode {time.monotonic()}")
    filled = {
        name: value.format(token=made.token, secret=made.secret, id=made.id).encode("latin-1")
        for name, value in headers.items()
    }
    response = requests.post(
        server.url + "/tasks/visual/scale", headers=filled, data={"type": "clean"}, timeout=PATIENCE
    )
    refused(response, 401)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-KEY": ""},
        {"X-API-KEY": "wrong"},
        {"X-API-KEY": "APPCODE {token}"},
        {"Authorization": "APPCODE {token}"},
        {"Authorization": "Bearer {token}"},
        {"X-API-KEY": "{secret}"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_api_key_refused(server, headers, method):
    made = server.access.create(f"key {time.monotonic()}")
    filled = {name: value.format(**vars(made)) for name, value in headers.items()}
    path = "/api/tasks/visual/scale" + ("/some-task" if method == "GET" else "")
    refused(requests.request(method, server.url + path, headers=filled, timeout=PATIENCE), 401)


@pytest.mark.parametrize("scheme", ["APPCODE", "appcode", "AppCode", "APPCODE  "])
def test_scheme_in_any_letters(server, token, scheme):
    response = requests.post(
        server.url + "/tasks/visual/scale",
        headers={"Authorization": f"{scheme} {token}"},
        timeout=PATIENCE,
    )
    refused(response, 400, "image_url")


def test_a_revoked_credential(server):
    made = server.access.create("leaver")
    client = Native(server.url, made.token)
    task_id = client.create(picture())
    server.access.revoke(made.id)
    refused(client.post(picture()), 401)
    refused(client.poll(task_id), 401)


def test_a_policy_that_does_not_allow_it(server):
    made = server.access.create("limited")
    allow = statement("allow", ["superres:Upscale"], ["*"])
    server.access.set_policy(made.id, Policy((allow,)))
    for client in both(server, made.token):
        refused(client.post(), 400, "image_url")
    deny = statement("deny", ["superres:Upscale"], ["picwish/scale"])
    server.access.set_policy(made.id, Policy((allow, deny)))
    for client in both(server, made.token):
        refused(client.post(picture()), 401, "may not do superres:Upscale on picwish/scale")


# --- how fast ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def paced(start_server):
    """A server with the rate as it is by default."""
    return start_server({})


def test_two_requests_per_second(paced):
    client = Native(paced.url, paced.access.create("hasty").token)
    unfinished(client.post(picture(), sync=0))
    task_id = client.create(picture())
    third = client.post(picture(), sync=0)
    refused(third, 429, "2 requests per second")
    assert third.headers["retry-after"] == "1"
    # Another key has a rate of its own, and asking how a task is counts against none.
    Native(paced.url, paced.access.create("other").token).create(picture())
    for _ in range(10):
        unfinished(client.poll(task_id))
    time.sleep(1.1)
    client.create(picture())


def test_both_doors_share_the_rate(paced):
    token = paced.access.create("two doors").token
    native, market = both(paced, token)
    native.create(picture())
    refused(market.post(type=""), 400, "image_url")
    refused(market.post(type=""), 429)
    refused(native.post(), 429)


def test_a_plan_of_its_own(paced):
    made = paced.access.create("paying")
    paced.access.set_plan(made.id, Plan(rate=20, burst=5))
    client = Native(paced.url, made.token)
    for _ in range(5):
        client.create(picture())
    refused(client.post(picture(), sync=0), 429, "20 requests per second")


def test_a_quota(paced):
    made = paced.access.create("trial")
    paced.access.set_plan(made.id, Plan(quota=Quota(day=1)))
    client = Native(paced.url, made.token)
    task_id = client.create(picture())
    response = client.post(picture(), sync=0)
    refused(response, 429, "requests for this day are used up")
    assert int(response.headers["retry-after"]) >= 1
    unfinished(client.poll(task_id))


def test_a_rate_that_is_none():
    class Built:
        settings = load(overrides={"picwish.rate": 1e9})

    with pytest.raises(BadParameter, match="rate"):
        picwish.router(Built)


def test_full_queue(start_server):
    server = start_server({"jobs.max_waiting": 1, **TAKING})
    client = Native(server.url, server.access.create("one").token)
    client.create(picture())
    response = client.post(picture(), sync=0)
    refused(response, 429, "wait already")
    assert int(response.headers["retry-after"]) >= 1


# --- parameters -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({}, "There is no picture: send image_url, image_file or image_base64."),
        ({"image_url": ""}, "There is no picture"),
        ({"image_url": "   "}, "There is no picture"),
        ({"image_url": "ftp://example.com/a.png"}, "http:// or https://"),
        ({"image_url": "s3://bucket/key"}, "http:// or https://"),
        ({"image_url": "http://example.com/" + "a" * 600}, "512 characters"),
        ({"image_base64": "no base64!!"}, "no base64"),
        ({"image_base64": "aGVsbG8"[:5]}, "cut off"),
        ({"image_base64": "data:image/png,abc"}, "data:image/png;base64,"),
        ({"image_base64": "data:image/png;base64,"}, "empty"),
        ({"image_url": "http://a/", "type": "blurry"}, "clean or face"),
        ({"image_url": "http://a/", "scale_factor": "3"}, "1, 2 or 4"),
        ({"image_url": "http://a/", "return_type": "4"}, "1, 2 or 3"),
        ({"image_url": "http://a/", "format": "webp"}, "jpg or png"),
    ],
)
def test_parameters(server, token, fields, hint):
    for client in both(server, token):
        refused(client.post(**fields), 400, hint)
        refused(client.send(data={"type": "clean", **fields}), 400, hint)
        refused(client.send(json={"type": "clean", **fields}), 400, hint)
        if "image_base64" not in fields or len(fields) == 1:
            refused(client.send(params={"type": "clean", **fields}), 400, hint)


def test_type_is_required_at_the_market(server, token):
    native, market = both(server, token)
    for how in ({"data": {"image_url": "http://a/"}}, {"json": {"image_url": "http://a/"}}):
        refused(market.send(**how), 400, "type is missing")
        unfinished(native.send(**how))


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"sync": "2"}, "0 or 1"),
        ({"sync": "0", "return_type": "3"}, "sync=1 only"),
        ({"return_type": 3}, "sync=1 only"),
        ({"callback_url": "mailto:me@example.com"}, "callback_url must be an address"),
        ({"callback_url": "https://example.com/" + "a" * 3000}, "2048 characters"),
    ],
)
def test_parameters_of_the_native_door(server, token, fields, hint):
    native, _ = both(server, token)
    refused(native.send(data={"image_url": "http://a/", **fields}), 400, hint)


@pytest.mark.parametrize(
    ("content_type", "body", "hint"),
    [
        ("application/json", b"[]", "JSON"),
        ("application/json", b'{"image_url": ', "cut off"),
        ("", b'{"image_url": ', "cut off"),
        ("application/json", b'{"image_url": ["http://a/"]}', "a list"),
        ("image/png", b"\x89PNG", "Content-Type"),
        ("multipart/form-data", b"--a\r\n\r\n--a--", "boundary"),
        ("multipart/form-data; boundary=a", b"--a\r\nhello", "multipart/form-data"),
        ("multipart/form-data; boundary=a", b"", "cut off"),
        ("application/x-www-form-urlencoded", b"image_url=%ff", "UTF-8"),
    ],
)
def test_bodies_that_cannot_be_read(server, token, content_type, body, hint):
    for client in both(server, token):
        response = urllib3.request(
            "POST",
            client.url,
            body=body,
            headers={**client.headers, **({"Content-Type": content_type} if content_type else {})},
            retries=False,
            timeout=PATIENCE,
        )
        content = json.loads(response.data)
        assert (response.status, content["status"]) == (400, 400)
        assert hint in content["message"]


# --- sizes ------------------------------------------------------------------------------

MAX_BODY = 2 * MAX_BYTES + (64 << 10)


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=a"])
def test_a_body_that_is_too_long_is_refused_unread(server, token, content_type):
    for client in both(server, token):
        host, port = server.host.split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            name, value = next(iter(client.headers.items()))
            connection.sendall(
                f"POST {client.url.removeprefix(server.url)} HTTP/1.1\r\nHost: {server.host}\r\n"
                f"{name}: {value}\r\nContent-Type: {content_type}\r\n"
                f"Content-Length: {MAX_BODY + 1}\r\n\r\n".encode()
            )
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert response.status == 413
            assert json.loads(response.read())["status"] == 413


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=a"])
def test_a_body_that_does_not_say_how_long_it_is(server, token, content_type):
    def pieces():
        yield b'--a\r\nContent-Disposition: form-data; name="image_file"; filename="a"\r\n\r\n'
        for _ in range(MAX_BODY // 8192 + 4):
            yield bytes(8192)

    for client in both(server, token):
        response = client.send(data=pieces(), headers={"Content-Type": content_type})
        refused(response, 413, "[picwish] max_bytes")


def test_nothing_is_left_of_what_was_refused(server, token):
    for client in both(server, token):
        refused(client.post(bytes(MAX_BYTES + 1)), 413)
        refused(client.post(image_base64=base64_of(bytes(MAX_BYTES + 1))), 413)
        refused(client.post(picture(), type="blurry"), 400)
    assert list(server.app.spool.iterdir()) == []


# --- addresses --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/tasks/visual/scale"),
        ("PUT", "/tasks/visual/scale"),
        ("DELETE", "/api/tasks/visual/scale/an-id"),
        ("POST", "/api/tasks/visual/scale/an-id"),
        ("GET", "/tasks/visual/scale/an-id"),
        ("GET", "/api/tasks/visual/scale"),
        ("GET", "/api/tasks/visual/scale/"),
        ("GET", "/api/tasks/visual/scale/a/b"),
        ("POST", "/api/tasks/visual/segmentation"),
        ("POST", "/tasks/visual"),
        ("POST", "/tasks"),
        ("GET", "/api/tasks"),
        ("PATCH", "/api/tasks/"),
        ("PROPFIND", "/tasks/visual/scale"),
    ],
)
def test_unknown_addresses(server, token, method, path):
    headers = {"X-API-KEY": token, "Authorization": f"APPCODE {token}"}
    refused(requests.request(method, server.url + path, headers=headers, timeout=PATIENCE), 404)


@pytest.mark.parametrize(
    "task_id",
    ["an-id", "0" * 36, "6a4eab77-be30-430a-bf0e-3048042a34ef", "%00", "%ff", "..%2f", "a" * 3000],
)
def test_unknown_tasks(server, token, task_id):
    refused(Native(server.url, token).poll(task_id), 404)


def test_tasks_of_others(server, token):
    task_id = Native(server.url, token).create(picture())
    other = Native(server.url, server.access.create("other").token)
    refused(other.poll(task_id), 404)


def test_tasks_of_other_doors(server):
    made = server.access.create("many doors")
    batch = requests.post(
        server.url + "/v3/pic/fsrtwo/batch",
        auth=(made.id, made.secret),
        json={"images": ["http://example.com/a.png"], "file_ext": "png", "priority": 1},
        timeout=PATIENCE,
    ).json()
    refused(Native(server.url, made.token).poll(batch["data"]["task_id"]), 404)


# --- pages of other sites ----------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/tasks/visual/scale", "/api/tasks/visual/scale", "/api/tasks/visual/scale/an-id"]
)
def test_browsers_may_ask_from_other_sites(server, path):
    """Public clients send a form from React, straight to the API."""
    response = requests.options(
        server.url + path,
        headers={
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "x-api-key,content-type",
        },
        timeout=PATIENCE,
    )
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in response.headers
    allowed = response.headers["access-control-allow-headers"].lower().split(",")
    assert {"x-api-key", "authorization", "content-type"} <= set(allowed)
    assert "POST" in response.headers["access-control-allow-methods"]


# --- the server's own trouble ------------------------------------------------------------


def test_what_nobody_foresaw(start_server, monkeypatch):
    server = start_server(TAKING)
    client = Native(server.url, server.access.create("one").token)

    def broken(_):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(server.app.jobs, "submit", broken)
    message = refused(client.post(picture()), 500)
    assert "secret" not in message


def test_too_many_requests_at_once(start_server):
    server = start_server({"server.max_requests": 2, "server.body_timeout": 5, **TAKING})
    client = Native(server.url, server.access.create("one").token)
    host, port = server.host.split(":")
    with ThreadPoolExecutor(4) as pool:
        held = [socket.create_connection((host, int(port)), timeout=PATIENCE) for _ in range(2)]
        for connection in held:
            connection.sendall(
                b"POST /api/tasks/visual/scale HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n"
                + f"X-API-KEY: {client.headers['X-API-KEY']}\r\n\r\n".encode()
            )
        time.sleep(0.5)
        response = pool.submit(client.post, picture(), sync=0).result()
        refused(response, 429, "as many requests")
        assert int(response.headers["retry-after"]) >= 1
        for connection in held:
            connection.close()
