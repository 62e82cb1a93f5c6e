"""Which task is done first, and how long one is told to wait: one picture at a time."""

from __future__ import annotations

import itertools
import math
import time

import pytest

from tests.dialects.fsrtwo.conftest import Client, GatedEngine, executor_of, picture


@pytest.fixture(scope="module")
def engine():
    return GatedEngine(pause=0.1)


@pytest.fixture(scope="module")
def server(start_server, engine):
    settings = {
        "jobs.concurrency": 1,
        "jobs.poll_interval": 0.05,
        "sources.allow_networks": ["127.0.0.0/8"],
    }
    return start_server(settings, executor=executor_of(engine, 1))


@pytest.fixture(scope="module")
def client(server):
    made = server.access.create("tester")
    return Client(server.url, made.id, made.secret)


@pytest.fixture
def link(web):
    return web.put("a.png", picture())


def test_the_wait_is_honest_and_falls(client, link):
    client.finished(client.task([link] * 3, "jpg"))
    time.sleep(1.1)  # how fast it goes is known now; the queue is looked at once a second
    begun = time.monotonic()
    task = client.task([link] * 8, "jpg")
    told = []
    while (data := client.result(task))["status"] in ("1", "2"):
        told.append(int(data["wait_time"]))
        time.sleep(0.2)
    took = time.monotonic() - begun
    assert data["status"] == "3"
    # Neither does it frighten nor lie: the first word is right within a factor of three.
    assert took / 3 < told[0] < 3 * took
    assert 1 <= told[-1] <= math.ceil(took / 3)
    # It falls: not with every look, but never back by more than a quarter of the whole.
    assert all(later <= earlier + took / 4 + 1 for earlier, later in itertools.pairwise(told))
    assert told[0] > 2 * told[-1]


def test_the_more_urgent_first_then_the_earlier(client, server, engine, link):
    engine.gate.clear()
    try:
        first = client.task([link], "jpg", 0)
        client.until(first, lambda data: data["status"] == "2")
        asked = [(n, client.task([link], "jpg", n)) for n in (3, 9, 0, 5, 9, 1, 3)]
    finally:
        engine.gate.set()
    for _, task in asked:
        assert client.finished(task)["status"] == "3"
    owner = server.access.find("tester").id
    begun = {task: server.app.jobs.get(task, owner=owner).started_at for _, task in asked}
    in_turn = [priority for priority, task in sorted(asked, key=lambda one: begun[one[1]])]
    assert in_turn == [9, 9, 5, 3, 3, 1, 0]
    for priority in (9, 3):
        same = [task for p, task in asked if p == priority]
        assert begun[same[0]] < begun[same[1]]


def test_an_urgent_one_is_told_to_wait_less(client, server, engine, link):
    client.finished(client.task([link], "jpg"))  # now it is known how fast it goes
    asked = [(5, 8), (5, 8), (9, 1), (0, 1)]
    engine.gate.clear()
    try:
        tasks = [client.task([link] * count, "jpg", priority) for priority, count in asked]
        time.sleep(1.1)  # the queue is looked at once a second
        first, second, urgent, last = (int(client.result(task)["wait_time"]) for task in tasks)
    finally:
        engine.gate.set()
    for task in tasks:  # enough is known
        server.app.jobs.cancel(task, owner=server.access.find("tester").id)
    assert urgent < first < second <= last
