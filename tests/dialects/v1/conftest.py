"""What the tests of this door share: a server, a client, pictures, an engine to hold still."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import httpx
import numpy as np
import pytest
from PIL import Image

from superres.engines.base import Session, TileProgram, TileResult
from superres.engines.fake import FakeEngine
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
