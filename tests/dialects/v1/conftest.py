"""What the tests of this door share: a server, a client, pictures, an engine to hold still."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
from PIL import Image

from superres.engines.base import Session, TileProgram, TileResult
from superres.engines.fake import FakeEngine
from superres.executors.inline import InlineExecutor
from superres.pipeline import Upscaler
from superres.settings import Settings
from tests.dialects.conftest import RunningServer, StartServer


def picture(width: int = 24, height: int = 16, kind: str = "PNG", **options: object) -> bytes:
    """A small photograph-like picture."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    pixels = np.stack([x, y, 255 - x], axis=-1).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


class GatedEngine(FakeEngine):
    """Computes one tile for each :meth:`let`."""

    def __init__(self) -> None:
        self.begun = 0
        self.entered = threading.Event()
        self._gate = threading.Semaphore(0)
        self._open = False

    def let(self, tiles: int = 1) -> None:
        self._gate.release(tiles)

    def let_all(self) -> None:
        self._open = True
        self._gate.release(1000)

    def load(self, program: TileProgram, precision: str) -> Session:
        outer, inner = self, super().load(program, precision)

        class Gated:
            def submit(self, image: np.ndarray) -> Future[TileResult]:
                outer.begun += 1
                outer.entered.set()
                if not outer._open:
                    assert outer._gate.acquire(timeout=30)
                return inner.submit(image)

            def trim(self) -> None:
                inner.trim()

        return Gated()


@pytest.fixture(scope="module")
def server(start_server: StartServer) -> RunningServer:
    return start_server()


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as made:
        yield made


def error_of(response: httpx.Response) -> dict[str, object]:
    """The error of a refusal, which must have its full form."""
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error"}
    error = body["error"]
    assert (
        {"code", "message", "request_id"}
        <= set(error)
        <= {
            "code",
            "message",
            "request_id",
            "retry_after",
        }
    )
    assert error["request_id"] == response.headers["x-request-id"]
    assert str(error["message"]).endswith((".", "?"))
    return error


class HeldEngine(FakeEngine):
    """Computes nothing inside of :meth:`held`, before :meth:`release`."""

    def __init__(self) -> None:
        self._free = threading.Event()
        self._free.set()
        self.entered = threading.Event()

    @contextmanager
    def held(self) -> Iterator[None]:
        self.entered.clear()
        self._free.clear()
        try:
            yield
        finally:
            self.release()

    def release(self) -> None:
        self._free.set()

    def load(self, program: TileProgram, precision: str) -> Session:
        outer, inner = self, super().load(program, precision)

        class Held:
            def submit(self, image: np.ndarray) -> Future[TileResult]:
                outer.entered.set()
                assert outer._free.wait(60)
                return inner.submit(image)

            def trim(self) -> None:
                inner.trim()

        return Held()


class Worker:
    """A server that does jobs, and an engine to hold still.

    Attributes:
        server: it.
        client: of it, without a credential.
        engine: its.
    """

    def __init__(self, server: RunningServer, client: httpx.Client, engine: HeldEngine) -> None:
        self.server, self.client, self.engine = server, client, engine

    def submit(
        self, *pictures: bytes, headers: dict[str, str] | None = None, **fields: str
    ) -> dict:
        """Hand a job in; the answer's body."""
        response = self.client.post(
            "/v1/jobs",
            files=[("file", (f"p{at}.png", each)) for at, each in enumerate(pictures)],
            data=fields,
            headers=headers,
        )
        assert response.status_code == 202, response.text
        return response.json()

    def get(self, job_id: str, headers: dict[str, str] | None = None) -> dict:
        response = self.client.get(f"/v1/jobs/{job_id}", headers=headers)
        assert response.status_code == 200, response.text
        return response.json()

    def finished(self, job_id: str, headers: dict[str, str] | None = None) -> dict:
        """The job, once it is."""
        until = time.monotonic() + 60
        while (job := self.get(job_id, headers))["finished"] is None:
            assert time.monotonic() < until, job
            time.sleep(0.05)
        return job

    def credential(self, name: str) -> dict[str, str]:
        """The header of a new credential of that name."""
        return {"Authorization": f"Bearer {self.server.access.create(name).token}"}


@pytest.fixture(scope="module")
def worker(start_server: StartServer) -> Iterator[Worker]:
    """Of the servers of one module only this one does jobs."""
    engine = HeldEngine()
    server = start_server(
        {"jobs.concurrency": 3, "sources.allow_networks": ["127.0.0.0/8"]},
        executor=InlineExecutor(Upscaler(Settings(), engine=engine)),
    )
    with httpx.Client(base_url=server.url, timeout=60) as made:
        yield Worker(server, made, engine)
    engine.release()


@pytest.fixture
def held(worker: Worker) -> Iterator[Worker]:
    """The same, held still until the test releases it, or ends."""
    with worker.engine.held():
        yield worker
