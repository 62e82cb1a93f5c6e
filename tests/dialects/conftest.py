"""A real server for the doors' tests: uvicorn, on a free port, over the real application."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
import urllib3
import uvicorn

from superres import app as composition
from superres.access import Access
from superres.app import App
from superres.engines.fake import FakeEngine
from superres.executors.base import Executor
from superres.executors.inline import InlineExecutor
from superres.pipeline import Upscaler
from superres.server import serve
from superres.server.asgi import create_app
from superres.settings import Settings, load


@dataclass(frozen=True)
class RunningServer:
    """A server that answers.

    Attributes:
        url: ``http://127.0.0.1:port``.
        app: what it is made of, to make credentials and put objects.
    """

    url: str
    app: App

    @property
    def access(self) -> Access:
        return self.app.access

    @property
    def host(self) -> str:
        """Address and port, as in the header Host."""
        return self.url.removeprefix("http://")


StartServer = Callable[..., RunningServer]


@contextmanager
def running(settings: Settings, executor: Executor | None = None) -> Iterator[RunningServer]:
    """A server in a thread of this process; the fake engine enlarges unless told otherwise."""
    if executor is None:
        executor = InlineExecutor(Upscaler(settings, engine=FakeEngine()))
    app = composition.build(settings, executor=executor)
    with socket.create_server((settings.server.host, settings.server.port)) as listening:
        server = uvicorn.Server(serve.config(create_app(app), settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            waited = time.monotonic() + 30
            while not server.started:
                assert thread.is_alive(), "the server did not start"
                assert time.monotonic() < waited, "the server did not start in 30 seconds"
                time.sleep(0.01)
            host, port = listening.getsockname()[:2]
            yield RunningServer(f"http://{host}:{port}", app)
        finally:
            server.should_exit = True
            thread.join(30)
            app.close()


@pytest.fixture(scope="module")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """Start a server that lives as long as the module's tests.

    ``start_server({"ai_solution_kit.stages": {"prod": "NONE"}}, executor=…)``: settings by
    their names beside a data folder of its own and port 0; the executor is optional.
    """
    with ExitStack() as stack:
        # What a server logs in its own thread would fall between the tests.
        stack.callback(structlog.configure, **structlog.get_config())
        # Tracebacks as structlog renders them by default, with all variables, take seconds.
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
            processors=[
                structlog.processors.format_exc_info,
                structlog.processors.KeyValueRenderer(),
            ],
        )

        def start(
            overrides: dict[str, object] | None = None, executor: Executor | None = None
        ) -> RunningServer:
            own = {
                "server.data_dir": str(tmp_path_factory.mktemp("data")),
                "server.port": 0,
                # Of the servers of one process only one can do jobs.
                "jobs.concurrency": 0,
            }
            settings = load(overrides={**own, **(overrides or {})})
            return stack.enter_context(running(settings, executor))

        yield start


@contextmanager
def running_command(data_dir: Path, environment: dict[str, str]) -> Iterator[str]:
    """``superres serve`` as people start it, a process with workers of its own; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "superres", "serve", "--port", str(port)]
    log = data_dir.parent / "serve.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, "--data-dir", str(data_dir)],
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        _wait_until_ready(process, port, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    waited = time.monotonic() + 120
    while time.monotonic() < waited:
        assert process.poll() is None, f"the server ended: {log.read_text()}"
        try:
            ready = urllib3.request(
                "GET", f"http://127.0.0.1:{port}/readyz", retries=False, timeout=5
            )
        except urllib3.exceptions.HTTPError:
            time.sleep(0.1)
            continue
        if ready.status == 200:
            return
        time.sleep(0.1)
    raise AssertionError("the server was not ready in two minutes")
