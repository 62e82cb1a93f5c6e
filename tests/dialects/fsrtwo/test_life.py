"""Tasks outlive servers, and do not outlive their time."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager

import pytest
import requests

from superres.access import NewCredential
from superres.settings import load
from tests.dialects.conftest import running
from tests.dialects.fsrtwo.conftest import PATIENCE, Client, loaded, picture, refused
from tests.e2e.service import Service


@pytest.fixture
def serve(start_server, tmp_path):
    """Servers one after the other on the same data folder; ``start_server`` keeps them quiet."""

    @contextmanager
    def serve(**more: object):
        own = {
            "server.data_dir": str(tmp_path / "data"),
            "server.port": 0,
            "jobs.poll_interval": 0.05,
            "sources.allow_networks": ["127.0.0.0/8"],
        }
        named = {name.replace("__", "."): value for name, value in more.items()}
        with running(load(overrides={**own, **named})) as server:
            yield server

    return serve


def client_of(server, credential: NewCredential) -> Client:
    return Client(server.url, credential.id, credential.secret)


def test_a_task_outlives_the_server_that_took_it(serve, web):
    links = [web.put("a.png", picture()), web.put("b.jpg", picture(300, 256, "JPEG")), "none"]
    with serve(jobs__concurrency=0) as first:
        credential = first.access.create("tester")
        task = client_of(first, credential).task(links, "jpg", 3)
        assert client_of(first, credential).result(task)["status"] == "1"
    with serve(jobs__concurrency=3) as second:
        data = client_of(second, credential).finished(task)
        assert [one["status"] for one in data["list"]] == ["3", "3", "4"]
        sizes = [loaded(one["image_result"]).size for one in data["list"][:2]]
        assert sizes == [(2048, 2048), (2400, 2048)]
        path = data["list"][0]["image_result"].removeprefix(second.url)
    with serve(jobs__concurrency=0) as third:
        assert client_of(third, credential).result(task)["status"] == "3"
        assert loaded(third.url + path).size == (2048, 2048)


def test_results_live_for_a_set_time(serve, web):
    with serve(jobs__concurrency=3, server__result_lifetime=3) as server:
        client = client_of(server, server.access.create("tester"))
        task = client.task([web.put("a.png", picture())], "jpg")
        link = client.finished(task)["list"][0]["image_result"]
        ended = time.monotonic()
        assert loaded(link).size == (2048, 2048)
        assert client.result(task)["status"] == "3"
        while client.poll(task).status_code == 200:
            assert time.monotonic() < ended + 10
            time.sleep(0.1)
        assert time.monotonic() > ended + 2
        refused(client.poll(task), 404, 680404)
        time.sleep(1)  # a link is good to the end of its second
        assert requests.get(link, timeout=PATIENCE).status_code == 404


def test_waited_too_long(serve, web):
    with serve(jobs__concurrency=0, jobs__max_wait=1) as server:
        client = client_of(server, server.access.create("tester"))
        task = client.task([web.put("a.png", picture())] * 2)
        assert client.result(task)["status"] == "1"
        data = client.finished(task)
    assert (data["status"], data["wait_time"]) == ("6", "0")
    assert [one["status"] for one in data["list"]] == ["6", "6"]


@pytest.mark.slow
def test_a_task_outlives_a_server_that_is_killed(tmp_path, web):
    """SIGKILL in the middle of a batch; the next start finishes it, each picture once."""
    settings = {"sources.allow_networks": "127.0.0.0/8", "jobs.slot_timeout": 2}
    links = [web.put(f"k{n}.png", picture(256 + n)) for n in range(6)]
    service = Service(tmp_path / "service", settings)
    try:
        service.start()
        made = service.new_credential()
        service.hold()
        client = Client(service.url, made["id"], made["secret"])
        task = client.task(links, "jpg", 9)
        client.until(task, lambda data: data["status"] == "2")
        service.signal(signal.SIGKILL)
        service.ended()
        service.release()
        service.start()
        client.host = service.url
        data = client.finished(task)
        assert [one["status"] for one in data["list"]] == ["3"] * 6, data
        sizes = [loaded(one["image_result"]).width for one in data["list"]]
        assert sizes == [(256 + n) * 8 for n in range(6)]
    finally:
        service.stop()
