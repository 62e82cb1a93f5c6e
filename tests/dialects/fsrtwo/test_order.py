"""Which task is done first, and how long one is told to wait: one picture at a time."""

from __future__ import annotations

import itertools
import math
import time

import pytest

from tests.dialects.fsrtwo.conftest import Client, GatedEngine, executor_of, picture


@pytest.fixture(scope="module")
def engine():
    return GatedEngine()


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


def test_an_urgent_one_is_told_to_wait_less(client, engine, link):
    client.finished(client.task([link], "jpg"))  # now it is known how fast it goes
    engine.gate.clear()
    try:
        tasks = [client.task([link] * 20, "jpg", 5) for _ in range(2)]
        behind = int(client.result(tasks[1])["wait_time"])
        before = int(client.result(client.task([link], "jpg", 9))["wait_time"])
        last = int(client.result(client.task([link], "jpg", 0))["wait_time"])
    finally:
        engine.gate.set()
    assert before < behind <= last
    for task in tasks:
        client.finished(task)


def test_the_wait_is_honest_and_falls(client, engine, link):
    engine.pause = 0.5
    try:
        # So that it is known how fast it goes now.
        for _ in range(2):
            client.finished(client.task([link] * 2, "jpg", 9))
        begun = time.monotonic()
        task = client.task([link] * 8, "jpg", 9)
        told = []
        while (data := client.result(task))["status"] in ("1", "2"):
            told.append((time.monotonic(), int(data["wait_time"])))
            time.sleep(0.2)
        end = time.monotonic()
    finally:
        engine.pause = 0.0
    assert data["status"] == "3"
    assert all(wait >= 1 for _, wait in told)
    assert told[0][1] > 2 * told[-1][1]
    assert told[-1][1] <= math.ceil((end - begun) / 3)
    # Neither does it frighten nor lie: the first word is right within a factor of three.
    assert (end - begun) / 3 < told[0][1] < 3 * (end - begun)
    # It does not jump up and down by more than a picture's time.
    for (_, earlier), (_, later) in itertools.pairwise(told):
        assert later <= earlier + (end - begun) / 4 + 1
