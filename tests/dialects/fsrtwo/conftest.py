"""What the tests of this door share: a client, pictures, a web server that has them."""

from __future__ import annotations

import base64
import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from PIL import Image

from superres.engines.base import Session, TileProgram, TileResult
from superres.engines.fake import FakeEngine
from superres.executors.inline import InlineExecutor
from superres.pipeline import Upscaler
from superres.settings import load

PATIENCE = 60.0
"""Seconds after which something that should have happened long ago is taken not to happen."""


def picture(width: int = 256, height: int = 256, kind: str = "PNG", **how: object) -> bytes:
    """A picture with something on it."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **how)
    return out.getvalue()


class Web:
    """A web server of the test's own on 127.0.0.1.

    Attributes:
        gate: while it is closed, files whose names begin with "slow" are not answered.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gate = threading.Event()
        self.gate.set()
        web = self

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/slow"):
                    assert web.gate.wait(PATIENCE)
                with contextlib.suppress(ConnectionError):  # too much for whoever asked
                    super().do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def put(self, name: str, content: bytes) -> str:
        """Its link."""
        (self.folder / name).write_bytes(content)
        return self.link(name)

    def link(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{name}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    made = Web(tmp_path_factory.mktemp("web"))
    yield made
    made.close()


class Client:
    """A client as the vendor's page describes one.

    Args:
        host: ``http://…``, the one thing that changes between the vendor and us.
        appkey, appsecret: of the user.
    """

    def __init__(self, host: str, appkey: str, appsecret: str) -> None:
        self.host = host
        authorization = base64.b64encode(f"{appkey}:{appsecret}".encode()).decode()
        self.headers = {
            "Content-Type": "application/json",
            "Authorization": f"Basic {authorization}",
        }

    def create(
        self, images: object, file_ext: object = "png", priority: object = 1
    ) -> requests.Response:
        return requests.post(
            f"{self.host}/v3/pic/fsrtwo/batch",
            headers=self.headers,
            json={"images": images, "file_ext": file_ext, "priority": priority},
            timeout=PATIENCE,
        )

    def task(self, images: object, file_ext: object = "png", priority: object = 1) -> str:
        """The id of a task that must be taken in."""
        response = self.create(images, file_ext, priority)
        content = response.json()
        assert (response.status_code, content["code"], content["msg"]) == (200, 0, ""), content
        assert content.keys() == {"code", "msg", "data"}
        assert content["data"].keys() == {"task_id"}
        return content["data"]["task_id"]

    def poll(self, task_id: str) -> requests.Response:
        return requests.get(
            f"{self.host}/v3/pic/fsrtwo/result/{task_id}", headers=self.headers, timeout=PATIENCE
        )

    def result(self, task_id: str) -> dict:
        """The data of a task that must be known, in the form that it must have."""
        response = self.poll(task_id)
        content = response.json()
        assert (response.status_code, content["code"], content["msg"]) == (200, 0, ""), content
        check_form(content["data"])
        return content["data"]

    def finished(self, task_id: str, patience: float = PATIENCE) -> dict:
        """The same, once it has ended."""
        return self.until(task_id, lambda data: data["status"] not in ("1", "2"), patience)

    def until(
        self, task_id: str, happened: Callable[[dict], bool], patience: float = PATIENCE
    ) -> dict:
        end = time.monotonic() + patience
        while not happened(data := self.result(task_id)):
            assert time.monotonic() < end, data
            time.sleep(0.05)
        return data


def check_form(data: dict) -> None:
    """What is true of every answer about a task."""
    assert data.keys() == {"status", "wait_time", "list"}
    assert data["status"] in set("123456")
    assert isinstance(data["wait_time"], str)
    if data["status"] in ("1", "2"):
        assert int(data["wait_time"]) >= 1
    else:
        assert data["wait_time"] == "0"
    for one in data["list"]:
        assert one.keys() == {"image_result", "status", "reason"}
        assert all(isinstance(value, str) for value in one.values())
        assert one["status"] in set("123456")
        if one["status"] == "3":
            link = urlsplit(one["image_result"])
            assert link.scheme in ("http", "https")
            assert link.netloc
        else:
            assert one["image_result"] == ""
        assert (one["reason"] != "") == (one["status"] in ("4", "5", "6"))


def refused(response: requests.Response, status: int, code: int, hint: str = "") -> str:
    """The ``msg`` of a refusal, which must have its full form."""
    content = response.json()
    assert (response.status_code, content["code"]) == (status, code), content
    assert content.keys() == {"code", "msg", "data"}
    assert content["data"] == {}
    assert "task_id" not in response.text
    assert content["msg"].endswith((".", "?"))
    assert len(content["msg"]) < 400
    assert hint in content["msg"]
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert 100_000 <= code <= 999_999
    return content["msg"]


def loaded(link: str) -> Image.Image:
    """The picture at a link, which must need nothing but itself."""
    response = requests.get(link, timeout=PATIENCE)
    assert response.status_code == 200, response.text
    image = Image.open(io.BytesIO(response.content))
    image.load()
    assert response.headers["content-type"] == Image.MIME[image.format]
    return image


class GatedEngine(FakeEngine):
    """Computes while its gate is open, and takes ``pause`` seconds for each tile."""

    def __init__(self, pause: float = 0.0) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.pause = pause

    def load(self, program: TileProgram, precision: str) -> Session:
        outer, inner = self, super().load(program, precision)

        class Gated:
            def submit(self, image: np.ndarray) -> Future[TileResult]:
                assert outer.gate.wait(PATIENCE)
                time.sleep(outer.pause)
                return inner.submit(image)

            def trim(self) -> None:
                inner.trim()

        return Gated()


def executor_of(engine: FakeEngine, concurrency: int = 4) -> InlineExecutor:
    return InlineExecutor(Upscaler(load(), engine=engine), concurrency=concurrency)
