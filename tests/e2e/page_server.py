"""The real server as a process of its own, for the tests of the page.

Run as a script, this file *is* the command ``superres``, with the fake engine slowed down so
that there is progress to see and something to cancel, or held while a file says so. Worker
processes are spawned and import their parent's main script again, so this reaches them too.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PAUSE = "SUPERRES_TEST_PAUSE"  # seconds before every tile; the settings ignore SUPERRES_TEST_…
HOLD = "SUPERRES_TEST_HOLD"  # a file: while it is there, no tile is begun

if __name__ in ("__main__", "__mp_main__"):
    from superres.engines.fake import FakeSession

    _submit = FakeSession.submit
    # Now: workers forget their environment.
    _pause, _hold = float(os.environ.get(PAUSE, "0")), Path(os.environ.get(HOLD, os.devnull))

    def _later(self, image):
        time.sleep(_pause)
        while _hold.is_file():
            time.sleep(0.01)
        return _submit(self, image)

    FakeSession.submit = _later


@dataclass
class PageServer:
    """A server process that can be stopped and started again at the same address."""

    data: Path
    pause: float = 0.0
    environ: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        self.log, self._hold = self.data / "server.log", self.data / "hold"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, __file__, *arguments, "--data-dir", str(self.data / "data")]

    def environment(self) -> dict[str, str]:
        folders = {name: self.data / name for name in ("cache", "scratch")}
        # Its own cache, where nobody can write down how slow a held picture was.
        for folder in (*folders.values(), folders["cache"] / "speed.json"):
            folder.mkdir(exist_ok=True)
        return (
            dict(os.environ)
            | {"SUPERRES_ENGINE__DEVICE": "fake"}
            | {f"SUPERRES_ENGINE__{n.upper()}_DIR": str(path) for n, path in folders.items()}
            | {PAUSE: str(self.pause), HOLD: str(self._hold)}
            | dict(self.environ or {})
        )

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("serve", "--port", str(self.port)),
                stdout=log,
                stderr=log,
                env=self.environment(),
            )
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(self.url + "/readyz", timeout=5).close()
                return
            time.sleep(0.1)
        raise AssertionError(self.log.read_text(errors="replace"))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """No picture gets any further while the block runs."""
        self._hold.touch()
        try:
            yield
        finally:
            self._hold.unlink()

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)
        self.process = None

    def new_token(self) -> str:
        """A credential's token, made by the command."""
        made = subprocess.run(
            self.command("keys", "create", f"page-{time.monotonic_ns()}", "--json"),
            env=self.environment(),
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        )
        return re.search(r'"token": *"([^"]+)"', made.stdout)[1]

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        found = [line for line in lines if re.match(rf"{name}(\{{|\s)", line)]
        assert found, f"no metric {name}"
        return sum(float(line.split()[-1]) for line in found)


@contextlib.contextmanager
def serving(data: Path, **options: object) -> Iterator[PageServer]:
    server = PageServer(data, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


if __name__ == "__main__":
    from superres.cli import main

    main()
