"""What the tests of these doors share: clients, pictures, a web server, a server under test."""

from __future__ import annotations

import base64
import contextlib
import io
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import requests
from PIL import Image

from superres.engines.base import Session, TileProgram, TileResult
from superres.engines.fake import FakeEngine
from superres.errors import EngineError
from superres.executors.inline import InlineExecutor
from superres.pipeline import Upscaler
from superres.settings import load

PATIENCE = 120.0
"""Seconds after which something that should have happened long ago is taken not to happen."""

MAX_BYTES = 120_000
DOING = {
    "jobs.concurrency": 3,
    "jobs.poll_interval": 0.05,
    "sources.allow_networks": ["127.0.0.0/8"],
    "picwish.max_bytes": MAX_BYTES,
    "picwish.rate": 10_000,
}
"""Settings of a server that does tasks, as many as there come."""

FACTS = {
    "task_id": str,
    "state": int,
    "state_detail": str,
    "progress": int,
    "return_type": int,
    "type": str,
    "created_at": int,
    "processed_at": int,
    "completed_at": int,
    "download_time": int,
    "time_elapsed": float,
}
COMPLETE = {**FACTS, "image": str, "image_width": int, "image_height": int}
"""Fields of a finished task and their types, as the contract has them."""


# --- pictures ---------------------------------------------------------------------------


def picture(width: int = 24, height: int = 16, kind: str = "PNG", **how: object) -> bytes:
    """A picture with something on it."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **how)
    return out.getvalue()


def animation(kind: str) -> bytes:
    """Two frames."""
    frames = [Image.new("RGB", (32, 24), colour) for colour in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], duration=100)
    return out.getvalue()


def png_of(size: int) -> bytes:
    """A PNG of exactly ``size`` bytes, by a chunk that nobody reads."""
    plain = picture()
    content = bytes(size - len(plain) - 12)
    chunk = b"prVt" + content
    filler = struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return plain[:-12] + filler + plain[-12:]


def base64_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def opened(content: bytes) -> Image.Image:
    """The picture, which must decode whole."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def loaded(link: str) -> Image.Image:
    """The picture at a link, which must need nothing but itself."""
    response = requests.get(link, timeout=PATIENCE)
    assert response.status_code == 200, response.text
    image = opened(response.content)
    assert response.headers["content-type"] == Image.MIME[image.format]
    return image


# --- clients ----------------------------------------------------------------------------


class Client:
    """A client of one of the doors.

    Args:
        host: ``http://…``, the one thing that changes between the vendor and us.
        token: of a credential.
        market: at the Aliyun market's door.
    """

    def __init__(self, host: str, token: str, *, market: bool) -> None:
        self.market = market
        self.url = host + ("/tasks/visual/scale" if market else "/api/tasks/visual/scale")
        self.headers = {"Authorization": f"APPCODE {token}"} if market else {"X-API-KEY": token}

    def post(self, picture: bytes | None = None, **fields: object) -> requests.Response:
        """A multipart form, with what the door needs: an answer that waits, and ``type``."""
        fields = {"type": "clean"} | ({} if self.market else {"sync": 1}) | fields
        parts = [(name, (None, str(value))) for name, value in fields.items()]
        if picture is not None:
            parts.append(("image_file", ("photo.png", picture)))
        return self.send(files=parts)

    def send(self, **how: object) -> requests.Response:
        headers = {**self.headers, **how.pop("headers", {})}
        return requests.post(self.url, headers=headers, timeout=PATIENCE, **how)

    def done(self, picture: bytes | None = None, **fields: object) -> dict:
        """The data of a finished task, which must have its full form."""
        return complete(self.post(picture, **fields), fields.get("return_type", 1))

    def failed(self, picture: bytes | None = None, **fields: object) -> dict:
        return failed(self.post(picture, **fields))


class Native(Client):
    """Creates and polls."""

    def __init__(self, host: str, token: str) -> None:
        super().__init__(host, token, market=False)

    def create(self, picture: bytes | None = None, **fields: object) -> str:
        """The id of a task that is not waited for."""
        data = unfinished(self.post(picture, sync=0, **fields))
        return data["task_id"]

    def poll(self, task_id: str) -> requests.Response:
        return requests.get(f"{self.url}/{task_id}", headers=self.headers, timeout=PATIENCE)

    def finished(self, task_id: str) -> requests.Response:
        """The answer once the state is not 4 any more, as public clients poll."""
        end = time.monotonic() + PATIENCE
        while (response := self.poll(task_id)).json()["data"]["state"] == 4:
            unfinished(response)
            assert time.monotonic() < end
            time.sleep(0.05)
        return response


