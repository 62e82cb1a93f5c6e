"""The outermost layer: ids, time limits of bodies, counters, one log line a request."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from superres.errors import SourceUnreachable, StorageError
from superres.executors.base import ExecutorState, WorkerState
from superres.server.metrics import Metrics
from superres.server.observe import Observe
from superres.settings import ServerSettings


class Away:
    """Jobs whose database is away: what the process knows itself is told all the same."""

    def load(self) -> None:
        raise StorageError("The database cannot be used now.")


class Idle:
    """An executor with nothing to do."""

    def state(self) -> ExecutorState:
        return ExecutorState(3, 2, (WorkerState("cpu", 1, True, 2, 5, 1000),))


async def echo(request: Request) -> JSONResponse:
    request.state.door = "v1"
    try:
        body = await request.body()
    except SourceUnreachable as exc:
        return JSONResponse(exc.public_message, 408)
    return JSONResponse(len(body))


async def full(request: Request) -> JSONResponse:
    await asyncio.sleep(0.1)
    return JSONResponse(getattr(getattr(request.state, "refused", None), "code", ""))


async def broken(request: Request) -> PlainTextResponse:
    raise ZeroDivisionError("secret thing")


def observed(metrics: Metrics, **settings: Any) -> Starlette:
    outermost = Middleware(Observe, settings=ServerSettings(**settings), metrics=metrics)
    routes = [
        Route("/echo", echo, methods=["POST"]),
        Route("/broken", broken),
        Route("/full", full),
    ]
    return Starlette(routes=routes, middleware=[outermost])


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Idle(), Away())  # type: ignore[arg-type]


def call(app: Starlette, method: str, path: str, **more: Any) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
            return await client.request(method, path, **more)

    return asyncio.run(once())


def test_counts_and_logs_once_without_the_query(metrics: Metrics) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = call(observed(metrics), "POST", "/echo?token=hush", content=b"12345")
    assert answer.json() == 5
    assert answer.headers["x-content-type-options"] == "nosniff"
    (line,) = logs
    assert "hush" not in str(line)
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["path"], line["status"], line["door"]) == ("/echo", 200, "v1")
    assert (line["bytes_in"], line["bytes_out"], line["outcome"]) == (5, 1, "ok")
    text = bytes(metrics.response().body).decode()
    assert 'superres_requests_total{dialect="v1",outcome="ok"} 1.0' in text
    assert 'superres_bytes_total{direction="in"} 5.0' in text
    assert "superres_queue_depth 3.0" in text
    assert 'superres_worker_restarts_total{device="cpu"} 5.0' in text
    assert 'superres_worker_resident_bytes{device="cpu"} 1000.0' in text
    assert "process_resident_memory_bytes" in text


def test_an_unexpected_error_is_an_answer_without_its_words(metrics: Metrics) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = call(observed(metrics), "GET", "/broken")
    assert answer.status_code == 500
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text
    assert isinstance(logs[0]["exc_info"], ZeroDivisionError)
    assert 'outcome="unexpected"' in bytes(metrics.response().body).decode()


def test_nothing_in_the_log_commands_a_terminal(metrics: Metrics) -> None:
    with structlog.testing.capture_logs() as logs:
        call(observed(metrics), "GET", "/%1b]0;title%07%1b[2J" + "y" * 500)
    assert "\x1b" not in logs[0]["path"]
    assert logs[0]["path"].startswith(r"/\x1b]0;title\x07\x1b[2J")
    assert len(logs[0]["path"]) < 300


def test_more_requests_than_allowed_are_left_to_the_doors_words(metrics: Metrics) -> None:
    app = observed(metrics, max_requests=1)

    async def three() -> list[Any]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://a"
        ) as client:
            return await asyncio.gather(*(client.get("/full") for _ in range(3)))

    told = sorted(answer.json() for answer in asyncio.run(three()))
    assert told == ["", "overloaded", "overloaded"]


@pytest.mark.parametrize("limit", ["body_timeout", "deadline"])
def test_a_body_that_stalls_or_drips_is_given_up(metrics: Metrics, limit: str) -> None:
    async def slow() -> Any:
        for _ in range(40):
            yield b"x"
            # A drip keeps within body_timeout, so only the deadline of the whole ends it.
            await asyncio.sleep(0.05 if limit == "deadline" else 2)

    async def receive_from(pieces: Any) -> dict[str, Any]:
        try:
            return {"type": "http.request", "body": await anext(pieces), "more_body": True}
        except StopAsyncIteration:
            return {"type": "http.request", "body": b"", "more_body": False}

    async def run() -> list[dict[str, Any]]:
        pieces, sent = slow(), []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/echo",
            "headers": [],
            "query_string": b"",
            "root_path": "",
        }
        app = observed(metrics, **{limit: 0.3})
        await asyncio.wait_for(app(scope, lambda: receive_from(pieces), send), 5)
        return sent

    started, body = asyncio.run(run())
    assert started["status"] == 408
    assert b"too slowly" in body["body"]
