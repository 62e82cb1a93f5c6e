"""Tasks that fail, each for a real reason, and what becomes of those that take too long."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from superres.jobs import State
from superres.server.dialects.picwish import answers
from tests.dialects.picwish.conftest import (
    DOING,
    PATIENCE,
    Client,
    GatedEngine,
    Native,
    complete,
    executor_of,
    failed,
    picture,
    refused,
    unfinished,
)

DEADLINE = 2.0
LIFETIME = 3.0


@pytest.fixture(scope="module")
def engine() -> GatedEngine:
    return GatedEngine()


@pytest.fixture(scope="module")
def server(start_server, engine):
    quick = {"picwish.deadline": DEADLINE, "picwish.download_timeout": 1.0}
    return start_server(
        {**DOING, **quick, "server.result_lifetime": LIFETIME}, executor=executor_of(engine)
    )


@pytest.fixture
def held(engine):
    """Nothing is computed until the test ends, or lets it."""
    engine.gate.clear()
    yield engine
    engine.gate.set()


def jobs_of(server, token):
    return server.app.jobs.list(owner=server.access.by_token(token).id)


# --- downloads --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://10.1.2.3/a.png", "private"),
        ("http://[::ffff:169.254.169.254]/latest/meta-data", ""),
        ("http://", ""),
        ("http://[/", ""),
        ("https://exa mple.com/a.png", ""),
        ("http://127.0.0.1:1/a.png", ""),
        ("http://nowhere.invalid/a.png", ""),
        ("http://user:password@example.com/a.png", ""),
        ("http://example.com:22222222/a.png", ""),
    ],
)
def test_addresses_that_cannot_be_downloaded(either, url, hint):
    data = either.failed(image_url=url)
    assert (data["state"], data["state_detail"]) == (-3, "Download failed")
    assert hint in data["message"]


def test_not_found_is_a_failed_download(either, web):
    data = either.failed(image_url=web.link("missing.png"))
    assert data["state"] == -3
    assert "404" in data["message"]


def test_slow_sites(either, web):
    link = web.put("slow.png", picture())
    web.gate.clear()
    began = time.monotonic()
    try:
        data = either.failed(image_url=link)
    finally:
        web.gate.set()
    assert data["state"] == -3
    assert 0.9 < time.monotonic() - began < 1.9  # not the whole deadline


def test_failed_downloads_can_be_polled(native, web):
    assert failed(native.finished(native.create(image_url=web.link("missing"))))["state"] == -3


def test_what_was_downloaded_is_no_picture(either, web):
    data = either.failed(image_url=web.put("page.html", b"<html></html>"))
    assert (data["state"], data["state_detail"]) == (-7, "Invalid image")


# --- time -------------------------------------------------------------------------------


def late(data: dict) -> None:
    assert (data["state"], data["state_detail"]) == (-8, "Timeout")
    assert data["message"] == "It took longer than 2 seconds."
    assert data["completed_at"] >= data["created_at"] + 1


def test_who_waits_is_told_in_time(either, native, held):
    began = time.monotonic()
    data = either.failed(picture())
    assert DEADLINE - 0.1 < time.monotonic() - began < DEADLINE + 1.5
    late(data)
    held.gate.set()
    time.sleep(0.5)
    assert failed(native.poll(data["task_id"])) == data  # for ever


def test_raw_bytes_that_come_too_late(either, held):
    late(failed(either.post(picture(), return_type=3)))


def test_tasks_that_take_too_long(native, held):
    task_id = native.create(picture())
    time.sleep(DEADLINE + 0.3)
    held.gate.set()  # the engine looks whether it may go on between tiles
    late(failed(native.finished(task_id)))


def test_waiting_for_a_turn_is_waiting_too(native, market, held):
    """Tasks that nobody waits for may wait; those that somebody does may not."""
    created = [native.create(picture()) for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for data in pool.map(lambda _: market.failed(picture()), range(4)):
            late(data)
    seen = [native.poll(task_id).json()["data"]["state"] for task_id in created]
    assert 4 in seen
    held.gate.set()
    last = [native.finished(task_id).json()["data"]["state"] for task_id in created]
    assert set(last) <= {1, -8}
    assert last.count(1) >= 4


def test_closed_by_its_owner_is_no_timeout(native, server, token, held):
    """Another door may close it."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(native.failed, picture())
        while not (running := [j for j in jobs_of(server, token) if not j.state.final]):
            time.sleep(0.02)
        server.app.jobs.cancel(running[0].id, owner=running[0].owner)
        data = waiting.result()
    assert (data["state"], data["state_detail"]) == (-1, "Failed")
    assert failed(native.poll(data["task_id"]))["state"] == -1


