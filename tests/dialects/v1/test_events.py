"""Progress as it happens, and what hanging up does."""

import asyncio
import json
import socket
import threading
import time

import httpx
import numpy as np
import pytest

from superres.access import ANONYMOUS, Caller
from superres.executors.inline import InlineExecutor
from superres.pipeline import Progress, Upscaler
from superres.server.v1 import events
from superres.server.v1.events import Channel, Channels, Eta
from superres.settings import EngineSettings, Settings
from tests.dialects.conftest import RunningServer
from tests.dialects.v1.conftest import GatedEngine, error_of, opened, picture

EVENTS = {"Accept": "text/event-stream"}


def parsed(text: str) -> list[tuple[str, dict]]:
    """The events of a stream; comments are left out."""
    found = []
    for block in text.split("\n\n")[:-1]:
        if block.startswith(":"):
            continue
        kind, data = block.split("\n")
        found.append((kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def wait_for(condition, seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


# ---------------------------------------------------------------- the stream


def test_progress_then_the_result(client):
    response = client.post("/v1/upscale?scale=2", content=picture(), headers=EVENTS)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    told = parsed(response.text)
    assert [kind for kind, _ in told[:-1]] == ["progress"] * (len(told) - 1)
    assert told[0] == ("progress", {"stage": "queued", "fraction": 0.0, "eta_seconds": None})
    fractions = [data["fraction"] for _, data in told[:-1]]
    assert fractions == sorted(fractions)
    assert {data["stage"] for _, data in told[:-1]} <= {"queued", "decode", "upscale", "encode"}
    kind, result = told[-1]
    assert kind == "result"
    assert opened(client.get(result["url"]).content).size == (48, 32)
    same = client.post(
        "/v1/upscale?scale=2", content=picture(), headers={"Accept": "application/json"}
    )
    assert set(result) == set(same.json())


def test_what_is_wrong_before_the_work_has_its_status(client):
    for path, content, status in (
        ("/v1/upscale?scale=99", picture(), 400),
        ("/v1/upscale", b"", 400),
    ):
        response = client.post(path, content=content, headers=EVENTS)
        assert response.status_code == status
        error_of(response)


def test_what_goes_wrong_later_is_the_last_event(client, server):
    response = client.post("/v1/upscale", content=picture()[:60], headers=EVENTS)
    assert response.status_code == 200
    kind, data = parsed(response.text)[-1]
    assert kind == "error"
    assert data["error"]["code"] == "corrupt_image"
    assert data["error"]["request_id"] == response.headers["x-request-id"]
    metrics = httpx.get(f"{server.url}/metrics").text
    assert 'superres_requests_total{dialect="v1",outcome="corrupt_image"}' in metrics


# ---------------------------------------------------------------- a server that holds still


@pytest.fixture
def gated(start_server):
    """A server that computes one picture at a time, tile by tile as the test lets it."""
    engine = GatedEngine()
    made: list[InlineExecutor] = []

    def start(queue: int = 4, **overrides: object) -> RunningServer:
        settings = Settings(engine=EngineSettings(device="fake"))
        made.append(InlineExecutor(Upscaler(settings, engine=engine), concurrency=1, queue=queue))
        return start_server(overrides, executor=made[0])

    yield engine, start
    engine.let_all()


def tiled_picture() -> bytes:
    """Large enough for several tiles of the model "photo"."""
    return picture(900, 40)


def post(server: RunningServer, data: bytes, headers: str = "", query: str = "") -> socket.socket:
    """A request on a connection of its own, sent and left alone."""
    host, port = server.host.split(":")
    wire = socket.create_connection((host, int(port)), timeout=20)
    head = (
        f"POST /v1/upscale{query} HTTP/1.1\r\nHost: {server.host}\r\nContent-Type: image/png\r\n"
        f"{headers}Content-Length: {len(data)}\r\n\r\n"
    )
    wire.sendall(head.encode() + data)
    return wire


@pytest.mark.parametrize("accept", ["image/*", "application/json", "text/event-stream"])
def test_hanging_up_stops_the_work_between_tiles(gated, accept):
    engine, start = gated
    server = start()
    wire = post(server, tiled_picture(), f"Accept: {accept}\r\n", "?model=photo&scale=4")
    wait_for(engine.entered.is_set)
    assert server.app.executor.state().running == 1
    assert len(list(server.app.spool.iterdir())) == 1
    wire.close()
    time.sleep(0.3)  # until the server has seen it
    begun = engine.begun
    engine.let(2)
    wait_for(lambda: server.app.executor.state().running == 0)
    assert engine.begun <= begun + 2
    wait_for(lambda: not list(server.app.spool.iterdir()))
    wait_for(lambda: 'outcome="client_gone"' in httpx.get(f"{server.url}/metrics").text)
    # The next request is served as if nothing had been.
    engine.let_all()
    assert httpx.post(f"{server.url}/v1/upscale", content=picture()).status_code == 200


def test_hanging_up_while_waiting_leaves_the_queue(gated):
    engine, start = gated
    server = start()
    first = post(server, picture())
    wait_for(engine.entered.is_set)
    second = post(server, picture(), "Accept: text/event-stream\r\n")
    wait_for(lambda: server.app.executor.state().queued == 1)
    second.close()
    wait_for(lambda: server.app.executor.state().queued == 0)
    engine.let_all()
    assert first.recv(12) == b"HTTP/1.1 200"
    first.close()


def test_a_full_queue_is_told_by_the_status(gated):
    engine, start = gated
    server = start(queue=0)
    first = post(server, picture())
    wait_for(engine.entered.is_set)
    for accept in ("image/*", "application/json", "text/event-stream"):
        response = httpx.post(
            f"{server.url}/v1/upscale", content=picture(), headers={"Accept": accept}
        )
        error = error_of(response)
        assert (response.status_code, error["code"]) == (503, "overloaded")
        assert int(response.headers["retry-after"]) >= 1
    engine.let_all()
    assert first.recv(12) == b"HTTP/1.1 200"
    first.close()


def test_what_takes_too_long_is_stopped(gated):
    engine, start = gated
    server = start(**{"server.deadline": 0.5})
    answers: list[httpx.Response] = []
    thread = threading.Thread(
        target=lambda: answers.append(
            httpx.post(f"{server.url}/v1/upscale?model=photo", content=tiled_picture(), timeout=20)
        )
    )
    thread.start()
    wait_for(engine.entered.is_set)
    time.sleep(0.6)
    engine.let_all()
    thread.join()
    assert (answers[0].status_code, error_of(answers[0])["code"]) == (504, "deadline_exceeded")


def test_following_a_request_that_wants_the_picture(gated):
    engine, start = gated
    server = start()
    followed: list[tuple[str, dict]] = []

    def follow() -> None:
        # Asked before the request is there: that is waited for.
        address = f"{server.url}/v1/requests/following-me/events"
        followed.extend(parsed(httpx.get(address, timeout=20).text))

    thread = threading.Thread(target=follow)
    thread.start()
    time.sleep(0.2)
    wire = post(server, tiled_picture(), "X-Request-Id: following-me\r\n", "?model=photo")
    wait_for(engine.entered.is_set)
    stranger = server.access.create("stranger")
    not_yours = httpx.get(
        f"{server.url}/v1/requests/following-me/events",
        headers={"Authorization": f"Bearer {stranger.token}"},
    )
    assert not_yours.status_code == 404
    engine.let_all()
    thread.join()
    assert followed[0][0] == "progress"
    assert followed[-1] == ("done", {})
    assert wire.recv(12) == b"HTTP/1.1 200"
    wire.close()
    gone = httpx.get(f"{server.url}/v1/requests/following-me/events")
    assert (gone.status_code, error_of(gone)["code"]) == (404, "not_found")


def test_following_a_request_that_fails(gated):
    engine, start = gated
    server = start()
    busy = post(server, picture())
    wait_for(engine.entered.is_set)
    wire = post(server, picture()[:60], "X-Request-Id: about-to-fail\r\n")
    wait_for(lambda: server.app.executor.state().queued == 1)
    with httpx.stream("GET", f"{server.url}/v1/requests/about-to-fail/events") as stream:
        engine.let_all()
        kind, data = parsed("".join(stream.iter_text()))[-1]
    assert (kind, data["error"]["code"]) == ("error", "corrupt_image")
    busy.close()
    wire.close()


def test_silence_is_broken(gated, monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT", 0.05)
    engine, start = gated
    server = start()
    with httpx.stream(
        "POST", f"{server.url}/v1/upscale", content=picture(), headers=EVENTS
    ) as stream:
        lines = stream.iter_lines()
        beats = 0
        for line in lines:
            beats += line.startswith(":")
            if beats == 3:
                engine.let_all()
            if line == "event: result":
                break
    assert beats >= 3


# ---------------------------------------------------------------- channels and times


def test_a_slow_reader_gets_the_latest_only():
    async def run() -> list[str]:
        channel = Channel()
        for step in range(1, 1000):
            channel.post(Progress("upscale", step / 1000))
        await asyncio.sleep(0.01)
        reader = channel.follow()
        got = [await anext(reader)]
        channel.finish("result", {"a": "ü\n"})
        channel.finish("error", {})
        channel.post(Progress("encode", 1.0))
        got.extend([event async for event in reader])
        return got

    first, last = asyncio.run(run())
    assert '"fraction":0.999' in first
    assert last == 'event: result\ndata: {"a":"\\u00fc\\n"}\n\n'


def test_progress_from_a_thread_after_the_end_is_no_error():
    async def made() -> Channel:
        return Channel()

    asyncio.run(made()).post(Progress("upscale", 0.5))


def test_channels_are_found_by_their_owner_only():
    async def run() -> None:
        channels = Channels()
        other = Caller("SRAKOTHER", "other")
        with channels.open(ANONYMOUS, "request-1", str) as channel:
            assert await channels.find(ANONYMOUS, "request-1", 0) is channel
            assert await channels.find(other, "request-1", 0) is None
            with channels.open(ANONYMOUS, "request-1", str) as newer:
                assert await channels.find(ANONYMOUS, "request-1", 0) is newer
        assert await channels.find(ANONYMOUS, "request-1", 0) is None
        with pytest.raises(ZeroDivisionError), channels.open(other, "r", str) as failing:
            raise ZeroDivisionError("broken")
        assert [event async for event in failing.follow()] == ['event: error\ndata: "broken"\n\n']

    asyncio.run(run())


def test_eta_of_a_steady_work():
    now = [100.0]
    eta = Eta(lambda: now[0])
    assert eta.seconds(0.01) is None
    now[0] += 5  # the network is loaded
    assert eta.seconds(0.05) is None
    said = []
    for fraction in np.arange(0.06, 0.9, 0.01):
        now[0] += 0.5
        said.append((eta.seconds(float(fraction)), (1 - fraction) * 50))
    for told, truth in said:
        assert told == pytest.approx(truth, rel=0.01)
    assert eta.seconds(1.0) == 0.0


def test_eta_follows_a_change_and_starts_anew():
    now = [0.0]
    eta = Eta(lambda: now[0])
    for step in range(2, 40):
        now[0] += 0.1
        eta.seconds(step / 100)
    for step in range(40, 60):  # now ten times slower
        now[0] += 1.0
        told = eta.seconds(step / 100)
    assert told == pytest.approx(41, rel=0.1)
    now[0] += 1
    assert eta.seconds(0.0) is None  # a worker died; begun again
    assert eta.seconds(0.5) is None
    now[0] += 1
    assert eta.seconds(0.5) is None
