"""``superres serve`` as a process of its own, for the tests of the whole service."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e import held

PATIENCE = 60.0
"""Seconds after which something that should have happened long ago is taken not to happen."""


@dataclass
class Service:
    """A server process with a data folder of its own.

    Attributes:
        folder: everything of it lies here: its data in ``data``, its log in ``log``.
        settings: by their names, such as ``workers.queue``.
        flags: more words for ``superres serve``.
        device: of the engine; only the fake one can be held.
        url: once it is started.
        http: a client of it; threads may share it.
    """

    folder: Path
    settings: Mapping[str, object] = field(default_factory=dict)
    flags: Sequence[str] = ()
    device: str = "fake"

    def __post_init__(self) -> None:
        self.data, self.log, self._hold = (self.folder / n for n in ("data", "log", "hold"))
        (self.folder / "scratch").mkdir(parents=True, exist_ok=True)
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client(timeout=PATIENCE, verify=False)

    @property
    def environment(self) -> dict[str, str]:
        given = {
            "engine.device": self.device,
            "engine.scratch_dir": str(self.folder / "scratch"),
            **self.settings,
        }
        written = {
            f"SUPERRES_{name.upper().replace('.', '__')}": ",".join(
                f"{k}={v}" for k, v in value.items()
            )
            if isinstance(value, Mapping)
            else str(value)
            for name, value in given.items()
        }
        return {**os.environ, **written, held.HOLD: str(self._hold)}

    # --- its life -----------------------------------------------------------------------

    def spawn(self, *words: str, **how: object) -> subprocess.Popen[bytes]:
        """The command ``superres`` with this service's settings and data folder."""
        return subprocess.Popen(
            [sys.executable, held.__file__, *words, "--data-dir", str(self.data)],
            env=self.environment,
            **how,
        )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The same, to its end."""
        process = self.spawn(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
        return subprocess.CompletedProcess(words, process.returncode, out.decode(), err.decode())

    def start(self, *, ready: bool = True) -> None:
        """Start it, and wait until it says where it listens, and is ready."""
        self.log.write_bytes(b"")
        with self.log.open("ab") as log:
            self.process = self.spawn("serve", "--port", "0", *self.flags, stderr=log)
        until(self._listens, self.said)
        self.url = re.search(r"is at (http://\S+)", self.said())[1].replace("0.0.0.0", "127.0.0.1")
        self.http.base_url = self.url
        if ready:
            until(lambda: self.http.get("/readyz").status_code == 200, self.said)

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said()
        return "is at http" in self.said()

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def ended(self) -> int:
        """The exit code, once it has ended."""
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def stop(self) -> None:
        self.release()
        self.http.close()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            finally:
                self.process.kill()
                self.process.wait()

    # --- how fast its fake engine is ----------------------------------------------------

    def hold(self, seconds: float = 1e6) -> None:
        """From now on each tile takes so long."""
        part = self._hold.with_suffix(".part")
        part.write_text(str(seconds))
        part.replace(self._hold)

    def release(self) -> None:
        """Tiles take no time; those that are being held are let go."""
        self._hold.unlink(missing_ok=True)

    # --- what there is to see from outside ----------------------------------------------

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def wire(self, sent: bytes = b"", timeout: float = PATIENCE) -> socket.socket:
        """A bare connection, with ``sent`` sent."""
        connection = socket.create_connection(self.address, timeout=timeout)
        connection.sendall(sent)
        return connection

    def said(self) -> str:
        """The whole log."""
        return self.log.read_text(errors="replace")

    def lines(self, event: str | None = None) -> list[dict[str, object]]:
        """The log's JSON lines, those of ``event`` alone if it is given."""
        found = [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]
        return [line for line in found if event in (None, line["event"])]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric over all labels that are not given."""
        text = self.http.get("/metrics").text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def workers(self) -> list[psutil.Process]:
        """Its worker processes."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if is_worker(child)]

    def in_flight(self) -> list[str]:
        """What lies in the folders of requests."""
        spool = self.data / "spool"
        return sorted(str(path.relative_to(spool)) for path in spool.glob("*/*"))

    def new_credential(self, name: str = "tester") -> dict[str, str]:
        """Made by the command, while the server runs: id, secret and token."""
        made = self.run("keys", "create", name, "--json")
        assert made.returncode == 0, made.stderr
        return json.loads(made.stdout)


def is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and any("spawn_main" in word for word in process.cmdline())
    return False


def until(happened: Callable[[], object], tell: Callable[[], object] = lambda: "") -> None:
    """Wait for it."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, tell() or "it did not happen"
        time.sleep(0.02)


@contextlib.contextmanager
def serving(folder: Path, **how: object) -> Iterator[Service]:
    service = Service(folder, **how)
    try:
        service.start()
        yield service
    finally:
        service.stop()


# --- pictures ---------------------------------------------------------------------------


def picture(width: int = 32, height: int | None = None, kind: str = "PNG", **how: object) -> bytes:
    """A small picture with something on it."""
    y, x = np.mgrid[0 : height or width, 0:width]
    pixels = np.stack([x * 7 % 256, y * 5 % 256, (x + y) * 3 % 256], axis=-1).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **how)
    return stream.getvalue()


def to_png(pixels: np.ndarray) -> bytes:
    """Pixels (h, w, 3), uint8, as a file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def size_of(answer: bytes) -> tuple[int, int]:
    """Width and height of a picture that decodes whole."""
    with Image.open(io.BytesIO(answer)) as image:
        image.load()
        return image.size


# --- bare HTTP --------------------------------------------------------------------------


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            received += piece
    return received


def head(connection: socket.socket) -> bytes:
    """What comes until a header's end; empty if the other side closes instead."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while b"\r\n\r\n" not in received:
            piece = connection.recv(1)
            if not piece:
                break
            received += piece
    return received