def _data(response: requests.Response, message: str | None = "success") -> dict:
    content = response.json()
    assert (response.status_code, content["status"]) == (200, 200), content
    assert response.headers["content-type"] == "application/json"
    assert list(content) == ["status", "message", "data"]
    assert content["message"] if message is None else content["message"] == message
    return content["data"]


def _check(data: dict, form: dict[str, type]) -> dict:
    assert {name: type(value) for name, value in data.items()} == form
    return data


def complete(response: requests.Response, return_type: int = 1) -> dict:
    """The data of a task that is done."""
    data = _check(_data(response), COMPLETE)
    assert (data["state"], data["state_detail"], data["progress"]) == (1, "Complete", 100)
    assert data["return_type"] == int(return_type)
    assert data["created_at"] <= data["processed_at"] <= data["completed_at"]
    assert data["time_elapsed"] > 0
    return data


def unfinished(response: requests.Response) -> dict:
    """The data of a task that is on its way."""
    data = _check(_data(response), FACTS)
    assert (data["state"], data["state_detail"]) == (4, "Processing")
    assert 0 <= data["progress"] < 100
    assert data["completed_at"] == 0
    return data


def failed(response: requests.Response) -> dict:
    """The data of a task that failed, with the message among it."""
    data = _check(_data(response, message=None), FACTS)
    assert data["state"] in (-8, -7, -5, -3, -2, -1)
    assert data["progress"] == 0
    message = response.json()["message"]
    assert message.endswith(".")
    assert message != "success"
    return data | {"message": message}


def refused(response: requests.Response, status: int, hint: str = "") -> str:
    """The message of a refusal, which must have its full form."""
    content = response.json()
    assert (response.status_code, content["status"]) == (status, status), content
    assert list(content) == ["status", "message"]
    assert response.headers["content-type"] == "application/json"
    assert response.headers["access-control-allow-origin"] == "*"
    assert hint in content["message"]
    assert len(content["message"]) < 400
    return content["message"]


# --- a web server and engines ------------------------------------------------------------


class Web:
    """A web server of the test's own on 127.0.0.1.

    Attributes:
        files: what it has, by path; everything else is a 404.
        posts: bodies that came, and the headers beside.
        answers: statuses for the posts to come, 200 when there are no more.
        gate: while it is closed, paths that begin with "/slow" are not answered.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path.startswith("/slow"):
                    web.gate.wait(PATIENCE)
                content = web.files.get(self.path)
                self.send_response(404 if content is None else 200)
                if self.path.startswith("/chunked"):
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content))
                    return
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # who had asked is gone
                    self.wfile.write(content or b"")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = web.answers.pop(0) if web.answers else 200
                web.posts.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def put(self, name: str, content: bytes) -> str:
        """Its link."""
        self.files["/" + name] = content
        return self.link(name)

    def link(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{name}"

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


class GatedEngine(FakeEngine):
    """Computes while its gate is open, and fails while ``broken``."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False

    def load(self, program: TileProgram, precision: str) -> Session:
        outer, inner = self, super().load(program, precision)

        class Gated:
            def submit(self, image: np.ndarray) -> Future[TileResult]:
                outer.gate.wait(PATIENCE)
                if outer.broken:
                    raise EngineError("The device is on fire.")
                return inner.submit(image)

            def trim(self) -> None:
                inner.trim()

        return Gated()


def executor_of(engine: FakeEngine) -> InlineExecutor:
    return InlineExecutor(Upscaler(load(), engine=engine), concurrency=4)


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    made = Web()
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(start_server):
    """Does tasks; modules that need another have one of their own."""
    return start_server(DOING)


@pytest.fixture(scope="module")
def token(server) -> str:
    return server.access.create("tester").token


@pytest.fixture(scope="module")
def native(server, token) -> Native:
    return Native(server.url, token)


@pytest.fixture(scope="module")
def market(server, token) -> Client:
    return Client(server.url, token, market=True)


@pytest.fixture(scope="module", params=["market", "native"])
def either(request, native, market) -> Client:
    """Each of the doors."""
    return native if request.param == "native" else market