def leave(client: Client, server, picture: bytes, **fields: str) -> None:
    """Ask for a result and go away before it is there."""
    host, port = server.host.split(":")
    name, value = next(iter(client.headers.items()))
    parts = {"type": "clean", "sync": "1", **fields}
    body = b"".join(
        f'--a\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in parts.items()
    )
    body += b'--a\r\nContent-Disposition: form-data; name="image_file"; filename="a"\r\n\r\n'
    body += picture + b"\r\n--a--\r\n"
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(
            f"POST {client.url.removeprefix(server.url)} HTTP/1.1\r\nHost: {server.host}\r\n"
            f"{name}: {value}\r\nContent-Type: multipart/form-data; boundary=a\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        time.sleep(0.5)


def test_clients_that_go_away_stop_their_work(server, token, held):
    for client in (Native(server.url, token), Client(server.url, token, market=True)):
        leave(client, server, picture())
        end = time.monotonic() + DEADLINE - 0.7  # before it is closed as late
        while not (newest := jobs_of(server, token)[0]).state.final:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert newest.state is State.CLOSED


def test_clients_that_go_away_and_are_told_do_not(server, native, token, web, held):
    leave(native, server, picture(), callback_url=web.link("told"))
    time.sleep(0.3)
    newest = jobs_of(server, token)[0]
    assert newest.state is State.RUNNING
    held.gate.set()
    complete(native.finished(newest.id))


# --- the server's own trouble ------------------------------------------------------------


def test_a_result_that_cannot_be_stored(either, server, web):
    """The folder of the store is no folder any more."""
    link = web.put("a.png", picture())  # sent along, it would have to be stored at once
    [folder] = (server.app.settings.server.data_dir / "objects").glob("superres*")
    away = folder.with_name("away")
    shutil.move(folder, away)
    folder.write_bytes(b"")
    try:
        data = either.failed(image_url=link)
        assert (data["state"], data["state_detail"]) == (-2, "Upload failed")
        refused(either.post(picture()), 500)
    finally:
        folder.unlink()
        shutil.move(away, folder)
    either.done(image_url=link)


def test_an_engine_that_fails(either, engine):
    engine.broken = True
    try:
        data = either.failed(picture())
    finally:
        engine.broken = False
    assert (data["state"], data["state_detail"]) == (-1, "Failed")


# --- afterwards -------------------------------------------------------------------------


def test_links_and_tasks_expire(native, server):
    data = native.done(picture())
    host = server.host
    connection = http.client.HTTPConnection(host, timeout=PATIENCE)
    path = data["image"].partition(host)[2]

    def status() -> int:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status

    assert status() == 200
    complete(native.poll(data["task_id"]))
    time.sleep(LIFETIME + 0.5)
    assert status() == 404
    refused(native.poll(data["task_id"]), 404, "over")
    connection.close()


def test_a_picture_that_had_to_go(native, server):
    data = native.done(picture())
    job = server.app.jobs.get(data["task_id"], owner=None)
    task_id = native.create(picture(), return_type=2)
    complete(native.finished(task_id), 2)
    gone = server.app.jobs.get(task_id, owner=None)
    for each in (job, gone):
        assert each.items[0].result is not None
        server.app.blobs.delete(each.items[0].result.blob_id)
    refused(native.poll(task_id), 404)
    complete(native.poll(data["task_id"]))  # a link, which then leads nowhere


def test_progress_is_below_100_until_it_is_done(native, held):
    task_id = native.create(picture())
    time.sleep(0.5)
    assert unfinished(native.poll(task_id))["processed_at"] > 0
    held.gate.set()
    complete(native.finished(task_id))


def test_what_is_told_is_what_polling_answers(native, server):
    for fields in ({}, {"return_type": 2}):
        task_id = native.create(picture(), **fields)
        polled = native.finished(task_id)
        job = server.app.jobs.get(task_id, owner=None)
        assert json.loads(answers.told(server.app, job)) == polled.json()
