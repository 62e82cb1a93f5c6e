"""Trouble that a test can make: a disk without room, a database or a store that goes away."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.fleet import _free_port
from tests.e2e.service import PATIENCE, until


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own at ``folder``; skips where that is not allowed."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)]
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("only root can make a small disk")
    if (done := subprocess.run(mount, capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"a small disk cannot be made here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no room, and return the file that takes it all."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        for size in (1 << 16, 1 << 10, 1):
            with contextlib.suppress(OSError):
                while stream.write(bytes(size)):
                    pass
    assert shutil.disk_usage(folder).free == 0
    return filler


class PrivateServer:
    """A PostgreSQL of the test's own, that it may stop as rudely as it likes."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self._programs, self.port = folder, programs, _free_port()
        # It refuses to be run by root.
        self._who = {"user": "nobody"} if os.geteuid() == 0 else {}
        if self._who:
            os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
        self._data = folder / "data"
        words = ["initdb", "-A", "trust", "-U", "postgres", "-N", "-D", str(self._data)]
        self._run(words, check=True)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        import psycopg

        words = ["postgres", "-D", str(self._data), "-p", str(self.port), "-k", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self._programs / words[0]), *words[1:]],
                stdout=log,
                stderr=log,
                cwd="/",
                **self._who,
            )

        def answers() -> bool:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url):
                return True
            return False

        until(answers, lambda: (self.folder / "log").read_text())

    def stop(self) -> None:
        """At once, without a word to anybody, as ``pg_ctl stop -m immediate``."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(PATIENCE)

    def _run(self, words: list[str], **how: object) -> None:
        program = str(self._programs / words[0])
        subprocess.run([program, *words[1:]], capture_output=True, cwd="/", **self._who, **how)

    @classmethod
    @contextlib.contextmanager
    def started(cls) -> Iterator[PrivateServer]:
        """One that is ended at the end; skips where there is none to start."""
        found = sorted(
            Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name)
        )
        if not found or not (found[-1] / "initdb").exists():
            pytest.skip("there is no PostgreSQL server to start here")
        # Not below pytest's folder, which others than its owner cannot enter.
        with tempfile.TemporaryDirectory(prefix="superres-pg-") as folder:
            server = cls(Path(folder), found[-1])
            try:
                server.start()
                yield server
            finally:
                server.stop()


class Relay:
    """Passes on what comes to ``port``, until the test lets the other side go away.

    Args:
        other: port on this machine that it leads to.
    """

    def __init__(self, other: int) -> None:
        self._other, self.port = other, _free_port()
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()

    def come(self) -> None:
        """From now on it leads there."""
        listening = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._open = [listening]
        threading.Thread(target=self._listen, args=[listening], daemon=True).start()

    def go(self) -> None:
        """Nobody is there, and what is under way is cut."""
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            self._open = []

    def _listen(self, listening: socket.socket) -> None:
        while True:
            try:
                here, _ = listening.accept()
                there = socket.create_connection(("127.0.0.1", self._other))
            except OSError:
                return
            with self._lock:
                gone = listening not in self._open
                if not gone:
                    self._open += [here, there]
            if gone:
                here.close()
                there.close()
                return
            for pair in ((here, there), (there, here)):
                threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def peak(pid: int) -> int:
    """The most resident memory that a process ever had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    assert found
    return int(found[1]) * 1024
