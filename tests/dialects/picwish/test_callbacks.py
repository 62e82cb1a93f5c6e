"""``callback_url``: the final JSON is posted, and tried again until it is taken."""

from __future__ import annotations

import base64
import json
import time

import pytest

from tests.dialects.picwish.conftest import (
    DOING,
    PATIENCE,
    GatedEngine,
    complete,
    executor_of,
    failed,
    loaded,
    opened,
    picture,
)


@pytest.fixture(scope="module")
def engine() -> GatedEngine:
    return GatedEngine()


@pytest.fixture(scope="module")
def server(start_server, engine):
    return start_server({**DOING, "picwish.deadline": 2}, executor=executor_of(engine))


@pytest.fixture
def hook(web):
    """An address, and how to wait for what is posted there."""
    web.posts.clear()
    web.answers.clear()

    def wait(posts: int = 1) -> list[tuple[dict[str, str], dict]]:
        end = time.monotonic() + PATIENCE
        while len(web.posts) < posts:
            assert time.monotonic() < end
            time.sleep(0.05)
        return [(headers, json.loads(body)) for headers, body in web.posts]

    wait.url = web.link("told?of=me")
    wait.web = web
    return wait


def test_the_final_json_is_posted(native, hook):
    task_id = native.create(picture(30, 20), callback_url=hook.url)
    [(headers, told)] = hook()
    assert headers["content-type"] == "application/json"
    polled = native.poll(task_id)
    complete(polled)
    assert told == polled.json()
    assert loaded(told["data"]["image"]).size == (120, 80)


def test_it_is_tried_again(native, hook):
    hook.web.answers += [500]
    task_id = native.create(picture(), callback_url=hook.url)
    [(_, first), (_, second)] = hook(2)
    assert first == second == native.poll(task_id).json()
    assert second["data"]["state"] == 1


def test_failures_are_told(native, hook):
    task_id = native.create(b"hello", callback_url=hook.url)
    [(_, told)] = hook()
    polled = native.poll(task_id)
    assert failed(polled)["state"] == -7
    assert told == polled.json()


def test_in_base64(native, hook):
    native.create(picture(30, 20), return_type=2, callback_url=hook.url)
    [(_, told)] = hook()
    assert opened(base64.b64decode(told["data"]["image"], validate=True)).size == (120, 80)


def test_who_waits_may_be_told_as_well(native, hook):
    data = native.done(picture(), callback_url=hook.url)
    [(_, told)] = hook()
    assert told["data"]["task_id"] == data["task_id"]


def test_raw_bytes_are_told_as_a_link(native, hook):
    response = native.post(picture(), return_type=3, callback_url=hook.url)
    assert opened(response.content).size == (96, 64)
    [(_, told)] = hook()
    assert loaded(told["data"]["image"]).size == (96, 64)


def test_timeouts_are_told(native, engine, hook):
    engine.gate.clear()
    try:
        assert native.failed(picture(), callback_url=hook.url)["state"] == -8
        [(_, told)] = hook()
    finally:
        engine.gate.set()
    assert (told["data"]["state"], told["data"]["progress"]) == (-8, 0)


def test_the_market_tells_nobody(market, native, hook):
    market.done(picture(), callback_url=hook.url)
    native.done(picture(), callback_url=hook.url)
    hook()
    time.sleep(0.5)
    assert len(hook.web.posts) == 1


def test_an_address_that_may_not_be_told_costs_no_result(native):
    task_id = native.create(picture(), callback_url="http://10.1.2.3/told")
    complete(native.finished(task_id))
